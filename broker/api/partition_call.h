// partition_call.h: ask one partition something on its own core, by name.
#pragma once

#include "broker/api/services.h"
#include "broker/replication/partition_table.h"

namespace forelog::api {

// `ask(partition, args...)` on the partition's core. Errors: UnknownTopicOrPartition, NotLeader, and those of `ask`.
template <class Answer, class... Args>
Task<Result<Answer>> call_partition(Services& services, TopicName topic, PartitionId id, Deadline deadline,
                                    Task<Result<Answer>> (*ask)(replication::PartitionTable::PartitionPtr, Args...),
                                    std::type_identity_t<Args>... args) {
  auto view = services.cluster.view();
  const auto* known = view->topic(topic);
  if (known == nullptr || known->deleting || view->partition(topic, id) == nullptr) {
    co_return fail(ErrorCode::kUnknownTopicOrPartition, topic.value() + "-" + std::to_string(id.value()));
  }
  PartitionKey key{known->id, id};
  auto there = [](Services& s, PartitionKey k, Deadline d,
                  Task<Result<Answer>> (*what)(replication::PartitionTable::PartitionPtr, Args...),
                  Args... a) -> Task<Result<Answer>> {
    auto partition = CO_TRY(co_await s.here().partitions.get(k, d));
    co_return co_await what(std::move(partition), std::move(a)...);
  };
  auto task = there(services, key, deadline, ask, std::move(args)...);
  co_return co_await services.env.cores.on(services.owner(key), std::move(task));
}

}  // namespace forelog::api
