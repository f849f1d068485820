#include "broker/groups/records.h"

#include "broker/wire/coordinator_records.h"

#include <algorithm>
#include <limits>
#include <utility>

namespace forelog::groups {
namespace {

std::int32_t wire_ms(Duration span) {
  return static_cast<std::int32_t>(std::min<std::int64_t>(to_ms(span), std::numeric_limits<std::int32_t>::max()));
}

Buffer encode_committed(const CommittedOffset& from) {
  wire::OffsetCommitValue value;
  value.offset = from.offset;
  value.leader_epoch = from.leader_epoch;
  value.metadata = from.metadata;
  value.commit_timestamp = to_ms(from.committed);
  if (!from.expires) return wire::encode_data(value, wire::OffsetCommitValue::written);
  // Only v1 has room for it, and none for the leader epoch. As in Kafka, which clients of before v5 see no loss in.
  value.expire_timestamp = to_ms(*from.expires);
  return wire::encode_data(value, wire::OffsetCommitValue::written_with_expiry);
}

Result<CommittedOffset> decode_committed(const Buffer& bytes) {
  auto value = TRY(wire::decode_data<wire::OffsetCommitValue>(bytes));
  CommittedOffset out{.offset = value.offset,
                      .leader_epoch = value.leader_epoch,
                      .metadata = std::move(value.metadata),
                      .committed = from_ms(value.commit_timestamp)};
  if (value.expire_timestamp >= 0) out.expires = from_ms(value.expire_timestamp);
  return out;
}

Buffer encode_snapshot(const GroupSnapshot& from) {
  wire::GroupMetadataValue value;
  value.protocol_type = from.protocol_type;
  value.generation = from.generation.value();
  value.protocol = from.protocol;
  value.leader = from.leader;
  if (from.state_since) value.current_state_timestamp = to_ms(*from.state_since);
  for (const auto& member : from.members) {
    auto& to = value.members.emplace_back();
    to.member_id = member.id;
    if (member.instance) to.group_instance_id = member.instance->value();
    to.client_id = member.client_id;
    to.client_host = member.client_host;
    to.rebalance_timeout = wire_ms(member.rebalance_timeout);
    to.session_timeout = wire_ms(member.session_timeout);
    to.subscription = member.subscription;
    to.assignment = member.assignment;
  }
  return wire::encode_data(value, wire::GroupMetadataValue::written);
}

Result<GroupSnapshot> decode_snapshot(const Buffer& bytes) {
  auto value = TRY(wire::decode_data<wire::GroupMetadataValue>(bytes));
  if (value.generation < 0) return fail(ErrorCode::kMalformed, "group metadata with a negative generation");
  GroupSnapshot out{.protocol_type = std::move(value.protocol_type),
                    .generation = GroupGeneration(value.generation),
                    .protocol = std::move(value.protocol),
                    .leader = std::move(value.leader)};
  if (value.current_state_timestamp >= 0) out.state_since = from_ms(value.current_state_timestamp);
  for (auto& from : value.members) {
    std::chrono::milliseconds session(from.session_timeout);
    std::chrono::milliseconds rebalance(from.rebalance_timeout >= 0 ? from.rebalance_timeout : from.session_timeout);
    GroupSnapshot::Member member{.id = std::move(from.member_id),
                                 .client_id = std::move(from.client_id),
                                 .client_host = std::move(from.client_host),
                                 .rebalance_timeout = rebalance,
                                 .session_timeout = session,
                                 // Copies: the buffer that was read holds many groups.
                                 .subscription = Buffer::copy_of(from.subscription.view()),
                                 .assignment = Buffer::copy_of(from.assignment.view())};
    if (from.group_instance_id) member.instance = InstanceId(std::move(*from.group_instance_id));
    out.members.push_back(std::move(member));
  }
  return out;
}

}  // namespace

KeyValue encode_record(const StoredRecord& record) {
  if (const auto* offset = std::get_if<OffsetRecord>(&record)) {
    wire::OffsetCommitKey key;
    key.group = offset->group;
    key.topic = offset->partition.topic;
    key.partition = offset->partition.partition;
    KeyValue out{wire::encode_data(key, wire::OffsetCommitKey::written), std::nullopt};
    if (offset->committed) out.value = encode_committed(*offset->committed);
    return out;
  }
  const auto& group = std::get<GroupRecord>(record);
  wire::GroupMetadataKey key;
  key.group = group.group;
  KeyValue out{wire::encode_data(key, wire::GroupMetadataKey::written), std::nullopt};
  if (group.snapshot) out.value = encode_snapshot(*group.snapshot);
  return out;
}

Result<std::optional<StoredRecord>> decode_record(ByteView key_bytes, std::optional<ByteView> value) {
  auto key = TRY(wire::decode_coordinator_key(Buffer::copy_of(key_bytes)));
  if (auto* offset = std::get_if<wire::OffsetCommitKey>(&key)) {
    OffsetRecord out{.group = offset->group, .partition = {offset->topic, offset->partition}};
    if (value) out.committed = TRY(decode_committed(Buffer::copy_of(*value)));
    return out;
  }
  if (auto* group = std::get_if<wire::GroupMetadataKey>(&key)) {
    GroupRecord out{.group = group->group};
    if (value) out.snapshot = TRY(decode_snapshot(Buffer::copy_of(*value)));
    return out;
  }
  return std::nullopt;
}

}  // namespace forelog::groups
