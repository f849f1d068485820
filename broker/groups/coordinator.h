// coordinator.h: runs the consumer groups of one core: those whose partition of __consumer_offsets lives there.
//
// The driver around Group and Offsets: timers, storage, answers that wait. One per core, called on that core only; who
// has a request on another core hops here. Nothing is acknowledged before its record is durable. Requests fail with
//   NotCoordinator             this core does not lead the group's partition,
//   CoordinatorLoadInProgress  it has only begun to, and reads the log,
//   CoordinatorNotAvailable    there is no __consumer_offsets yet, or the broker stops;
// all of them make clients look again or wait and retry.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/random.h"
#include "broker/env/task_group.h"
#include "broker/groups/group_events.h"
#include "broker/groups/group_store.h"
#include "broker/wire/delete_groups.h"
#include "broker/wire/describe_groups.h"
#include "broker/wire/heartbeat.h"
#include "broker/wire/join_group.h"
#include "broker/wire/leave_group.h"
#include "broker/wire/list_groups.h"
#include "broker/wire/offset_commit.h"
#include "broker/wire/offset_delete.h"
#include "broker/wire/offset_fetch.h"
#include "broker/wire/sync_group.h"

#include <set>
#include <unordered_map>

namespace forelog::groups {

struct CoordinatorMetrics {
  explicit CoordinatorMetrics(MetricsRegistry& registry);
  Gauge groups;
  Counter rebalances;
  Counter commits;
  Counter expired_offsets;
  Counter failed_writes;
};

class Coordinator {
 public:
  using ClientPtr = prefetch::ClientPtr;

  // Made on its core; all arguments outlive it.
  Coordinator(env::Cores& cores, env::Random& random, InternalLog& log, GroupEventSink& events,
              const GroupSettings& settings, MetricsRegistry& metrics);
  ~Coordinator();  // after `stop`

  void start();
  // Answers all who wait; resumes when no request and no task is left in here.
  Task<void> stop();

  // This core leads `partition` of __consumer_offsets from now on: loads its groups. Again after `resign` only.
  void lead(PartitionId partition);
  // It does no more: its groups are forgotten here and their clients sent elsewhere.
  void resign(PartitionId partition);

  // --- membership (coordinator.cc) ---
  Task<wire::JoinGroupResponse> join(wire::JoinGroupRequest request, wire::Version version, ClientPtr client);
  Task<wire::SyncGroupResponse> sync(wire::SyncGroupRequest request, ClientPtr client);
  // Nobody reads what joins and syncs over this connection are answered: they wait no longer. Members stay, as they may
  // come back over another one.
  void client_gone(prefetch::ConnectionId connection);
  Task<wire::HeartbeatResponse> heartbeat(wire::HeartbeatRequest request);
  // Up to v2 the error of the one member stands at the top.
  Task<wire::LeaveGroupResponse> leave(wire::LeaveGroupRequest request, wire::Version version, ClientPtr client);

  // --- offsets (coordinator_offsets.cc) ---
  // Topics that do not exist are the handler's to refuse.
  Task<wire::OffsetCommitResponse> commit(wire::OffsetCommitRequest request, ClientPtr client);
  // One group of a request of v8 and above; the handler turns older ones into it and back.
  Task<wire::OffsetFetchResponse::Group> fetch(wire::OffsetFetchRequest::Group request, ClientPtr client);
  Task<wire::OffsetDeleteResponse> delete_offsets(wire::OffsetDeleteRequest request);
  // The topic is gone: so is what any group of this core has committed for it. To be called on every core. Tries until
  // that is written: a topic made again under the name must not begin in the middle.
  Task<void> forget_topic(TopicName topic);
  // Whether a topic is gone for certain; asked of the topics that loaded offsets name, because a crash may have come
  // between a deletion and `forget_topic`. Set before `start`.
  using TopicIsGone = std::function<Task<bool>(TopicName)>;
  void ask_with(TopicIsGone topic_is_gone) { topic_is_gone_ = std::move(topic_is_gone); }

  // --- administration (coordinator_admin.cc) ---
  // A group that nobody knows is described as Dead.
  Task<wire::DescribeGroupsResponse::Group> describe(GroupId group);
  Task<wire::ListGroupsResponse> list(wire::ListGroupsRequest request);
  Task<wire::WireError> remove(GroupId group);

 private:
  struct Entry {
    Entry(GroupId id, const GroupSettings& settings, PartitionId in, Moment at)
        : group(std::move(id), settings, at), partition(in) {}
    Entry(GroupId id, const GroupSettings& settings, PartitionId in, GroupSnapshot stored, Moment at)
        : group(std::move(id), settings, std::move(stored), at), partition(in) {}
    Group group;
    Offsets offsets;
    PartitionId partition;
    bool in_log = false;    // the log has a record of its membership, or may come to have one
    bool deleting = false;  // nobody may change it until the tombstones are written, or not
    Instant timer = kForever;
    GroupGeneration counted{0};
  };
  using EntryPtr = std::shared_ptr<Entry>;  // outlives its place in `groups_` while a task uses it

  template <class Reply>
  struct Waiting {
    explicit Waiting(env::Clock& clock) : answered(clock) {}
    Event answered;
    std::optional<Reply> reply;
    bool nobody_reads = false;
  };
  template <class Reply>
  using Waiters = std::unordered_map<RequestId, std::shared_ptr<Waiting<Reply>>>;

  struct Led {
    std::uint64_t term = 0;  // tells a load that was overtaken by a resignation from the one that counts
    bool loaded = false;
  };
  class Use;  // a request that is in here

  // Where the group lives, if this core may serve it now. Only old ways of using offsets allow an empty id.
  Result<PartitionId> locate(const GroupId& id, bool may_be_empty = false) const;
  EntryPtr find(const GroupId& id) const;  // null: none
  EntryPtr find_or_make(const GroupId& id, PartitionId partition);
  bool is_current(const EntryPtr& entry) const;
  void drop(const EntryPtr& entry);
  void drop_if_unused(const EntryPtr& entry);  // a group that came into being only to refuse somebody
  void kill(const EntryPtr& entry, ErrorCode error);
  Moment moment() const { return {clock_.now(), clock_.wall()}; }

  void carry_out(const EntryPtr& entry);
  void set_timer(Entry& entry, Instant at);
  template <class Reply>
  void answer(Waiters<Reply>& waiters, RequestId request, Reply reply);
  template <class Reply>
  Task<std::optional<Reply>> wait(Waiters<Reply>& waiters, RequestId request, prefetch::ConnectionId connection,
                                  Deadline deadline);
  Deadline rebalance_deadline(const Group& group, Duration at_least) const;

  static Task<void> run_timers(Coordinator& self);
  static Task<void> load(Coordinator& self, PartitionId partition, std::uint64_t term);
  static Task<void> persist(Coordinator& self, EntryPtr entry, Persist action);
  static Task<void> expire(Coordinator& self);
  bool leads(PartitionId partition, std::uint64_t term) const;
  void install(PartitionId partition, GroupStore::StoredGroups groups);
  Task<Result<void>> forget(EntryPtr entry, std::vector<TopicPartition> partitions);
  Task<void> forget_topic_in(EntryPtr entry, TopicName topic);
  Task<void> forget_gone_topics(PartitionId partition);
  Task<Result<void>> bury(EntryPtr entry);

  env::Cores& cores_;
  env::Clock& clock_;
  env::Random& random_;
  InternalLog& log_;
  const GroupSettings& settings_;
  GroupStore store_;
  GroupEvents events_;
  TopicIsGone topic_is_gone_;
  CoordinatorMetrics metrics_;
  std::map<PartitionId, Led> led_;
  std::uint64_t last_term_ = 0;
  std::map<GroupId, EntryPtr> groups_;
  std::set<std::pair<Instant, GroupId>> timers_;
  Instant next_expiry_check_ = kForever;
  bool expiring_ = false;
  RequestId last_request_{0};
  Waiters<JoinReply> joins_;
  Waiters<SyncReply> syncs_;
  std::set<std::pair<prefetch::ConnectionId, RequestId>> waiting_;  // in both
  bool stopping_ = false;
  std::size_t requests_ = 0;
  Event wake_;     // an earlier timer, or stop
  Event changed_;  // a resignation, or stop
  Event idle_;     // the last request has left
  TaskGroup tasks_;
};

// What a client is told when a record could not be written.
ErrorCode answer_to_failed_write(const Error& error);

}  // namespace forelog::groups
