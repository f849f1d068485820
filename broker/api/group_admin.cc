// DescribeGroups, ListGroups, DeleteGroups: groups of all cores.
#include "broker/api/group_core.h"
#include "broker/api/handlers.h"
#include "broker/groups/coordinator.h"
#include "broker/wire/authorized_operations.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <utility>

namespace forelog::api {

Task<wire::DescribeGroupsResponse> describe_groups(Context context, wire::DescribeGroupsRequest request) {
  auto& services = context.services;
  wire::DescribeGroupsResponse response;
  std::set<GroupId> with_members;  // told once: a name costs a client nothing, a group with its members much
  for (auto& group : request.groups) {
    if (with_members.contains(group)) continue;
    wire::DescribeGroupsResponse::Group described;
    auto core = core_of_group(services, group);
    if (core) {
      auto task = services.at(*core).groups.describe(group);
      described = co_await services.env.cores.on(*core, std::move(task));
    } else {
      described.error_code = core.error();
    }
    if (!described.members.empty()) with_members.insert(group);
    described.group_id = std::move(group);
    // Up to v5 that is no error: the table of APIs turns it into none.
    if (described.group_state == groups::name_of(groups::GroupState::dead)) {
      described.error_code = ErrorCode::kGroupIdNotFound;
      described.error_message = "Group " + described.group_id.value() + " not found.";
    }
    if (request.include_authorized_operations) described.authorized_operations = wire::kAllGroupOperations;
    response.groups.push_back(std::move(described));
  }
  co_return response;
}

Task<wire::ListGroupsResponse> list_groups(Context context, wire::ListGroupsRequest request) {
  auto& services = context.services;
  wire::ListGroupsResponse response;
  for (std::size_t i = 0; i < services.cores.size(); ++i) {
    CoreId core(static_cast<std::int32_t>(i));
    auto task = services.at(core).groups.list(request);
    auto listed = co_await services.env.cores.on(core, std::move(task));
    if (!listed.error_code.ok()) response.error_code = listed.error_code;
    std::ranges::move(listed.groups, std::back_inserter(response.groups));
  }
  co_return response;
}

Task<wire::DeleteGroupsResponse> delete_groups(Context context, wire::DeleteGroupsRequest request) {
  auto& services = context.services;
  wire::DeleteGroupsResponse response;
  std::set<GroupId> answered;
  for (auto& group : request.groups_names) {
    if (!answered.insert(group).second) continue;
    wire::WireError error;
    auto core = core_of_group(services, group);
    if (core) {
      auto task = services.at(*core).groups.remove(group);
      error = co_await services.env.cores.on(*core, std::move(task));
    } else {
      error = core.error();
    }
    response.results.push_back({std::move(group), error});
  }
  co_return response;
}

}  // namespace forelog::api
