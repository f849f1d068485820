#include "broker/hint_router.h"

#include "broker/prefetch/plan_shape.h"
#include "broker/prefetch/prefetcher.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <set>

namespace forelog {
namespace {

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
    std::set<CoreId> cores;
    for (const auto& home : prefetch::homes_of(plans[i])) cores.insert(services_.owner(home));
    for (auto core : cores) {
      auto is_there = [&](const PartitionKey& key) { return services_.owner(key) == core; };
      by_core[core].emplace_back(i, prefetch::part_for(plans[i], is_there));
    }
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
