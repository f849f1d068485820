#include "broker/wire/api_table.h"

#include "broker/base/check.h"

#include <algorithm>
#include <array>
#include <functional>

namespace forelog::wire {
namespace {

using Codes = std::int16_t[];
using Exceptions = ErrorException[];

// Kafka's codes for each API, from its schemas, response classes and request handlers (3.9 and trunk), without 0 and
// -1.
constexpr Codes kProduceErrors = {2,  3,  6,  7,  10, 17, 18, 19, 20, 21, 29, 31, 32,  35, 42,
                                  43, 45, 46, 47, 48, 49, 51, 53, 56, 59, 76, 87, 100, 120};
constexpr Codes kFetchErrors = {1, 2, 3, 6, 9, 29, 43, 56, 70, 71, 74, 75, 76, 100, 103, 106};
constexpr Codes kListOffsetsErrors = {3, 5, 6, 9, 29, 35, 42, 43, 56, 74, 75, 78};
constexpr Codes kMetadataErrors = {3, 5, 9, 17, 29, 31, 38, 42, 72, 100};
constexpr Codes kOffsetCommitErrors = {3, 12, 14, 15, 16, 17, 22, 24, 25, 27, 28, 29, 30, 69, 82, 113};
constexpr Codes kOffsetFetchErrors = {3, 14, 16, 24, 25, 29, 30, 69, 88, 113};
constexpr Codes kFindCoordinatorErrors = {14, 15, 24, 30, 42, 53};
constexpr Codes kJoinGroupErrors = {14, 15, 16, 22, 23, 24, 25, 26, 27, 30, 79, 81, 82};
constexpr Codes kHeartbeatErrors = {15, 16, 22, 24, 25, 27, 30, 82};
constexpr Codes kLeaveGroupErrors = {14, 15, 16, 24, 25, 30, 82};
constexpr Codes kSyncGroupErrors = {15, 16, 22, 23, 24, 25, 27, 30, 82};
constexpr Codes kDescribeGroupsErrors = {14, 15, 16, 24, 30, 69};
constexpr Codes kListGroupsErrors = {14, 15, 16, 31};
constexpr Codes kSaslHandshakeErrors = {33, 34};
constexpr Codes kApiVersionsErrors = {35, 42};
constexpr Codes kCreateTopicsErrors = {7, 17, 29, 31, 36, 37, 38, 39, 40, 41, 42, 44, 89};
constexpr Codes kDeleteTopicsErrors = {3, 7, 17, 29, 31, 41, 42, 73, 89, 100};
constexpr Codes kDeleteRecordsErrors = {1, 3, 6, 7, 17, 29, 42, 44, 56};
constexpr Codes kInitProducerIdErrors = {14, 15, 16, 31, 42, 47, 49, 50, 51, 53, 90};
constexpr Codes kOffsetForLeaderEpochErrors = {3, 6, 9, 29, 31, 56, 74, 75};
constexpr Codes kDescribeConfigsErrors = {3, 7, 17, 29, 31, 42};
constexpr Codes kAlterConfigsErrors = {3, 7, 17, 29, 31, 40, 41, 42, 44};
constexpr Codes kDescribeLogDirsErrors = {31, 56, 57};
constexpr Codes kSaslAuthenticateErrors = {34, 58};
constexpr Codes kCreatePartitionsErrors = {3, 7, 17, 29, 31, 37, 38, 39, 41, 42, 44, 60, 89};
constexpr Codes kDeleteGroupsErrors = {14, 15, 16, 24, 30, 68, 69};
constexpr Codes kListReassignmentsErrors = {3, 7, 29, 31, 41};
constexpr Codes kOffsetDeleteErrors = {3, 14, 15, 16, 24, 29, 30, 68, 69, 86};
constexpr Codes kDescribeClientQuotasErrors = {31, 35, 42};
constexpr Codes kDescribeScramErrors = {31, 42, 91, 92};
constexpr Codes kDescribeClusterErrors = {31, 42, 114, 115};
constexpr Codes kDescribeProducersErrors = {3, 6, 17, 29, 56};
constexpr Codes kDescribeTopicPartitionsErrors = {3, 5, 9, 17, 29, 31, 42, 72, 100};

// What a broken disk, a deadline, or a broker that is going away is called where clients do not expect 56, 7 or 15.
// They must retry, most of them after a look at the metadata or the coordinator.
constexpr Exceptions kProduceExceptions = {{5, 6}, {15, 6}, {56, 6, 3}, {78, 6}};
// Code 7 in a Fetch response ends the Java consumer. Before v6 clients do not know KAFKA_STORAGE_ERROR.
constexpr Exceptions kFetchExceptions = {{5, 6}, {7, 6, 5}, {7, 56}, {15, 6}, {17, 3}, {56, 6, 5}, {78, 6}};
constexpr Exceptions kListOffsetsExceptions = {{7, 56}, {15, 6}, {17, 3}, {78, 5, 4}, {100, 3}};
constexpr Exceptions kMetadataExceptions = {{6, 5}, {7, 5}, {15, 5}, {56, 5}, {72, 5, 5}};
constexpr Exceptions kOffsetCommitExceptions = {{7, 15}, {56, 15}, {69, 22, 8}};
constexpr Exceptions kOffsetFetchExceptions = {{7, 14}, {15, 16}, {56, 14}};
constexpr Exceptions kCoordinatorExceptions = {{5, 15}, {6, 15}, {7, 15}, {56, 15}};
// The Java client gives up on code 14 in Heartbeat; in SyncGroup, Kafka's own coordinator says "join again" for it.
constexpr Exceptions kHeartbeatExceptions = {{7, 15}, {14, 15}, {56, 15}};
constexpr Exceptions kSyncGroupExceptions = {{7, 15}, {14, 27}, {56, 15}};
// Up to v5 an unknown group is described as Dead, without an error.
constexpr Exceptions kDescribeGroupsExceptions = {{7, 15}, {56, 15}, {69, 0, 5}};
constexpr Exceptions kControllerExceptions = {{5, 41}, {6, 41}, {15, 41}, {56, 7}};
// The only policy that there is of it: delete.topic.enable. Its own code is known from v3 on.
constexpr Exceptions kDeleteTopicsExceptions = {{5, 41}, {6, 41}, {15, 41}, {44, 42, 2}, {44, 73}, {56, 7}};
constexpr Exceptions kDeleteRecordsExceptions = {{5, 6}, {15, 6}};
// An idempotent producer without a transactional id has no coordinator to look for; 14 makes it just ask again.
constexpr Exceptions kInitProducerIdExceptions = {{7, 14}, {15, 14}, {56, 14}, {90, 47, 3}};
constexpr Exceptions kOffsetForLeaderEpochExceptions = {{5, 6}, {7, 56}, {15, 6}, {78, 6}};
constexpr Exceptions kDescribeConfigsExceptions = {{15, 7}, {56, 7}};
constexpr Exceptions kDescribeLogDirsExceptions = {{7, 56}, {15, 56}};
constexpr Exceptions kDescribeProducersExceptions = {{5, 6}, {7, 56}, {15, 6}};
constexpr std::span<const ErrorException> kNone;

// Served minima are those of Kafka 4 (KIP-896). Produce is advertised from 0 because librdkafka before 2.11.1 sends
// gzip, snappy and lz4 batches uncompressed where it is not; Kafka 4 does the same.
constexpr std::array kTable = {
    // key, name, served, advertised, flexible since, errors, exceptions
    ApiRow{ApiKey::kProduce, "Produce", {3, 11}, {0, 11}, 9, kProduceErrors, kProduceExceptions},
    ApiRow{ApiKey::kFetch, "Fetch", {4, 17}, {4, 17}, 12, kFetchErrors, kFetchExceptions},
    ApiRow{ApiKey::kListOffsets, "ListOffsets", {1, 9}, {1, 9}, 6, kListOffsetsErrors, kListOffsetsExceptions},
    ApiRow{ApiKey::kMetadata, "Metadata", {0, 13}, {0, 13}, 9, kMetadataErrors, kMetadataExceptions},
    ApiRow{ApiKey::kOffsetCommit, "OffsetCommit", {2, 9}, {2, 9}, 8, kOffsetCommitErrors, kOffsetCommitExceptions},
    ApiRow{ApiKey::kOffsetFetch, "OffsetFetch", {1, 9}, {1, 9}, 6, kOffsetFetchErrors, kOffsetFetchExceptions},
    ApiRow{
        ApiKey::kFindCoordinator, "FindCoordinator", {0, 6}, {0, 6}, 3, kFindCoordinatorErrors, kCoordinatorExceptions},
    ApiRow{ApiKey::kJoinGroup, "JoinGroup", {0, 9}, {0, 9}, 6, kJoinGroupErrors, kCoordinatorExceptions},
    ApiRow{ApiKey::kHeartbeat, "Heartbeat", {0, 4}, {0, 4}, 4, kHeartbeatErrors, kHeartbeatExceptions},
    ApiRow{ApiKey::kLeaveGroup, "LeaveGroup", {0, 5}, {0, 5}, 4, kLeaveGroupErrors, kCoordinatorExceptions},
    ApiRow{ApiKey::kSyncGroup, "SyncGroup", {0, 5}, {0, 5}, 4, kSyncGroupErrors, kSyncGroupExceptions},
    ApiRow{
        ApiKey::kDescribeGroups, "DescribeGroups", {0, 6}, {0, 6}, 5, kDescribeGroupsErrors, kDescribeGroupsExceptions},
    ApiRow{ApiKey::kListGroups, "ListGroups", {0, 5}, {0, 5}, 3, kListGroupsErrors, kCoordinatorExceptions},
    ApiRow{ApiKey::kSaslHandshake, "SaslHandshake", {0, 1}, kHidden, kNever, kSaslHandshakeErrors, kNone},
    ApiRow{ApiKey::kApiVersions, "ApiVersions", {0, 4}, {0, 4}, 3, kApiVersionsErrors, kNone},
    ApiRow{ApiKey::kCreateTopics, "CreateTopics", {2, 7}, {2, 7}, 5, kCreateTopicsErrors, kControllerExceptions},
    ApiRow{ApiKey::kDeleteTopics, "DeleteTopics", {1, 6}, {1, 6}, 4, kDeleteTopicsErrors, kDeleteTopicsExceptions},
    ApiRow{ApiKey::kDeleteRecords, "DeleteRecords", {0, 2}, {0, 2}, 2, kDeleteRecordsErrors, kDeleteRecordsExceptions},
    ApiRow{
        ApiKey::kInitProducerId, "InitProducerId", {0, 5}, {0, 5}, 2, kInitProducerIdErrors, kInitProducerIdExceptions},
    ApiRow{ApiKey::kOffsetForLeaderEpoch,
           "OffsetForLeaderEpoch",
           {2, 4},
           {2, 4},
           4,
           kOffsetForLeaderEpochErrors,
           kOffsetForLeaderEpochExceptions},
    ApiRow{ApiKey::kDescribeConfigs,
           "DescribeConfigs",
           {1, 4},
           {1, 4},
           4,
           kDescribeConfigsErrors,
           kDescribeConfigsExceptions},
    ApiRow{ApiKey::kAlterConfigs, "AlterConfigs", {0, 2}, {0, 2}, 2, kAlterConfigsErrors, kControllerExceptions},
    ApiRow{ApiKey::kDescribeLogDirs,
           "DescribeLogDirs",
           {1, 4},
           {1, 4},
           2,
           kDescribeLogDirsErrors,
           kDescribeLogDirsExceptions},
    ApiRow{ApiKey::kSaslAuthenticate, "SaslAuthenticate", {0, 2}, kHidden, 2, kSaslAuthenticateErrors, kNone},
    ApiRow{ApiKey::kCreatePartitions,
           "CreatePartitions",
           {0, 3},
           {0, 3},
           2,
           kCreatePartitionsErrors,
           kControllerExceptions},
    ApiRow{ApiKey::kDeleteGroups, "DeleteGroups", {0, 2}, {0, 2}, 2, kDeleteGroupsErrors, kCoordinatorExceptions},
    ApiRow{ApiKey::kIncrementalAlterConfigs,
           "IncrementalAlterConfigs",
           {0, 1},
           {0, 1},
           1,
           kAlterConfigsErrors,
           kControllerExceptions},
    ApiRow{ApiKey::kListPartitionReassignments,
           "ListPartitionReassignments",
           {0, 0},
           {0, 0},
           0,
           kListReassignmentsErrors,
           kControllerExceptions},
    ApiRow{ApiKey::kOffsetDelete, "OffsetDelete", {0, 0}, {0, 0}, kNever, kOffsetDeleteErrors, kCoordinatorExceptions},
    ApiRow{
        ApiKey::kDescribeClientQuotas, "DescribeClientQuotas", {0, 1}, {0, 1}, 1, kDescribeClientQuotasErrors, kNone},
    ApiRow{ApiKey::kDescribeUserScramCredentials,
           "DescribeUserScramCredentials",
           {0, 0},
           {0, 0},
           0,
           kDescribeScramErrors,
           kNone},
    ApiRow{ApiKey::kDescribeCluster, "DescribeCluster", {0, 2}, {0, 2}, 0, kDescribeClusterErrors, kNone},
    ApiRow{ApiKey::kDescribeProducers,
           "DescribeProducers",
           {0, 0},
           {0, 0},
           0,
           kDescribeProducersErrors,
           kDescribeProducersExceptions},
    ApiRow{ApiKey::kDescribeTopicPartitions,
           "DescribeTopicPartitions",
           {0, 0},
           {0, 0},
           0,
           kDescribeTopicPartitionsErrors,
           kMetadataExceptions},
};
static_assert(std::ranges::is_sorted(kTable, std::less{}, &ApiRow::key));
static_assert(std::ranges::all_of(kTable, [](const ApiRow& row) { return std::ranges::is_sorted(row.errors); }));

// Keys are small and dense: an index beats a search for what is looked up in every request and response.
constexpr std::int16_t kKeyMax = static_cast<std::int16_t>(kTable.back().key);
constexpr auto kIndex = [] {
  std::array<const ApiRow*, kKeyMax + 1> index{};
  for (const ApiRow& row : kTable) index[static_cast<std::size_t>(row.key)] = &row;
  return index;
}();

}  // namespace

std::span<const ApiRow> api_table() { return kTable; }

const ApiRow* find_api(std::int16_t key) {
  return key < 0 || key > kKeyMax ? nullptr : kIndex[static_cast<std::size_t>(key)];
}

const ApiRow& row_of(ApiKey key) {
  const ApiRow* row = find_api(static_cast<std::int16_t>(key));
  CHECK(row != nullptr);
  return *row;
}

bool is_served(std::int16_t key, Version version) {
  const ApiRow* row = find_api(key);
  return row != nullptr && row->served.contains(version);
}

std::int16_t code_to_send(const ApiRow& api, Version version, std::int16_t code) {
  constexpr std::int16_t unknown_server_error = -1;
  if (code == 0) return 0;
  for (const ErrorException& exception : api.exceptions) {
    if (exception.from == code && version <= exception.until) return exception.to;
  }
  return std::ranges::binary_search(api.errors, code) ? code : unknown_server_error;
}

}  // namespace forelog::wire
