// load: one load generator over librdkafka, for figures that compare brokers. Prints one JSON line.
//
//   load produce BROKER TOPIC --partitions N --megabytes M [--record BYTES] [--acks all|1] [--linger MS]
//   load consume BROKER TOPIC --partitions N --megabytes M
//
// Producing counts from the first record handed over to the last acknowledgement; consuming from the first record to
// the last, as connecting takes its time whatever the broker does. CPU seconds are this process's own.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <librdkafka/rdkafka.h>
#include <sys/resource.h>

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  auto seconds = [](timeval t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6; };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

[[noreturn]] void die(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

struct Options {
  std::string mode, broker, topic;
  std::map<std::string, std::string> flags;
  long number(const std::string& name, long fallback) const {
    auto it = flags.find(name);
    return it == flags.end() ? fallback : std::strtol(it->second.c_str(), nullptr, 10);
  }
  std::string text(const std::string& name, std::string fallback) const {
    auto it = flags.find(name);
    return it == flags.end() ? std::move(fallback) : it->second;
  }
};

void set(rd_kafka_conf_t* conf, const char* key, const std::string& value) {
  char why[512];
  if (rd_kafka_conf_set(conf, key, value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
}

struct Delivered {
  long ok = 0;
  long failed = 0;
};

void on_delivery(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& delivered = *static_cast<Delivered*>(opaque);
  ++(message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? delivered.ok : delivered.failed);
}

void report(const char* what, long records, double bytes, double seconds, double cpu, long failed) {
  std::printf(
      "{\"what\":\"%s\",\"records\":%ld,\"megabytes\":%.1f,\"seconds\":%.3f,\"mb_per_s\":%.1f,\"client_cpu_s\":%.3f,"
      "\"failed\":%ld}\n",
      what, records, bytes / 1048576, seconds, bytes / 1048576 / seconds, cpu, failed);
}

void produce(const Options& options) {
  auto size = static_cast<std::size_t>(options.number("record", 1024));
  auto records = options.number("megabytes", 256) * 1048576 / static_cast<long>(size);
  auto partitions = options.number("partitions", 16);
  Delivered delivered;
  auto* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", options.broker);
  set(conf, "linger.ms", options.text("linger", "5"));
  set(conf, "acks", options.text("acks", "all"));
  set(conf, "batch.size", "1000000");
  set(conf, "queue.buffering.max.messages", "500000");
  set(conf, "queue.buffering.max.kbytes", "262144");
  rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
  rd_kafka_conf_set_opaque(conf, &delivered);
  char why[512];
  auto* kafka = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
  if (kafka == nullptr) die(why);
  auto* topic = rd_kafka_topic_new(kafka, options.topic.c_str(), nullptr);
  std::string value(size, 'x');
  for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>('a' + (i * 31 + i / 7) % 26);
  auto started = Clock::now();
  for (long i = 0; i < records; ++i) {
    while (rd_kafka_produce(topic, static_cast<std::int32_t>(i % partitions), RD_KAFKA_MSG_F_COPY, value.data(), size,
                            nullptr, 0, nullptr) != 0) {
      if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL) die(rd_kafka_err2str(rd_kafka_last_error()));
      rd_kafka_poll(kafka, 5);
    }
    if (i % 256 == 0) rd_kafka_poll(kafka, 0);
  }
  rd_kafka_flush(kafka, 120000);
  auto took = seconds_since(started);
  report("produce", delivered.ok, static_cast<double>(delivered.ok) * static_cast<double>(size), took, cpu_seconds(),
         delivered.failed);
  rd_kafka_topic_destroy(topic);
  rd_kafka_destroy(kafka);
  if (delivered.failed > 0 || delivered.ok != records) std::exit(2);
}

void consume(const Options& options) {
  auto wanted = static_cast<double>(options.number("megabytes", 256)) * 1048576;
  auto partitions = options.number("partitions", 16);
  auto* conf = rd_kafka_conf_new();
  set(conf, "bootstrap.servers", options.broker);
  set(conf, "group.id", "load");
  set(conf, "client.id", options.text("client", "load"));
  set(conf, "enable.auto.commit", "false");
  set(conf, "fetch.wait.max.ms", "500");
  set(conf, "queued.max.messages.kbytes", "65536");
  set(conf, "auto.offset.reset", "earliest");
  char why[512];
  auto* kafka = rd_kafka_new(RD_KAFKA_CONSUMER, conf, why, sizeof why);
  if (kafka == nullptr) die(why);
  rd_kafka_poll_set_consumer(kafka);
  auto* assignment = rd_kafka_topic_partition_list_new(static_cast<int>(partitions));
  for (long p = 0; p < partitions; ++p) {
    rd_kafka_topic_partition_list_add(assignment, options.topic.c_str(), static_cast<std::int32_t>(p))->offset = 0;
  }
  if (auto error = rd_kafka_assign(kafka, assignment)) die(rd_kafka_err2str(error));
  auto* queue = rd_kafka_queue_get_consumer(kafka);
  std::vector<rd_kafka_message_t*> messages(4096);
  long records = 0;
  double bytes = 0;
  Clock::time_point first{}, last{}, patience = Clock::now();
  while (bytes < wanted) {
    auto count = rd_kafka_consume_batch_queue(queue, 100, messages.data(), messages.size());
    for (ssize_t i = 0; i < count; ++i) {
      auto* message = messages[static_cast<std::size_t>(i)];
      if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (records++ == 0) first = Clock::now();
        bytes += static_cast<double>(message->len);
      } else if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        die(rd_kafka_message_errstr(message));
      }
      rd_kafka_message_destroy(message);
    }
    if (count > 0) last = patience = Clock::now();
    if (seconds_since(patience) > 30) die("no record for 30 s");
  }
  report("consume", records, bytes, std::chrono::duration<double>(last - first).count(), cpu_seconds(), 0);
  rd_kafka_topic_partition_list_destroy(assignment);
  rd_kafka_queue_destroy(queue);
  rd_kafka_consumer_close(kafka);
  rd_kafka_destroy(kafka);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (argc < 4) die("usage: load produce|consume BROKER TOPIC [--flag value]...");
  options.mode = argv[1], options.broker = argv[2], options.topic = argv[3];
  for (int i = 4; i + 1 < argc; i += 2) options.flags[std::string(argv[i]).substr(2)] = argv[i + 1];
  if (options.mode == "produce") {
    produce(options);
  } else if (options.mode == "consume") {
    consume(options);
  } else {
    die("produce or consume?");
  }
  return 0;
}
