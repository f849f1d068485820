#include "broker/cluster/cluster_state.h"

#include "broker/base/log.h"
#include "broker/cluster/gather.h"
#include "broker/cluster/view_loader.h"

#include <set>

namespace forelog::cluster {

// A wait cannot be called off, so none is longer than what a stop may take.
inline constexpr Duration kFollowWait = 100ms;
inline constexpr Duration kRetryWait = 200ms;

struct ClusterState::PerCore {
  explicit PerCore(env::Clock& clock) : changed(clock) {}
  ClusterViewPtr view;
  std::vector<Listener> listeners;
  Event changed;

  void show(const ClusterViewPtr& next) {
    view = next;
    // By index: a listener may add another.
    for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i](next);
    changed.notify();
  }
};

// Lives on core 0. Each task loads first and then changes the newest view without suspending between, so the three do
// not undo each other's work.
class ClusterState::Follower {
 public:
  Follower(ClusterState& state, env::MetadataStore& store, BrokerId self, SettingMap file)
      : state_(state),
        store_(store),
        self_(self),
        file_(std::move(file)),
        tasks_(state.cores_),
        stopped_(state.cores_.clock()) {}

  Task<Result<void>> start() {
    CO_TRY(co_await ensure_path(store_, paths::kBrokerIds));
    CO_TRY(co_await ensure_path(store_, paths::kTopics));
    CO_TRY(co_await ensure_path(store_, paths::kChanges));
    state_.publish(ClusterViewBuilder(file_).build());
    CO_TRY(co_await load_identity());
    CO_TRY(co_await load_broker_list());
    CO_TRY(co_await load_controller());
    CO_TRY(co_await load_changes());
    tasks_.spawn(follow(paths::kChanges, &Follower::load_changes, changes_known_));
    tasks_.spawn(follow(paths::kBrokerIds, &Follower::load_broker_list, brokers_known_));
    tasks_.spawn(follow(paths::kController, &Follower::load_controller, controller_known_));
    co_return Result<void>{};
  }

  Task<void> stop() {
    stopping_ = true;
    stopped_.notify();
    co_await tasks_.join();
  }

 private:
  using Load = Task<Result<void>> (Follower::*)();
  using Known = env::MetadataStore::Known;

  Task<void> follow(std::string path, Load load, const Known& known) {
    while (!stopping_) {
      auto deadline = state_.cores_.clock().now() + kFollowWait;
      auto changed = co_await store_.wait_for_change(path, known, deadline);
      if (stopping_) break;
      // A new /controller has the version of the old one: who becomes controller within one wait shows only by looking.
      if (changed && !*changed && path != paths::kController) continue;
      auto loaded = changed ? co_await (this->*load)() : Result<void>(fail(changed.error()));
      if (loaded) continue;
      log_line(warn, "metadata_unavailable", {{"path", path}, {"why", loaded.error()}});
      co_await stopped_.wait(state_.cores_.clock().now() + kRetryWait);
    }
  }

  const ClusterView& latest() const { return *state_.view(); }

  Task<Result<Known>> look(std::string path) {
    auto znode = co_await store_.get(std::move(path));
    if (!znode && znode.error().code == ErrorCode::kNotFound) co_return Known{};
    if (!znode) co_return fail(std::move(znode).error());
    co_return Known{znode->version, znode->children_version};
  }

  Task<Result<void>> load_identity() {
    auto id = CO_TRY(co_await read_record<ClusterIdRecord>(store_, paths::kClusterId));
    auto next = ClusterViewBuilder(latest());
    if (id) next.cluster_id(id->record.id);
    state_.publish(std::move(next).build());
    co_return Result<void>{};
  }

  // Versions are read before what they stand for: a change in between is then seen as one.
  Task<Result<void>> load_broker_list() {
    auto known = CO_TRY(co_await look(paths::kBrokerIds));
    auto brokers = CO_TRY(co_await load_brokers(store_));
    brokers_known_ = known;
    auto next = ClusterViewBuilder(latest());
    next.brokers(std::move(brokers));
    state_.publish(std::move(next).build());
    co_return Result<void>{};
  }

  Task<Result<void>> load_controller() {
    controller_known_ = CO_TRY(co_await look(paths::kController));
    auto record = CO_TRY(co_await read_record<ControllerRecord>(store_, paths::kController));
    auto controller = record ? record->record.brokerid : kNoBroker;
    if (controller == latest().controller()) co_return Result<void>{};
    auto next = ClusterViewBuilder(latest());
    next.controller(controller);
    state_.publish(std::move(next).build());
    co_return Result<void>{};
  }

  Task<Result<void>> load_changes() {
    auto changes = CO_TRY(co_await read_record<ChangesRecord>(store_, paths::kChanges));
    auto known = CO_TRY(co_await look(paths::kChanges));
    auto record = changes ? changes->record : ChangesRecord{};
    known.version = changes ? changes->version : -1;

    bool all = !loaded_ || record.last < latest().change() ||
               (record.last > latest().change() &&
                (record.recent.empty() || record.recent.front().change > latest().change() + 1));
    std::set<TopicName> topics;
    bool settings = all;
    if (all) {
      auto present = CO_TRY(co_await children_or_none(store_, paths::kTopics));
      for (auto& name : present) topics.insert(TopicName(std::move(name)));
    } else {
      for (const auto& note : record.recent) {
        if (note.change <= latest().change()) continue;
        if (note.topic.empty())
          settings = true;
        else
          topics.insert(TopicName(note.topic));
      }
    }
    SettingMap of_all, of_self;
    if (settings) {
      of_all = CO_TRY(co_await load_configs(store_, paths::kBrokerDefaultConfig));
      of_self = CO_TRY(co_await load_configs(store_, paths::broker_config(self_)));
    }
    using Loaded = Result<std::optional<TopicView>>;
    std::vector<TopicName> names(topics.begin(), topics.end());
    std::function<Task<Loaded>(std::size_t)> load = [this, &names](std::size_t i) {
      const auto* known = latest().topic(names[i]);
      return load_topic(store_, state_.cores_, names[i], known ? std::optional(known->id) : std::nullopt);
    };
    auto loaded = co_await gather<Loaded>(state_.cores_, names.size(), std::move(load));
    for (const auto& topic : loaded) {
      if (!topic) co_return fail(topic.error());
    }

    auto next = ClusterViewBuilder(latest());
    if (all) next.clear_topics();
    if (settings) next.dynamic_settings(std::move(of_all), std::move(of_self));
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (*loaded[i])
        next.topic(**std::move(loaded[i]));
      else
        next.remove_topic(names[i]);
    }
    next.change(record.last);
    changes_known_ = known;
    loaded_ = true;
    state_.publish(std::move(next).build());
    co_return Result<void>{};
  }

  ClusterState& state_;
  env::MetadataStore& store_;
  BrokerId self_;
  SettingMap file_;
  TaskGroup tasks_;
  Event stopped_;
  Known changes_known_, brokers_known_, controller_known_;
  bool loaded_ = false;
  bool stopping_ = false;
};

ClusterState::ClusterState(env::Cores& cores, env::MetadataStore& metadata, BrokerId self, SettingMap broker_settings)
    : cores_(cores) {
  for (int i = 0; i < cores.count(); ++i) per_core_.push_back(std::make_unique<PerCore>(cores.clock()));
  follower_ = std::make_unique<Follower>(*this, metadata, self, std::move(broker_settings));
}
ClusterState::~ClusterState() = default;

Task<Result<void>> ClusterState::start() {
  CHECK(cores_.current() == CoreId(0));
  co_return co_await follower_->start();
}

Task<void> ClusterState::stop() { co_await follower_->stop(); }

const ClusterViewPtr& ClusterState::view() const {
  return per_core_[static_cast<std::size_t>(cores_.current().value())]->view;
}

void ClusterState::on_change(Listener listener) {
  auto& mine = *per_core_[static_cast<std::size_t>(cores_.current().value())];
  if (mine.view) listener(mine.view);
  mine.listeners.push_back(std::move(listener));
}

Task<bool> ClusterState::wait_for(std::int64_t change, Deadline deadline) {
  auto& mine = *per_core_[static_cast<std::size_t>(cores_.current().value())];
  while (!mine.view || mine.view->change() < change) {
    if (!co_await mine.changed.wait(deadline)) co_return mine.view&& mine.view->change() >= change;
  }
  co_return true;
}

void ClusterState::publish(ClusterViewPtr view) {
  // Other cores first: what is posted to them after this core has seen the view finds it there already.
  for (auto core = cores_.count() - 1; core >= 0; --core) {
    auto show = [&core_state = *per_core_[static_cast<std::size_t>(core)], view] { core_state.show(view); };
    if (core == 0)
      show();
    else
      cores_.post(CoreId(core), std::move(show));
  }
}

}  // namespace forelog::cluster
