// group_evidence.h: which consumer group a reader may belong to, with how much confidence. A Fetch does not say.
//
// Pure, bounded, one per core; group events are told to every core. What it yields is a guess that may be revised;
// facts are never rewritten by it.
#pragma once

#include "broker/prefetch/hint.h"

#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace forelog::prefetch {

// `client.id` without what tells instances of one job apart: "consumer-billing-3" → "consumer-billing".
std::string_view client_stem(std::string_view client_id);

// The group that Java's clients, Kafka Streams and Connect write into their client ids, if this looks like one.
std::optional<GroupId> group_in_client_id(std::string_view client_id);

class GroupEvidence {
 public:
  void note(const GroupEvent& event, Instant now);
  void forget(ConnectionId connection);

  // The groups that a reader may belong to, surest first, each with its best evidence; at most 8.
  // `commits`: how many commits of each group have trailed this reader.
  std::vector<GroupCandidate> candidates(const ClientInfo& client, const PartitionKey& partition, Offset start,
                                         const std::map<GroupId, int>& commits, Instant now) const;

  // Grows when something that may change an answer was noted.
  std::uint64_t version() const { return version_; }

 private:
  struct Mention {  // a group named this partition
    GroupId group;
    Offset offset = kNoOffset;  // told by OffsetFetch; none: assigned
    std::string member;         // client id, host and principal
    Instant at;
  };
  static constexpr std::size_t kMentionsMax = 8;  // of one partition
  static constexpr std::size_t kPartitionsMax = 65'536;
  static constexpr std::size_t kConnectionsMax = 65'536;
  static constexpr std::size_t kGroupsOfConnectionMax = 4;

  std::unordered_map<PartitionKey, std::deque<Mention>> mentions_;
  std::unordered_map<ConnectionId, std::set<GroupId>> connections_;
  std::uint64_t version_ = 0;
};

}  // namespace forelog::prefetch
