// Questions of admin tools about what this broker has none of: the true answer is an empty one.

#include "broker/api/handlers.h"

#include <map>
#include <string>
#include <utility>

namespace forelog::api {
namespace {

// Said here alone, so the table of errors has no rows for them.
constexpr wire::WireError kResourceNotFound{std::int16_t{91}}, kDuplicateResource{std::int16_t{92}};

}  // namespace

// Reassignments need a second broker.
Task<wire::ListPartitionReassignmentsResponse> list_partition_reassignments(Context,
                                                                            wire::ListPartitionReassignmentsRequest) {
  co_return wire::ListPartitionReassignmentsResponse{};
}

// No quota can be set.
Task<wire::DescribeClientQuotasResponse> describe_client_quotas(Context, wire::DescribeClientQuotasRequest) {
  wire::DescribeClientQuotasResponse response;
  response.entries.emplace();
  co_return response;
}

// No SCRAM user can be made. Clients look for each one that they asked for in the answer.
Task<wire::DescribeUserScramCredentialsResponse> describe_user_scram_credentials(
    Context, wire::DescribeUserScramCredentialsRequest request) {
  wire::DescribeUserScramCredentialsResponse response;
  if (!request.users) co_return response;
  std::map<std::string, int> times;
  for (auto& wanted : *request.users) ++times[std::move(wanted.name)];
  for (const auto& [user, count] : times) {
    auto& out = response.results.emplace_back();
    out.user = user;
    out.error_code = count > 1 ? kDuplicateResource : kResourceNotFound;
    out.error_message = count > 1
                            ? "Cannot describe SCRAM credentials for the same user twice in a single request: " + user
                            : "Attempt to describe a user credential that does not exist: " + user;
  }
  co_return response;
}

}  // namespace forelog::api
