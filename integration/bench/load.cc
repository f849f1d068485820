// load: one load generator over librdkafka, for figures that compare brokers. Prints one JSON line.
//
//   load produce    BROKER TOPIC --megabytes M | --seconds S   as fast as it goes; several --connections
//   load rate       BROKER TOPIC --records-per-second R --seconds S   at a fixed rate, whatever the broker does
//   load consume    BROKER TOPIC --megabytes M                 from the beginning; with --warm-up again and again;
//                                                              no faster than --megabytes-per-second
//   load end-to-end BROKER TOPIC --records-per-second R --seconds S   produced and consumed at once
//   load echo       - -           --records-per-second R --seconds S   no broker: what the machine itself takes
//
// All: --partitions N --record BYTES --warm-up S --broker-pid PID (its CPU and memory are counted over the same time).
// Producers: --acks --linger MS --batch-records N --outstanding RECORDS.
//
// `rate` and `end-to-end` count a record's latency from the moment it was due, not from when there was room for it: a
// broker that stalls makes everything behind it late (no coordinated omission). Consuming counts from the first record
// to the last, as connecting takes its time whatever the broker does.

#include "integration/bench/load_client.h"

#include <cstring>
#include <memory>

#include <sys/prctl.h>

namespace load {
namespace {

constexpr int kFlushMs = 120'000;
constexpr auto kDrain = std::chrono::seconds(30);     // what is not acknowledged by then counts as lost to the rate
constexpr auto kPatience = std::chrono::seconds(30);  // without any record, a consumer gives up

void sleep_until(Moment moment) { std::this_thread::sleep_until(moment); }
Moment after(Moment from, double seconds) {
  return from + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
}

// --- as fast as it goes ----------------------------------------------------------------------------------------------
// One connection. The moment of handing over travels with the record.
struct Producer {
  Producer(const Options& options, long first)
      : handle(RD_KAFKA_PRODUCER, producer_settings(options), on_delivery, this),
        topic(rd_kafka_topic_new(handle.get(), options.topic.c_str(), nullptr)),
        next(first) {
    handle.poll_in_background();
  }
  ~Producer() { rd_kafka_topic_destroy(topic); }

  static void on_delivery(void* opaque, const rd_kafka_message_t* message) {
    auto& self = *static_cast<Producer*>(opaque);
    if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
      ++self.failed;
      return;
    }
    ++self.delivered;
    if (!self.counting) return;
    Moment handed_over{Clock::duration(reinterpret_cast<std::intptr_t>(message->_private))};
    self.latencies.add(seconds_between(handed_over, Clock::now()) * 1000);
  }

  void produce(std::int32_t partition, const std::string& value) {
    auto now = Clock::now().time_since_epoch().count();
    auto flags = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK;
    auto* bytes = const_cast<char*>(value.data());  // NOLINT: librdkafka copies
    auto* opaque = reinterpret_cast<void*>(static_cast<std::intptr_t>(now));
    if (rd_kafka_produce(topic, partition, flags, bytes, value.size(), nullptr, 0, opaque) != 0) {
      die(rd_kafka_err2str(rd_kafka_last_error()));
    }
  }

  Handle handle;
  rd_kafka_topic_t* topic;
  long next;
  std::atomic<long> delivered = 0, failed = 0;
  std::atomic<bool> counting = false;
  Latencies latencies;  // of the polling thread
};

void produce(const Options& options) {
  auto size = static_cast<std::size_t>(options.number("record", 1024));
  auto partitions = options.number("partitions", 16);
  auto connections = options.number("connections", 1);
  auto run = options.number("run", 1);  // records in a row for one partition
  auto value = value_of_size(size);
  bool timed = options.has("seconds");
  auto quota = timed ? INT64_MAX : options.number("megabytes", 256) * 1048576 / static_cast<long>(size) / connections;

  std::vector<std::unique_ptr<Producer>> producers;
  std::vector<const Handle*> handles;
  for (long c = 0; c < connections; ++c) {
    producers.push_back(std::make_unique<Producer>(options, c * partitions / connections * run));
    handles.push_back(&producers.back()->handle);
  }
  std::atomic<bool> stop = false;
  auto send = [&](Producer& producer, long records) {
    for (long i = 0; i < records && !stop; ++i, ++producer.next) {
      producer.produce(static_cast<std::int32_t>(producer.next / run % partitions), value);
    }
  };
  auto sum_of = [&](std::atomic<long> Producer::* member) {
    long sum = 0;
    for (auto& producer : producers) sum += ((*producer).*member).load();
    return sum;
  };
  auto send_all = [&](long records) {
    std::vector<std::thread> threads;
    for (auto& producer : producers) threads.emplace_back([&, records, p = producer.get()] { send(*p, records); });
    return threads;
  };
  auto count = [&](bool on) {
    for (auto& producer : producers) producer->counting = on;
  };
  auto flush = [&] {
    for (auto& producer : producers) rd_kafka_flush(producer->handle.get(), kFlushMs);
  };

  Window window(static_cast<int>(options.number("broker-pid", 0)));
  auto warm_up = static_cast<double>(options.number("warm-up", 0));
  long delivered = 0;
  if (timed) {
    auto threads = send_all(quota);
    sleep_until(after(Clock::now(), warm_up));
    auto before = sum_of(&Producer::delivered);
    count(true);
    window.begin(handles);
    sleep_until(after(Clock::now(), static_cast<double>(options.number("seconds", 5))));
    count(false);
    window.end(handles);
    delivered = sum_of(&Producer::delivered) - before;
    stop = true;
    for (auto& thread : threads) thread.join();
    flush();
  } else {
    if (warm_up > 0) {
      auto threads = send_all(INT64_MAX);
      sleep_until(after(Clock::now(), warm_up));
      stop = true;
      for (auto& thread : threads) thread.join();
      flush();
      stop = false;
    }
    auto before = sum_of(&Producer::delivered);
    count(true);
    window.begin(handles);
    for (auto& thread : send_all(quota)) thread.join();
    flush();
    window.end(handles);
    delivered = sum_of(&Producer::delivered) - before;
  }
  auto failed = sum_of(&Producer::failed);
  Latencies latencies;
  for (auto& producer : producers) latencies.take(producer->latencies);
  Figures figures;
  figures.text("what", "produce");
  figures.number("records", static_cast<double>(delivered), 0);
  figures.number("failed", static_cast<double>(failed), 0);
  window.report(figures, static_cast<double>(delivered) * static_cast<double>(size));
  figures.latencies(latencies);
  figures.print();
  if (failed > 0 || (!timed && delivered != quota * connections)) std::exit(2);
}

// --- at a fixed rate -------------------------------------------------------------------------------------------------
// When each record is due; those before `from` are warm-up.
struct Schedule {
  explicit Schedule(const Options& options)
      : per_second(static_cast<double>(options.number("records-per-second", 5000))),
        from(static_cast<long>(per_second * static_cast<double>(options.number("warm-up", 0)))),
        count(from + static_cast<long>(per_second * static_cast<double>(options.number("seconds", 10)))),
        start(Clock::now()) {}
  void begin() { start = after(Clock::now(), 0.5); }  // when clients have connected
  Moment due(long record) const { return after(start, static_cast<double>(record) / per_second); }

  double per_second;
  long from, count;
  Moment start;
};

// Hands over each record when it is due, on the calling thread. Its number stands in its first bytes.
void keep_schedule(const Schedule& schedule, rd_kafka_topic_t* topic, const Options& options, Window& window,
                   const std::vector<const Handle*>& handles) {
  auto value = value_of_size(static_cast<std::size_t>(options.number("record", 1024)));
  auto partitions = options.number("partitions", 16);
  // Sleeps end when they should, not up to 50 µs later.
  prctl(PR_SET_TIMERSLACK, 1UL);
  for (long i = 0; i < schedule.count; ++i) {
    auto due = schedule.due(i);
    if (Clock::now() < due) sleep_until(due);
    if (i == schedule.from) window.begin(handles);
    std::memcpy(value.data(), &i, sizeof i);
    auto* opaque = reinterpret_cast<void*>(static_cast<std::intptr_t>(i));
    auto flags = RD_KAFKA_MSG_F_COPY | RD_KAFKA_MSG_F_BLOCK;
    if (rd_kafka_produce(topic, static_cast<std::int32_t>(i % partitions), flags, value.data(), value.size(), nullptr,
                         0, opaque) != 0) {
      die(rd_kafka_err2str(rd_kafka_last_error()));
    }
  }
}

// What has arrived, acknowledged or consumed. One thread notes.
struct Arrivals {
  explicit Arrivals(const Schedule& s) : schedule(s) {}
  void note(long record) {
    std::lock_guard lock(mutex);
    auto now = Clock::now();
    if (record >= schedule.from) {
      auto ms = seconds_between(schedule.due(record), now) * 1000;
      all.add(ms);
      if (record < schedule.from + static_cast<long>(schedule.per_second)) first_second.add(ms);
    }
    last = now;
    ++count;
  }
  const Schedule& schedule;
  std::mutex mutex;  // a report may be written while a stalled broker still answers
  Latencies all, first_second;
  Moment last{};
  std::atomic<long> count = 0, failed = 0;
};

void on_rate_delivery(void* opaque, const rd_kafka_message_t* message) {
  auto& arrivals = *static_cast<Arrivals*>(opaque);
  if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
    arrivals.note(static_cast<long>(reinterpret_cast<std::intptr_t>(message->_private)));
  } else {
    ++arrivals.failed;
  }
}

void report_rate(const char* what, const Options& options, Window& window, Arrivals& arrivals,
                 Arrivals* acknowledged = nullptr) {
  const auto& schedule = arrivals.schedule;
  std::lock_guard lock(arrivals.mutex);
  auto measured = schedule.count - schedule.from;
  auto missing = schedule.count - arrivals.count;
  Figures figures;
  figures.text("what", what);
  figures.number("due_per_s", schedule.per_second, 0);
  figures.number("records", static_cast<double>(measured), 0);
  figures.number("missing", static_cast<double>(missing), 0);
  figures.number("failed", static_cast<double>(arrivals.failed), 0);
  // How long after the last record was due the last one arrived.
  figures.number("behind_s", seconds_between(schedule.due(schedule.count - 1), arrivals.last));
  window.report(figures, static_cast<double>(measured) * static_cast<double>(options.number("record", 1024)));
  figures.number("first_second_p50_ms", arrivals.first_second.at(0.5));
  figures.number("first_second_p99_ms", arrivals.first_second.at(0.99));
  if (acknowledged != nullptr) {
    std::lock_guard also(acknowledged->mutex);
    figures.number("acknowledged_p50_ms", acknowledged->all.at(0.5));
    figures.number("acknowledged_p99_ms", acknowledged->all.at(0.99));
  }
  figures.latencies(arrivals.all);
  figures.print();
}

// Producer's settings without a limit that would delay a record which is due.
std::map<std::string, std::string> open_loop_settings(const Options& options) {
  auto settings = producer_settings(options);
  settings["queue.buffering.max.messages"] = "2000000";
  settings["queue.buffering.max.kbytes"] = "2097151";
  return settings;
}

void rate(const Options& options) {
  Schedule schedule(options);
  Arrivals arrivals(schedule);
  Handle producer(RD_KAFKA_PRODUCER, open_loop_settings(options), on_rate_delivery, &arrivals);
  producer.poll_in_background();
  auto* topic = rd_kafka_topic_new(producer.get(), options.topic.c_str(), nullptr);
  // The first use of a topic asks for its metadata: not part of the load.
  const struct rd_kafka_metadata* metadata = nullptr;
  auto known = rd_kafka_metadata(producer.get(), 0, topic, &metadata, 30'000);
  if (known != RD_KAFKA_RESP_ERR_NO_ERROR) die(rd_kafka_err2str(known));
  rd_kafka_metadata_destroy(metadata);
  schedule.begin();
  Window window(static_cast<int>(options.number("broker-pid", 0)));
  keep_schedule(schedule, topic, options, window, {&producer});
  window.end({&producer});
  auto give_up = Clock::now() + kDrain;
  while (arrivals.count + arrivals.failed < schedule.count && Clock::now() < give_up) {
    sleep_until(after(Clock::now(), 0.02));
  }
  report_rate("rate", options, window, arrivals);
  std::fflush(stdout);
  // What a stalled broker still owes is not waited for.
  std::_Exit(0);
}

// --- reading ---------------------------------------------------------------------------------------------------------
void consume(const Options& options) {
  auto wanted = static_cast<double>(options.number("megabytes", 256)) * 1048576;
  Handle consumer(RD_KAFKA_CONSUMER, consumer_settings(options));
  auto* queue = rd_kafka_queue_get_consumer(consumer.get());
  std::vector<rd_kafka_message_t*> messages(4096);
  Window window(static_cast<int>(options.number("broker-pid", 0)));
  auto began = Clock::now();
  auto warm_up = static_cast<double>(options.number("warm-up", 0));
  auto bytes_per_second = static_cast<double>(options.number("megabytes-per-second", 1'000'000)) * 1048576;
  for (bool last_pass = false; !last_pass;) {
    last_pass = seconds_between(began, Clock::now()) >= warm_up;
    assign(consumer, options, 0);
    long records = 0;
    double bytes = 0;
    Moment last{}, patience = Clock::now();
    while (bytes < wanted) {
      auto count = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
      for (ssize_t i = 0; i < count; ++i) {
        auto* message = messages[static_cast<std::size_t>(i)];
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
          if (records++ == 0) window.begin({&consumer});
          bytes += static_cast<double>(message->len);
        } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
          die(rd_kafka_message_errstr(message));
        }
        rd_kafka_message_destroy(message);
      }
      if (count > 0) last = patience = Clock::now();
      if (count > 0) sleep_until(after(window.began(), bytes / bytes_per_second));
      if (Clock::now() > patience + kPatience) die("no record for 30 s");
    }
    window.end({&consumer}, last);
    if (!last_pass) continue;
    Figures figures;
    figures.text("what", "consume");
    figures.number("records", static_cast<double>(records), 0);
    window.report(figures, bytes);
    figures.print();
  }
  rd_kafka_queue_destroy(queue);
}

void end_to_end(const Options& options) {
  Schedule schedule(options);
  Arrivals produced(schedule), consumed(schedule);
  Handle producer(RD_KAFKA_PRODUCER, open_loop_settings(options), on_rate_delivery, &produced);
  producer.poll_in_background();
  auto* topic = rd_kafka_topic_new(producer.get(), options.topic.c_str(), nullptr);
  Handle consumer(RD_KAFKA_CONSUMER, consumer_settings(options));
  assign(consumer, options, RD_KAFKA_OFFSET_END);
  // It stands at the end before the first record comes: else that one would be missed.
  for (auto ready = after(Clock::now(), 3); Clock::now() < ready;) {
    if (auto* message = rd_kafka_consumer_poll(consumer.get(), 50)) rd_kafka_message_destroy(message);
  }
  schedule.begin();
  std::atomic<bool> stop = false;
  std::thread reader([&] {
    while (!stop && consumed.count < schedule.count) {
      auto* message = rd_kafka_consumer_poll(consumer.get(), 100);
      if (message == nullptr) continue;
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        long record = 0;
        std::memcpy(&record, message->payload, sizeof record);
        consumed.note(record);
      } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        die(rd_kafka_message_errstr(message));
      }
      rd_kafka_message_destroy(message);
    }
  });
  Window window(static_cast<int>(options.number("broker-pid", 0)));
  keep_schedule(schedule, topic, options, window, {&producer, &consumer});
  window.end({&producer, &consumer});
  auto give_up = Clock::now() + kDrain;
  while (consumed.count < schedule.count && Clock::now() < give_up) sleep_until(after(Clock::now(), 0.02));
  stop = true;
  reader.join();
  report_rate("end-to-end", options, window, consumed, &produced);
  std::fflush(stdout);
  std::_Exit(0);
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
  load::Options options(argc, argv);
  if (options.mode == "produce") {
    load::produce(options);
  } else if (options.mode == "rate") {
    load::rate(options);
  } else if (options.mode == "consume") {
    load::consume(options);
  } else if (options.mode == "end-to-end") {
    load::end_to_end(options);
  } else if (options.mode == "echo") {
    load::echo(options);
  } else {
    load::die("produce, rate, consume, end-to-end or echo?");
  }
  return 0;
}
