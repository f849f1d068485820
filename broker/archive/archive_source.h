// archive_source.h: loads blocks from the object store. One per core.
//
// An extent is one ranged GET; bytes are cut into blocks, verified and handed out while they arrive. A failed or
// corrupt answer is asked for again, from the first block still missing, with pauses that double and jitter. An answer
// that takes half longer than 95 % of those before did is asked for a second time when somebody waits for it; whichever
// block comes first counts.
#pragma once

#include "broker/archive/failure_log.h"
#include "broker/archive/footer_cache.h"
#include "broker/archive/settings.h"
#include "broker/base/metrics.h"
#include "broker/cache/block_source.h"
#include "broker/env/random.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

namespace forelog::archive {

struct ArchiveMetrics {
  explicit ArchiveMetrics(MetricsRegistry& registry);
  Counter get_requests, get_bytes, retries, hedges, hedges_won, corrupt_blocks, failures;
  Histogram first_block, whole;  // from the request until the first block, and the last
};

// How long answers took lately, to tell a slow one. Pure.
class RecentLatency {
 public:
  void add(Duration latency);
  // The time within which 95 % of the last answers came; none before there are enough of them.
  std::optional<Duration> usual() const;

 private:
  std::array<Duration, 64> recent_{};
  std::size_t count_ = 0;
};

// How many reads may be asked for twice: a twentieth of them, and a few more after a quiet time. A store that has
// become slow as a whole is not made slower by asking it twice for everything. Pure.
class HedgeAllowance {
 public:
  void note_request() { hundredths_ = std::min(hundredths_ + kPerRequest, kMost); }
  // Takes one, if there is one left.
  bool take() {
    if (hundredths_ < kOne) return false;
    hundredths_ -= kOne;
    return true;
  }

 private:
  static constexpr int kOne = 100, kPerRequest = 5, kMost = 20 * kOne;
  int hundredths_ = kMost;
};

class ArchiveSource final : public cache::BlockSource {
 public:
  struct Parts {
    env::Cores& cores;
    env::Clock& clock;
    env::Random& random;
    env::ObjectStore& store;
    FooterCache& footers;
    MetricsRegistry& metrics;
  };
  ArchiveSource(Parts parts, const ArchiveSettings& settings);
  ~ArchiveSource() override;
  Task<void> stop();  // joins hedged requests that lost

  Task<Result<void>> load(cache::BlockRange range, cache::LoadPriority priority, OnBlock on_block,
                          Deadline deadline) override;
  Task<Result<cache::BlockSums>> sums(ShardId shard, Deadline deadline) override;

  const ArchiveMetrics& metrics() const { return metrics_; }

 private:
  struct Extent;
  Task<Result<void>> complete(std::shared_ptr<Extent> extent, cache::LoadPriority priority);
  Task<bool> try_once(std::shared_ptr<Extent> extent, cache::LoadPriority priority);
  Task<void> attempt(std::shared_ptr<Extent> extent, bool hedge);
  void take_block(Extent& extent, std::uint32_t index, env::ObjectStore::Piece block, Instant began, bool hedge);

  Parts parts_;
  ArchiveSettings settings_;
  ArchiveMetrics metrics_;
  RecentLatency latency_;
  HedgeAllowance hedges_;
  FailureLog failure_log_;
  TaskGroup attempts_;
};

}  // namespace forelog::archive
