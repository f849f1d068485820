// records.h: what a coordinator remembers, as keys and values of records in __consumer_offsets: Kafka's formats.
//
// Pure. A record without a value takes back what was said under its key.
#pragma once

#include "broker/groups/offsets.h"

#include <optional>
#include <variant>

namespace forelog::groups {

struct OffsetRecord {
  GroupId group;
  TopicPartition partition;
  std::optional<CommittedOffset> committed{};  // none: forgotten
  friend bool operator==(const OffsetRecord&, const OffsetRecord&) = default;
};
struct GroupRecord {
  GroupId group;
  std::optional<GroupSnapshot> snapshot{};  // none: the group is gone
  friend bool operator==(const GroupRecord&, const GroupRecord&) = default;
};
using StoredRecord = std::variant<OffsetRecord, GroupRecord>;

struct KeyValue {
  Buffer key;
  std::optional<Buffer> value;
};

// Offsets: key v1; value v3, or v1 when it expires at a time of its own. Groups: key v2, value v3.
KeyValue encode_record(const StoredRecord& record);

// Values of v0 to v4. Nothing: a kind of record that only newer coordinators write (keys above v2). Malformed: anything
// else.
Result<std::optional<StoredRecord>> decode_record(ByteView key, std::optional<ByteView> value);

}  // namespace forelog::groups
