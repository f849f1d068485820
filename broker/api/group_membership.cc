// JoinGroup, SyncGroup, Heartbeat, LeaveGroup: to the coordinator on the group's core.
#include "broker/api/group_core.h"
#include "broker/api/handlers.h"
#include "broker/groups/coordinator.h"

#include <utility>

namespace forelog::api {

Task<wire::JoinGroupResponse> join_group(Context context, wire::JoinGroupRequest request) {
  auto& services = context.services;
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    wire::JoinGroupResponse response;
    response.error_code = core.error();
    response.member_id = std::move(request.member_id);
    co_return response;
  }
  auto task = services.at(*core).groups.join(std::move(request), context.version, context.client->describe());
  co_return co_await services.env.cores.on(*core, std::move(task));
}

Task<wire::SyncGroupResponse> sync_group(Context context, wire::SyncGroupRequest request) {
  auto& services = context.services;
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    wire::SyncGroupResponse response;
    response.error_code = core.error();
    co_return response;
  }
  auto task = services.at(*core).groups.sync(std::move(request), context.client->describe());
  co_return co_await services.env.cores.on(*core, std::move(task));
}

Task<wire::HeartbeatResponse> heartbeat(Context context, wire::HeartbeatRequest request) {
  auto& services = context.services;
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    wire::HeartbeatResponse response;
    response.error_code = core.error();
    co_return response;
  }
  auto task = services.at(*core).groups.heartbeat(std::move(request));
  co_return co_await services.env.cores.on(*core, std::move(task));
}

Task<wire::LeaveGroupResponse> leave_group(Context context, wire::LeaveGroupRequest request) {
  auto& services = context.services;
  auto core = core_of_group(services, request.group_id);
  if (!core) {
    wire::LeaveGroupResponse response;
    response.error_code = core.error();
    co_return response;
  }
  auto task = services.at(*core).groups.leave(std::move(request), context.version, context.client->describe());
  co_return co_await services.env.cores.on(*core, std::move(task));
}

}  // namespace forelog::api
