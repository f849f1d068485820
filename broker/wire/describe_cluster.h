// describe_cluster.h: key 60. Brokers, cluster id and controller. v1 adds endpoint types (1 brokers, 2 controllers); 2
// fenced brokers.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/authorized_operations.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeClusterResponse;

struct DescribeClusterRequest {
  static constexpr ApiKey api = ApiKey::kDescribeCluster;
  using Response = DescribeClusterResponse;

  bool include_cluster_authorized_operations = false;
  std::int8_t endpoint_type = 1;  // 1 brokers, 2 controllers
  bool include_fenced_brokers = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("include_cluster_authorized_operations", m.include_cluster_authorized_operations);
    field("endpoint_type", m.endpoint_type, since(1));
    field("include_fenced_brokers", m.include_fenced_brokers, since(2));
  };
};

struct DescribeClusterResponse {
  static constexpr ApiKey api = ApiKey::kDescribeCluster;

  struct Broker {
    BrokerId broker_id;
    std::string host;
    std::int32_t port = 0;
    std::optional<std::string> rack;
    bool is_fenced = false;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("broker_id", m.broker_id);
      field("host", m.host);
      field("port", m.port);
      field("rack", m.rack);
      field("is_fenced", m.is_fenced, since(2));
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::optional<std::string> error_message;
  std::int8_t endpoint_type = 1;
  std::string cluster_id;
  BrokerId controller_id{-1};
  std::vector<Broker> brokers;
  std::int32_t cluster_authorized_operations = kNoAuthorizedOperations;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code);
    field("error_message", m.error_message);
    field("endpoint_type", m.endpoint_type, since(1));
    field("cluster_id", m.cluster_id);
    field("controller_id", m.controller_id);
    field("brokers", m.brokers);
    field("cluster_authorized_operations", m.cluster_authorized_operations);
  };
};

}  // namespace forelog::wire
