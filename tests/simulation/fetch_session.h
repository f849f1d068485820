// fetch_session.h: the client's half of an incremental fetch session (KIP-227), as Kafka's consumer keeps it.
//
// Belongs to one connection. Names in a request only what has changed since the last one, and remembers what the broker
// has told of each partition, so that what an answer leaves out can be checked.
#pragma once

#include "broker/wire/fetch.h"

#include <map>
#include <string>

namespace forelog::simulation {

class FetchSession {
 public:
  // Takes out of a full request what the session already knows. Partitions go by `names`: one for each, in the order of
  // the request.
  void shorten(wire::FetchRequest& request, const std::vector<std::string>& names);
  // Whether the answer to the last request may leave partitions out.
  bool is_incremental() const { return epoch_ > 0; }
  // The answer came. With an error the next request begins a session anew.
  void take(const wire::FetchResponse& answer);
  // What the broker last said of the partition; kNoOffset: nothing, or an error.
  Offset watermark(const std::string& name) const;
  void note(const std::string& name, Offset watermark);

 private:
  struct Known {
    Offset offset;
    std::int32_t size_max = 0;
    Offset watermark = kNoOffset;
    TopicName topic;
    TopicId topic_id;
    PartitionId partition;
  };
  std::int32_t id_ = 0;
  std::int32_t epoch_ = 0;  // of the last request that was answered, plus one
  std::map<std::string, Known> known_;
};

}  // namespace forelog::simulation
