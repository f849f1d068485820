#include "broker/prefetch/access_records.h"

#include <cstring>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace forelog::prefetch {

namespace {

std::int64_t to_thrift(std::optional<Instant> at) { return at ? to_us(at->time_since_epoch()) : 0; }
std::int64_t to_thrift(ReaderId id) { return static_cast<std::int64_t>(id.value()); }
std::int64_t to_thrift(PlanId id) { return static_cast<std::int64_t>(id.value()); }

// Our enums have the order of Thrift's, some of which begin with one.
template <class To, class From>
typename To::type same_order(From value, int first) {
  return static_cast<typename To::type>(static_cast<int>(value) + first);
}
static_assert(static_cast<int>(Reason::retention) == thrift::Reason::RETENTION && kReasonCount == 13);
static_assert(static_cast<int>(Refusal::load_failed) == thrift::Refusal::LOAD_FAILED && kRefusalCount == 12);
static_assert(static_cast<int>(WaitCause::budget) == thrift::WaitCause::BUDGET);
static_assert(static_cast<int>(Evidence::commits) + 1 == thrift::Evidence::COMMITS);
static_assert(static_cast<int>(ReaderStart::still_open) + 1 == thrift::ReaderStart::STILL_OPEN);
static_assert(static_cast<int>(GroupEventKind::find_coordinator) + 1 == thrift::GroupEventKind::FIND_COORDINATOR);
static_assert(static_cast<int>(OutcomeKind::refused) + 1 == thrift::OutcomeKind::REFUSED);

}  // namespace

std::string to_thrift(const TopicId& topic) { return {topic.bytes.begin(), topic.bytes.end()}; }

std::optional<TopicId> topic_from_thrift(const std::string& bytes) {
  TopicId out;
  if (bytes.size() != out.bytes.size()) return std::nullopt;
  std::memcpy(out.bytes.data(), bytes.data(), out.bytes.size());
  return out;
}

thrift::AccessLogBody to_record(const ReaderEvent& event, const IdentityMask& mask) {
  thrift::ReaderRecord out;
  out.reader = to_thrift(event.reader);
  out.connection = event.client->connection.value();
  out.client_id = mask.client_id(event.client->client_id);
  out.software_name = event.client->software_name;
  out.software_version = event.client->software_version;
  out.principal = mask.name(event.client->principal);
  out.host = mask.name(event.client->host);
  out.rack = event.client->rack;
  for (const auto& candidate : event.groups) {
    thrift::GroupCandidate group;
    group.group = mask.name(candidate.group.value());
    group.confidence = candidate.confidence;
    group.evidence = same_order<thrift::Evidence>(candidate.evidence, 1);
    out.groups.push_back(std::move(group));
  }
  out.start = same_order<thrift::ReaderStart>(event.start, 1);
  out.topic_id = to_thrift(event.partition.topic);
  out.partition = event.partition.partition.value();
  out.topic = event.topic;
  out.start_offset = event.start_offset.value();
  out.opened_monotonic_us = to_thrift(std::optional(event.opened));
  thrift::AccessLogBody body;
  body.__set_reader(out);
  return body;
}

thrift::AccessLogBody to_record(ReaderId reader, const AccessEvent& event, std::int32_t fetches) {
  thrift::AccessRecord out;
  out.reader = to_thrift(reader);
  out.topic_id = to_thrift(event.partition.topic);
  out.partition = event.partition.partition.value();
  out.leader_epoch = event.leader_epoch.value();
  out.offset_asked = event.asked.value();
  out.first_offset = event.first.value();
  out.last_offset = event.last.value();
  out.first_timestamp_ms = event.first_timestamp;
  out.last_timestamp_ms = event.last_timestamp;
  out.high_watermark = event.high_watermark.value();
  out.shard_base = event.shard.base.value();
  out.shard_generation = event.shard.generation.value();
  out.first_block = event.first_block;
  out.last_block = event.last_block;
  out.partition_max_bytes = event.partition_max_bytes;
  out.max_bytes = event.max_bytes;
  out.min_bytes = event.min_bytes;
  out.max_wait_ms = event.max_wait_ms;
  out.bytes.tail = event.bytes.tail;
  out.bytes.local = event.bytes.local;
  out.bytes.memory = event.bytes.memory;
  out.bytes.disk = event.bytes.disk;
  out.bytes.shared_regional = event.bytes.regional;
  out.bytes.shared_global = event.bytes.global;
  out.bytes.archive = event.bytes.archive;
  out.wait_us = to_us(event.wait);
  out.wait_cause = same_order<thrift::WaitCause>(event.wait_cause, 0);
  out.plan_id = to_thrift(event.plan);
  out.reason = same_order<thrift::Reason>(event.reason, 0);
  out.fetches = fetches;
  thrift::AccessLogBody body;
  body.__set_access(out);
  return body;
}

thrift::AccessLogBody to_record(const GroupEvent& event, const IdentityMask& mask) {
  thrift::GroupRecord out;
  out.kind = same_order<thrift::GroupEventKind>(event.kind, 1);
  out.group = mask.name(event.group.value());
  out.generation = event.generation.value();
  out.member = mask.name(event.member.value());
  out.instance = mask.name(event.instance);
  if (event.client) {
    out.client_id = mask.client_id(event.client->client_id);
    out.host = mask.name(event.client->host);
    out.principal = mask.name(event.client->principal);
    out.connection = event.client->connection.value();
  }
  for (const auto& named : event.offsets) {
    thrift::GroupOffset offset;
    offset.topic_id = to_thrift(named.partition.topic);
    offset.partition = named.partition.partition.value();
    offset.offset = named.offset.value();
    offset.timestamp_ms = named.timestamp;
    out.offsets.push_back(std::move(offset));
  }
  thrift::AccessLogBody body;
  body.__set_group(out);
  return body;
}

thrift::AccessLogBody to_record(const OutcomeEvent& event) {
  thrift::OutcomeRecord out;
  out.plan_id = to_thrift(event.cause.plan);
  out.reason = same_order<thrift::Reason>(event.cause.reason, 0);
  out.outcome = same_order<thrift::OutcomeKind>(event.outcome, 1);
  out.refusal = same_order<thrift::Refusal>(event.refusal, 0);
  out.topic_id = to_thrift(event.extent.shard.partition.topic);
  out.partition = event.extent.shard.partition.partition.value();
  out.shard_base = event.extent.shard.base.value();
  out.shard_generation = event.extent.shard.generation.value();
  out.first_block = static_cast<std::int32_t>(event.extent.first);
  out.blocks = static_cast<std::int32_t>(event.extent.count);
  out.bytes = event.bytes;
  out.used_bytes = event.used_bytes;
  out.late_us = to_us(event.late);
  out.decided_wall_ms = to_ms(event.cause.decided);
  out.received_us = to_thrift(std::optional(event.cause.received));
  out.started_us = to_thrift(event.started);
  out.in_memory_us = to_thrift(event.in_memory);
  out.first_used_us = to_thrift(event.first_used);
  out.reader = to_thrift(event.used_by);
  out.score = event.cause.score;
  out.model_version = event.cause.model_version;
  thrift::AccessLogBody body;
  body.__set_outcome(out);
  return body;
}

std::string encode(const thrift::AccessLogRecord& record) {
  auto buffer = std::make_shared<apache::thrift::transport::TMemoryBuffer>();
  apache::thrift::protocol::TCompactProtocolT<apache::thrift::transport::TMemoryBuffer> protocol(buffer);
  record.write(&protocol);
  return buffer->getBufferAsString();
}

Result<thrift::AccessLogRecord> decode_access_record(ByteView bytes) {
  using apache::thrift::transport::TMemoryBuffer;
  if (bytes.size() > (1U << 24)) return fail(ErrorCode::kMalformed, "an access record of more than 16 MiB");
  try {
    std::string copy(as_text(bytes));
    auto buffer =
        std::make_shared<TMemoryBuffer>(reinterpret_cast<std::uint8_t*>(copy.data()),  // NOLINT: as Thrift has it
                                        static_cast<std::uint32_t>(copy.size()));
    // A string or list cannot be longer than what holds it, whatever it claims.
    auto limit = static_cast<std::int32_t>(copy.size());
    apache::thrift::protocol::TCompactProtocolT<TMemoryBuffer> protocol(buffer, limit, limit);
    thrift::AccessLogRecord record;
    record.read(&protocol);
    return record;
  } catch (const std::exception& e) {
    return fail(ErrorCode::kMalformed, std::string("an access record: ") + e.what());
  }
}

}  // namespace forelog::prefetch
