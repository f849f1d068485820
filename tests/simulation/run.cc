#include "tests/simulation/run.h"

#include "broker/all_settings.h"
#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/env/event.h"
#include "broker/env/simulated/simulated_world.h"
#include "tests/simulation/admin_client.h"
#include "tests/simulation/breaker.h"
#include "tests/simulation/budget_watch.h"
#include "tests/simulation/group_member.h"
#include "tests/simulation/life.h"
#include "tests/simulation/plan_source.h"
#include "tests/simulation/producer.h"
#include "tests/simulation/reader.h"
#include "tests/simulation/storage_check.h"
#include "tests/simulation/trial.h"
#include "tests/support/run_task.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <limits>
#include <optional>

namespace forelog::simulation {
namespace {

constexpr Duration kPatience = 10min;  // of virtual time, for anything that must come to an end
constexpr std::size_t kLogLinesKept = 25;
constexpr Duration kElectionMax = 20s;
constexpr Duration kQuiet = 30s;        // until all that was begun has ended by its deadline
constexpr Duration kUntilSound = 40s;   // after a fault: sessions end, leaders are chosen, pauses between attempts pass
constexpr Duration kUntilMerged = 20s;  // without another merge: a few passes, and what was replaced is deleted
constexpr std::int64_t kLatest = -1, kEarliest = -2, kLatestTiered = -5;

struct LifeWithPlans : Life {
  std::shared_ptr<PlanSourceState> plans = std::make_shared<PlanSourceState>();
};

// Takes the log lines while it lives. A line of level error is a violation.
class LogWatch {
 public:
  explicit LogWatch(Trial& trial, env::SimulatedWorld& world) {
    set_log_sink([this, &trial, &world](LogLevel level, std::string_view line) {
      auto stamp = std::to_string(to_ms(world.now().time_since_epoch())) + "ms ";
      if (std::getenv("LOG") != nullptr)
        std::printf("%s%.*s\n", stamp.c_str(), static_cast<int>(line.size()), line.data());
      lines_.push_back(stamp + std::string(line));
      if (lines_.size() > kLogLinesKept) lines_.pop_front();
      trial.violated_if(Oracle::log_lines, level == LogLevel::error, "logged: " + std::string(line));
      if (line.find("shards_merged ") != line.npos) ++trial.merges;
      if (line.find("partition_compacted ") != line.npos && is_of_clients(trial, line)) ++trial.compactions;
    });
  }
  ~LogWatch() { set_log_sink({}); }
  LogWatch(const LogWatch&) = delete;
  LogWatch& operator=(const LogWatch&) = delete;
  std::vector<std::string> lines() const { return {lines_.begin(), lines_.end()}; }

 private:
  // Rather than of the broker's own topics.
  static bool is_of_clients(const Trial& trial, std::string_view line) {
    return std::ranges::any_of(trial.topic_ids,
                               [&](const auto& topic) { return line.find(topic.second.text()) != line.npos; });
  }
  std::deque<std::string> lines_;
};

class Run {
 public:
  explicit Run(const Scenario& scenario)
      : scenario_(scenario),
        world_(scenario.seed),
        machine_(world_.machine(scenario.cores, "broker")),
        clients_(world_.machine(1, "client")),
        random_(scenario.seed ^ 0xc4a5),
        trial_(clients_.env(), env::Endpoint{"broker", 9092}),
        breaker_(trial_, world_, machine_, clients_, scenario.seed ^ 0xb4ea),
        log_(trial_, world_),
        budgets_(trial_, settings_) {
    auto settings = read_all_settings(scenario.settings);
    if (!settings) std::printf("%s\n", settings.error().text().c_str());
    CHECK(settings.has_value(), "the draw must be legal");
    settings_ = *std::move(settings);
    trial_.reader_pause_max = scenario.reader_pause_max;
    trial_.latest_wall = [this] { return latest_wall_ = std::max(latest_wall_, machine_.env().clock.wall()); };
    for (std::size_t i = 0; i < scenario.partitions.size(); ++i)
      trial_.models.push_back(
          std::make_unique<PartitionModel>(scenario.partitions[i], scenario.seed * 7919 + i * 104729));
  }

  RunReport execute() {
    begin_life();
    if (fine()) client(create_topics(), "creating the topics");
    trial_.heals(10s);
    for (std::size_t i = 0; i < trial_.models.size(); ++i)
      start(produce_all(trial_, *trial_.models[i], seed_for("producer", i)));
    for (int i = 0; i < scenario_.readers; ++i)
      start(read_at_random(trial_, seed_for("reader", static_cast<std::size_t>(i))));
    for (int i = 0; i < scenario_.groups * scenario_.members; ++i)
      start(take_part(trial_, group(i / scenario_.members), i % scenario_.members,
                      seed_for("member", static_cast<std::size_t>(i))));
    start(delete_records(trial_, seed_for("deleter", 0)));
    if (scenario_.recreations > 0) start(come_and_go(trial_, scenario_.recreations, seed_for("passing", 0)));
    watching_ = true;
    clients_.cores().spawn(CoreId(0), watch(*this));
    for (const auto& phase : scenario_.phases) {
      if (fine()) live_through(phase);
    }
    if (fine()) finish();
    report();
    return std::move(report_);
  }

 private:
  bool fine() const { return trial_.violations.empty(); }
  std::uint64_t seed_for(std::string_view what, std::size_t number) const {
    return hash_bytes(what.data(), what.size(), scenario_.seed) + number;
  }
  static GroupId group(int number) { return GroupId("group" + std::to_string(number)); }

  // --- the broker ---
  // Starts it; one that fails while something is broken is tried again once that is healed.
  void begin_life() {
    while (fine()) {
      life_ = std::make_shared<LifeWithPlans>();
      machine_.cores().spawn(CoreId(0), live(life_, machine_.env(), settings_));
      if (!world_.run_until([&] { return life_->started.has_value(); }, kPatience)) return violated("the start hangs");
      if (life_->started->has_value()) break;
      if (!broken_) return violated("the start fails: " + life_->started->error().text());
      breaker_.heal();
      stop_broker();
    }
    if (!fine() || scenario_.plans == PlanSource::silent) return;
    auto offering = offer_plans(trial_, machine_.env(), life_->broker->hints(), scenario_.plans,
                                ++lives_ + scenario_.seed, life_->plans);
    machine_.cores().spawn(CoreId(0), std::move(offering));
  }
  void stop_broker() {
    life_->plans->stopping = true;
    machine_.cores().spawn(CoreId(0), die(life_));
    if (!world_.run_until([&] { return life_->stopped; }, kPatience)) return violated("the stop hangs");
    world_.run_for(1s);  // a sleeping source of plans sees that it shall stop
    trial_.violated_if(Oracle::progress, life_->plans->answered != life_->plans->offered,
                       "offers of plans were never answered");
    note_plans();
  }
  void note_plans() {
    report_.plans_offered += life_->plans->offered;
    report_.plans_accepted += life_->plans->accepted;
  }
  // Nothing keeps a start from opening every partition and dropping every torn end; other faults may be on.
  bool recovery_is_whole() {
    const auto& faults = machine_.faults();
    bool disk_works = faults.disk_error_rate == 0 && faults.disk_capacity == std::numeric_limits<Bytes>::max();
    return disk_works && faults.metadata_failure_rate == 0;
  }
  void cut_power(env::SimulatedWorld::Loss loss) {
    note_plans();
    world_.crash(machine_, loss);
    env::abandon(std::exchange(life_, nullptr));
    ++trial_.power_cuts;
    for (auto* model : trial_.living()) model->on_power_cut();
    world_.run_for(random_.between({10ms, 3s}));
    world_.restart(machine_);
    begin_life();
    // Later, what is appended covers what recovery has left.
    if (fine() && recovery_is_whole()) check_segments(trial_, storage());
  }

  // --- what breaks ---
  void live_through(const Phase& phase) {
    world_.run_until([&] { return !fine(); }, phase.before);
    if (!fine()) return;
    auto number = static_cast<std::size_t>(phase.fault);
    if (report_.met[number]++ == 0) checks_before_[number] = trial_.checks;
    broken_ = true;
    trial_.breaks();
    switch (phase.fault) {
      case Fault::crash:
        cut_power(env::SimulatedWorld::Loss::some);
        return healed_if(whole_);
      case Fault::crash_all:
        cut_power(env::SimulatedWorld::Loss::all);
        return healed_if(whole_);
      case Fault::clean_restart: {
        auto was = std::exchange(broken_, false);
        breaker_.heal();
        stop_broker();
        if (fine()) check_segments(trial_, storage());
        if (fine()) begin_life();
        broken_ = was;
        return healed_if(true);
      }
      default:
        (void)trial_.latest_wall();  // it may jump back
        whole_ = false;
        breaker_.break_with(phase.fault);
    }
    world_.run_until([&] { return !fine(); }, phase.lasts);
    // Some faults outlast their phase and meet the next one.
    if (random_.chance(0.7)) {
      breaker_.heal();
      healed_if(true);
    }
    breaker_.end_phase();
  }

  void healed_if(bool whole) {
    whole_ = whole;
    if (whole) trial_.heals(kUntilSound);
  }

  // --- clients ---
  void start(Task<void> task) {
    ++running_;
    clients_.cores().spawn(CoreId(0), note_end(*this, std::move(task)));
  }
  static Task<void> note_end(Run& run, Task<void> task) {
    co_await std::move(task);
    --run.running_;
  }
  // Runs one task of a client to its end; nothing is broken, so it must succeed.
  void client(Task<Result<void>> task, const std::string& doing) {
    auto result = std::make_shared<std::optional<Result<void>>>();
    clients_.cores().spawn(CoreId(0), test::detail::keep_result(result, std::move(task)));
    auto ended = [&] { return result->has_value() || !fine(); };
    if (!world_.run_until(ended, kPatience)) return violated(doing + " hangs");
    if (result->has_value() && !result->value()) violated(doing + " fails: " + result->value().error().text());
  }
  Task<Result<void>> create_topics() {
    for (const auto& plan : scenario_.topics) trial_.topic_ids[plan.name] = CO_TRY(co_await create_topic(trial_, plan));
    co_return Result<void>{};
  }
  // Looks at the broker's own counts now and then, from outside.
  static Task<void> watch(Run& run) {
    auto pause = std::max<Duration>(500ms, run.scenario_.reader_pause_max / 3);
    while (run.watching_ && run.fine()) {
      if (run.life_ && run.life_->broker && !run.life_->stopped) run.budgets_.look(run.life_->broker->metrics());
      co_await sleep_until(run.clients_.env().clock, run.clients_.env().clock.now() + pause);
    }
  }
  Storage storage() { return {world_.objects(), machine_.disk()}; }

  // --- the end ---
  void finish() {
    breaker_.heal();
    world_.run_until([&] { return !fine(); }, 5s);  // what was sent while things were broken is answered by then
    if (!fine()) return;
    trial_.calm = true;
    auto all_written = [&] {
      auto written = [](const auto* model) { return model->acknowledged == model->count(); };
      return !fine() || std::ranges::all_of(trial_.living(), written);
    };
    if (!world_.run_until(all_written, kPatience + std::min<Duration>(kPatience, scenario_.reader_pause_max * 10)))
      return violated("not everything is written after all has healed: " + unwritten());
    trial_.checked(Oracle::progress);
    client(wait_for_archiving(), "archiving");
    trial_.stopping = true;
    if (!world_.run_until([&] { return running_ == 0 || !fine(); }, kPatience)) return violated("a client never ends");
    verify(false);
    if (!fine()) return;
    stop_broker();
    if (!fine()) return;
    check_files(trial_, storage());
    broken_ = false;
    begin_life();
    auto before = report_.content;
    if (fine()) client(wait_for_leaders(), "electing leaders");
    if (fine()) client(wait_for_archiving(), "archiving after a restart");
    verify(true);
    if (!fine()) return;
    for (const auto& [name, content] : before) {
      bool same = report_.content[name] == content;
      const auto* model = find(name);
      trial_.violated_if(Oracle::records, !same && model != nullptr && !model->plan().start_moves(),
                         name + " reads otherwise after a restart");
    }
    stop_broker();
    if (fine()) check_files(trial_, storage());
    watching_ = false;
    world_.run_for(1min);
  }
  // A broker that has just started does not lead at once: its old session must end, and a leader be chosen.
  Task<Result<void>> wait_for_leaders() {
    WireClient client(trial_.env, "admin");
    CO_TRY(co_await client.open(trial_.endpoint, trial_.patience()));
    auto deadline = trial_.env.clock.now() + kElectionMax;
    for (auto* model : trial_.living()) {
      while (true) {
        auto found = co_await ask_offset(trial_, client, *model, kLatest);
        if (found) break;
        if (trial_.env.clock.now() > deadline) co_return fail(found.error());
        co_await sleep_until(trial_.env.clock, trial_.env.clock.now() + 100ms);
      }
    }
    co_return Result<void>{};
  }
  // `settled`: the broker has started in peace, and so has looked for what crashes left behind.
  void verify(bool settled) {
    auto models = trial_.living();
    if (settled) wait_for_merges();
    for (std::size_t i = 0; i < models.size() && fine(); ++i) {
      auto& model = *models[i];
      client(read_whole(trial_, model, seed_for("verify", i), report_.content[model.name()]),
             "reading all of " + model.name());
    }
    for (int i = 0; i < scenario_.groups && fine(); ++i)
      client(check_committed(trial_, group(i)), "asking for committed offsets");
    if (!trial_.deleted_topics.empty() && fine())
      client(check_forgotten_offsets(trial_), "asking for offsets of a deleted topic");
    world_.run_until([&] { return !fine(); }, kQuiet);
    for (auto* model : models) {
      if (fine()) client(check_archived(trial_, storage(), *model, settled), "looking into the archive");
    }
    // What a listing does not show yet, or comes after it was deleted, nobody can delete.
    auto met = [&](Fault fault) { return report_.met[static_cast<std::size_t>(fault)] > 0; };
    bool hidden = met(Fault::archive_late_listing) || met(Fault::archive_doubled_puts);
    if (fine() && settled && !hidden) check_deleted_topics(trial_, storage());
    // Whoever offers plans keeps the broker busy.
    life_->plans->stopping = true;
    world_.run_until([&] { return !fine(); }, kQuiet);
    if (fine()) budgets_.look_when_quiet(life_->broker->metrics());
  }
  // Until neighbours have become one, and the objects of what they were are gone.
  void wait_for_merges() {
    auto deadline = world_.now() + kPatience;
    for (auto before = trial_.merges + 1; fine() && before != trial_.merges && world_.now() < deadline;) {
      before = trial_.merges;
      world_.run_until([&] { return !fine(); }, kUntilMerged);
    }
  }
  // All but the open shard of each partition goes to the archive by itself.
  Task<Result<void>> wait_for_archiving() {
    WireClient client(trial_.env, "admin");
    CO_TRY(co_await client.open(trial_.endpoint, trial_.patience()));
    auto deadline = trial_.env.clock.now() + 5min;
    for (auto* model : trial_.living()) {
      if (!is_archived(model->plan())) continue;
      while (true) {
        auto last = CO_TRY(co_await ask_offset(trial_, client, *model, kLatestTiered));
        auto begin = CO_TRY(co_await ask_offset(trial_, client, *model, kEarliest));
        // An open shard holds no more than a shard may, or one batch.
        auto left = model->bytes_between(std::max(last + 1, begin), model->full_end());
        auto open_max = model->plan().shard_size + static_cast<Bytes>(model->plan().value_size_max * 5 + 1000);
        if (left <= open_max) break;
        if (trial_.env.clock.now() > deadline) {
          co_return fail(ErrorCode::kTimeout, model->name() + ": " + std::to_string(left) + " bytes behind offset " +
                                                  std::to_string(last.value()) + " are not archived");
        }
        co_await sleep_until(trial_.env.clock, trial_.env.clock.now() + 1s);
      }
    }
    co_return Result<void>{};
  }
  bool is_archived(const PartitionPlan& plan) const {
    for (const auto& topic : scenario_.topics) {
      if (topic.name == plan.topic) return !plan.compacts && !topic.settings.contains("remote.storage.enable");
    }
    return false;
  }
  const PartitionModel* find(const std::string& name) {
    for (const auto* model : trial_.living()) {
      if (model->name() == name) return model;
    }
    return nullptr;
  }
  std::string unwritten() {
    std::string out;
    for (const auto* model : trial_.living()) {
      if (model->acknowledged < model->count())
        out += model->name() + " " + std::to_string(model->acknowledged) + "/" + std::to_string(model->count()) + " ";
    }
    return out;
  }

  // Something that should have come did not.
  void violated(const std::string& what) { trial_.violated(Oracle::progress, what); }
  void report() {
    report_.violations = trial_.violations;
    report_.last_log = log_.lines();
    report_.trace = world_.trace_hash();
    report_.events = world_.events();
    report_.virtual_time = world_.now().time_since_epoch();
    report_.batches_acknowledged = trial_.batches_acknowledged;
    report_.batches_read = trial_.batches_read;
    report_.commits = trial_.commits;
    report_.rebalances = trial_.rebalances;
    report_.retries = trial_.retries;
    report_.objects = world_.objects().size();
    report_.incremental_fetches = trial_.incremental_fetches;
    report_.records_deleted = trial_.records_deleted;
    report_.topics_recreated = trial_.topics_recreated;
    report_.members_fenced = trial_.members_fenced;
    report_.damaged_reads = trial_.damaged_reads;
    report_.compactions = trial_.compactions;
    report_.merges = trial_.merges;
    report_.checks = trial_.checks;
    for (std::size_t fault = 0; fault < kFaultCount; ++fault) {
      if (report_.met[fault] == 0) continue;
      for (std::size_t i = 0; i < kOracleCount; ++i)
        report_.checks_after[fault][i] = trial_.checks[i] - checks_before_[fault][i];
    }
    // A broken run ends in the middle: what still runs is left as a power cut leaves it.
    if (life_ && !life_->stopped) env::abandon(std::exchange(life_, nullptr));
  }

  const Scenario& scenario_;
  env::SimulatedWorld world_;
  env::SimulatedMachine& machine_;
  env::SimulatedMachine& clients_;
  env::SeededRandom random_;
  Trial trial_;
  Breaker breaker_;
  LogWatch log_;
  AllSettings settings_;
  BudgetWatch budgets_;
  std::array<CheckCounts, kFaultCount> checks_before_{};
  WallTime latest_wall_{};
  bool watching_ = false;
  std::shared_ptr<LifeWithPlans> life_;
  RunReport report_;
  std::uint64_t lives_ = 0;
  int running_ = 0;
  bool broken_ = false;  // or was, since all that was begun then has ended
  bool whole_ = true;    // no fault is on
};

}  // namespace

RunReport run_scenario(const Scenario& scenario) {
  // Tasks of a run that broke off refer to it for ever.
  auto run = std::make_shared<Run>(scenario);
  auto report = run->execute();
  if (!report.violations.empty()) env::abandon(run);
  return report;
}

}  // namespace forelog::simulation
