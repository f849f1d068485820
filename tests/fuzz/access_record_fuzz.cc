// Records of the access log: any bytes; and records made from drawn events, which must come back as they were.
#include "broker/prefetch/access_records.h"
#include "tests/fuzz/fuzz.h"

namespace forelog::prefetch {
namespace {

using fuzz::Decisions;

void check_any(ByteView bytes) {
  const fuzz::AllocationMeter meter;
  auto record = decode_access_record(bytes);
  meter.expect_bounded(bytes.size());
  if (!record) return;
  auto again = decode_access_record(as_bytes(encode(*record)));
  CHECK(again.has_value() && encode(*again) == encode(*record));
}

ClientPtr draw_client(Decisions& in) {
  ClientInfo client;
  client.connection = ConnectionId(in.any<std::int64_t>());
  client.client_id = in.text(20);
  client.software_name = in.text(10);
  client.principal = in.text(10);
  client.host = in.text(10);
  return std::make_shared<const ClientInfo>(std::move(client));
}
PartitionKey draw_partition(Decisions& in) {
  TopicId topic;
  for (auto& byte : topic.bytes) byte = in.any<std::uint8_t>();
  return {topic, PartitionId(in.any<std::int32_t>())};
}

thrift::AccessLogBody draw_body(Decisions& in) {
  IdentityMask mask(in.any<bool>() ? Identities::hashed : Identities::plain, {});
  switch (in.between<int>(0, 3)) {
    case 0: {
      ReaderEvent event;
      event.reader = ReaderId(in.any<std::uint64_t>());
      event.client = draw_client(in);
      event.partition = draw_partition(in);
      event.topic = in.text(20);
      event.start_offset = Offset(in.any<std::int64_t>());
      for (auto count = in.between<int>(0, 3); count > 0; --count)
        event.groups.push_back({GroupId(in.text(10)), in.ConsumeProbability<double>(), Evidence::commits});
      return to_record(event, mask);
    }
    case 1: {
      AccessEvent event;
      event.client = draw_client(in);
      event.partition = draw_partition(in);
      event.topic = "orders";
      event.asked = Offset(in.any<std::int64_t>());
      event.first = Offset(in.any<std::int64_t>());
      event.last = Offset(in.any<std::int64_t>());
      event.first_timestamp = in.any<std::int64_t>();
      event.last_timestamp = in.any<std::int64_t>();
      event.high_watermark = Offset(in.any<std::int64_t>());
      event.max_wait_ms = in.any<std::int32_t>();
      event.bytes.tail = in.between<Bytes>(0, 1_TiB);
      event.bytes.archive = in.between<Bytes>(0, 1_TiB);
      event.wait = Duration(in.any<std::int64_t>());
      event.plan = PlanId(in.any<std::uint64_t>());
      event.reason = static_cast<Reason>(in.between<int>(0, kReasonCount - 1));
      return to_record(ReaderId(in.any<std::uint64_t>()), event, in.any<std::int32_t>());
    }
    case 2: {
      GroupEvent event;
      event.kind = static_cast<GroupEventKind>(in.between<int>(0, 7));
      event.group = GroupId(in.text(20));
      event.member = MemberId(in.text(20));
      event.instance = in.text(10);
      event.client = draw_client(in);
      for (auto count = in.between<int>(0, 4); count > 0; --count)
        event.offsets.push_back({draw_partition(in), Offset(in.any<std::int64_t>()), in.any<std::int64_t>()});
      return to_record(event, mask);
    }
    default: {
      OutcomeEvent event;
      event.cause.plan = PlanId(in.any<std::uint64_t>());
      event.cause.reason = static_cast<Reason>(in.between<int>(0, kReasonCount - 1));
      event.cause.score = in.ConsumeFloatingPoint<double>();
      event.refusal = static_cast<Refusal>(in.between<int>(0, kRefusalCount - 1));
      event.bytes = in.any<Bytes>();
      event.late = Duration(in.any<std::int64_t>());
      return to_record(event);
    }
  }
}

}  // namespace
}  // namespace forelog::prefetch

FUZZ_TARGET(access_record) {
  using namespace forelog::prefetch;  // NOLINT: what this is about
  Decisions in(input);
  if (in.any<bool>()) return check_any(in.rest());
  forelog::thrift::AccessLogRecord record;
  record.body = draw_body(in);
  auto bytes = encode(record);
  auto again = decode_access_record(as_bytes(bytes));
  CHECK(again.has_value() && encode(*again) == bytes);
  // Damaged anywhere, it is refused or read as another record that can be written.
  for (int i = 0; i < 3 && !bytes.empty(); ++i) {
    bytes[in.between<std::size_t>(0, bytes.size() - 1)] = static_cast<char>(in.any<std::uint8_t>());
    check_any(as_bytes(bytes));
  }
}
