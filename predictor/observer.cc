#include "predictor/observer.h"

#include <algorithm>

namespace forelog::predictor {
namespace {

constexpr char kSeparator = '\x1f';       // no client.id or principal has it
constexpr double kGroupConfidence = 0.5;  // from here on a candidate group is the reader's
constexpr std::int64_t kBlocksOfReadMax = 1024;

std::optional<PartitionKey> partition_of(const std::string& topic_id, std::int32_t partition) {
  PartitionKey key;
  if (topic_id.size() != key.topic.bytes.size() || partition < 0) return std::nullopt;
  std::memcpy(key.topic.bytes.data(), topic_id.data(), topic_id.size());
  key.partition = PartitionId(partition);
  return key;
}

Bytes cold_bytes(const thrift::BytesByTier& b) {
  return b.memory + b.disk + b.shared_regional + b.shared_global + b.archive;
}

// Whether sums of the record's numbers stay far from overflow, as those of an honest broker do.
bool is_sane(const thrift::AccessRecord& r) {
  constexpr std::int64_t kOffsetMax = std::int64_t{1} << 61;
  bool offsets = r.first_offset >= 0 && r.last_offset >= r.first_offset && r.last_offset < kOffsetMax;
  const auto& b = r.bytes;
  bool bytes = true;
  for (auto n : {b.tail, b.local, b.memory, b.disk, b.shared_regional, b.shared_global, b.archive})
    bytes = bytes && n >= 0 && n <= 1_TiB;
  constexpr std::int64_t kWaitMax = 24LL * 3600 * 1'000'000;
  return offsets && bytes && r.wait_us >= 0 && r.wait_us <= kWaitMax;
}

bool is_own_reason(thrift::Reason::type reason) {
  return reason == thrift::Reason::SEQUENTIAL || reason == thrift::Reason::STRIDED ||
         reason == thrift::Reason::GROUP_OFFSETS || reason == thrift::Reason::LIST_OFFSETS ||
         reason == thrift::Reason::OFFSET_RESET || reason == thrift::Reason::RETENTION;
}

Answer answer_of(const thrift::AccessRecord& record) {
  bool ahead = record.plan_id != 0;
  if (record.wait_cause == thrift::WaitCause::JOINED) return ahead ? Answer::late : Answer::miss;
  if (record.wait_cause == thrift::WaitCause::ARCHIVE || record.bytes.archive > 0) return Answer::miss;
  // What the broker's own rules had loaded would have been there without us.
  return ahead && !is_own_reason(record.reason) ? Answer::planned : Answer::hit;
}

}  // namespace

std::string_view client_stem(std::string_view client_id) {
  auto dash = client_id.find_last_of("-_.");
  if (dash == std::string_view::npos || dash == 0 || dash + 1 == client_id.size()) return client_id;
  auto number = client_id.substr(dash + 1);
  bool digits = std::ranges::all_of(number, [](char c) { return c >= '0' && c <= '9'; });
  return digits ? client_id.substr(0, dash) : client_id;
}

std::string JobSignature::text() const { return principal + kSeparator + client_stem + kSeparator + group; }

JobSignature JobSignature::parse(std::string_view text) {
  auto first = text.find(kSeparator);
  if (first == std::string_view::npos) return {};
  auto second = text.find(kSeparator, first + 1);
  if (second == std::string_view::npos) return {};
  return {std::string(text.substr(0, first)), std::string(text.substr(first + 1, second - first - 1)),
          std::string(text.substr(second + 1))};
}

// Events of one broker are laid out by its monotonic clock, those of different brokers against each other by wall time.
// Where that was set forward, or the machine has slept, they go on from there. Time never goes back: where it was set
// back, the broker's events are ahead of it from then on.
Instant Observer::time_of(const thrift::RecordHeader& header) {
  constexpr std::int64_t kSetForwardUs = 1'000'000;  // the clocks themselves differ by less
  auto& boot = boots_.touch(header.boot_id);
  auto offset_us = header.wall_ms * 1000 - header.monotonic_us;
  if (!boot.known || offset_us > boot.offset_us + kSetForwardUs) boot = {offset_us, true};
  return Instant(std::chrono::microseconds(header.monotonic_us + boot.offset_us));
}

Observer::Reader& Observer::reader_of(const thrift::RecordHeader& header, std::int64_t reader) {
  auto key =
      mix(static_cast<std::uint64_t>(header.boot_id) * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(reader));
  auto& out = readers_.touch(key);
  if (out.id == 0) {
    out.id = next_reader_++;
    out.held_out = static_cast<double>(mix(key) % 10'000) < settings_.holdout_share * 10'000;
  }
  return out;
}

void Observer::on_reader(const thrift::RecordHeader& header, const thrift::ReaderRecord& record) {
  auto& reader = reader_of(header, record.reader);
  // A job keeps the name under which it began: candidates revised in mid-session would tear it in two.
  if (reader.job != 0) return;
  JobSignature job{record.principal, std::string(client_stem(record.client_id)), {}};
  double best = 0;
  for (const auto& candidate : record.groups) {
    if (candidate.confidence >= kGroupConfidence && candidate.confidence > best) {
      best = candidate.confidence;
      job.group = candidate.group;
    }
  }
  reader.job = jobs_.id_of(job.text());
}

void Observer::on_access(const thrift::RecordHeader& header, const thrift::AccessRecord& record,
                         std::vector<Seen>& out) {
  auto key = partition_of(record.topic_id, record.partition);
  if (!key || !is_sane(record)) {
    if (record.first_offset >= 0) ++ignored_;
    return;
  }
  auto bytes = cold_bytes(record.bytes);
  if (bytes <= 0 || record.fetches > 1) return;
  if (!blocks_.learn(*key, Offset(record.first_offset), Offset(record.last_offset), bytes)) {
    ++ignored_;
    return;
  }
  blocks_.set_endpoint(*key, header.hint_endpoint);

  auto& reader = reader_of(header, record.reader);
  auto& arm = arms_[reader.held_out ? 1 : 0];
  ++arm.reads;
  arm.wait += std::chrono::microseconds(record.wait_us);
  auto answer = answer_of(record);
  if (answer == Answer::miss || answer == Answer::late) ++arm.waited;

  auto first = *blocks_.place_of(*key, Offset(record.first_offset));
  auto last = *blocks_.place_of(*key, Offset(record.last_offset));
  // A fetch begins where the one before ended, mostly in the middle of a block.
  if (reader.last == first) ++first.block;
  reader.last = last;
  if (first.block > last.block) return;
  ReadEvent event{.at = time_of(header), .reader = reader.id, .job = reader.job, .place = first, .answer = answer};
  event.blocks = static_cast<std::int32_t>(std::min(last.block - first.block + 1, kBlocksOfReadMax));
  out.emplace_back(ReadSeen{event, reader.held_out});
}

void Observer::on_group(const thrift::RecordHeader& header, const thrift::GroupRecord& record, std::vector<Seen>& out) {
  // Where a group will read is told when it forms, when it fetches its offsets, and when somebody sets them back.
  if (record.kind != thrift::GroupEventKind::JOIN && record.kind != thrift::GroupEventKind::OFFSET_FETCH &&
      record.kind != thrift::GroupEventKind::RESET) {
    return;
  }
  JobSignature signature{record.principal, std::string(client_stem(record.client_id)), record.group};
  auto job = jobs_.id_of(signature.text());
  auto at = time_of(header);
  // A group without committed offsets starts where its job decides: as last time, perhaps.
  if (record.kind == thrift::GroupEventKind::JOIN && record.offsets.empty())
    out.emplace_back(Announcement{at, job, {}});
  for (const auto& named : record.offsets) {
    auto key = partition_of(named.topic_id, named.partition);
    if (!key || named.offset < 0) continue;
    if (auto place = blocks_.place_of(*key, Offset(named.offset))) out.emplace_back(Announcement{at, job, *place});
  }
}

void Observer::on_outcome(const thrift::RecordHeader& header, const thrift::OutcomeRecord& record,
                          std::vector<Seen>& out) {
  if (record.outcome == thrift::OutcomeKind::REFUSED) return;
  if (record.bytes < 0 || record.bytes > 1_TiB || record.used_bytes < 0 || record.used_bytes > record.bytes) {
    ++ignored_;
    return;
  }
  bool used = record.outcome != thrift::OutcomeKind::UNUSED;
  auto used_bytes = used ? std::max<Bytes>(record.used_bytes, 1) : 0;
  out.emplace_back(
      OutcomeSeen{time_of(header), record.plan_id, used_bytes, std::max<Bytes>(0, record.bytes - used_bytes)});
}

void Observer::observe(const thrift::AccessLogRecord& record, std::vector<Seen>& out) {
  const auto& header = record.header;
  // Beyond these, sums of times would overflow; no honest clock is there.
  constexpr std::int64_t kWallMax = 4'102'444'800'000, kMonotonicMax = 4'102'444'800'000'000;
  if (header.wall_ms < 0 || header.wall_ms > kWallMax || header.monotonic_us < 0 ||
      header.monotonic_us > kMonotonicMax) {
    ++ignored_;
    return;
  }
  const auto& body = record.body;
  if (body.__isset.reader) on_reader(header, body.reader);
  if (body.__isset.access) on_access(header, body.access, out);
  if (body.__isset.group) on_group(header, body.group, out);
  if (body.__isset.outcome) on_outcome(header, body.outcome, out);
}

void Observer::save(ByteWriter& out) const { blocks_.save(out), jobs_.save(out), out.u32(next_reader_); }

bool Observer::load(ByteReader& in) {
  if (!blocks_.load(in) || !jobs_.load(in)) return false;
  next_reader_ = std::max<ReaderId>(in.u32(), 1);
  return in.ok();
}

}  // namespace forelog::predictor
