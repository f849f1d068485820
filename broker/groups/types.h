// types.h: the words of a consumer group: who joins, what is asked, what is answered.
//
// Plain data for the pure core; the driver converts them from and to wire messages.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forelog::groups {

// Counts the rebalances of a group (not the rewrites of a shard). Grows, also over restarts.
using GroupGeneration = StrongType<struct GroupGenerationTag, std::int32_t>;
inline constexpr GroupGeneration kNoGeneration{-1};
using InstanceId = StrongType<struct InstanceIdTag, std::string>;  // group.instance.id: a static member (KIP-345)

// A request that waits for an answer; chosen by the driver.
using RequestId = StrongType<struct RequestIdTag, std::uint64_t>;
// A write to the group's log that has been asked for; chosen by the group.
using Ticket = StrongType<struct TicketTag, std::uint64_t>;

inline constexpr std::string_view kConsumerProtocolType = "consumer";

// No value: all is well. Kafka's answers are a code and the fields that hold in any case, so no Result here.
using MaybeError = std::optional<ErrorCode>;

enum class GroupState : std::uint8_t { empty, preparing_rebalance, completing_rebalance, stable, dead };
std::string_view name_of(GroupState state);  // as tools show it: "PreparingRebalance"

// Both clocks at one moment: spans are measured by the first, records are stamped with the second.
struct Moment {
  Instant now{};
  WallTime wall{};
};

struct Protocol {
  std::string name{};
  Buffer metadata{};  // opaque to the broker, but for the topics of a consumer's subscription
  friend bool operator==(const Protocol&, const Protocol&) = default;
};

struct JoinEvent {
  RequestId request{};
  MemberId member{};        // empty: new to the group
  MemberId fresh_member{};  // never used before; becomes the id of a new member
  std::optional<InstanceId> instance{};
  std::string client_id{};
  std::string client_host{};
  Duration session_timeout{};
  Duration rebalance_timeout{};
  std::string protocol_type{};
  std::vector<Protocol> protocols{};        // by preference
  bool member_id_required = false;          // the client can join again with the id it is given (KIP-394, v4)
  bool skip_assignment_understood = false;  // v9
};

struct JoinedMember {
  MemberId member{};
  std::optional<InstanceId> instance{};
  Buffer metadata{};  // of the protocol chosen
};

struct JoinReply {
  MaybeError error{};
  MemberId member{};
  GroupGeneration generation = kNoGeneration;
  std::optional<std::string> protocol_type{};
  std::optional<std::string> protocol{};
  MemberId leader{};
  bool skip_assignment = false;
  std::vector<JoinedMember> members{};  // for the leader only
};

// Who a request says it is. Empty member, no instance, no generation: nobody in particular.
struct MemberClaim {
  MemberId member{};
  GroupGeneration generation = kNoGeneration;
  std::optional<InstanceId> instance{};
};

struct SyncEvent {
  RequestId request{};
  MemberClaim claim{};
  std::optional<std::string> protocol_type{};  // v5: checked when given
  std::optional<std::string> protocol{};
  std::map<MemberId, Buffer> assignments{};  // from the leader
};

struct SyncReply {
  MaybeError error{};
  std::optional<std::string> protocol_type{};
  std::optional<std::string> protocol{};
  Buffer assignment{};
};

// What of a group survives a restart: the content of its record in the log.
struct GroupSnapshot {
  struct Member {
    MemberId id{};
    std::optional<InstanceId> instance{};
    std::string client_id{};
    std::string client_host{};
    Duration rebalance_timeout{};
    Duration session_timeout{};
    Buffer subscription{};
    Buffer assignment{};
    friend bool operator==(const Member&, const Member&) = default;
  };
  std::string protocol_type{};
  GroupGeneration generation{};
  std::optional<std::string> protocol{};
  std::optional<MemberId> leader{};
  std::optional<WallTime> state_since{};  // none in records of Kafka before 2.1
  std::vector<Member> members{};
  friend bool operator==(const GroupSnapshot&, const GroupSnapshot&) = default;
};

// What the driver has to do for the group.
struct AnswerJoin {
  RequestId request{};
  JoinReply reply{};
};
struct AnswerSync {
  RequestId request{};
  SyncReply reply{};
};
struct Persist {  // then call `Group::persisted(ticket, …)`
  Ticket ticket{};
  GroupSnapshot snapshot{};
};
using Action = std::variant<AnswerJoin, AnswerSync, Persist>;
using Actions = std::vector<Action>;

}  // namespace forelog::groups
