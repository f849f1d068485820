#include "predictor/access_reader.h"

#include "broker/base/log.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include <librdkafka/rdkafka.h>

namespace forelog::predictor {
namespace {

struct Destroy {
  void operator()(rd_kafka_t* k) const { rd_kafka_destroy(k); }
  void operator()(rd_kafka_conf_t* c) const { rd_kafka_conf_destroy(c); }
  void operator()(rd_kafka_topic_partition_list_t* l) const { rd_kafka_topic_partition_list_destroy(l); }
  void operator()(rd_kafka_message_t* m) const { rd_kafka_message_destroy(m); }
};
template <class T>
using Owned = std::unique_ptr<T, Destroy>;

void on_log(const rd_kafka_t*, int level, const char* facility, const char* text) {
  // Lost connections are librdkafka's daily bread; it comes back by itself.
  log_line(level <= 3 ? warn : debug, "rdkafka", {{"facility", facility}, {"text", text}});
}

}  // namespace

struct AccessReader::State {
  AccessReaderSettings settings;
  Positions positions;
  Owned<rd_kafka_t> consumer;
  bool failing = false;
  int assigned = 0;
  std::set<std::int32_t> ended;  // partitions whose end has been reached once

  static void on_rebalance(rd_kafka_t* consumer, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t* partitions,
                           void* opaque) {
    auto& state = *static_cast<State*>(opaque);
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS) {
      rd_kafka_assign(consumer, nullptr);
      return;
    }
    for (int i = 0; i < partitions->cnt; ++i) {
      auto at = state.positions.find(partitions->elems[i].partition);
      // A position that retention has passed resets like any other.
      if (at != state.positions.end()) partitions->elems[i].offset = at->second;
    }
    rd_kafka_assign(consumer, partitions);
    state.assigned = partitions->cnt;
    log_line(info, "access_log_assigned", {{"partitions", partitions->cnt}});
  }

  static void on_error(rd_kafka_t*, int code, const char* reason, void* opaque) {
    auto& state = *static_cast<State*>(opaque);
    if (!std::exchange(state.failing, true)) {
      log_line(warn, "access_log_unreachable",
               {{"error", rd_kafka_err2name(static_cast<rd_kafka_resp_err_t>(code))}, {"reason", reason}});
    }
  }

  void take(const rd_kafka_message_t& message, const std::function<void(const LogRecord&)>& take_record) {
    if (std::exchange(failing, false)) log_line(info, "access_log_reached");
    // Also where it has gone back: the topic was deleted, and its log begins anew. librdkafka itself leaves out what a
    // batch has before the offset that was asked for.
    positions[message.partition] = message.offset + 1;
    if (message.payload == nullptr) return;
    take_record({message.partition, message.offset, {static_cast<const char*>(message.payload), message.len}});
  }
};

AccessReader::AccessReader(std::unique_ptr<State> state) : state_(std::move(state)) {}

AccessReader::~AccessReader() {
  if (state_->consumer) rd_kafka_consumer_close(state_->consumer.get());
}

Result<std::unique_ptr<AccessReader>> AccessReader::open(AccessReaderSettings settings, Positions from) {
  auto state = std::make_unique<State>();
  state->settings = std::move(settings);
  state->positions = std::move(from);
  const auto& s = state->settings;
  Owned<rd_kafka_conf_t> conf(rd_kafka_conf_new());
  std::array<char, 512> error{};
  const std::pair<const char*, std::string> values[] = {
      {"bootstrap.servers", s.bootstrap_servers},
      {"group.id", s.group},
      {"client.id", s.client_id},
      {"auto.offset.reset", s.newest ? "latest" : "earliest"},
      {"enable.auto.commit", "false"},
      {"enable.partition.eof", "true"},
      {"allow.auto.create.topics", "false"},
      // A topic that is made later, and brokers that come back, are found within a second.
      {"topic.metadata.refresh.interval.ms", "1000"},
      {"reconnect.backoff.ms", "50"},
      {"reconnect.backoff.max.ms", "1000"},
      {"fetch.error.backoff.ms", "100"},
      // A predictor that was killed and started again gets its partitions back within seconds.
      {"session.timeout.ms", "6000"},
      {"heartbeat.interval.ms", "1500"},
      {"fetch.min.bytes", "1"},
      {"fetch.wait.max.ms", "500"},
  };
  for (const auto& [name, value] : values) {
    if (rd_kafka_conf_set(conf.get(), name, value.c_str(), error.data(), error.size()) != RD_KAFKA_CONF_OK) {
      return fail(ErrorCode::kInvalidSetting, std::string(name) + ": " + error.data());
    }
  }
  rd_kafka_conf_set_opaque(conf.get(), state.get());
  rd_kafka_conf_set_rebalance_cb(conf.get(), &State::on_rebalance);
  rd_kafka_conf_set_error_cb(conf.get(), &State::on_error);
  rd_kafka_conf_set_log_cb(conf.get(), &on_log);
  state->consumer.reset(rd_kafka_new(RD_KAFKA_CONSUMER, conf.get(), error.data(), error.size()));
  if (!state->consumer) return fail(ErrorCode::kInvalidSetting, error.data());
  (void)conf.release();  // the consumer's now
  rd_kafka_poll_set_consumer(state->consumer.get());

  Owned<rd_kafka_topic_partition_list_t> topics(rd_kafka_topic_partition_list_new(1));
  rd_kafka_topic_partition_list_add(topics.get(), s.topic.c_str(), RD_KAFKA_PARTITION_UA);
  if (auto code = rd_kafka_subscribe(state->consumer.get(), topics.get()); code != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return fail(ErrorCode::kUnavailable, std::string("subscribe: ") + rd_kafka_err2str(code));
  }
  return std::unique_ptr<AccessReader>(new AccessReader(std::move(state)));
}

std::size_t AccessReader::poll(Duration wait, std::size_t records_max,
                               const std::function<void(const LogRecord&)>& take) {
  std::size_t taken = 0;
  auto timeout = static_cast<int>(to_ms(wait));
  while (taken < records_max) {
    Owned<rd_kafka_message_t> message(rd_kafka_consumer_poll(state_->consumer.get(), timeout));
    if (!message) break;
    timeout = 0;  // only the first is waited for
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR) {
      state_->take(*message, take);
      ++taken;
    } else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
      state_->ended.insert(message->partition);
    } else {
      State::on_error(state_->consumer.get(), message->err, rd_kafka_message_errstr(message.get()), state_.get());
      break;
    }
  }
  return taken;
}

bool AccessReader::has_reached_end() const {
  return state_->assigned > 0 && state_->ended.size() >= static_cast<std::size_t>(state_->assigned);
}

const Positions& AccessReader::positions() const { return state_->positions; }

void AccessReader::commit() {
  if (state_->positions.empty()) return;
  Owned<rd_kafka_topic_partition_list_t> list(rd_kafka_topic_partition_list_new(8));
  for (auto [partition, offset] : state_->positions) {
    rd_kafka_topic_partition_list_add(list.get(), state_->settings.topic.c_str(), partition)->offset = offset;
  }
  rd_kafka_commit(state_->consumer.get(), list.get(), 1);
}

}  // namespace forelog::predictor
