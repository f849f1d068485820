// block.h: what is cached, why it was loaded, and what became of it.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/limits.h"
#include "broker/base/time.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::cache {

using PlanId = StrongType<struct PlanIdTag, std::uint64_t>;      // 0: no plan
using ReaderId = StrongType<struct ReaderIdTag, std::uint64_t>;  // 0: nobody in particular

// A run of blocks of one shard. What is loaded by one GET (an extent) is at most kExtentSizeMax of it.
struct BlockRange {
  ShardId shard;
  std::uint32_t first = 0;
  std::uint32_t count = 0;

  BlockId at(std::uint32_t i) const { return {shard, first + i}; }
  std::uint32_t end() const { return first + count; }
  std::string text() const;  // "<shard> blocks 3..7"
  friend auto operator<=>(const BlockRange&, const BlockRange&) = default;
};

constexpr std::uint32_t block_of(Bytes position) { return static_cast<std::uint32_t>(position / kBlockSize); }
constexpr Bytes position_of(std::uint32_t block) { return static_cast<Bytes>(block) * kBlockSize; }
constexpr std::uint32_t block_count(Bytes size) { return block_of(size + kBlockSize - 1); }

// Checksums of a sealed shard's blocks, as in its footer.
using BlockSums = std::shared_ptr<const std::vector<std::uint32_t>>;

// Why a block is loaded, which is also on whose account its memory is taken.
enum class LoadKind : std::uint8_t {
  demand,    // somebody waits for it
  prefetch,  // somebody is expected
  head,      // the head of a session that is expected later; kept until a moment given with it
};
inline constexpr int kLoadKinds = 3;
std::string_view name_of(LoadKind kind);

// Where a load found the block.
enum class BlockOrigin : std::uint8_t { archive, disk, produced };

struct LoadCause {
  LoadKind kind = LoadKind::demand;
  PlanId plan{0};
  ReaderId reader{0};     // whom it is for, where known
  std::uint64_t tag = 0;  // the prefetcher's own, handed back with the outcome
  Instant decided{};      // when it was asked for
  Instant keep_until{};   // `head` only: how long it is kept unread

  bool is_prefetch() const { return kind != LoadKind::demand; }
};

enum class OutcomeKind : std::uint8_t {
  used,     // in memory before it was asked for
  late,     // asked for while it was on its way
  unused,   // left the cache unread
  refused,  // not loaded: see RefusedWhy
};
inline constexpr int kOutcomeKinds = 4;
enum class RefusedWhy : std::uint8_t {
  none,
  share_full,   // unread prefetches, or heads, have all the memory they may have
  memory_full,  // loads in flight hold it
  slots_full,   // the requests that prefetches may use are all out
  load_failed,
  stopping,
};
std::string_view name_of(OutcomeKind kind);
std::string_view name_of(RefusedWhy why);

// What became of prefetched blocks: one for each block that was loaded, one for each run that was refused.
struct PrefetchOutcome {
  LoadCause cause;
  BlockRange range;
  Bytes bytes = 0;
  OutcomeKind kind = OutcomeKind::used;
  RefusedWhy why = RefusedWhy::none;
  Instant started{};     // the load was dispatched
  Instant in_memory{};   // the block was whole, verified and findable
  Instant first_used{};  // asked for; for `late`, the moment somebody began to wait
  ReaderId used_by{0};   // who that was, where known
};

// Told of every outcome on the cache's core, from inside the cache: notes it and returns; must not call the cache.
class OutcomeSink {
 public:
  virtual ~OutcomeSink() = default;
  virtual void on_outcome(const PrefetchOutcome& outcome) = 0;
};

}  // namespace forelog::cache
