#include "tests/simulation/partition_model.h"

#include "broker/base/limits.h"
#include "broker/log/batch_builder.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int64_t kFirstTimestamp = 1767225600000;  // where the simulated wall clock begins
constexpr std::int64_t kTimestampStep = 10;
constexpr std::uint64_t kKeys = 100, kCompactedKeys = 12;
constexpr std::int64_t kDisorder = 4000;  // milliseconds by which neighbours may stand in the wrong order

std::int64_t create_time(std::uint64_t seed, Offset offset, const PartitionPlan& plan) {
  auto time = kFirstTimestamp + kTimestampStep * offset.value();
  if (plan.disordered) {
    env::SeededRandom random(seed ^ static_cast<std::uint64_t>(offset.value()) * 0x9e3779b97f4a7c15ULL);
    time += static_cast<std::int64_t>(random.below(kDisorder));
  }
  return time;
}

log::BatchBuilder build(std::uint64_t seed, std::uint64_t index, Offset base, const PartitionPlan& plan) {
  env::SeededRandom random(seed + index);
  log::BatchBuilder builder;
  auto records = 1 + random.below(random.chance(0.1) ? 40 : 4);
  auto size_max = plan.value_size_max / (records > 8 ? 8 : 1);
  for (std::uint64_t i = 0; i < records; ++i) {
    auto offset = base + static_cast<std::int64_t>(i);
    auto key = std::to_string(random.below(plan.compacts ? kCompactedKeys : kKeys));
    // Half of it noise, so that codecs neither give up nor shrink it to nothing.
    std::string value = plan.topic.value() + "@" + std::to_string(offset.value()) + ":";
    value.resize(value.size() + random.below(size_max + 1), 'x');
    for (std::size_t at = value.size() / 2; at < value.size(); ++at) value[at] = static_cast<char>(random.next());
    bool tombstone = plan.compacts && random.chance(0.15);
    builder.add(create_time(seed, offset, plan), key, tombstone ? std::nullopt : log::BatchBuilder::Text(value));
  }
  constexpr log::Codec kCodecs[] = {log::Codec::none, log::Codec::none, log::Codec::lz4, log::Codec::zstd};
  builder.codec(kCodecs[random.below(std::size(kCodecs))]);
  return builder;
}

std::string text(Offset offset) { return std::to_string(offset.value()); }

}  // namespace

PartitionModel::PartitionModel(const PartitionPlan& plan, std::uint64_t seed) : plan_(plan), seed_(seed) {
  bases_.push_back(Offset(0));
  positions_.push_back(0);
  for (std::size_t i = 0; i < plan.batches; ++i) {
    auto builder = build(seed_, i, bases_.back(), plan_);
    bases_.push_back(bases_.back() + builder.count());
    batches_.push_back(std::move(builder).build());
    positions_.push_back(positions_.back() + static_cast<Bytes>(batches_.back().size()));
  }
  append_times_.assign(plan.batches, -1);
  epochs_.assign(plan.batches, kNoEpoch);
  if (plan.compacts) note_records();
}

std::string PartitionModel::name() const { return plan_.topic.value() + "-" + std::to_string(plan_.partition.value()); }

Buffer PartitionModel::produce(std::size_t index, ProducerId producer, std::int16_t epoch,
                               std::int32_t sequence) const {
  auto builder = build(seed_, index, bases_[index], plan_);
  builder.producer(producer, epoch, sequence);
  return std::move(builder).build();
}

std::optional<std::size_t> PartitionModel::index_at(Offset offset) const {
  auto at = std::lower_bound(bases_.begin(), bases_.end(), offset);
  if (at == bases_.end() || *at != offset) return std::nullopt;
  return static_cast<std::size_t>(at - bases_.begin());
}

std::size_t PartitionModel::batch_of(Offset offset) const {
  auto after = std::upper_bound(bases_.begin(), bases_.end(), offset);
  return static_cast<std::size_t>(after - bases_.begin()) - 1;
}

Bytes PartitionModel::bytes_between(Offset from, Offset to) const {
  auto position = [&](Offset offset) {
    auto at = std::lower_bound(bases_.begin(), bases_.end(), offset);
    return at == bases_.end() ? positions_.back() : positions_[static_cast<std::size_t>(at - bases_.begin())];
  };
  return to <= from ? 0 : position(to) - position(from);
}

// --- times -----------------------------------------------------------------------------------------------------------

std::int64_t PartitionModel::timestamp_of(Offset offset) const {
  if (!plan_.append_time) return create_time(seed_, offset, plan_);
  auto index = batch_of(offset);
  return index < append_times_.size() ? append_times_[index] : -1;
}

Offset PartitionModel::first_not_before(std::int64_t timestamp, Offset from, Offset below, bool surely) const {
  for (auto offset = from; offset < below; offset = offset + 1) {
    if (timestamp_of(offset) >= timestamp && (!surely || must_be_there(offset))) return offset;
  }
  return kNoOffset;
}

std::int64_t PartitionModel::newest_timestamp(Offset from, Offset below) const {
  std::int64_t newest = -1;
  for (auto offset = from; offset < below; offset = offset + 1) newest = std::max(newest, timestamp_of(offset));
  return newest;
}

std::optional<Wrong> PartitionModel::note_append_time(std::size_t index, std::int64_t time) {
  auto& known = append_times_[index];
  if (known >= 0 && known != time) {
    return Wrong{Oracle::times, "the broker gave the batch at " + text(base(index)) + " of " + name() + " the time " +
                                    std::to_string(known) + ", and now says " + std::to_string(time)};
  }
  known = time;
  return std::nullopt;
}

// --- promises --------------------------------------------------------------------------------------------------------

std::optional<std::string> PartitionModel::check_start(Offset start, WallTime latest) const {
  auto where = name() + " starts at " + text(start);
  if (start > sent_end()) return where + ", which is beyond its end";
  if (start <= delete_wanted) return std::nullopt;
  if (!plan_.has_retention()) {
    return where + ", and nobody wanted records deleted beyond " + text(delete_wanted);
  }
  auto left = bytes_between(start, sent_end());
  bool by_size = plan_.retention_bytes >= 0 && left >= plan_.retention_bytes;
  auto last = timestamp_of(start - 1);
  bool by_time = plan_.retention_time >= 0ms && last < to_ms(latest) - to_ms(plan_.retention_time);
  if (by_size || by_time) return std::nullopt;
  return where + ": retention leaves " + std::to_string(plan_.retention_bytes) + " bytes or " +
         std::to_string(to_ms(plan_.retention_time)) + " ms, and there are " + std::to_string(left) +
         " bytes, the last record that went is of " + std::to_string(last) + ", it is " + std::to_string(to_ms(latest));
}

void PartitionModel::on_power_cut() {
  if (!forgetful()) return;
  acknowledged = 0;
  readable = log_start = Offset(0);
  append_times_.assign(count(), -1);
  epochs_.assign(count(), kNoEpoch);
}

std::optional<Wrong> PartitionModel::note_epoch(std::size_t index, Epoch epoch) {
  auto where = " at offset " + text(base(index)) + " of " + name();
  if (epochs_[index] != kNoEpoch && epochs_[index] != epoch)
    return Wrong{Oracle::epochs, "a batch had epoch " + std::to_string(epochs_[index].value()) + ", and now has " +
                                     std::to_string(epoch.value()) + where};
  epochs_[index] = epoch;
  for (auto [other, below] : {std::pair(index - 1, true), std::pair(index + 1, false)}) {
    if (other >= count() || epochs_[other] == kNoEpoch) continue;
    bool falls = below ? epochs_[other] > epoch : epochs_[other] < epoch;
    if (falls) return Wrong{Oracle::epochs, "the leader epoch falls" + where};
  }
  return std::nullopt;
}

Offset PartitionModel::end_of_epoch(Epoch epoch) const {
  for (std::size_t i = 0; i < count(); ++i) {
    if (epochs_[i] != kNoEpoch && epochs_[i] > epoch) return base(i);
  }
  return kNoOffset;
}

std::vector<Epoch> PartitionModel::epochs_seen() const {
  std::vector<Epoch> out;
  for (auto epoch : epochs_) {
    if (epoch != kNoEpoch && (out.empty() || out.back() != epoch)) out.push_back(epoch);
  }
  return out;
}

// --- compaction ------------------------------------------------------------------------------------------------------

void PartitionModel::note_records() {
  for (const auto& bytes : batches_) {
    auto batch = log::BatchView::parse(bytes.view());
    CHECK(batch.has_value());
    auto records = log::Records::open(*batch, kBatchSizeMax);
    CHECK(records.has_value());
    log::Record record;
    for (auto more = records->next(record); more && *more; more = records->next(record)) {
      Known known{std::string(as_text(*record.key)), std::nullopt};
      if (record.value) known.value = std::string(as_text(*record.value));
      records_.push_back(std::move(known));
    }
  }
  CHECK(Offset(static_cast<std::int64_t>(records_.size())) == full_end());
  std::map<std::string, Offset> newer;
  for (auto at = records_.size(); at-- > 0;) {
    auto found = newer.find(records_[at].key);
    if (found != newer.end()) records_[at].superseded_by = found->second;
    newer[records_[at].key] = Offset(static_cast<std::int64_t>(at));
  }
}

bool PartitionModel::must_be_there(Offset offset) const {
  if (!plan_.compacts) return true;
  const auto& known = records_[static_cast<std::size_t>(offset.value())];
  bool superseded = known.superseded_by != kNoOffset && known.superseded_by < sent_end();
  return !superseded && (known.value.has_value() || plan_.tombstones_stay);
}

// Whether compaction may have left out [from, to).
std::optional<Wrong> PartitionModel::check_missing(Offset from, Offset to) const {
  for (auto offset = from; offset < to; offset = offset + 1) {
    if (must_be_there(offset)) {
      return Wrong{Oracle::compaction, "the newest record of key " +
                                           records_[static_cast<std::size_t>(offset.value())].key + ", at offset " +
                                           text(offset) + " of " + name() + ", is gone"};
    }
  }
  return std::nullopt;
}

// What compaction has left of a batch: records as they were, but for those that may be missing.
std::optional<Wrong> PartitionModel::check_cleaned(log::BatchView batch) const {
  auto at = " in the batch at offset " + text(batch.base_offset()) + " of " + name();
  auto next = batch.base_offset();
  if (batch.record_count() > 0) {
    auto records = log::Records::open(batch, kBatchSizeMax);
    if (!records) return Wrong{Oracle::compaction, "records that cannot be read" + at};
    log::Record record;
    while (true) {
      auto more = records->next(record);
      if (!more) return Wrong{Oracle::compaction, more.error().text() + at};
      if (!*more) break;
      const auto& known = records_[static_cast<std::size_t>(record.offset.value())];
      bool same = record.key && as_text(*record.key) == known.key &&
                  record.value.has_value() == known.value.has_value() &&
                  (!record.value || as_text(*record.value) == *known.value) &&
                  (plan_.append_time || record.timestamp == timestamp_of(record.offset));
      if (!same) return Wrong{Oracle::compaction, "the record at offset " + text(record.offset) + " has changed" + at};
      if (auto wrong = check_missing(next, record.offset)) return wrong;
      next = record.offset + 1;
    }
  }
  return check_missing(next, batch.end_offset());
}

std::optional<Wrong> PartitionModel::check_newest(const Newest& known, Offset from, Offset below) const {
  for (auto offset = from; offset < below; offset = offset + 1) {
    const auto& record = records_[static_cast<std::size_t>(offset.value())];
    if (record.superseded_by != kNoOffset && record.superseded_by < below) continue;
    auto found = known.find(record.key);
    bool right = found == known.end() ? !record.value : found->second == offset;
    if (right) continue;
    return Wrong{Oracle::compaction, "the newest record of key " + record.key + " of " + name() + " is at offset " +
                                         text(offset) + ", and a reader finds " +
                                         (found == known.end() ? "none" : text(found->second))};
  }
  return std::nullopt;
}

// --- what is read ----------------------------------------------------------------------------------------------------

std::optional<Wrong> PartitionModel::check_batch(log::BatchView batch, Witness witness) {
  auto at = " at offset " + text(batch.base_offset()) + " of " + name();
  auto index = index_at(batch.base_offset());
  if (!index || *index >= count()) return Wrong{Oracle::records, "a batch that nobody wrote there" + at};
  if (*index >= sent) return Wrong{Oracle::records, "a batch that nobody has written yet" + at};
  auto written = log::BatchView::parse(batches_[*index].view());
  CHECK(written.has_value());
  auto attributes = static_cast<std::int16_t>(written->attributes() | (plan_.append_time ? 0x08 : 0));
  bool same = batch.attributes() == attributes && batch.record_count() == written->record_count() &&
              batch.last_offset_delta() == written->last_offset_delta() &&
              as_text(batch.records()) == as_text(written->records());
  if (!plan_.append_time) {
    same &= batch.base_timestamp() == written->base_timestamp() && batch.max_timestamp() == written->max_timestamp();
  }
  if (!same && plan_.compacts && batch.last_offset_delta() == written->last_offset_delta()) {
    if (auto wrong = check_cleaned(batch)) return wrong;
    same = true;
  }
  if (!same) return Wrong{Oracle::records, "a batch that differs from what was written" + at};
  return check_promises(*index, batch, witness);
}

std::optional<Wrong> PartitionModel::check_promises(std::size_t index, log::BatchView batch, Witness witness) {
  if (witness == Witness::in_doubt) return std::nullopt;
  auto time = append_times_[index];
  auto epoch = epochs_[index];
  auto wrong = plan_.append_time ? note_append_time(index, batch.max_timestamp()) : std::nullopt;
  if (!wrong) wrong = note_epoch(index, batch.leader_epoch());
  if (witness == Witness::file) {
    append_times_[index] = time;
    epochs_[index] = epoch;
  }
  return wrong;
}

std::optional<Wrong> PartitionModel::check(const Slices& records, Offset asked, Offset limit, Offset& next,
                                           Witness witness) {
  std::optional<Wrong> wrong;
  bool first = true;
  auto end = asked;
  auto visit = [&](log::BatchView batch) {
    auto at = " at offset " + text(batch.base_offset()) + " of " + name();
    // Before all else: of a batch that its checksum gives away, a reader believes nothing, so where it claims to end is
    // no promise that the broker broke. (Whether it may be damaged is for the caller to say.)
    if (!batch.crc_matches()) {
      wrong = Wrong{Oracle::records, "a batch with a wrong checksum" + at, true};
      return false;
    }
    bool follows = first ? batch.base_offset() <= asked && batch.end_offset() > asked : batch.base_offset() == end;
    if (!follows && plan_.compacts && batch.base_offset() >= end) {
      wrong = check_missing(end, batch.base_offset());
      follows = true;
    }
    if (wrong) return false;
    if (!follows) {
      wrong = Wrong{Oracle::records, "after offset " + text(end) + " follows a batch" + at};
    } else if (batch.end_offset() > limit) {
      wrong = Wrong{Oracle::watermark, "a batch beyond the high watermark " + text(limit) + at};
    } else {
      wrong = check_batch(batch, witness);
    }
    first = false;
    end = batch.end_offset();
    return !wrong;
  };
  auto walked = log::for_each_batch(records, visit);
  if (!walked)
    return Wrong{Oracle::records, "what was read of " + name() + " are no batches: " + walked.error().text(), true};
  if (!wrong) next = end;
  return wrong;
}

}  // namespace forelog::simulation
