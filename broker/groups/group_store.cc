#include "broker/groups/group_store.h"

#include "broker/base/byte_reader.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/env/event.h"
#include "broker/log/batch_builder.h"

#include <utility>

namespace forelog::groups {
namespace {

constexpr std::size_t kBatchSizeWanted = 256 * 1024;  // well below max.message.bytes
constexpr Bytes kReadSize = 1_MiB;
constexpr Duration kReadWaitMax = 30s;

std::string_view text(const Buffer& buffer) { return buffer.text(); }

// Puts the log's records together, in their order, into what they leave behind.
class Replay {
 public:
  explicit Replay(PartitionId partition) : partition_(partition) {}

  Result<void> batch(log::BatchView batch) {
    end_ = batch.end_offset();
    if (batch.is_control()) return control(batch);
    auto records = TRY(log::Records::open(batch, kBatchSizeMax));
    for (log::Record record; TRY(records.next(record));) {
      auto decoded = decode_record(record.key.value_or(ByteView{}), record.value);
      if (!decoded) {
        log_line(warn, "group_record_skipped",
                 {{"partition", partition_}, {"offset", record.offset}, {"error", decoded.error()}});
      } else if (!*decoded) {
        log_line(debug, "group_record_of_newer_kind", {{"partition", partition_}, {"offset", record.offset}});
      } else if (batch.is_transactional()) {
        // Committed offsets of a transaction count once its marker says so.
        pending_[batch.producer_id()].emplace_back(record.offset, std::move(**decoded));
      } else {
        apply(std::move(**decoded), record.offset);
      }
    }
    return {};
  }

  Offset end() const { return end_; }
  GroupStore::StoredGroups take() && { return std::move(groups_); }

 private:
  Result<void> control(log::BatchView batch) {
    auto records = TRY(log::Records::open(batch, kBatchSizeMax));
    log::Record marker;
    if (!TRY(records.next(marker)) || !marker.key) return {};
    ByteReader key(*marker.key);
    key.i16();  // version
    bool commits = key.i16() == 1;
    auto node = pending_.extract(batch.producer_id());
    if (!node || !commits || !key.ok()) return {};
    for (auto& [offset, record] : node.mapped()) apply(std::move(record), offset);
    return {};
  }

  void apply(StoredRecord record, Offset at) {
    if (auto* offset = std::get_if<OffsetRecord>(&record)) {
      auto& group = groups_[offset->group];
      if (offset->committed) {
        group.offsets.put(offset->partition, std::move(*offset->committed), at);
      } else {
        group.offsets.forget(offset->partition, at);
      }
      forget_if_nothing_is_left(offset->group);
      return;
    }
    auto& of_group = std::get<GroupRecord>(record);
    groups_[of_group.group].snapshot = std::move(of_group.snapshot);
    forget_if_nothing_is_left(of_group.group);
  }

  void forget_if_nothing_is_left(const GroupId& id) {
    auto at = groups_.find(id);
    if (!at->second.snapshot && at->second.offsets.empty()) groups_.erase(at);
  }

  PartitionId partition_;
  Offset end_{0};
  GroupStore::StoredGroups groups_;
  std::map<ProducerId, std::vector<std::pair<Offset, StoredRecord>>> pending_;
};

}  // namespace

Task<Result<std::vector<Offset>>> GroupStore::append(PartitionId partition, std::vector<StoredRecord> records) {
  std::vector<Offset> offsets;
  auto now = to_ms(clock_.wall());
  for (std::size_t next = 0; next < records.size();) {
    log::BatchBuilder builder;
    do {
      auto encoded = encode_record(records[next++]);
      auto value = encoded.value ? std::optional(text(*encoded.value)) : std::nullopt;
      builder.add(now, text(encoded.key), value);
    } while (next < records.size() && builder.size() < kBatchSizeWanted);
    auto count = builder.count();
    auto batch = std::move(builder).build();
    auto base =
        CO_TRY(co_await log_.append(partition, std::move(batch), clock_.now() + settings_.offsets_commit_timeout));
    for (std::int32_t i = 0; i < count; ++i) offsets.push_back(base + i);
  }
  co_return offsets;
}

Task<Result<GroupStore::StoredGroups>> GroupStore::load(PartitionId partition, std::function<bool()> keep_going) {
  auto end = CO_TRY(log_.end(partition));
  auto at = CO_TRY(log_.start(partition));
  Replay replay(partition);
  while (at < end) {
    if (!keep_going()) co_return fail(ErrorCode::kStopping, "loading " + std::to_string(partition.value()));
    auto slices = CO_TRY(co_await log_.read(partition, at, kReadSize, clock_.now() + kReadWaitMax));
    Result<void> replayed;
    auto each = [&](log::BatchView batch) {
      replayed = replay.batch(batch);
      return replayed.has_value();
    };
    CO_TRY(log::for_each_batch(slices, each));
    CO_TRY(std::move(replayed));
    // Nothing yet: the high watermark has still to reach what a leader before us has written.
    if (replay.end() <= at) {
      co_await sleep_until(clock_, clock_.now() + 20ms);
      continue;
    }
    at = replay.end();
  }
  co_return std::move(replay).take();
}

}  // namespace forelog::groups
