#include "broker/prefetch/plan_shape.h"

#include <algorithm>
#include <cmath>

namespace forelog::prefetch {

namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

bool is_probability(Score score) { return std::isfinite(score) && score >= 0 && score <= 1; }
bool is_count(std::int64_t n, std::int64_t max) { return n >= 1 && n <= max; }
bool is_partition(const PartitionKey& key) { return !key.topic.is_zero() && key.partition.value() >= 0; }
bool is_range(const OffsetRange& r) { return r.from.value() >= 0 && r.from < r.to; }
bool is_range(const TimeRange& r) { return to_ms(r.from) >= 0 && r.from < r.to; }

std::optional<std::string> check(const Hint& hint) {
  if (!is_partition(hint.partition)) return "partition";
  if (!std::visit([](const auto& range) { return is_range(range); }, hint.range)) return "range";
  if (!is_probability(hint.score)) return "score";
  if (!is_count(hint.expected_readers, 1'000'000)) return "expected_readers";
  return std::nullopt;
}

std::optional<std::string> check(const std::vector<Hint>& hints) {
  if (hints.empty() || hints.size() > kHintsMax) return "hints";
  for (const auto& hint : hints) {
    if (auto wrong = check(hint)) return "hint." + *wrong;
  }
  return std::nullopt;
}

std::optional<std::string> check(const WarmPlan& plan) { return check(plan.hints); }

std::optional<std::string> check(const FollowPlan& plan) {
  if (!is_partition(plan.partition)) return "follow.partition";
  if (!is_count(plan.ahead, 4_GiB)) return "follow.ahead_bytes";
  if (plan.until && plan.until->value() < 0) return "follow.until_offset";
  if (plan.from.value() < 0) return "follow.from_offset";
  return std::nullopt;
}

std::optional<std::string> check(const ChainPlan& plan) {
  if (!is_partition(plan.partition)) return "chain.partition";
  if (!is_range(plan.trigger)) return "chain.trigger";
  if (plan.steps.empty() || plan.steps.size() > kChainStepsMax) return "chain.steps";
  if (!is_count(plan.fires_max, 1000)) return "chain.fires_max";
  for (const auto& step : plan.steps) {
    if (auto wrong = check(step.hint)) return "chain.step." + *wrong;
    if (step.gap < 0s || step.gap > kGapMax) return "chain.step.gap_us";
  }
  return std::nullopt;
}

std::optional<std::string> check(const SchedulePlan& plan) {
  // Later moments do not fit into nanoseconds, in which they are compared.
  constexpr std::int64_t kYear2100 = 4'102'444'800'000;
  if (to_ms(plan.expected) < 0 || to_ms(plan.expected) > kYear2100) return "schedule.expected_wall_ms";
  if (plan.jitter < 0ms || plan.jitter > 24h) return "schedule.jitter_ms";
  if (plan.keep_until < plan.expected || plan.keep_until - plan.expected > 24h) return "schedule.keep_until_wall_ms";
  return check(plan.heads);
}

const std::vector<Hint>* hints_of(const Plan& plan) {
  if (auto* warm = std::get_if<WarmPlan>(&plan.body)) return &warm->hints;
  if (auto* schedule = std::get_if<SchedulePlan>(&plan.body)) return &schedule->heads;
  return nullptr;
}

}  // namespace

std::optional<std::string> malformed(const Plan& plan) {
  if (plan.id == kNoPlan) return "plan_id";
  if (!is_probability(plan.score)) return "score";
  if (!is_count(plan.expected_readers, 1'000'000)) return "expected_readers";
  if (!is_count(plan.byte_budget, kPlanBytesMax)) return "byte_budget";
  if (plan.model_version.size() > 128) return "model_version";
  return std::visit([](const auto& body) { return check(body); }, plan.body);
}

std::vector<PartitionKey> homes_of(const Plan& plan) {
  std::vector<PartitionKey> out;
  auto add = [&out](const PartitionKey& key) {
    if (std::ranges::find(out, key) == out.end()) out.push_back(key);
  };
  std::visit(Overloaded{[&](const WarmPlan& p) {
                          for (const auto& h : p.hints) add(h.partition);
                        },
                        [&](const SchedulePlan& p) {
                          for (const auto& h : p.heads) add(h.partition);
                        },
                        [&](const FollowPlan& p) { add(p.partition); }, [&](const ChainPlan& p) { add(p.partition); }},
             plan.body);
  return out;
}

std::size_t ranges_of(const Plan& plan) {
  if (const auto* hints = hints_of(plan)) return hints->size();
  if (const auto* chain = std::get_if<ChainPlan>(&plan.body)) return chain->steps.size();
  return 1;
}

Plan part_for(const Plan& plan, const std::function<bool(const PartitionKey&)>& is_here) {
  Plan out = plan;
  const auto* all = hints_of(plan);
  if (all == nullptr || all->empty()) return out;
  auto keep = [&](std::vector<Hint>& hints) {
    std::erase_if(hints, [&](const Hint& hint) { return !is_here(hint.partition); });
    // Its share by count, in steps that no budget overflows: a predictor may name any.
    auto kept = static_cast<Bytes>(hints.size()), count = static_cast<Bytes>(all->size());
    out.byte_budget = plan.byte_budget / count * kept + plan.byte_budget % count * kept / count;
  };
  if (auto* warm = std::get_if<WarmPlan>(&out.body)) keep(warm->hints);
  if (auto* schedule = std::get_if<SchedulePlan>(&out.body)) keep(schedule->heads);
  return out;
}

}  // namespace forelog::prefetch
