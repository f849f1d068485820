#include "tests/simulation/plan_source.h"

#include "broker/env/event.h"

#include <limits>

namespace forelog::simulation {
namespace {

using prefetch::Hint;
using prefetch::Plan;

class Inventor {
 public:
  Inventor(Trial& trial, env::Env& env, PlanSource kind, std::uint64_t seed)
      : trial_(trial), env_(env), kind_(kind), random_(seed) {}

  std::vector<Plan> invent() {
    std::vector<Plan> plans;
    if (trial_.models.empty()) return plans;
    auto count = kind_ == PlanSource::flooding ? 50 + random_.below(200) : 1 + random_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) plans.push_back(plan());
    return plans;
  }
  Duration pause() {
    // In a world that lasts for hours its readers are slow, and so is whoever watches them.
    auto slower = std::max<std::int64_t>(1, trial_.reader_pause_max / 200ms);
    return slower * random_.between(kind_ == PlanSource::flooding ? env::DurationRange{1ms, 50ms}
                                                                  : env::DurationRange{20ms, 400ms});
  }

 private:
  bool lies() { return kind_ == PlanSource::lying || (kind_ == PlanSource::flooding && random_.chance(0.5)); }

  // Any number at all, the ends of the range more often than others.
  std::int64_t number() {
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    switch (random_.below(6)) {
      case 0:
        return kMax;
      case 1:
        return std::numeric_limits<std::int64_t>::min();
      case 2:
        return -1;
      case 3:
        return static_cast<std::int64_t>(random_.next());
      default:
        return static_cast<std::int64_t>(random_.below(2000));
    }
  }

  PartitionKey partition() {
    const auto& model = *trial_.models[random_.below(trial_.models.size())];
    PartitionKey key{trial_.topic_ids[model.plan().topic], model.plan().partition};
    if (lies() && random_.chance(0.2)) key.partition = PartitionId(static_cast<std::int32_t>(random_.next()));
    if (lies() && random_.chance(0.1)) key.topic = env_.random.topic_id();
    return key;
  }
  prefetch::OffsetRange range() {
    if (lies()) return {Offset(number()), Offset(number())};
    auto from = static_cast<std::int64_t>(random_.below(400));
    return {Offset(from), Offset(from + 1 + static_cast<std::int64_t>(random_.below(200)))};
  }
  double score() {
    if (lies() && random_.chance(0.2)) return std::numeric_limits<double>::quiet_NaN();
    return static_cast<double>(random_.below(1001)) / 1000;
  }
  Hint hint() {
    Hint out;
    out.partition = partition();
    out.range = range();
    if (random_.chance(0.2)) {
      constexpr std::int64_t kFirstTimestamp = 1767225600000;
      auto time = kFirstTimestamp + (lies() ? number() / 10 : 500);
      out.range = prefetch::TimeRange{from_ms(time), from_ms(time + 1000)};
    }
    out.score = score();
    return out;
  }

  Plan plan() {
    Plan out;
    out.id = prefetch::PlanId(random_.chance(0.1) ? last_id_ : ++last_id_);
    out.score = score();
    out.byte_budget = lies() ? number() : static_cast<Bytes>(random_.below(8 << 20));
    out.reason = static_cast<prefetch::Reason>(random_.below(prefetch::kReasonCount));
    out.model_version = "simulated";
    auto now = env_.clock.now();
    out.received = now;
    out.expires = lies() && random_.chance(0.2) ? now - 1s : now + random_.between({100ms, 60s});
    out.decided = env_.clock.wall();
    auto soon = now + random_.between({0ms, 5s});
    switch (random_.below(4)) {
      case 0: {
        prefetch::WarmPlan warm;
        for (std::uint64_t i = 0; i <= random_.below(4); ++i) warm.hints.push_back(hint());
        warm.needed_by = soon;
        out.body = std::move(warm);
        break;
      }
      case 1: {
        prefetch::FollowPlan follow;
        follow.partition = partition();
        follow.ahead = lies() ? number() : static_cast<Bytes>(random_.below(4 << 20));
        if (random_.chance(0.5)) follow.reader.client_stem = "reader";
        out.body = std::move(follow);
        break;
      }
      case 2: {
        prefetch::ChainPlan chain;
        chain.partition = partition();
        chain.trigger = range();
        chain.fires_max = static_cast<std::int32_t>(random_.below(4));
        for (std::uint64_t i = 0; i <= random_.below(4); ++i)
          chain.steps.push_back({hint(), random_.between({0ms, 2s})});
        out.body = std::move(chain);
        break;
      }
      default: {
        prefetch::SchedulePlan schedule;
        schedule.heads.push_back(hint());
        schedule.expected = env_.clock.wall() + std::chrono::milliseconds(random_.below(5000));
        schedule.jitter = std::chrono::milliseconds(random_.below(1000));
        schedule.keep_until = schedule.expected + std::chrono::milliseconds(random_.below(10'000));
        out.body = std::move(schedule);
      }
    }
    return out;
  }

  Trial& trial_;
  env::Env& env_;
  PlanSource kind_;
  env::SeededRandom random_;
  std::int64_t last_id_ = 0;
};

}  // namespace

Task<void> offer_plans(Trial& trial, env::Env& env, prefetch::HintSink& sink, PlanSource kind, std::uint64_t seed,
                       std::shared_ptr<PlanSourceState> state) {
  Inventor inventor(trial, env, kind, seed);
  while (!state->stopping) {
    auto plans = inventor.invent();
    auto count = plans.size();
    if (count > 0) {
      ++state->offered;
      auto done = [&trial, state, count](std::vector<prefetch::PlanAnswer> answers) {
        ++state->answered;
        trial.violated_if(Oracle::answers, answers.size() != count,
                          "an offer of plans is answered by another number of answers");
        for (const auto& answer : answers) state->accepted += answer.accepted() ? 1 : 0;
      };
      sink.offer(std::move(plans), std::move(done));
    }
    co_await sleep_until(env.clock, env.clock.now() + inventor.pause());
  }
}

}  // namespace forelog::simulation
