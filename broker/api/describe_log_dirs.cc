#include "broker/api/fan_out.h"
#include "broker/api/handlers.h"
#include "broker/replication/partition_table.h"

#include <map>
#include <set>
#include <utility>

namespace forelog::api {
namespace {

struct Size {
  TopicName topic;
  PartitionId partition;
  Bytes bytes = 0;
};

// Archived bytes are not on this directory and not counted (complaints.md, 32).
Task<void> sizes_on_core(Services& services, std::vector<Size>& out) {
  for (const auto& partition : services.here().partitions.all()) {
    Bytes bytes = 0;
    for (const auto& shard : partition->chain().shards()) {
      if (shard.local) bytes += shard.object_size();
    }
    out.push_back({partition->topic(), partition->key().partition, bytes});
  }
  co_return;
}

}  // namespace

Task<wire::DescribeLogDirsResponse> describe_log_dirs(Context context, wire::DescribeLogDirsRequest request) {
  auto& services = context.services;
  std::vector<std::vector<Size>> by_core(services.cores.size());
  std::vector<CoreTask> tasks;
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    tasks.emplace_back(CoreId(static_cast<std::int32_t>(core)), sizes_on_core(services, by_core[core]));
  }
  co_await fan_out(services.env.cores, std::move(tasks));
  std::map<TopicName, std::map<PartitionId, Bytes>> sizes;
  for (auto& core : by_core) {
    for (auto& size : core) sizes[size.topic][size.partition] = size.bytes;
  }
  wire::DescribeLogDirsResponse response;
  auto& directory = response.results.emplace_back();
  directory.log_dir = services.broker.log_dirs.empty() ? "" : services.broker.log_dirs.front();
  std::set<std::pair<TopicName, PartitionId>> named;
  if (request.topics) {
    for (const auto& topic : *request.topics) {
      for (auto partition : topic.partitions) named.emplace(topic.topic, partition);
    }
  }
  auto wanted = [&](const TopicName& topic, PartitionId partition) {
    return !request.topics || named.contains({topic, partition});
  };
  for (const auto& [topic, partitions] : sizes) {
    wire::DescribeLogDirsResponse::LogDir::Topic out;
    out.name = topic;
    for (const auto& [partition, bytes] : partitions) {
      if (wanted(topic, partition)) out.partitions.push_back({partition, bytes, 0, false});
    }
    if (!out.partitions.empty()) directory.topics.push_back(std::move(out));
  }
  co_return response;
}

}  // namespace forelog::api
