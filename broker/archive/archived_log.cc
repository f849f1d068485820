#include "broker/archive/archived_log.h"

#include "broker/base/byte_reader.h"

#include <algorithm>
#include <map>
#include <utility>

namespace forelog::archive {
namespace {

constexpr std::size_t kWalksMax = 4;  // for readers that wait for the first bytes of what they want; others walk again

ObjectShape shape_of(const log::ShardDescriptor& shard) { return {shard.object_size(), shard.footer_size}; }

// What the first bytes of a batch say of it.
struct BatchHead {
  Offset base;
  Offset last;
  Bytes size = 0;
  std::int64_t first_timestamp = -1;
  std::int64_t max_timestamp = -1;
};

// Batches come in order, and none before `least`: checksums say that a shard is as it was written, not by whom.
Result<BatchHead> parse_head(ByteView bytes, const log::Footer& footer, Bytes position, Offset least) {
  ByteReader reader(bytes);
  BatchHead head;
  head.base = Offset(reader.i64());
  head.size = reader.i32() + static_cast<Bytes>(log::kBatchLengthEnd);
  reader.bytes(23 - 12);
  auto delta = reader.i32();
  head.first_timestamp = reader.i64();
  head.max_timestamp = reader.i64();
  bool sound = head.size >= static_cast<Bytes>(log::kBatchHeaderSize) && head.size <= footer.size - position &&
               delta >= 0 && head.base >= least && head.base < footer.end && delta < footer.end - head.base;
  if (!sound)
    return fail(ErrorCode::kCorruptFile, footer.shard.text() + ": no batch at byte " + std::to_string(position));
  head.last = head.base + delta;
  return head;
}

// Position of the first indexed batch that begins at or after `offset`: all before it is needed to read up to `offset`.
Bytes end_position(const log::Footer& footer, Offset offset) {
  if (offset >= footer.end) return footer.size;
  auto after = [&](const log::IndexEntry& entry) { return footer.shard.base + entry.offset_delta < offset; };
  auto at = std::partition_point(footer.index.begin(), footer.index.end(), after);
  return at == footer.index.end() ? footer.size : Bytes{at->position};
}

}  // namespace

// A walk over the batches of one shard, in the blocks that are in memory.
class ArchivedLog::Cursor {
 public:
  Cursor(cache::BlockCache& cache, const log::Footer& footer, const log::ShardDescriptor& shard, Bytes position)
      : footer(footer), shard(shard), position(position), taken_from(position), cache_(cache) {}

  // Whether `[at, at + size)` is in memory; if not, `missing` is the first block that is not.
  bool holds(Bytes at, Bytes size) {
    for (auto index = cache::block_of(at); index < cache::block_count(at + size); ++index) {
      if (blocks_.contains(index)) continue;
      auto block = cache_.peek({footer.shard, index});
      if (!block) {
        missing = index;
        missing_until = at + size;
        return false;
      }
      blocks_.emplace(index, *std::move(block));
    }
    return true;
  }
  // Copies bytes that `holds`.
  void copy(Bytes at, MutableByteView into) const {
    for (std::size_t done = 0; done < into.size();) {
      auto position_now = at + static_cast<Bytes>(done);
      const auto& block = blocks_.at(cache::block_of(position_now));
      auto inside = static_cast<std::size_t>(position_now % kBlockSize);
      CHECK(inside < block.size(), "a cached block is shorter than its shard says");
      auto size = std::min(into.size() - done, block.size() - inside);
      std::memcpy(into.data() + done, block.data() + inside, size);
      done += size;
    }
  }
  const Buffer& block(std::uint32_t index) const { return blocks_.at(index); }
  Bytes taken() const { return position - taken_from; }

  const log::Footer& footer;
  const log::ShardDescriptor& shard;
  Bytes position;                              // of the next batch
  Offset least = footer.shard.base;            // no batch from here on begins before it
  Bytes taken_from;                            // of the first batch wanted
  Offset first = kNoOffset, next = kNoOffset;  // offsets of what is taken
  std::int64_t first_timestamp = -1, last_timestamp = -1;
  std::optional<std::uint32_t> missing;
  Bytes missing_until = 0;  // end of what was needed when it was found missing
  std::optional<Error> error;

 private:
  cache::BlockCache& cache_;
  std::map<std::uint32_t, Buffer> blocks_;
};

ArchivedLog::ArchivedLog(PartitionKey partition, cache::BlockCache& cache, FooterCache& footers, env::Clock& clock)
    : partition_(partition), cache_(cache), footers_(footers), clock_(clock) {}

void ArchivedLog::set_shards(std::vector<log::ShardDescriptor> shards) {
  for (std::size_t i = 1; i < shards.size(); ++i)
    CHECK(shards[i - 1].end == shards[i].base, "an archived chain has a gap");
  shards_ = std::move(shards);
}

Offset ArchivedLog::start() const { return shards_.empty() ? Offset(0) : shards_.front().base; }
Offset ArchivedLog::end() const { return shards_.empty() ? Offset(0) : shards_.back().end; }

const log::ShardDescriptor* ArchivedLog::find(Offset offset) const {
  auto at = std::upper_bound(shards_.begin(), shards_.end(), offset,
                             [](Offset o, const log::ShardDescriptor& shard) { return o < shard.base; });
  if (at == shards_.begin() || !std::prev(at)->contains(offset)) return nullptr;
  return &*std::prev(at);
}

// --- reading by offset -----------------------------------------------------------------------------------------------

Result<ColdRead> ArchivedLog::try_read(const ColdRequest& request, std::shared_ptr<Event> landed) {
  ColdRead read;
  read.end = request.from;
  if (find(request.from) == nullptr && (empty() || request.from != end())) {
    return fail(ErrorCode::kOffsetOutOfRange, partition_.text() + "@" + std::to_string(request.from.value()));
  }
  while (const auto* shard = find(read.end)) {
    bool full = read.size() >= request.size_max && !(request.at_least_one_batch && read.size() == 0);
    if (full || read.end >= request.limit) break;
    auto id = id_of(*shard);
    auto footer = footers_.find(id);
    if (!footer) {
      if (auto error = footers_.recent_failure(id)) {
        if (read.size() == 0) return fail(std::move(*error));
        break;
      }
      footers_.load(id, shape_of(*shard), landed);
      read.waiting = true;
      break;
    }
    Cursor cursor(cache_, *footer, *shard, walked_to(*footer, read.end));
    bool to_the_end = read_shard(cursor, request, read);
    if (cursor.error && read.size() + cursor.taken() == 0) {
      footers_.note_unreadable(id, *cursor.error);
      return fail(std::move(*cursor.error));
    }
    take(cursor, request, read);
    if (cursor.missing) {
      if (read.size() == 0) note_walk(cursor, read.end);
      TRY(load_missing(cursor, request, landed, read));
    }
    if (!to_the_end) break;
    if (read.end < shard->end) read.end = shard->end;  // the last records may be gone by compaction
  }
  return read;
}

// Walks over the batches that the request may have. True when it may have what comes after this shard too.
bool ArchivedLog::read_shard(Cursor& cursor, const ColdRequest& request, ColdRead& read) const {
  std::array<std::byte, log::kBatchHeaderSize> bytes;
  auto from = read.end;
  while (cursor.position < cursor.footer.size) {
    auto head_size = std::min<Bytes>(bytes.size(), cursor.footer.size - cursor.position);
    if (!cursor.holds(cursor.position, head_size)) return false;
    auto view = MutableByteView(bytes).first(static_cast<std::size_t>(head_size));
    cursor.copy(cursor.position, view);
    auto head = parse_head(view, cursor.footer, cursor.position, cursor.least);
    if (!head) return cursor.error = std::move(head).error(), false;
    cursor.least = head->last + 1;
    if (head->last < from) {
      CHECK(cursor.taken() == 0);
      cursor.position += head->size;
      cursor.taken_from = cursor.position;
      continue;
    }
    if (head->last >= request.limit) return false;
    auto taken = read.size() + cursor.taken();
    if (taken + head->size > request.size_max && !(request.at_least_one_batch && taken == 0)) return false;
    if (head->size > cache_.capacity() / 2) {
      cursor.error =
          Error{ErrorCode::kOverloaded, "cache.memory is too small for a batch of " + std::to_string(head->size) +
                                            " bytes in " + cursor.footer.shard.text()};
      return false;
    }
    if (!cursor.holds(cursor.position, head->size)) return false;
    if (cursor.first == kNoOffset) cursor.first = head->base, cursor.first_timestamp = head->first_timestamp;
    cursor.next = head->last + 1;
    cursor.last_timestamp = head->max_timestamp;
    cursor.position += head->size;
  }
  return true;
}

// Where the walk to the batch with `from` begins. The index leads to one before it, which may lie in a block before:
// who has come further once and then had to wait goes on from there, or he would need more blocks than the batch has.
Bytes ArchivedLog::walked_to(const log::Footer& footer, Offset from) const {
  for (const auto& walk : walks_) {
    if (walk.shard == footer.shard && walk.from == from) return walk.position;
  }
  return footer.position_for(from);
}

// The cursor had to stop before it had all of the first batch from `from` on.
void ArchivedLog::note_walk(const Cursor& cursor, Offset from) {
  const auto& shard = cursor.footer.shard;
  auto first = cache::block_of(cursor.position);
  cache_.keep_together({shard, first, cache::block_count(cursor.missing_until) - first});
  if (cursor.position == walked_to(cursor.footer, from)) return;
  std::erase_if(walks_, [&](const Walk& walk) { return walk.shard == shard && walk.from == from; });
  if (walks_.size() == kWalksMax) walks_.erase(walks_.begin());
  walks_.push_back({shard, from, cursor.position});
}

// Puts what the cursor walked over into `read`: slices of blocks, whose use is noted now that they are used.
void ArchivedLog::take(const Cursor& cursor, const ColdRequest& request, ColdRead& read) {
  if (cursor.taken() == 0) return;
  auto shard = cursor.footer.shard;
  if (read.start == kNoOffset) {
    read.start = cursor.first;
    read.first_timestamp = cursor.first_timestamp;
    read.shard = shard;
    read.first_block = cache::block_of(cursor.taken_from);
    read.last_block = cache::block_of(cursor.position - 1);
  }
  read.end = cursor.next;
  read.last_timestamp = cursor.last_timestamp;
  read.ready = std::max(read.ready, footers_.in_memory_since(shard));
  for (auto at = cursor.taken_from; at < cursor.position;) {
    auto index = cache::block_of(at);
    auto hit = cache_.find({shard, index}, request.reader);
    auto until = std::min(cursor.position, cache::position_of(index + 1));
    auto inside = static_cast<std::size_t>(at - cache::position_of(index));
    read.batches.push_back(cursor.block(index).slice(inside, static_cast<std::size_t>(until - at)));
    if (hit) read.ready = std::max(read.ready, hit->in_memory);
    bool waited = hit && hit->first_use && hit->was_awaited;  // no hit: the use of another block has just displaced it
    auto& from = !waited                                   ? read.from_memory
                 : hit->origin == cache::BlockOrigin::disk ? read.from_disk
                                                           : read.from_archive;
    from += until - at;
    if (hit && hit->first_use && hit->cause.is_prefetch()) {
      read.joined = read.joined || waited;
      if (!read.cause.is_prefetch()) read.cause = hit->cause;
    }
    at = until;
  }
}

// Loads what the request could use from the missing block on, or says why that has just failed.
Result<void> ArchivedLog::load_missing(const Cursor& cursor, const ColdRequest& request,
                                       const std::shared_ptr<Event>& landed, ColdRead& read) {
  auto shard = cursor.footer.shard;
  BlockId missing{shard, *cursor.missing};
  auto begin = cache::position_of(missing.index);
  auto wanted = std::max<Bytes>(0, request.size_max - read.size());
  auto most = std::max(cursor.missing_until - begin, cache_.capacity() / 4);
  auto until = std::max(cursor.missing_until, std::min(begin + most, cursor.position + wanted));
  if (request.limit < cursor.footer.end) {
    until = std::min(until, std::max(cursor.missing_until, end_position(cursor.footer, request.limit)));
  }
  auto in_shard = std::min(until, cursor.footer.size);
  auto error = cache_.recent_failure(missing);
  if (!error) {
    cache::LoadCause cause{.reader = request.reader, .decided = clock_.now()};
    cache_.start_load({shard, missing.index, cache::block_count(in_shard) - missing.index}, cause);
    read.waiting = cache_.subscribe(missing, landed);
    if (until > cursor.footer.size) {
      // In a cache of a few blocks the next shard and what this read still needs would go on displacing each other.
      auto beyond = until - cursor.footer.size;
      auto blocks = cache::block_count(in_shard) - cache::block_of(cursor.position) + cache::block_count(beyond);
      if (cache::position_of(blocks) <= cache_.capacity() / 2) load_next(cursor.shard, beyond, request);
    }
    if (!read.waiting) error = cache_.recent_failure(missing);
  }
  if (error && read.size() == 0) return fail(std::move(*error));
  return {};
}

// The request reaches over the seam: the next shard loads beside this one, not after it.
void ArchivedLog::load_next(const log::ShardDescriptor& after, Bytes size, const ColdRequest& request) {
  const auto* shard = find(after.end);
  if (shard == nullptr || shard->base >= request.limit) return;
  auto id = id_of(*shard);
  if (!footers_.find(id)) return footers_.load(id, shape_of(*shard), nullptr);
  cache::LoadCause cause{.reader = request.reader, .decided = clock_.now()};
  cache_.start_load({id, 0, cache::block_count(std::min(size, shard->size))}, cause);
}

// --- by time ---------------------------------------------------------------------------------------------------------

Task<Result<std::optional<log::TimestampedOffset>>> ArchivedLog::find_by_time(Offset from, std::int64_t timestamp,
                                                                              Deadline deadline) {
  for (auto at = std::max(from, start()); const auto* shard = find(at); at = std::max(at, start())) {
    auto id = id_of(*shard);
    auto end = shard->end;
    if (shard->max_timestamp >= timestamp) {
      auto found = co_await find_in_shard(id, shape_of(*shard), from, timestamp, deadline);
      const auto* now = find(at);
      // One that was rewritten meanwhile, or has gone, may have no object any more: what is there now counts.
      if (!found && (now == nullptr || id_of(*now) != id)) continue;
      if (!found || *found) co_return found;
    }
    at = end;
  }
  co_return std::optional<log::TimestampedOffset>{};
}

Task<Result<std::optional<log::TimestampedOffset>>> ArchivedLog::find_in_shard(ShardId shard, ObjectShape shape,
                                                                               Offset from, std::int64_t timestamp,
                                                                               Deadline deadline) {
  auto footer = CO_TRY(co_await footers_.get(shard, shape, deadline));
  auto found = footer->position_for_time(timestamp);
  auto begin = std::max(found.value_or(footer->size), from <= footer->shard.base ? 0 : footer->position_for(from));
  InHand block;
  auto least = footer->shard.base;
  for (auto position = begin; position < footer->size;) {
    auto head_size = std::min<Bytes>(log::kBatchHeaderSize, footer->size - position);
    auto bytes = CO_TRY(co_await read_bytes(shard, position, head_size, block, deadline));
    auto head = CO_TRY(parse_head(bytes, *footer, position, least));
    least = head.last + 1;
    if (head.max_timestamp >= timestamp && head.last >= from) {
      auto batch_bytes = CO_TRY(co_await read_bytes(shard, position, head.size, block, deadline));
      auto batch = CO_TRY(log::BatchView::parse(batch_bytes));
      auto record = CO_TRY(log::find_by_time(batch, timestamp, kBatchSizeMax, from));
      if (record) co_return record;
    }
    position += head.size;
  }
  co_return std::optional<log::TimestampedOffset>{};
}

Task<Result<log::TimestampedOffset>> ArchivedLog::max_timestamp(Offset from, Offset limit, log::TimestampedOffset than,
                                                                Deadline deadline) {
  // The shard with the largest timestamp first; of equal ones the oldest.
  std::vector<log::ShardDescriptor> candidates;
  for (const auto& shard : shards_) {
    if (shard.end > from && shard.base < limit && shard.max_timestamp >= 0) candidates.push_back(shard);
  }
  std::sort(candidates.begin(), candidates.end(), [](const auto& a, const auto& b) {
    return a.max_timestamp != b.max_timestamp ? a.max_timestamp > b.max_timestamp : a.base < b.base;
  });
  auto newest = than;
  for (const auto& shard : candidates) {
    if (shard.max_timestamp < newest.timestamp) break;
    auto id = id_of(shard);
    auto found = co_await newest_in(id, shape_of(shard), from, limit, deadline);
    if (!found) {
      const auto* now = find(std::max(shard.base, start()));
      if (now != nullptr && id_of(*now) == id) co_return fail(std::move(found).error());
      co_return co_await max_timestamp(std::max(from, start()), limit, than, deadline);  // by today's shards
    }
    if (!*found) continue;
    bool newer = (*found)->timestamp > newest.timestamp;
    if (newer || ((*found)->timestamp == newest.timestamp && (*found)->offset < newest.offset)) newest = **found;
  }
  co_return newest;
}

Task<Result<std::optional<log::TimestampedOffset>>> ArchivedLog::newest_in(ShardId shard, ObjectShape shape,
                                                                           Offset from, Offset limit,
                                                                           Deadline deadline) {
  auto footer = CO_TRY(co_await footers_.get(shard, shape, deadline));
  auto first = CO_TRY(co_await find_in_shard(shard, shape, from, footer->max_timestamp, deadline));
  if (first && first->offset < limit) co_return first;
  // From the end: an entry says how new all is that lies before the next one, so that what is older is not looked at.
  log::TimestampedOffset newest;
  InHand block;
  auto index = footer->index;
  for (auto end = footer->size; !index.empty() && index.back().max_timestamp > newest.timestamp;) {
    auto entry = index.back();
    index.pop_back();
    for (; !index.empty() && Bytes{index.back().position} + kBlockSize > end; index.pop_back()) entry = index.back();
    auto least = shard.base + entry.offset_delta;
    bool is_last = least <= from;
    for (auto position = Bytes{entry.position}; least < limit && position < end;) {
      auto head_size = std::min<Bytes>(log::kBatchHeaderSize, footer->size - position);
      auto bytes = CO_TRY(co_await read_bytes(shard, position, head_size, block, deadline));
      auto head = CO_TRY(parse_head(bytes, *footer, position, least));
      least = head.last + 1;
      if (head.max_timestamp > newest.timestamp && head.last >= from && head.last < limit) {
        auto batch_bytes = CO_TRY(co_await read_bytes(shard, position, head.size, block, deadline));
        auto batch = CO_TRY(log::BatchView::parse(batch_bytes));
        auto found = CO_TRY(log::find_max_timestamp(batch, kBatchSizeMax, from));
        if (found.timestamp > newest.timestamp) newest = found;
      }
      position += head.size;
    }
    if (is_last) break;
    end = entry.position;
  }
  if (newest.offset == kNoOffset) co_return std::nullopt;
  co_return co_await find_in_shard(shard, shape, from, newest.timestamp, deadline);
}

Task<Result<Buffer>> ArchivedLog::read_bytes(ShardId shard, Bytes position, Bytes size, InHand& in_hand,
                                             Deadline deadline) {
  Slices parts;
  for (auto at = position; at < position + size;) {
    auto index = cache::block_of(at);
    if (in_hand.index != index) {
      auto block = CO_TRY(co_await cache_.get({shard, index}, deadline));
      in_hand = {index, std::move(block)};
    }
    auto until = std::min(position + size, cache::position_of(index + 1));
    auto inside = static_cast<std::size_t>(at - cache::position_of(index));
    parts.push_back(in_hand.bytes.slice(inside, static_cast<std::size_t>(until - at)));
    at = until;
  }
  co_return flatten(parts);
}

// --- for prefetching and for followers -------------------------------------------------------------------------------

Task<Result<std::vector<cache::BlockRange>>> ArchivedLog::resolve(Offset from, Offset to, Bytes size_max,
                                                                  Deadline deadline) {
  std::vector<cache::BlockRange> ranges;
  Bytes size = 0;
  for (auto at = std::max(from, start()); at < to && size < size_max;) {
    const auto* shard = find(at);
    if (shard == nullptr) break;
    auto id = id_of(*shard);
    auto end = shard->end;
    auto footer = CO_TRY(co_await footers_.get(id, shape_of(*shard), deadline));
    auto first = cache::block_of(footer->position_for(at));
    auto until = std::min(end_position(*footer, to), cache::position_of(first) + size_max - size);
    auto after = cache::block_count(until);
    if (after > first) ranges.push_back({id, first, after - first});
    size += cache::position_of(after) - cache::position_of(first);
    at = end;
  }
  co_return ranges;
}

void ArchivedLog::note_access(const ColdRead& read, WallTime now) {
  const auto* found = read.size() == 0 ? nullptr : find(read.start);
  if (found == nullptr || id_of(*found) != read.shard) return;
  auto& access = shards_[static_cast<std::size_t>(found - shards_.data())].access;
  ++access.reads;
  access.bytes += read.size();
  access.last_read_ms = to_ms(now);
}

std::optional<ArchivedLog::EpochEnd> ArchivedLog::epoch_end(Epoch epoch) const {
  std::optional<EpochEnd> result;
  for (const auto& shard : shards_) {
    for (const auto& begins : shard.epochs) {
      if (begins.epoch > epoch) {
        if (result) result->end = begins.start;
        return result;
      }
      result = EpochEnd{begins.epoch, end()};
    }
  }
  return result;
}

}  // namespace forelog::archive
