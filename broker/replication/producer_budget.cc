#include "broker/replication/producer_budget.h"

#include "broker/base/check.h"
#include "broker/base/log.h"

#include <algorithm>
#include <utility>

namespace forelog::replication {

ProducerBudget::Metrics::Metrics(MetricsRegistry& r)
    : producers(r, "forelog_producers", "Idempotent producers remembered, over all partitions."),
      evicted(r, "forelog_producers_evicted_total",
              "Producers forgotten because there were too many, not because they were silent for long.") {}

ProducerBudget::ProducerBudget(MetricsRegistry& registry, std::size_t partition_max, std::size_t core_max)
    : metrics_(registry), partition_max_(partition_max), core_max_(core_max) {}

void ProducerBudget::attach(ProducerTable& table) {
  tables_.emplace(&table, attached_++);
  total_ += table.size();
  metrics_.producers.add(static_cast<std::int64_t>(table.size()));
}

void ProducerBudget::detach(ProducerTable& table) {
  if (tables_.erase(&table) == 0) return;
  total_ -= table.size();
  metrics_.producers.add(-static_cast<std::int64_t>(table.size()));
}

void ProducerBudget::changed(ProducerTable& table, std::size_t before) {
  total_ += table.size() - before;
  metrics_.producers.add(static_cast<std::int64_t>(table.size()) - static_cast<std::int64_t>(before));
  // An eighth at a time, so that finding the oldest costs little for each that comes.
  if (table.size() > partition_max_) evict(table, partition_max_ - partition_max_ / 8);
  if (total_ <= core_max_) return;
  // Of equal ones the last that came: nothing may depend on where they lie in memory.
  auto smaller = [](const auto& a, const auto& b) {
    return std::pair(a.first->size(), a.second) < std::pair(b.first->size(), b.second);
  };
  auto* largest = std::max_element(tables_.begin(), tables_.end(), smaller)->first;
  evict(*largest, largest->size() / 2);
}

void ProducerBudget::evict(ProducerTable& table, std::size_t count) {
  auto gone = table.evict_to(count);
  total_ -= gone;
  metrics_.producers.add(-static_cast<std::int64_t>(gone));
  metrics_.evicted.add(static_cast<std::int64_t>(gone));
}

}  // namespace forelog::replication
