// Groups as administrators see them.
#include "broker/groups/coordinator_use.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace forelog::groups {
namespace {

constexpr std::string_view kGroupType = "classic";

bool passes(const std::vector<std::string>& filter, std::string_view value) {
  auto same_letter = [](char a, char b) {
    return std::tolower(static_cast<unsigned char>(a)) == std::tolower(static_cast<unsigned char>(b));
  };
  auto matches = [&](const std::string& wanted) { return std::ranges::equal(wanted, value, same_letter); };
  return filter.empty() || std::ranges::any_of(filter, matches);
}

}  // namespace

Task<wire::DescribeGroupsResponse::Group> Coordinator::describe(GroupId id) {
  Use use(*this);
  wire::DescribeGroupsResponse::Group response;
  response.group_id = id;
  auto partition = locate(id, true);
  if (!partition) {
    response.error_code = partition.error();
    co_return response;
  }
  auto entry = find(id);
  response.group_state = name_of(entry ? entry->group.state() : GroupState::dead);
  if (!entry) co_return response;
  const auto& group = entry->group;
  response.protocol_type = group.protocol_type().value_or("");
  // In other states there is no protocol that all have agreed on, or no assignment yet.
  bool stable = group.state() == GroupState::stable;
  if (stable) response.protocol_data = group.protocol().value_or("");
  for (const auto& [member_id, member] : group.members()) {
    auto& to = response.members.emplace_back();
    to.member_id = member_id;
    if (member.instance) to.group_instance_id = member.instance->value();
    to.client_id = member.client_id;
    to.client_host = member.client_host;
    if (!stable) continue;
    if (const auto* protocol = member.find(response.protocol_data)) to.member_metadata = protocol->metadata;
    to.member_assignment = member.assignment;
  }
  co_return response;
}

Task<wire::ListGroupsResponse> Coordinator::list(wire::ListGroupsRequest request) {
  Use use(*this);
  wire::ListGroupsResponse response;
  if (stopping_) response.error_code = ErrorCode::kCoordinatorNotAvailable;
  for (const auto& [partition, led] : led_) {
    if (!led.loaded) response.error_code = ErrorCode::kCoordinatorLoadInProgress;
  }
  if (!passes(request.types_filter, kGroupType)) co_return response;
  for (const auto& [id, entry] : groups_) {
    auto state = name_of(entry->group.state());
    if (!passes(request.states_filter, state)) continue;
    auto& to = response.groups.emplace_back();
    to.group_id = id;
    to.protocol_type = entry->group.protocol_type().value_or("");
    to.group_state = state;
    to.group_type = kGroupType;
  }
  co_return response;
}

Task<wire::WireError> Coordinator::remove(GroupId id) {
  Use use(*this);
  auto partition = locate(id, true);
  if (!partition) co_return partition.error();
  auto entry = find(id);
  if (!entry) co_return ErrorCode::kGroupIdNotFound;
  if (entry->group.state() != GroupState::empty) co_return ErrorCode::kNonEmptyGroup;
  auto buried = co_await bury(entry);
  if (!buried) co_return answer_to_failed_write(buried.error());
  co_return wire::WireError{};
}

}  // namespace forelog::groups
