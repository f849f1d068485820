// producer_budget.h: how many idempotent producers the partitions of one core remember together.
//
// A client may take any number of producer ids, so what is kept of them is bounded twice: for each partition, which
// loses those silent longest when it has more, and for the core, where the partition with the most gives up half of
// them. The first bound depends on the batches alone, so replicas agree; the second is for the memory of this broker.
#pragma once

#include "broker/base/metrics.h"
#include "broker/replication/producer_table.h"

#include <cstdint>
#include <unordered_map>

namespace forelog::replication {

class ProducerBudget {
 public:
  struct Metrics {
    explicit Metrics(MetricsRegistry& registry);
    Gauge producers;
    Counter evicted;
  };
  ProducerBudget(MetricsRegistry& registry, std::size_t partition_max, std::size_t core_max);

  // A partition's table comes and goes; it outlives what lies between.
  void attach(ProducerTable& table);
  void detach(ProducerTable& table);
  // `table`, which had `before` producers, has been added to, restored or has expired some: keeps the bounds.
  void changed(ProducerTable& table, std::size_t before);

 private:
  void evict(ProducerTable& table, std::size_t count);
  Metrics metrics_;
  std::size_t partition_max_;
  std::size_t core_max_;
  std::size_t total_ = 0;
  std::unordered_map<ProducerTable*, std::uint64_t> tables_;  // and in which order they came
  std::uint64_t attached_ = 0;
};

}  // namespace forelog::replication
