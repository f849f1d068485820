// fetch_sessions.h: incremental fetch sessions (KIP-227). Pure; one a core, for the connections of that core.
//
// A full fetch (epoch 0) may open a session; later ones name only what changed, and answers leave out partitions that
// have nothing new. Slots are bounded: a new session takes the place of one idle for two minutes, or of a smaller one.
// So are the partitions that all sessions remember together: whoever would exceed that reads without a session.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/time.h"
#include "broker/wire/fetch.h"

#include <cstdint>
#include <list>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::api {

// One partition to read: of the request, or remembered by its session.
struct FetchPartition {
  bool by_id = false;  // from version 13 on topics are named by id
  TopicName topic;
  TopicId topic_id;
  PartitionId partition;
  Offset fetch_offset;
  Epoch leader_epoch = kNoEpoch;
  Bytes size_max = 0;
};

class FetchSessions {
 public:
  // `first_id` keeps ids of different cores apart: each hands out first_id, first_id + step, …
  FetchSessions(std::size_t slots, std::int32_t first_id, std::int32_t step,
                std::size_t partitions_max = kPartitionsMax);
  static constexpr std::size_t kPartitionsMax = 200'000;  // some 60 MB

  struct Begun {
    wire::WireError error;        // when set, the answer is this and nothing else
    std::int32_t session_id = 0;  // 0: none
    bool incremental = false;
    std::vector<FetchPartition> partitions;
  };
  Begun begin(const wire::FetchRequest& request, wire::Version version, Instant now);

  // The response: all partitions, or with an incremental fetch those that have something to say. `wanted` and `answers`
  // go in pairs. Notes what the client now knows, and puts partitions that got data last in line.
  wire::FetchResponse finish(const Begun& begun, std::vector<FetchPartition> wanted,
                             std::vector<wire::FetchResponse::Partition> answers);

  std::size_t size() const { return sessions_.size(); }

 private:
  struct Remembered {
    FetchPartition partition;
    Offset high_watermark = kNoOffset;
    Offset log_start = kNoOffset;
  };
  // Of a session all partitions have a name, or all an id.
  struct Name {
    TopicName topic;
    TopicId topic_id;
    PartitionId partition;
    friend bool operator==(const Name&, const Name&) = default;
  };
  struct HashName {
    std::size_t operator()(const Name& name) const;
  };
  struct Session {
    std::int32_t id = 0;
    std::int32_t epoch = 1;  // that the next fetch must carry
    bool by_id = false;
    Instant used;
    std::list<Remembered> partitions;  // in the order in which they are served next
    std::unordered_map<Name, std::list<Remembered>::iterator, HashName> places;

    void add(FetchPartition partition);  // or replaces what was asked of it before
    void forget(const Name& name);
    Remembered* find(const Name& name);
    void move_to_the_end(const Name& name);
  };
  Session* open(std::size_t partitions, Instant now);
  std::size_t remembered() const;  // partitions, of all sessions

  std::size_t slots_;
  std::int32_t next_id_;
  std::int32_t step_;
  std::size_t partitions_max_;
  std::unordered_map<std::int32_t, Session> sessions_;
};

}  // namespace forelog::api
