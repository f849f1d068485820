#include "broker/replication/producer_table.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/versions.h"

#include <algorithm>
#include <string>
#include <vector>

namespace forelog::replication {
namespace {

constexpr std::uint8_t kVersion = 1;
constexpr std::size_t kProducerSize = 8 + 2 + 8 + 1;
constexpr std::size_t kBatchSize = 4 + 4 + 8 + 4 + 8;

std::int32_t next_sequence(std::int32_t last) { return last == INT32_MAX ? 0 : last + 1; }

std::string name(log::BatchView batch) {
  return "producer " + std::to_string(batch.producer_id().value()) + " epoch " +
         std::to_string(batch.producer_epoch()) + " sequence " + std::to_string(batch.base_sequence());
}

}  // namespace

Result<std::optional<ProducerTable::Duplicate>> ProducerTable::check(log::BatchView batch) const {
  // Control batches carry no sequence: the coordinator fences them by its own epoch.
  if (!batch.has_producer() || batch.is_control()) return std::nullopt;
  auto at = producers_.find(batch.producer_id());
  // Nothing known: retention may have removed it, so any sequence begins (KIP-360).
  if (at == producers_.end()) return std::nullopt;
  const auto& producer = at->second;

  if (batch.producer_epoch() < producer.epoch) {
    return fail(ErrorCode::kInvalidProducerEpoch, name(batch) + ", epoch is " + std::to_string(producer.epoch));
  }
  if (batch.producer_epoch() > producer.epoch) {
    if (batch.base_sequence() == 0 || producer.epoch < 0) return std::nullopt;
    return fail(ErrorCode::kOutOfOrderSequence, name(batch) + ", a new epoch begins with 0");
  }
  for (std::size_t i = 0; i < producer.count; ++i) {
    const auto& known = producer.batches[i];
    if (known.first_sequence == batch.base_sequence() && known.last_sequence == batch.last_sequence()) {
      return Duplicate{known.last_offset - known.offset_delta, known.last_offset, known.timestamp};
    }
  }
  if (producer.count == 0) {  // only control batches of this epoch so far
    if (batch.base_sequence() == 0) return std::nullopt;
    return fail(ErrorCode::kOutOfOrderSequence, name(batch) + ", expected 0");
  }
  auto expected = next_sequence(producer.batches[producer.count - 1u].last_sequence);
  if (batch.base_sequence() == expected) return std::nullopt;
  return fail(ErrorCode::kOutOfOrderSequence, name(batch) + ", expected " + std::to_string(expected));
}

std::vector<ProducerTable::State> ProducerTable::list() const {
  std::vector<State> out;
  for (const auto& [id, producer] : producers_) {
    auto last = producer.count == 0 ? -1 : producer.batches[producer.count - 1u].last_sequence;
    out.push_back({id, producer.epoch, last, producer.last_timestamp});
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.id < b.id; });
  return out;
}

void ProducerTable::add(log::BatchView batch) {
  newest_timestamp_ = std::max(newest_timestamp_, batch.max_timestamp());
  if (!batch.has_producer()) return;
  auto& producer = producers_[batch.producer_id()];
  if (batch.producer_epoch() != producer.epoch) {
    producer.epoch = batch.producer_epoch();
    producer.count = 0;
  }
  // The clock of the log when it was appended, so that a producer of old data does not seem idle.
  producer.last_timestamp = newest_timestamp_;
  if (batch.is_control()) return;
  if (producer.count == producer.batches.size()) {
    std::move(producer.batches.begin() + 1, producer.batches.end(), producer.batches.begin());
    --producer.count;
  }
  producer.batches[producer.count++] = {batch.base_sequence(), batch.last_sequence(), batch.last_offset(),
                                        batch.last_offset_delta(), batch.max_timestamp()};
}

bool ProducerTable::is_newest(log::BatchView batch) const {
  auto at = producers_.find(batch.producer_id());
  if (at == producers_.end() || at->second.count == 0) return false;
  return at->second.batches[at->second.count - 1u].last_offset == batch.last_offset();
}

void ProducerTable::expire(Duration idle) {
  std::erase_if(producers_, [&](const auto& entry) {
    std::int64_t waited = 0;
    if (__builtin_sub_overflow(newest_timestamp_, entry.second.last_timestamp, &waited)) return true;
    return waited > to_ms(idle);
  });
}

std::size_t ProducerTable::evict_to(std::size_t count) {
  if (producers_.size() <= count) return 0;
  // By time, then by id: equal tables lose the same producers.
  std::vector<std::pair<std::int64_t, ProducerId>> by_age;
  by_age.reserve(producers_.size());
  for (const auto& [id, producer] : producers_) by_age.emplace_back(producer.last_timestamp, id);
  auto gone = static_cast<std::ptrdiff_t>(producers_.size() - count);
  std::nth_element(by_age.begin(), by_age.begin() + gone - 1, by_age.end());
  for (auto at = by_age.begin(); at != by_age.begin() + gone; ++at) producers_.erase(at->second);
  return static_cast<std::size_t>(gone);
}

Buffer ProducerTable::snapshot() const {
  std::vector<ProducerId> ids;  // in order, so that equal tables have equal bytes
  ids.reserve(producers_.size());
  for (const auto& [id, producer] : producers_) ids.push_back(id);
  std::sort(ids.begin(), ids.end());
  ByteWriter out;
  out.reserve(16 + ids.size() * (kProducerSize + 5 * kBatchSize));
  out.u8(kVersion);
  out.i64(newest_timestamp_);
  out.uvarlong(ids.size());
  for (auto id : ids) {
    const auto& producer = producers_.at(id);
    out.i64(id.value());
    out.i16(producer.epoch);
    out.i64(producer.last_timestamp);
    out.u8(producer.count);
    for (std::size_t i = 0; i < producer.count; ++i) {
      const auto& batch = producer.batches[i];
      out.i32(batch.first_sequence);
      out.i32(batch.last_sequence);
      out.i64(batch.last_offset.value());
      out.i32(batch.offset_delta);
      out.i64(batch.timestamp);
    }
  }
  return std::move(out).take_buffer();
}

ProducerId ProducerTable::largest_id() const {
  ProducerId largest{-1};
  for (const auto& [id, producer] : producers_) largest = std::max(largest, id);
  return largest;
}

Result<ProducerTable> ProducerTable::restore(ByteView snapshot) {
  ProducerTable table;
  if (snapshot.empty()) return table;
  auto corrupt = [](const char* what) {
    return fail(ErrorCode::kCorruptFile, std::string("producer snapshot: ") + what);
  };
  ByteReader in(snapshot);
  auto version = in.u8();
  if (version != kVersion)
    return fail(ErrorCode::kCorruptFile, unknown_version("producer snapshot", version, kVersion));
  table.newest_timestamp_ = in.i64();
  auto count = in.uvarlong();
  if (!in.ok() || count > in.remaining() / kProducerSize) return corrupt("more producers than bytes");
  for (std::uint64_t i = 0; i < count; ++i) {
    ProducerId id(in.i64());
    Producer producer;
    producer.epoch = in.i16();
    producer.last_timestamp = in.i64();
    producer.count = in.u8();
    if (producer.count > producer.batches.size()) return corrupt("more than five batches");
    for (std::size_t b = 0; b < producer.count; ++b) {
      auto& batch = producer.batches[b];
      batch.first_sequence = in.i32();
      batch.last_sequence = in.i32();
      batch.last_offset = Offset(in.i64());
      batch.offset_delta = in.i32();
      batch.timestamp = in.i64();
    }
    if (!in.ok() || !table.producers_.emplace(id, producer).second) return corrupt("contradicts itself");
  }
  if (!in.ok() || !in.at_end()) return corrupt("cut off, or goes on");
  return table;
}

}  // namespace forelog::replication
