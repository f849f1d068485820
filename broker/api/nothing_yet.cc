// Questions of admin tools about what this broker has none of: the true answer is an empty one.

#include "broker/api/handlers.h"

namespace forelog::api {

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

// No SCRAM user can be made.
Task<wire::DescribeUserScramCredentialsResponse> describe_user_scram_credentials(
    Context, wire::DescribeUserScramCredentialsRequest) {
  co_return wire::DescribeUserScramCredentialsResponse{};
}

}  // namespace forelog::api
