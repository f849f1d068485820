// coordinator_fixture.h: a Coordinator in a simulated world, over a log in memory, and short words for its requests.
#pragma once

#include "broker/groups/coordinator.h"
#include "tests/groups/memory_log.h"
#include "tests/groups/story.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::groups {

class RecordingSink final : public GroupEventSink {
 public:
  void add(const prefetch::GroupEvent& event) override { events.push_back(event); }
  std::optional<TopicId> id_of(const TopicName& topic) const override {
    if (topic.value() == "deleted") return {};
    TopicId id;
    id.bytes[0] = static_cast<std::uint8_t>(topic.value().front());
    return id;
  }
  std::vector<prefetch::GroupEvent> events;
};

// A task's value, some time later.
template <class T>
class Later {
 public:
  Later() : value_(std::make_shared<std::optional<T>>()) {}
  bool arrived() const { return value_->has_value(); }
  T& operator*() const { return **value_; }
  T* operator->() const { return &**value_; }
  std::shared_ptr<std::optional<T>> place() const { return value_; }

 private:
  std::shared_ptr<std::optional<T>> value_;
};

class CoordinatorTest : public testing::Test {
 protected:
  explicit CoordinatorTest(std::uint64_t seed = 7) : world_(seed) { settings_.initial_rebalance_delay = 0ms; }
  ~CoordinatorTest() override {
    if (coordinator_) stop();
  }

  void start(bool and_lead = true) {
    run(start_on_core(*this));
    if (!and_lead) return;
    lead();
    world_.run_for(100ms);
  }
  void lead() { run(lead_all(*this)); }
  void resign() { run(resign_all(*this)); }
  void stop() {
    run(coordinator_->stop());
    coordinator_.reset();
  }
  void restart() {
    stop();
    start();
  }

  template <class T>
  T run(Task<T> task) {
    return test::run(world_, machine_, std::move(task), CoreId{0}, 24h * 365);
  }
  template <class T>
  Later<T> begin(Task<T> task) {
    Later<T> later;
    machine_.cores().spawn(CoreId{0}, test::detail::keep_result(later.place(), std::move(task)));
    return later;
  }

  auto join(const std::string& member, wire::Version version = 3, const std::string& instance = "") {
    wire::JoinGroupRequest request;
    request.group_id = group_;
    request.member_id = MemberId(member);
    request.session_timeout_ms = 10'000;
    request.rebalance_timeout_ms = 60'000;
    request.protocol_type = "consumer";
    if (!instance.empty()) request.group_instance_id = instance;
    request.protocols.push_back({"range", Buffer::take(topics_of_a_consumer({"t"}))});
    return begin(coordinator_->join(std::move(request), version, client_));
  }
  auto sync(const wire::JoinGroupResponse& joined, std::vector<std::pair<MemberId, Buffer>> assignments = {}) {
    wire::SyncGroupRequest request;
    request.group_id = group_;
    request.member_id = joined.member_id;
    request.generation_id = joined.generation_id;
    for (auto& [member, assignment] : assignments) request.assignments.push_back({member, assignment});
    return begin(coordinator_->sync(std::move(request), client_));
  }
  std::int16_t heartbeat(const wire::JoinGroupResponse& joined) {
    wire::HeartbeatRequest request;
    request.group_id = group_;
    request.member_id = joined.member_id;
    request.generation_id = joined.generation_id;
    return run(coordinator_->heartbeat(std::move(request))).error_code.code;
  }
  // One member, stable, assigned partitions 0 and 1 of t.
  wire::JoinGroupResponse lone_member() {
    auto joined = join("");
    world_.run_for(50ms);
    auto synced = sync(*joined, {{joined->member_id, assignment_of("t", {0, 1})}});
    world_.run_for(50ms);
    EXPECT_TRUE(synced.arrived() && synced->error_code.ok());
    return *joined;
  }
  void leave(const wire::JoinGroupResponse& joined) {
    wire::LeaveGroupRequest request;
    request.group_id = group_;
    request.member_id = joined.member_id;
    EXPECT_TRUE(run(coordinator_->leave(std::move(request), 2, client_)).error_code.ok());
    world_.run_for(50ms);
  }

  wire::OffsetCommitRequest commit_request(const std::string& topic, std::int32_t partition, std::int64_t offset,
                                           const std::string& metadata = "") {
    wire::OffsetCommitRequest request;
    request.group_id = group_;
    auto& to = request.topics.emplace_back();
    to.name = TopicName(topic);
    auto& each = to.partitions.emplace_back();
    each.partition_index = PartitionId(partition);
    each.committed_offset = Offset(offset);
    each.committed_leader_epoch = Epoch(5);
    each.committed_metadata = metadata;
    return request;
  }
  std::int16_t commit(wire::OffsetCommitRequest request) {
    auto response = run(coordinator_->commit(std::move(request), client_));
    return response.topics.at(0).partitions.at(0).error_code.code;
  }
  wire::OffsetFetchResponse::Group fetch_all() {
    wire::OffsetFetchRequest::Group request;
    request.group_id = group_;
    return run(coordinator_->fetch(std::move(request), client_));
  }
  std::int64_t committed(const std::string& topic, std::int32_t partition) {
    wire::OffsetFetchRequest::Group request;
    request.group_id = group_;
    request.topics.emplace().push_back({TopicName(topic), {PartitionId(partition)}});
    auto response = run(coordinator_->fetch(std::move(request), client_));
    EXPECT_TRUE(response.error_code.ok());
    return response.topics.at(0).partitions.at(0).committed_offset.value();
  }
  std::string state() { return run(coordinator_->describe(group_)).group_state; }

  static Buffer assignment_of(const std::string& topic, const std::vector<std::int32_t>& partitions) {
    ByteWriter out;
    out.i16(0);
    out.i32(1);
    out.i16(static_cast<std::int16_t>(topic.size()));
    out.text(topic);
    out.i32(static_cast<std::int32_t>(partitions.size()));
    for (auto partition : partitions) out.i32(partition);
    out.i32(-1);
    return std::move(out).take_buffer();
  }

  static Task<void> start_on_core(CoordinatorTest& self) {
    auto& env = self.machine_.env();
    self.coordinator_ =
        std::make_unique<Coordinator>(env.cores, env.random, self.log_, self.sink_, self.settings_, self.metrics_);
    self.coordinator_->ask_with([&self](TopicName topic) { return is_gone(self, std::move(topic)); });
    self.coordinator_->start();
    co_return;
  }
  static Task<bool> is_gone(CoordinatorTest& self, TopicName topic) { co_return self.gone_ == topic; }
  static Task<void> lead_all(CoordinatorTest& self) {
    for (std::int32_t i = 0; i < self.log_.partitions(); ++i) self.coordinator_->lead(PartitionId(i));
    co_return;
  }
  static Task<void> lead_one(CoordinatorTest& self, PartitionId partition) {
    self.coordinator_->lead(partition);
    co_return;
  }
  static Task<void> resign_all(CoordinatorTest& self) {
    for (std::int32_t i = 0; i < self.log_.partitions(); ++i) self.coordinator_->resign(PartitionId(i));
    co_return;
  }

  env::SimulatedWorld world_;
  env::SimulatedMachine& machine_ = world_.machine();
  MemoryLog log_{machine_.env().clock, 3};
  RecordingSink sink_;
  GroupSettings settings_;
  MetricsRegistry metrics_;
  std::unique_ptr<Coordinator> coordinator_;
  GroupId group_{"g"};
  TopicName gone_;  // the topic that is there no more, if any
  prefetch::ClientPtr client_ = the_client();

  static prefetch::ClientPtr the_client() {
    prefetch::ClientInfo client;
    client.client_id = "app";
    client.principal = "User:a";
    client.host = "10.0.0.1";
    return std::make_shared<prefetch::ClientInfo>(client);
  }
};

}  // namespace forelog::groups
