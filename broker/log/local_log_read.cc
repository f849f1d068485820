// Reads: memory first, then the segment.
#include "broker/log/local_log_impl.h"

#include <algorithm>

namespace forelog::log {
namespace {

constexpr Bytes kReadMin = 64_KiB;
constexpr Bytes kSendMin = 64_KiB;     // less than this is sent from memory, if that has it
constexpr Bytes kScanSize = 1_MiB;     // of one read while looking for a timestamp
constexpr Bytes kOpenedMax = 256_MiB;  // of one batch, opened to find a timestamp
constexpr std::size_t kFootersKept = 2;

LogRead nothing_at(Offset offset) {
  LogRead out;
  out.start = out.end = offset;
  return out;
}

LogRead read_of(BatchRun run, bool from_memory) {
  LogRead out{std::move(run.bytes), run.start, run.end, from_memory};
  if (out.batches.empty()) return out;
  auto first = BatchView::parse(out.batches.front().view());
  if (first) out.first_timestamp = first->base_timestamp();
  return out;
}

Offset offset_of(const Footer& footer, const IndexEntry& entry) { return footer.shard.base + entry.offset_delta; }

// The first entry behind `offset`.
std::vector<IndexEntry>::const_iterator entry_after(const Footer& footer, Offset offset) {
  return std::upper_bound(footer.index.begin(), footer.index.end(), offset - footer.shard.base,
                          [](std::int64_t delta, const IndexEntry& entry) { return delta < entry.offset_delta; });
}

// Where a read should end: at an entry of the index, if one lies in reach. The next read, which begins there, can be
// sent from the file.
Offset end_at_index(const Footer& footer, Offset from, Offset limit, Bytes size_max) {
  auto position = footer.position_for(from);
  auto end = limit;
  for (auto at = entry_after(footer, from); at != footer.index.end(); ++at) {
    if (Bytes{at->position} - position > size_max || offset_of(footer, *at) > limit) break;
    end = offset_of(footer, *at);
  }
  return end;
}

}  // namespace

Offset LocalLog::Impl::local_start() const {
  auto start = end;
  for (auto at = chain.shards().rbegin(); at != chain.shards().rend() && at->local; ++at) start = at->base;
  return std::max(start, state.log_start);
}

std::optional<LogRead> LocalLog::Impl::try_read(const Wanted& wanted) {
  if (wanted.from < state.log_start || wanted.from > end) return std::nullopt;
  if (wanted.from >= std::min(wanted.limit, end)) return nothing_at(wanted.from);
  auto run = tail.read(wanted.from, wanted.limit, wanted.size_max, wanted.at_least_one);
  if (!run) return std::nullopt;
  context.metrics.memory_reads.add();
  return read_of(*std::move(run), true);
}

// Of what memory and the file both have, the file sends much for less: nothing is copied.
std::optional<LogRead> LocalLog::Impl::try_send(const Wanted& wanted) {
  if (wanted.from < state.log_start || wanted.from >= std::min(wanted.limit, written_end)) return std::nullopt;
  const auto* shard = chain.find(wanted.from);
  auto* still_growing = shard != nullptr && shard->local ? growing_at(shard->base) : nullptr;
  if (still_growing == nullptr || still_growing->sendable() < kSendMin) return std::nullopt;
  if (!read_file_handle || read_file_handle->first != still_growing->id()) return std::nullopt;
  read_file_used = context.env.clock.now();
  auto sent = send_file(still_growing->builder.so_far(), still_growing->sendable(), *read_file_handle->second, wanted);
  if (!sent || total_size(sent->batches) < kSendMin) return std::nullopt;
  context.metrics.file_reads.add();
  return sent;
}

Task<Result<LogRead>> LocalLog::Impl::read(Wanted wanted) {
  while (true) {
    if (wanted.to_send) {
      if (auto sent = try_send(wanted)) co_return *std::move(sent);
    }
    if (auto ready = try_read(wanted)) co_return *std::move(ready);
    const auto* shard = chain.find(wanted.from);
    if (wanted.from < state.log_start || !shard || !shard->local) {
      co_return fail(ErrorCode::kOffsetOutOfRange, partition.text() + ": " + std::to_string(wanted.from.value()) +
                                                       " is not in [" + std::to_string(local_start().value()) + ", " +
                                                       std::to_string(end.value()) + "]");
    }
    context.metrics.file_reads.add();
    auto id = chain.id_of(*shard);
    auto read = co_await read_file(*shard, wanted);
    if (read || co_await still_has(id, read.error())) co_return read;
  }
}

// Whether the shard, of which reading has failed, is still here. If not, its bytes are in another one now, or in the
// archive, or gone, and the chain says which.
Task<bool> LocalLog::Impl::still_has(ShardId shard, Error why) {
  while (true) {
    const auto* known = chain.find(shard);
    if (known == nullptr || !known->local) co_return false;
    // The catalog has a change before the chain has it: who is told that something is not there waits for its end.
    if (why.code != ErrorCode::kNotFound || !turn_taken || closing) co_return true;
    co_await wake.wait(context.env.clock.now() + 1s);
  }
}

Task<Result<LogRead>> LocalLog::Impl::read_file(ShardDescriptor shard, Wanted wanted) {
  auto id = chain.id_of(shard);
  auto file = CO_TRY(co_await file_to_read(id));
  std::shared_ptr<const Footer> footer;
  auto* still_growing = growing_at(shard.base);
  while (still_growing == nullptr && !footer) {
    footer = CO_TRY(co_await footer_of(id));
    still_growing = growing_at(shard.base);
  }
  // What the tail has dropped is written; of a growing shard no more than that may be read.
  const auto& known = still_growing != nullptr ? still_growing->builder.so_far() : *footer;
  auto available = still_growing != nullptr ? still_growing->written : shard.size;
  auto limit = wanted.limit;
  if (wanted.to_send) {
    auto sendable = still_growing != nullptr ? still_growing->sendable() : available;
    if (auto sent = send_file(known, sendable, *file, wanted)) co_return *std::move(sent);
    limit = end_at_index(known, wanted.from, wanted.limit, wanted.size_max);
  }
  auto position = known.position_for(wanted.from);
  auto size = std::max(std::min<Bytes>(wanted.size_max, kExtentSizeMax) + kIndexInterval, kReadMin);
  while (position < available) {
    auto bytes = CO_TRY(co_await file->read_at(position, std::min(size, available - position)));
    auto run = take_batches({std::move(bytes)}, wanted.from, limit, wanted.size_max, wanted.at_least_one);
    if (!run) co_return fail(ErrorCode::kCorruptFile, path_of(id) + ": " + run.error().context);
    bool cut_short = run->bytes.empty() && run->needed > 0;
    if (run->bytes.empty() && !cut_short && limit < wanted.limit) {
      limit = wanted.limit;  // compaction has left nothing before that entry: what is next begins at it
      continue;
    }
    if (!cut_short) co_return read_of(*std::move(run), false);
    // The batch with `from` begins further on, or is longer than what was read.
    position += static_cast<Bytes>(run->skipped);
    size = std::max(size, static_cast<Bytes>(run->needed));
    if (position + static_cast<Bytes>(run->needed) > available) {
      co_return fail(ErrorCode::kCorruptFile, path_of(id) + ": a batch is cut off at " + std::to_string(position));
    }
  }
  co_return nothing_at(wanted.from);
}

// The bytes between two entries of the index, as they lie in the file; nothing when `from` is none of them, as after a
// seek, when they are not in the system's memory, or when the file does not say the same as the index: then reading
// them finds out why.
std::optional<LogRead> LocalLog::Impl::send_file(const Footer& footer, Bytes available, env::File& file,
                                                 const Wanted& wanted) {
  auto first = entry_after(footer, wanted.from - 1);
  if (first == footer.index.end() || offset_of(footer, *first) != wanted.from) return std::nullopt;
  auto last = first;
  for (auto next = std::next(first); next != footer.index.end(); ++next) {
    bool fits = Bytes{next->position} - first->position <= wanted.size_max;
    if (!fits || next->position > available || offset_of(footer, *next) > wanted.limit) break;
    last = next;
  }
  if (last == first) return std::nullopt;
  auto bytes = file.resident(first->position, Bytes{last->position} - first->position);
  if (!bytes) return std::nullopt;
  auto head = bytes->slice(0, kBatchHeaderSize).loaded();
  auto batch = BatchView::parse_header(head);
  if (!batch || batch->base_offset() != wanted.from || *BatchView::size_of(head) > bytes->size()) return std::nullopt;
  return LogRead{{*std::move(bytes)}, wanted.from, offset_of(footer, *last), false, batch->base_timestamp()};
}

Task<Result<env::FilePtr>> LocalLog::Impl::file_to_read(ShardId shard) {
  read_file_used = context.env.clock.now();
  if (read_file_handle && read_file_handle->first == shard) co_return read_file_handle->second;
  auto file = CO_TRY(co_await context.env.files.open(path_of(shard), env::OpenMode::read));
  read_file_handle.emplace(shard, file);
  co_return file;
}

Task<Result<std::shared_ptr<const Footer>>> LocalLog::Impl::footer_of(ShardId shard) {
  auto at = std::find_if(footers.begin(), footers.end(), [&](const auto& footer) { return footer->shard == shard; });
  if (at != footers.end()) co_return *at;
  auto loaded = CO_TRY(co_await context.catalog.footer(shard));
  auto footer = std::make_shared<const Footer>(std::move(loaded));
  if (footers.size() >= kFootersKept) footers.erase(footers.begin());
  footers.push_back(footer);
  co_return footer;
}

Task<Result<std::optional<TimestampedOffset>>> LocalLog::Impl::find_by_time(std::int64_t timestamp, Offset limit) {
  // Goes by the chain as it is when it comes to a shard: what lies ahead is rewritten, or leaves, while we read.
  for (auto at = local_start(); (at = std::max(at, state.log_start)) < std::min(limit, end);) {
    const auto* known = chain.find(at);
    if (known == nullptr || known->end <= at) break;
    if (!known->local) {
      co_return fail(ErrorCode::kOffsetOutOfRange, partition.text() + ": the archive has " + known->text() + " now");
    }
    auto shard = *known;
    if (shard.max_timestamp >= timestamp) {
      auto found = co_await find_by_time_in(shard, timestamp, limit);
      if (!found) {
        bool counts = state.log_start <= at && co_await still_has(chain.id_of(shard), found.error());
        if (counts) co_return found;
        continue;
      }
      if (*found) co_return found;
    }
    at = shard.end;
  }
  co_return std::nullopt;
}

Task<Result<std::optional<TimestampedOffset>>> LocalLog::Impl::find_by_time_in(ShardDescriptor shard,
                                                                               std::int64_t timestamp, Offset limit) {
  std::optional<IndexEntry> entry;
  if (auto* still_growing = growing_at(shard.base)) {
    entry = still_growing->builder.so_far().entry_for_time(timestamp);
  } else {
    auto footer = CO_TRY(co_await footer_of(chain.id_of(shard)));
    entry = footer->entry_for_time(timestamp);
  }
  if (!entry) co_return std::nullopt;
  auto from = shard.base + entry->offset_delta;
  auto end_max = std::min(limit, shard.end);
  while ((from = std::max(from, state.log_start)) < end_max) {
    auto read_now = CO_TRY(co_await read({from, end_max, kScanSize, true, false}));
    if (read_now.empty()) break;
    Result<std::optional<TimestampedOffset>> found = std::nullopt;
    auto walked = for_each_batch(read_now.batches, [&](BatchView batch) {
      if (batch.max_timestamp() < timestamp) return true;
      found = log::find_by_time(batch, timestamp, kOpenedMax, from);
      return found.has_value() && !found->has_value();
    });
    CO_TRY(std::move(walked));
    auto match = CO_TRY(std::move(found));
    // One at or above the limit is not there yet.
    if (match) co_return match->offset < end_max ? match : std::nullopt;
    from = read_now.end;
  }
  co_return std::nullopt;
}

// The record of the shard with the largest timestamp, of those from the log's start on and below `limit`; the first of
// several. What the shard says is its newest may not be there: nobody may see it yet, it was deleted, or compaction has
// removed it, and the batch that is left keeps its time, as in Kafka.
Task<Result<std::optional<TimestampedOffset>>> LocalLog::Impl::newest_in(ShardDescriptor shard, Offset limit) {
  auto first = CO_TRY(co_await find_by_time_in(shard, shard.max_timestamp, limit));
  if (first) co_return first;
  std::vector<IndexEntry> index;
  if (auto* still_growing = growing_at(shard.base)) {
    index = still_growing->builder.so_far().index;
  } else {
    auto footer = CO_TRY(co_await footer_of(chain.id_of(shard)));
    index = footer->index;
  }
  // From the end: an entry says how new all is that lies before the next one, so that what is older is not looked at.
  TimestampedOffset newest;
  auto to = std::min(limit, shard.end);
  while (!index.empty() && index.back().max_timestamp > newest.timestamp) {
    auto last = index.back().position;
    auto from = shard.base;
    while (!index.empty() && Bytes{index.back().position} + kScanSize > Bytes{last}) {
      from = shard.base + index.back().offset_delta;
      index.pop_back();
    }
    newest = CO_TRY(co_await newer_between(from, to, newest));
    to = std::min(to, from);
  }
  if (newest.offset == kNoOffset) co_return std::nullopt;
  co_return co_await find_by_time_in(std::move(shard), newest.timestamp, limit);
}

Task<Result<TimestampedOffset>> LocalLog::Impl::newer_between(Offset from, Offset to, TimestampedOffset than) {
  while ((from = std::max(from, state.log_start)) < to) {
    auto read_now = CO_TRY(co_await read({from, to, kScanSize, true, false}));
    if (read_now.empty()) break;
    Result<void> opened;
    auto walked = for_each_batch(read_now.batches, [&](BatchView batch) {
      if (batch.max_timestamp() <= than.timestamp) return true;
      auto newest = find_max_timestamp(batch, kOpenedMax, from);
      if (!newest) opened = fail(std::move(newest).error());
      if (newest && newest->timestamp > than.timestamp) than = *newest;
      return opened.has_value();
    });
    CO_TRY(std::move(walked));
    CO_TRY(std::move(opened));
    from = read_now.end;
  }
  co_return than;
}

Task<Result<TimestampedOffset>> LocalLog::max_timestamp(Offset limit) {
  auto self = impl_;
  auto shards = self->chain.shards();
  // The shard with the largest timestamp first; of equal ones the oldest.
  std::sort(shards.begin(), shards.end(), [](const auto& a, const auto& b) {
    return a.max_timestamp != b.max_timestamp ? a.max_timestamp > b.max_timestamp : a.base < b.base;
  });
  TimestampedOffset newest;
  for (const auto& shard : shards) {
    if (!shard.local || shard.max_timestamp < 0 || shard.base >= limit) continue;
    if (shard.max_timestamp < newest.timestamp) break;
    auto found = co_await self->newest_in(shard, limit);
    if (!found) {
      bool counts = co_await self->still_has(self->chain.id_of(shard), found.error());
      if (counts) co_return fail(std::move(found).error());
      co_return co_await max_timestamp(limit);  // by today's chain
    }
    if (!*found) continue;
    bool newer = (*found)->timestamp > newest.timestamp;
    if (newer || ((*found)->timestamp == newest.timestamp && (*found)->offset < newest.offset)) newest = **found;
  }
  co_return newest;
}

}  // namespace forelog::log
