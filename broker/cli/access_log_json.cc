#include "broker/cli/access_log_json.h"

#include "broker/base/ids.h"
#include "broker/base/json.h"
#include "hint_service/hint_service_types.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace forelog::cli {
namespace {

// An object being written, member by member.
class Object {
 public:
  template <class T>
  Object& add(std::string_view name, const T& value) {
    return raw(name, to_json(value));
  }
  Object& raw(std::string_view name, const std::string& json) {
    text_ += text_.empty() ? '{' : ',';
    text_ += to_json(std::string(name)) + ":" + json;
    return *this;
  }
  std::string text() const { return text_.empty() ? "{}" : text_ + "}"; }

 private:
  std::string text_;
};

template <class T>
std::string array(const std::vector<T>& items, std::string (*write)(const T&)) {
  std::string out = "[";
  for (const auto& item : items) out += (out.size() > 1 ? "," : "") + write(item);
  return out + "]";
}

std::string topic_id(const std::string& bytes) {
  TopicId id;
  if (bytes.size() != id.bytes.size()) return "?";
  std::memcpy(id.bytes.data(), bytes.data(), bytes.size());
  return id.text();
}

// Names of a Thrift enum's values; the number where this build does not know it.
template <class E>
std::string name_of(E value) {
  auto name = thrift::to_string(value);
  for (auto& c : name) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return name;
}

std::string group_candidate(const thrift::GroupCandidate& c) {
  return Object().add("group", c.group).add("confidence", c.confidence).add("evidence", name_of(c.evidence)).text();
}

std::string reader(const thrift::ReaderRecord& r) {
  return Object()
      .add("reader", r.reader)
      .add("connection", r.connection)
      .add("client_id", r.client_id)
      .add("software", r.software_name + " " + r.software_version)
      .add("principal", r.principal)
      .add("host", r.host)
      .add("rack", r.rack)
      .raw("groups", array(r.groups, &group_candidate))
      .add("start", name_of(r.start))
      .add("topic", r.topic)
      .add("topic_id", topic_id(r.topic_id))
      .add("partition", r.partition)
      .add("start_offset", r.start_offset)
      .text();
}

std::string tiers(const thrift::BytesByTier& b) {
  Object out;
  auto some = [&out](std::string_view name, std::int64_t bytes) {
    if (bytes != 0) out.add(name, bytes);
  };
  some("tail", b.tail), some("local", b.local), some("memory", b.memory), some("disk", b.disk);
  some("shared_regional", b.shared_regional), some("shared_global", b.shared_global), some("archive", b.archive);
  return out.text();
}

std::string access(const thrift::AccessRecord& a) {
  Object out;
  out.add("reader", a.reader).add("topic_id", topic_id(a.topic_id)).add("partition", a.partition);
  out.add("leader_epoch", a.leader_epoch)
      .add("asked", a.offset_asked)
      .add("first", a.first_offset)
      .add("last", a.last_offset);
  out.add("first_timestamp", a.first_timestamp_ms).add("last_timestamp", a.last_timestamp_ms);
  out.add("high_watermark", a.high_watermark).add("shard", a.shard_base).add("generation", a.shard_generation);
  out.add("first_block", a.first_block).add("last_block", a.last_block);
  out.add("partition_max_bytes", a.partition_max_bytes).add("max_bytes", a.max_bytes);
  out.add("min_bytes", a.min_bytes).add("max_wait_ms", a.max_wait_ms);
  out.raw("bytes", tiers(a.bytes)).add("wait_us", a.wait_us).add("wait_cause", name_of(a.wait_cause));
  out.add("plan", a.plan_id).add("reason", name_of(a.reason)).add("fetches", a.fetches);
  return out.text();
}

std::string group_offset(const thrift::GroupOffset& o) {
  Object out;
  out.add("topic_id", topic_id(o.topic_id)).add("partition", o.partition);
  if (o.offset >= 0) out.add("offset", o.offset);
  if (o.timestamp_ms >= 0) out.add("timestamp", o.timestamp_ms);
  return out.text();
}

std::string group(const thrift::GroupRecord& g) {
  return Object()
      .add("event", name_of(g.kind))
      .add("group", g.group)
      .add("generation", g.generation)
      .add("member", g.member)
      .add("instance", g.instance)
      .add("client_id", g.client_id)
      .add("host", g.host)
      .add("principal", g.principal)
      .add("connection", g.connection)
      .raw("offsets", array(g.offsets, &group_offset))
      .text();
}

std::string outcome(const thrift::OutcomeRecord& o) {
  Object out;
  out.add("plan", o.plan_id).add("reason", name_of(o.reason)).add("outcome", name_of(o.outcome));
  if (o.refusal != thrift::Refusal::NONE) out.add("refusal", name_of(o.refusal));
  out.add("topic_id", topic_id(o.topic_id)).add("partition", o.partition).add("shard", o.shard_base);
  out.add("generation", o.shard_generation).add("first_block", o.first_block).add("blocks", o.blocks);
  out.add("bytes", o.bytes).add("used_bytes", o.used_bytes).add("late_us", o.late_us).add("score", o.score);
  out.add("decided_ms", o.decided_wall_ms).add("received_us", o.received_us).add("started_us", o.started_us);
  out.add("in_memory_us", o.in_memory_us).add("first_used_us", o.first_used_us).add("reader", o.reader);
  out.add("model", o.model_version);
  return out.text();
}

}  // namespace

Result<std::string> access_log_json(std::string_view bytes) {
  using apache::thrift::transport::TMemoryBuffer;
  thrift::AccessLogRecord record;
  try {
    auto* data = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));  // NOLINT: only observed
    auto buffer =
        std::make_shared<TMemoryBuffer>(data, static_cast<std::uint32_t>(bytes.size()), TMemoryBuffer::OBSERVE);
    // A string or list cannot be longer than what holds it, whatever it claims.
    auto limit = static_cast<std::int32_t>(std::min<std::size_t>(bytes.size(), INT32_MAX));
    apache::thrift::protocol::TCompactProtocolT<TMemoryBuffer> protocol(buffer, limit, limit);
    record.read(&protocol);
  } catch (const std::exception& e) {
    return fail(ErrorCode::kMalformed, std::string("access log record: ") + e.what());
  }
  const auto& h = record.header;
  Object out;
  out.add("wall_ms", h.wall_ms).add("broker", h.broker_id).add("hint_endpoint", h.hint_endpoint).add("boot", h.boot_id);
  out.add("core", h.core).add("sequence", h.sequence).add("monotonic_us", h.monotonic_us);
  const auto& body = record.body;
  if (body.__isset.reader) out.raw("reader", reader(body.reader));
  if (body.__isset.access) out.raw("access", access(body.access));
  if (body.__isset.group) out.raw("group", group(body.group));
  if (body.__isset.outcome) out.raw("outcome", outcome(body.outcome));
  return out.text();
}

}  // namespace forelog::cli
