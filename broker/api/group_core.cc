#include "broker/api/group_core.h"

#include "broker/groups/partition_of.h"

namespace forelog::api {

Result<CoreId> core_of_group(Services& services, const GroupId& group) {
  const auto& view = services.cluster.view();
  const auto* topic = view->topic(TopicName(std::string(groups::kOffsetsTopic)));
  if (topic == nullptr || topic->partitions.empty()) {
    return fail(ErrorCode::kCoordinatorNotAvailable, "no " + std::string(groups::kOffsetsTopic) + " yet");
  }
  auto partition = groups::partition_of(group, static_cast<std::int32_t>(topic->partitions.size()));
  return services.owner({topic->id, partition});
}

}  // namespace forelog::api
