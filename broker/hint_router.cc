#include "broker/hint_router.h"

#include "broker/prefetch/prefetcher.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>

namespace forelog {
namespace {

// The partitions that a plan's parts lie in, in order; a warm plan may name several.
template <class Use>
void for_each_partition(const prefetch::PlanBody& body, Use&& use) {
  if (const auto* warm = std::get_if<prefetch::WarmPlan>(&body)) {
    for (const auto& hint : warm->hints) use(hint.partition);
  } else if (const auto* follow = std::get_if<prefetch::FollowPlan>(&body)) {
    use(follow->partition);
  } else if (const auto* chain = std::get_if<prefetch::ChainPlan>(&body)) {
    use(chain->partition);
    for (const auto& step : chain->steps) use(step.hint.partition);
  } else if (const auto* schedule = std::get_if<prefetch::SchedulePlan>(&body)) {
    for (const auto& head : schedule->heads) use(head.partition);
  }
}

// The part of `plan` that concerns `core`: hints elsewhere are left out. A chain goes whole to every core that it
// names, since its trigger is seen on one and its steps may be loaded by others.
prefetch::Plan part_for(const prefetch::Plan& plan, const api::Services& services, CoreId core) {
  auto elsewhere = [&](const auto& hint) { return services.owner(hint.partition) != core; };
  prefetch::Plan part = plan;
  if (auto* warm = std::get_if<prefetch::WarmPlan>(&part.body)) std::erase_if(warm->hints, elsewhere);
  if (auto* schedule = std::get_if<prefetch::SchedulePlan>(&part.body)) std::erase_if(schedule->heads, elsewhere);
  return part;
}

// Collects the answers of all cores. A plan is accepted where any core took its part; else the first refusal stands.
struct Gathered {
  std::vector<std::optional<prefetch::PlanAnswer>> answers;
  std::vector<prefetch::PlanId> ids;
  std::mutex mutex;  // answers come from several cores
  std::size_t missing = 0;
  prefetch::HintSink::Done done;

  void add(std::vector<std::pair<std::size_t, prefetch::PlanAnswer>> part) {
    std::vector<prefetch::PlanAnswer> all;
    {
      std::lock_guard lock(mutex);
      for (auto& [index, answer] : part) {
        auto& place = answers[index];
        if (!place || (!place->accepted() && answer.accepted())) place = std::move(answer);
      }
      if (--missing > 0) return;
      for (std::size_t i = 0; i < answers.size(); ++i) {
        prefetch::PlanAnswer none{ids[i], prefetch::Refusal::malformed, "the plan names no partition", std::nullopt};
        all.push_back(std::move(answers[i]).value_or(std::move(none)));
      }
    }
    done(std::move(all));
  }
};

}  // namespace

void HintRouter::offer(std::vector<prefetch::Plan> plans, Done done) {
  auto gathered = std::make_shared<Gathered>();
  gathered->answers.resize(plans.size());
  for (const auto& plan : plans) gathered->ids.push_back(plan.id);
  gathered->done = std::move(done);
  gathered->missing = 1;
  std::map<CoreId, std::vector<std::pair<std::size_t, prefetch::Plan>>> by_core;
  std::vector<std::pair<std::size_t, prefetch::PlanAnswer>> refused;
  for (std::size_t i = 0; i < plans.size(); ++i) {
    if (stopping_) {
      refused.emplace_back(
          i, prefetch::PlanAnswer{plans[i].id, prefetch::Refusal::stopping, "the broker is stopping", std::nullopt});
      continue;
    }
    std::map<CoreId, bool> cores;
    for_each_partition(plans[i].body, [&](const PartitionKey& key) { cores[services_.owner(key)] = true; });
    for (const auto& [core, named] : cores) by_core[core].emplace_back(i, part_for(plans[i], services_, core));
  }
  gathered->missing += by_core.size();
  for (auto& entry : by_core) {
    auto core = entry.first;
    auto work = [&services = services_, core, parts = std::move(entry.second), gathered]() mutable {
      std::vector<std::pair<std::size_t, prefetch::PlanAnswer>> answers;
      for (auto& [index, plan] : parts)
        answers.emplace_back(index, services.at(core).prefetcher.offer(std::move(plan)));
      gathered->add(std::move(answers));
    };
    services_.env.cores.post(core, std::move(work));
  }
  gathered->add(std::move(refused));
}

}  // namespace forelog
