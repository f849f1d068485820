// access_reader.h: the access-log topic, as a Kafka consumer (librdkafka).
//
// Begins at the positions it is given, else where the group committed, else at the oldest record. Survives restarts of
// the broker and a topic that does not exist yet. One thread; `poll` waits, nothing else does.
#pragma once

#include "broker/base/result.h"
#include "broker/base/time.h"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace forelog::predictor {

struct AccessReaderSettings {
  std::string bootstrap_servers;
  std::string group = "__forelog-predictor";
  std::string topic = "__access_log";
  std::string client_id = "forelog-predictor";
  bool newest = false;  // where nothing is stored, begin at the end instead of at the oldest record
};

using Positions = std::map<std::int32_t, std::int64_t>;  // partition of the log → next offset to read

struct LogRecord {
  std::int32_t partition = 0;
  std::int64_t offset = 0;
  std::string_view value;  // valid during the call
};

class AccessReader {
 public:
  static Result<std::unique_ptr<AccessReader>> open(AccessReaderSettings settings, Positions from);
  ~AccessReader();  // leaves the group

  // Waits for at most `wait`, then hands each record that is there to `take`, at most `records_max`.
  // Returns how many. Trouble with brokers is logged and gone through.
  std::size_t poll(Duration wait, std::size_t records_max, const std::function<void(const LogRecord&)>& take);

  // Every partition has been read to where its log ended at that moment.
  bool has_reached_end() const;
  const Positions& positions() const;
  // Tells the group how far we are, for people who watch lag. Does not wait.
  void commit();

 private:
  struct State;
  explicit AccessReader(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace forelog::predictor
