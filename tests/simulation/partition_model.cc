#include "tests/simulation/partition_model.h"

#include "broker/log/batch_builder.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int64_t kFirstTimestamp = 1767225600000;  // where the simulated wall clock begins
constexpr std::int64_t kTimestampStep = 10;

log::BatchBuilder build(std::uint64_t seed, Offset base, const PartitionPlan& plan) {
  env::SeededRandom random(seed);
  log::BatchBuilder builder;
  auto records = 1 + random.below(random.chance(0.1) ? 40 : 4);
  auto size_max = plan.value_size_max / (records > 8 ? 8 : 1);
  for (std::uint64_t i = 0; i < records; ++i) {
    auto offset = base + static_cast<std::int64_t>(i);
    auto key = std::to_string(random.below(100));
    // Half of it noise, so that codecs neither give up nor shrink it to nothing.
    std::string value = plan.topic.value() + "@" + std::to_string(offset.value()) + ":";
    value.resize(value.size() + random.below(size_max + 1), 'x');
    for (std::size_t at = value.size() / 2; at < value.size(); ++at) value[at] = static_cast<char>(random.next());
    builder.add(PartitionModel::timestamp_of(offset), key, value);
  }
  constexpr log::Codec kCodecs[] = {log::Codec::none, log::Codec::none, log::Codec::lz4, log::Codec::zstd};
  builder.codec(kCodecs[random.below(std::size(kCodecs))]);
  return builder;
}

}  // namespace

std::int64_t PartitionModel::timestamp_of(Offset offset) { return kFirstTimestamp + kTimestampStep * offset.value(); }

PartitionModel::PartitionModel(const PartitionPlan& plan, std::uint64_t seed) : plan_(plan), seed_(seed) {
  bases_.push_back(Offset(0));
  for (std::size_t i = 0; i < plan.batches; ++i) {
    auto builder = build(seed_ + i, bases_.back(), plan_);
    bases_.push_back(bases_.back() + builder.count());
    batches_.push_back(std::move(builder).build());
  }
}

std::string PartitionModel::name() const { return plan_.topic.value() + "-" + std::to_string(plan_.partition.value()); }

Buffer PartitionModel::produce(std::size_t index, ProducerId producer, std::int16_t epoch,
                               std::int32_t sequence) const {
  auto builder = build(seed_ + index, bases_[index], plan_);
  builder.producer(producer, epoch, sequence);
  return std::move(builder).build();
}

std::optional<std::size_t> PartitionModel::index_at(Offset offset) const {
  auto at = std::lower_bound(bases_.begin(), bases_.end(), offset);
  if (at == bases_.end() || *at != offset) return std::nullopt;
  return static_cast<std::size_t>(at - bases_.begin());
}

Offset PartitionModel::offset_at(std::int64_t timestamp) const {
  auto after = std::max<std::int64_t>(0, timestamp - kFirstTimestamp);
  return Offset((after + kTimestampStep - 1) / kTimestampStep);
}

Bytes PartitionModel::bytes_from(Offset from) const {
  Bytes sum = 0;
  for (std::size_t i = 0; i < count(); ++i) {
    if (base(i) >= from) sum += static_cast<Bytes>(batches_[i].size());
  }
  return sum;
}

void PartitionModel::on_power_cut() {
  if (plan_.durability == log::Durability::wal) return;
  acknowledged = 0;
  readable = Offset(0);
}

std::optional<std::string> PartitionModel::check_batch(log::BatchView batch) const {
  auto at = " at offset " + std::to_string(batch.base_offset().value()) + " of " + name();
  if (!batch.crc_matches()) return "a batch with a wrong checksum" + at;
  auto index = index_at(batch.base_offset());
  if (!index || *index >= count()) return "a batch that nobody wrote there" + at;
  if (*index >= sent) return "a batch that nobody has written yet" + at;
  auto written = log::BatchView::parse(batches_[*index].view());
  CHECK(written.has_value());
  bool same = batch.attributes() == written->attributes() && batch.record_count() == written->record_count() &&
              batch.last_offset_delta() == written->last_offset_delta() &&
              batch.base_timestamp() == written->base_timestamp() &&
              batch.max_timestamp() == written->max_timestamp() &&
              as_text(batch.records()) == as_text(written->records());
  if (!same) return "a batch that differs from what was written" + at;
  return std::nullopt;
}

std::optional<std::string> PartitionModel::check(const Slices& records, Offset asked, Offset limit,
                                                 Offset& next) const {
  std::optional<std::string> wrong;
  bool first = true;
  auto end = asked;
  auto visit = [&](log::BatchView batch) {
    auto at = " at offset " + std::to_string(batch.base_offset().value()) + " of " + name();
    bool follows = first ? batch.base_offset() <= asked && batch.end_offset() > asked : batch.base_offset() == end;
    if (!follows) {
      wrong = "after offset " + std::to_string(end.value()) + " follows a batch" + at;
    } else if (batch.end_offset() > limit) {
      wrong = "a batch beyond the high watermark " + std::to_string(limit.value()) + at;
    } else {
      wrong = check_batch(batch);
    }
    first = false;
    end = batch.end_offset();
    return !wrong;
  };
  auto walked = log::for_each_batch(records, visit);
  if (!walked) return "what was read of " + name() + " are no batches: " + walked.error().text();
  next = end;
  return wrong;
}

}  // namespace forelog::simulation
