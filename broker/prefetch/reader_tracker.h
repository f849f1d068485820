// reader_tracker.h: tells readers apart. A reader is one stream of reads of one partition by one connection, until the
// connection ends or jumps to another offset.
//
// Pure, bounded, one per core: it sees the partitions that live there.
#pragma once

#include "broker/prefetch/group_evidence.h"
#include "broker/prefetch/hint.h"

#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forelog::prefetch {

class ReaderTracker {
 public:
  // Ids are unique among the cores of a boot.
  ReaderTracker(CoreId core, std::size_t readers_max);

  struct Seen {
    ReaderId reader{0};
    std::uint64_t stream = 0;  // the same for all readers of this connection and partition, across jumps
    const std::vector<GroupCandidate>* groups = nullptr;  // valid until the next call
    std::optional<ReaderEvent> announce;  // to be logged: the reader began, or reads on for another 30 seconds
    std::optional<ReaderId> ended;        // the one that this connection was before it jumped
  };
  Seen on_access(const AccessEvent& event, Instant now);

  // Whether another reader of the partition, still connected, stands at or before `offset`, and so is likely to come.
  bool others_behind(const PartitionKey& partition, ReaderId reader, Offset offset) const;

  // Evidence of who reads; commits that trail a reader count as its group's.
  void on_group_event(const GroupEvent& event, Instant now);

  struct Ended {
    ReaderId reader{0};
    std::uint64_t stream = 0;
  };
  // The readers of a connection that is gone, and those that had to be forgotten since the last call.
  std::vector<Ended> on_disconnect(ConnectionId connection);
  std::vector<Ended> take_forgotten();

  std::size_t size() const { return streams_.size(); }

 private:
  struct Stream {
    std::uint64_t id = 0;
    ReaderId reader{0};
    ClientPtr client;
    PartitionKey partition;
    Offset start, last_asked, next;
    Instant opened, announced, guessed;
    std::uint64_t evidence_version = 0;
    std::vector<GroupCandidate> groups;
    std::map<GroupId, int> trailing_commits;
  };
  using Streams = std::list<Stream>;  // most recently read first
  using Key = std::pair<ConnectionId, PartitionKey>;

  void guess(Stream& stream, Instant now);
  ReaderId next_id() { return ReaderId{(static_cast<std::uint64_t>(core_.value()) << 48) | ++ids_}; }
  void forget(Streams::iterator stream);

  CoreId core_;
  std::size_t readers_max_;
  std::uint64_t ids_ = 0;
  Streams streams_;
  std::map<Key, Streams::iterator> by_key_;
  std::unordered_map<PartitionKey, std::vector<Streams::iterator>> by_partition_;
  std::vector<Ended> forgotten_;
  GroupEvidence evidence_;
};

}  // namespace forelog::prefetch
