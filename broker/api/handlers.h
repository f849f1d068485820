// handlers.h: one declaration a handler. A handler runs on its connection's core and hops to where state lives.
//
// Handlers never fail: what goes wrong is said in the response, with our error; `wire` turns it into the code that this
// API and version may carry.
#pragma once

#include "broker/api/services.h"
#include "broker/env/task.h"
#include "broker/wire/messages.h"

#include <optional>

namespace forelog::api {

// Without a response when acks=0; then `failed` closes the connection, which is all such a client can be told.
struct ProduceReply {
  std::optional<wire::ProduceResponse> response;
  bool failed = false;
};
Task<ProduceReply> produce(Context context, wire::ProduceRequest request);

Task<wire::FetchResponse> fetch(Context context, wire::FetchRequest request);
Task<wire::ListOffsetsResponse> list_offsets(Context context, wire::ListOffsetsRequest request);
Task<wire::MetadataResponse> metadata(Context context, wire::MetadataRequest request);
Task<wire::ApiVersionsResponse> api_versions(Context context, wire::ApiVersionsRequest request);
Task<wire::InitProducerIdResponse> init_producer_id(Context context, wire::InitProducerIdRequest request);
Task<wire::OffsetForLeaderEpochResponse> offset_for_leader_epoch(Context context,
                                                                 wire::OffsetForLeaderEpochRequest request);
Task<wire::DeleteRecordsResponse> delete_records(Context context, wire::DeleteRecordsRequest request);
Task<wire::DescribeProducersResponse> describe_producers(Context context, wire::DescribeProducersRequest request);
Task<wire::DescribeLogDirsResponse> describe_log_dirs(Context context, wire::DescribeLogDirsRequest request);

// Topics and settings.
Task<wire::CreateTopicsResponse> create_topics(Context context, wire::CreateTopicsRequest request);
Task<wire::DeleteTopicsResponse> delete_topics(Context context, wire::DeleteTopicsRequest request);
Task<wire::CreatePartitionsResponse> create_partitions(Context context, wire::CreatePartitionsRequest request);
Task<wire::DescribeConfigsResponse> describe_configs(Context context, wire::DescribeConfigsRequest request);
Task<wire::AlterConfigsResponse> alter_configs(Context context, wire::AlterConfigsRequest request);
Task<wire::IncrementalAlterConfigsResponse> incremental_alter_configs(Context context,
                                                                      wire::IncrementalAlterConfigsRequest request);
Task<wire::DescribeClusterResponse> describe_cluster(Context context, wire::DescribeClusterRequest request);
Task<wire::DescribeTopicPartitionsResponse> describe_topic_partitions(Context context,
                                                                      wire::DescribeTopicPartitionsRequest request);
Task<wire::ListPartitionReassignmentsResponse> list_partition_reassignments(
    Context context, wire::ListPartitionReassignmentsRequest request);
Task<wire::DescribeClientQuotasResponse> describe_client_quotas(Context context,
                                                                wire::DescribeClientQuotasRequest request);
Task<wire::DescribeUserScramCredentialsResponse> describe_user_scram_credentials(
    Context context, wire::DescribeUserScramCredentialsRequest request);

// Consumer groups.
Task<wire::FindCoordinatorResponse> find_coordinator(Context context, wire::FindCoordinatorRequest request);
Task<wire::JoinGroupResponse> join_group(Context context, wire::JoinGroupRequest request);
Task<wire::SyncGroupResponse> sync_group(Context context, wire::SyncGroupRequest request);
Task<wire::HeartbeatResponse> heartbeat(Context context, wire::HeartbeatRequest request);
Task<wire::LeaveGroupResponse> leave_group(Context context, wire::LeaveGroupRequest request);
Task<wire::OffsetCommitResponse> offset_commit(Context context, wire::OffsetCommitRequest request);
Task<wire::OffsetFetchResponse> offset_fetch(Context context, wire::OffsetFetchRequest request);
Task<wire::OffsetDeleteResponse> offset_delete(Context context, wire::OffsetDeleteRequest request);
Task<wire::DescribeGroupsResponse> describe_groups(Context context, wire::DescribeGroupsRequest request);
Task<wire::ListGroupsResponse> list_groups(Context context, wire::ListGroupsRequest request);
Task<wire::DeleteGroupsResponse> delete_groups(Context context, wire::DeleteGroupsRequest request);

}  // namespace forelog::api
