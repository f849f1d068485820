// messages.h: every message of the table, as types. For what treats them all alike: dumps, tests, fuzzing.
#pragma once

#include "broker/wire/alter_configs.h"
#include "broker/wire/api_versions.h"
#include "broker/wire/create_partitions.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_groups.h"
#include "broker/wire/delete_records.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/describe_client_quotas.h"
#include "broker/wire/describe_cluster.h"
#include "broker/wire/describe_configs.h"
#include "broker/wire/describe_groups.h"
#include "broker/wire/describe_log_dirs.h"
#include "broker/wire/describe_producers.h"
#include "broker/wire/describe_topic_partitions.h"
#include "broker/wire/describe_user_scram_credentials.h"
#include "broker/wire/fetch.h"
#include "broker/wire/find_coordinator.h"
#include "broker/wire/heartbeat.h"
#include "broker/wire/incremental_alter_configs.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/join_group.h"
#include "broker/wire/leave_group.h"
#include "broker/wire/list_groups.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/list_partition_reassignments.h"
#include "broker/wire/metadata.h"
#include "broker/wire/offset_commit.h"
#include "broker/wire/offset_delete.h"
#include "broker/wire/offset_fetch.h"
#include "broker/wire/offset_for_leader_epoch.h"
#include "broker/wire/produce.h"
#include "broker/wire/sasl_authenticate.h"
#include "broker/wire/sasl_handshake.h"
#include "broker/wire/sync_group.h"

#include <utility>

namespace forelog::wire {

template <class... Requests>
struct RequestList {
  static constexpr std::size_t size = sizeof...(Requests);

  // Calls `visit.template operator()<Request>()` for each request type.
  template <class Visit>
  static void for_each(Visit&& visit) {
    (visit.template operator()<Requests>(), ...);
  }
};

using AllRequests =
    RequestList<ProduceRequest, FetchRequest, ListOffsetsRequest, MetadataRequest, OffsetCommitRequest,
                OffsetFetchRequest, FindCoordinatorRequest, JoinGroupRequest, HeartbeatRequest, LeaveGroupRequest,
                SyncGroupRequest, DescribeGroupsRequest, ListGroupsRequest, SaslHandshakeRequest, ApiVersionsRequest,
                CreateTopicsRequest, DeleteTopicsRequest, DeleteRecordsRequest, InitProducerIdRequest,
                OffsetForLeaderEpochRequest, DescribeConfigsRequest, AlterConfigsRequest, DescribeLogDirsRequest,
                SaslAuthenticateRequest, CreatePartitionsRequest, DeleteGroupsRequest, IncrementalAlterConfigsRequest,
                ListPartitionReassignmentsRequest, OffsetDeleteRequest, DescribeClientQuotasRequest,
                DescribeUserScramCredentialsRequest, DescribeClusterRequest, DescribeProducersRequest,
                DescribeTopicPartitionsRequest>;

}  // namespace forelog::wire
