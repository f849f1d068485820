#include "broker/log/compaction.h"

#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/limits.h"

#include <algorithm>
#include <utility>

namespace forelog::log {
namespace {

constexpr std::int16_t kCodecBits = 0x07;
constexpr std::int16_t kDeleteHorizonBit = 0x40;
constexpr std::size_t kCrcAt = 17, kCrcFrom = 21;

bool is_settled(const ShardDescriptor& shard) {
  return shard.state == ShardState::sealed || shard.state == ShardState::archived;
}

// Whether `time` lies more than `age` before `now`. Timestamps are the producers' and may be anything.
bool older_than(std::int64_t time, WallTime now, Duration age) {
  std::int64_t waited = 0;
  if (__builtin_sub_overflow(to_ms(now), time, &waited)) return to_ms(now) > time;
  return waited > to_ms(age);
}

// A batch's header and what comes after it.
struct BatchParts {
  std::int16_t attributes = 0;
  std::int64_t base_timestamp = kNoTimestamp;
  std::int64_t max_timestamp = kNoTimestamp;
  std::int32_t count = 0;
};

Buffer assemble(BatchView from, const BatchParts& parts, ByteView payload) {
  ByteWriter out;
  out.reserve(kBatchHeaderSize + payload.size());
  out.i64(from.base_offset().value());
  out.i32(static_cast<std::int32_t>(kBatchHeaderSize - kBatchLengthEnd + payload.size()));
  out.i32(from.leader_epoch().value());
  out.i8(2);
  out.u32(0);  // checksum, below
  out.i16(parts.attributes);
  out.i32(from.last_offset_delta());
  out.i64(parts.base_timestamp);
  out.i64(parts.max_timestamp);
  out.i64(from.producer_id().value());
  out.i16(from.producer_epoch());
  out.i32(from.base_sequence());
  out.i32(parts.count);
  out.bytes(payload);
  out.patch(kCrcAt, crc32c(out.view().subspan(kCrcFrom)));
  return std::move(out).take_buffer();
}

Buffer empty_batch(BatchView from) {
  BatchParts parts;
  parts.attributes = static_cast<std::int16_t>(from.attributes() & ~(kCodecBits | kDeleteHorizonBit));
  parts.max_timestamp = from.max_timestamp();
  return assemble(from, parts, {});
}

void put_nullable(ByteWriter& out, const std::optional<ByteView>& bytes) {
  out.varint(bytes ? static_cast<std::int32_t>(bytes->size()) : -1);
  if (bytes) out.bytes(*bytes);
}

void put_record(ByteWriter& out, const Record& record, Offset base, std::int64_t base_timestamp) {
  ByteWriter body;
  body.i8(0);
  // Wraps rather than overflows, as readers do.
  body.varlong(static_cast<std::int64_t>(static_cast<std::uint64_t>(record.timestamp) -
                                         static_cast<std::uint64_t>(base_timestamp)));
  body.varint(static_cast<std::int32_t>(record.offset - base));
  put_nullable(body, record.key);
  put_nullable(body, record.value);
  body.varint(static_cast<std::int32_t>(record.headers.size()));
  for (const auto& header : record.headers) {
    body.varint(static_cast<std::int32_t>(header.key.size()));
    body.text(header.key);
    put_nullable(body, header.value);
  }
  out.varint(static_cast<std::int32_t>(body.size()));
  out.bytes(body.view());
}

// What stays of a batch's records, as a first look finds it.
struct Survivors {
  std::int32_t count = 0;
  std::int32_t removed = 0;
  std::int32_t keyless = 0;
  bool tombstones = false;
  std::int64_t max_timestamp = kNoTimestamp;
};

bool stays(const Record& record, const CleanRules& rules, bool tombstones_stay) {
  if (!record.key) return false;
  auto newest = rules.latest.find(*record.key);
  if (newest && record.offset < *newest) return false;
  return record.value.has_value() || tombstones_stay;
}

}  // namespace

// --- which shards ----------------------------------------------------------------------------------------------------

std::optional<CompactionWork> decide_compaction(const Chain& chain, const TopicSettings& settings, Offset log_start,
                                                Offset compacted_end, WallTime now) {
  if (!settings.compacts()) return std::nullopt;
  CompactionWork work;
  work.dirty_start = work.end = std::max({compacted_end, log_start, chain.start()});
  bool overdue = false;
  for (const auto& shard : chain.shards()) {
    if (shard.end <= work.dirty_start) {
      if (shard.end > log_start) work.clean += shard.size;
      continue;
    }
    if (!is_settled(shard)) break;
    bool too_young =
        settings.min_compaction_lag > 0ms && !older_than(shard.max_timestamp, now, settings.min_compaction_lag);
    if (too_young) break;
    if (work.dirty == 0 && settings.max_compaction_lag != Duration::max()) {
      overdue = older_than(shard.first_timestamp, now, settings.max_compaction_lag);
    }
    work.dirty += shard.size;
    work.end = shard.end;
  }
  if (work.dirty == 0) return std::nullopt;
  auto ratio = static_cast<double>(work.dirty) / static_cast<double>(work.clean + work.dirty);
  if (!overdue && ratio <= settings.min_cleanable_dirty_ratio) return std::nullopt;
  return work;
}

std::vector<ShardRun> compaction_runs(const Chain& chain, const TopicSettings& settings, Offset log_start, Offset end) {
  std::vector<ShardRun> out;
  auto size_max = std::min<Bytes>(settings.segment_bytes, kShardSizeMax);
  Bytes size = 0;
  for (const auto& shard : chain.shards()) {
    if (shard.end <= log_start) continue;
    if (shard.end > end || !is_settled(shard)) break;
    bool joins = !out.empty() && out.back().back().archived == shard.archived && size + shard.size <= size_max &&
                 shard.end - out.back().front().base <= INT32_MAX;
    if (!joins) {
      out.emplace_back();
      size = 0;
    }
    out.back().push_back(shard);
    size += shard.size;
  }
  return out;
}

// --- what stays ------------------------------------------------------------------------------------------------------

Result<CleanedBatch> clean_batch(const Buffer& bytes, const CleanRules& rules, bool keep_header) {
  auto batch = TRY(BatchView::parse(bytes));
  CleanedBatch out;
  // A transaction's outcome may lie beyond the shards looked at, so its records stay, and its markers with them.
  if (batch.end_offset() > rules.map_end || batch.is_control() || batch.is_transactional()) {
    out.bytes = bytes;
    return out;
  }
  auto header_stays = [&] {
    return keep_header || (batch.has_producer() && rules.is_last_of_producer && rules.is_last_of_producer(batch));
  };
  if (batch.record_count() == 0) {
    out.changed = !header_stays();
    if (!out.changed) out.bytes = bytes;
    return out;
  }

  bool has_horizon = batch.has_delete_horizon();
  bool tombstones_stay = !has_horizon || to_ms(rules.now) < batch.base_timestamp();
  Survivors found;
  auto records = TRY(Records::open(batch, kBatchSizeMax));
  Record record;
  while (TRY(records.next(record))) {
    if (!stays(record, rules, tombstones_stay)) {
      ++found.removed;
      if (!record.key) ++found.keyless;
      continue;
    }
    found.tombstones = found.tombstones || !record.value;
    found.max_timestamp = found.count == 0 ? record.timestamp : std::max(found.max_timestamp, record.timestamp);
    ++found.count;
  }
  out.records_removed = found.removed;
  out.keyless_removed = found.keyless;
  out.has_tombstones = found.tombstones;
  bool set_horizon = found.tombstones && !has_horizon;
  if (found.removed == 0 && !set_horizon) {
    out.bytes = bytes;
    return out;
  }
  out.changed = true;
  if (found.count == 0) {
    if (header_stays()) out.bytes = empty_batch(batch);
    return out;
  }

  BatchParts parts;
  parts.attributes = static_cast<std::int16_t>(batch.attributes() | (set_horizon ? kDeleteHorizonBit : 0));
  parts.base_timestamp = batch.base_timestamp();
  if (set_horizon) {
    auto retention =
        std::min<std::int64_t>(to_ms(rules.delete_retention), INT64_MAX - std::max<std::int64_t>(0, to_ms(rules.now)));
    parts.base_timestamp = to_ms(rules.now) + retention;
  }
  parts.max_timestamp =
      batch.timestamp_type() == TimestampType::log_append_time ? batch.max_timestamp() : found.max_timestamp;
  parts.count = found.count;
  ByteWriter kept;
  kept.reserve(static_cast<std::size_t>(batch.size()));
  records = TRY(Records::open(batch, kBatchSizeMax));
  while (TRY(records.next(record))) {
    if (stays(record, rules, tombstones_stay)) put_record(kept, record, batch.base_offset(), parts.base_timestamp);
  }
  if (batch.codec() == Codec::none) {
    out.bytes = assemble(batch, parts, kept.view());
  } else {
    auto packed = TRY(compress(batch.codec(), kept.view()));
    out.bytes = assemble(batch, parts, packed);
  }
  return out;
}

Result<bool> note_keys(BatchView batch, KeyMap& map) {
  if (batch.is_control() || batch.is_transactional() || batch.record_count() == 0) return true;
  auto records = TRY(Records::open(batch, kBatchSizeMax));
  for (Record record; TRY(records.next(record));) {
    if (record.key && !map.put(*record.key, record.offset)) return false;
  }
  return true;
}

}  // namespace forelog::log
