// describe_log_dirs.h: key 35. Sizes of replicas by log directory. Null topics mean all. v2 is flexible; 3 adds a
// top-level error; 4 volume sizes.
#pragma once

#include "broker/base/ids.h"
#include "broker/wire/codec.h"

#include <optional>
#include <string>
#include <vector>

namespace forelog::wire {

struct DescribeLogDirsResponse;

struct DescribeLogDirsRequest {
  static constexpr ApiKey api = ApiKey::kDescribeLogDirs;
  using Response = DescribeLogDirsResponse;

  struct Topic {
    TopicName topic;
    std::vector<PartitionId> partitions;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("topic", m.topic);
      field("partitions", m.partitions);
    };
  };

  std::optional<std::vector<Topic>> topics;
  static constexpr auto fields = [](auto& m, auto&& field) { field("topics", m.topics); };
};

struct DescribeLogDirsResponse {
  static constexpr ApiKey api = ApiKey::kDescribeLogDirs;

  struct LogDir {
    struct Topic {
      struct Partition {
        PartitionId partition_index;
        std::int64_t partition_size = 0;
        std::int64_t offset_lag = 0;
        bool is_future_key = false;  // a copy being moved between directories
        static constexpr auto fields = [](auto& m, auto&& field) {
          field("partition_index", m.partition_index);
          field("partition_size", m.partition_size);
          field("offset_lag", m.offset_lag);
          field("is_future_key", m.is_future_key);
        };
      };

      TopicName name;
      std::vector<Partition> partitions;
      static constexpr auto fields = [](auto& m, auto&& field) {
        field("name", m.name);
        field("partitions", m.partitions);
      };
    };

    WireError error_code;
    std::string log_dir;
    std::vector<Topic> topics;
    std::int64_t total_bytes = -1;
    std::int64_t usable_bytes = -1;
    static constexpr auto fields = [](auto& m, auto&& field) {
      field("error_code", m.error_code);
      field("log_dir", m.log_dir);
      field("topics", m.topics);
      field("total_bytes", m.total_bytes, since(4));
      field("usable_bytes", m.usable_bytes, since(4));
    };
  };

  std::int32_t throttle_time_ms = 0;
  WireError error_code;
  std::vector<LogDir> results;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("throttle_time_ms", m.throttle_time_ms);
    field("error_code", m.error_code, since(3));
    field("results", m.results);
  };
};

}  // namespace forelog::wire
