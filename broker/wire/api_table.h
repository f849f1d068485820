// api_table.h: one row an API: what is served, what is advertised, what may be answered.
//
// Served is what this broker decodes and answers; advertised is what ApiVersions tells clients, and may be less (an API
// not finished) or more (Produce 0-2, see the row). Anything not served closes the connection, as Kafka does, but for
// ApiVersions.
#pragma once

#include "broker/wire/field_notes.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace forelog::wire {

enum class ApiKey : std::int16_t {
  kProduce = 0,
  kFetch = 1,
  kListOffsets = 2,
  kMetadata = 3,
  kOffsetCommit = 8,
  kOffsetFetch = 9,
  kFindCoordinator = 10,
  kJoinGroup = 11,
  kHeartbeat = 12,
  kLeaveGroup = 13,
  kSyncGroup = 14,
  kDescribeGroups = 15,
  kListGroups = 16,
  kSaslHandshake = 17,
  kApiVersions = 18,
  kCreateTopics = 19,
  kDeleteTopics = 20,
  kDeleteRecords = 21,
  kInitProducerId = 22,
  kOffsetForLeaderEpoch = 23,
  kDescribeConfigs = 32,
  kAlterConfigs = 33,
  kDescribeLogDirs = 35,
  kSaslAuthenticate = 36,
  kCreatePartitions = 37,
  kDeleteGroups = 42,
  kIncrementalAlterConfigs = 44,
  kListPartitionReassignments = 46,
  kOffsetDelete = 47,
  kDescribeClientQuotas = 48,
  kDescribeUserScramCredentials = 50,
  kDescribeCluster = 60,
  kDescribeProducers = 61,
  kDescribeTopicPartitions = 75,
};

struct VersionRange {
  Version min = 0;
  Version max = -1;  // below min: no version

  constexpr bool empty() const { return max < min; }
  constexpr bool contains(int version) const { return version >= min && version <= max; }
};
inline constexpr VersionRange kHidden{};

// `from`, up to version `until`, is said as `to`: clients of this API and version do not know `from`, or break on it.
struct ErrorException {
  std::int16_t from;
  std::int16_t to;
  Version until = kVersionMax;
};

struct ApiRow {
  ApiKey key;
  std::string_view name;
  VersionRange served;
  VersionRange advertised;
  Version flexible_since = kNever;
  std::span<const std::int16_t> errors;  // what Kafka lists for the API, besides 0 and -1; ascending
  std::span<const ErrorException> exceptions;

  constexpr bool is_flexible(Version version) const { return version >= flexible_since; }
};

std::span<const ApiRow> api_table();       // ascending by key
const ApiRow* find_api(std::int16_t key);  // null: unknown to this broker
const ApiRow& row_of(ApiKey key);
bool is_served(std::int16_t key, Version version);

// What a client of this API and version is told for Kafka's code `code`: an exception of the row, else the code itself
// if the row lists it, else UNKNOWN_SERVER_ERROR (-1), which every client takes from every API.
std::int16_t code_to_send(const ApiRow& api, Version version, std::int16_t code);

}  // namespace forelog::wire
