// What the controller does by itself: stand for election, and act on what others write into the tree.
#include "broker/base/log.h"
#include "broker/cluster/controller_impl.h"
#include "broker/cluster/metadata_access.h"

#include <set>

namespace forelog::cluster {

using env::MetadataOp;

// A wait cannot be called off, so none is longer than what a stop may take.
inline constexpr Duration kFollowWait = 100ms;
inline constexpr Duration kRetryWait = 200ms;
inline constexpr Duration kViewWait = 500ms;
inline constexpr Duration kElectionTimeout = 10s;
// Scripts that add partitions rewrite a topic's znode, which nobody waits for: there are too many. So we look.
inline constexpr Duration kTopicSweep = 5s;
inline constexpr Duration kNoSweep = Duration::max();

Task<Result<void>> Controller::Impl::start() {
  auto deadline = env_.clock.now() + kElectionTimeout;
  tasks_.spawn(election());
  while (state_.view()->controller() == kNoBroker) {
    if (env_.clock.now() >= deadline) co_return fail(ErrorCode::kTimeout, "no controller was elected");
    co_await stopped_.wait(env_.clock.now() + 2ms);
  }
  tasks_.spawn(follow(paths::kTopics, &Impl::react_to_topics, kTopicSweep));
  tasks_.spawn(follow(paths::kDeleteTopics, &Impl::react_to_deletions, kNoSweep));
  tasks_.spawn(follow(paths::kConfigChanges, &Impl::react_to_configs, kNoSweep));
  tasks_.spawn(follow(paths::kBrokerIds, &Impl::react_to_brokers, kNoSweep));
  co_return Result<void>{};
}

Task<void> Controller::Impl::stop() {
  stopping_ = true;
  stopped_.notify();
  co_await tasks_.join();
  co_await writer_.step_down();
}

Task<void> Controller::Impl::election() {
  while (!stopping_) {
    auto now = env_.clock.now();
    auto held = co_await turns_.take(now + kFollowWait);
    if (!held) continue;
    auto known = co_await env_.metadata.get(paths::kController);
    auto standing = writer_.elected() ? co_await writer_.still_elected() : co_await writer_.stand();
    held.reset();
    if (!standing) {
      log_line(warn, "election_failed", {{"why", standing.error()}});
      co_await stopped_.wait(env_.clock.now() + kRetryWait);
      continue;
    }
    // After an election of our own this returns at once, and we look again.
    env::MetadataStore::Known versions;
    if (known) versions = {known->version, known->children_version};
    co_await env_.metadata.wait_for_change(paths::kController, versions, env_.clock.now() + kFollowWait);
  }
}

Task<void> Controller::Impl::follow(std::string path, React react, Duration again_after) {
  std::int32_t done_in_epoch = 0;
  env::MetadataStore::Known known;
  Instant last{};
  while (!stopping_) {
    if (!writer_.elected()) {
      co_await stopped_.wait(env_.clock.now() + kRetryWait);
      continue;
    }
    bool due = again_after != kNoSweep && env_.clock.now() - last >= again_after;
    if (writer_.epoch() == done_in_epoch && !due) {
      auto changed = co_await env_.metadata.wait_for_change(path, known, env_.clock.now() + kFollowWait);
      if (stopping_) break;
      if (changed && !*changed) continue;
    }
    // The version is read before what it stands for: a change in between is seen by the next wait.
    auto epoch = writer_.epoch();
    auto looked = co_await env_.metadata.get(path);
    auto held = co_await turns_.take(env_.clock.now() + kElectionTimeout);
    if (stopping_) break;
    auto done = looked && held ? co_await (this->*react)() : Result<void>(fail(ErrorCode::kTimeout, path));
    held.reset();
    if (done) {
      known = {looked->version, looked->children_version};
      done_in_epoch = epoch;
      last = env_.clock.now();
      continue;
    }
    if (done.error().code != ErrorCode::kConflict)
      log_line(warn, "controller_retries", {{"path", path}, {"why", done.error()}});
    co_await stopped_.wait(env_.clock.now() + kRetryWait);
  }
}

Task<Result<void>> Controller::Impl::react_to_topics() {
  auto names = CO_TRY(co_await children_or_none(env_.metadata, paths::kTopics));
  auto view = state_.view();
  std::set<std::string> all(names.begin(), names.end());
  for (const auto& [name, topic] : view->topics()) all.insert(name.value());
  for (const auto& name : all) {
    if (stopping_) break;
    CO_TRY(co_await topics_.complete(TopicName(name)));
  }
  co_return Result<void>{};
}

Task<Result<void>> Controller::Impl::react_to_deletions() {
  auto names = CO_TRY(co_await children_or_none(env_.metadata, paths::kDeleteTopics));
  for (const auto& name : names) {
    auto view = state_.view();
    auto exists = co_await env_.metadata.get(paths::topic(TopicName(name)));
    if (!exists && exists.error().code != ErrorCode::kNotFound) co_return fail(exists.error());
    // Settings without a topic stay: kafka-topics writes them first.
    if (exists && service_settings().delete_topics) {
      CO_TRY(co_await topics_.remove(TopicName(name), env_.clock.now() + kElectionTimeout));
      continue;
    }
    std::vector<MetadataOp> ops{MetadataOp::remove(paths::delete_topic(TopicName(name)), -1)};
    CO_TRY(co_await writer_.commit(std::move(ops), {}));
  }
  co_return Result<void>{};
}

Task<Result<void>> Controller::Impl::react_to_configs() {
  auto names = CO_TRY(co_await children_or_none(env_.metadata, paths::kConfigChanges));
  for (const auto& name : names) {
    auto path = paths::kConfigChanges + "/" + name;
    auto record = co_await read_record<ConfigNotification>(env_.metadata, path);
    if (!record && record.error().code != ErrorCode::kCorruptFile) co_return fail(record.error());
    std::vector<std::string> noted;
    if (record && *record) {
      const auto& notification = (*record)->record;
      auto entity = notification.entity_path.value_or(notification.entity_type.value_or("") + "/" +
                                                      notification.entity_name.value_or(""));
      if (entity.starts_with("topics/")) noted.push_back(entity.substr(7));
      if (entity.starts_with("brokers/")) noted.emplace_back();
    }
    // Taken away in the same commit that notes the change, so it takes effect exactly once; what cannot be read, too.
    std::vector<MetadataOp> ops{MetadataOp::remove(path, -1)};
    CO_TRY(co_await writer_.commit(std::move(ops), std::move(noted)));
  }
  co_return Result<void>{};
}

Task<Result<void>> Controller::Impl::react_to_brokers() {
  co_return co_await topics_.elect_leaders(env_.clock.now() + kViewWait);
}

}  // namespace forelog::cluster
