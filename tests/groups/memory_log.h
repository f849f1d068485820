// memory_log.h: __consumer_offsets in memory, with a delay until an append is durable, and faults.
#pragma once

#include "broker/env/event.h"
#include "broker/groups/internal_log.h"
#include "broker/log/batch.h"

#include <map>
#include <vector>

namespace forelog::groups {

class MemoryLog final : public InternalLog {
 public:
  MemoryLog(env::Clock& clock, std::int32_t partitions) : clock_(clock), partitions_(partitions), released_(clock) {}

  std::int32_t partitions() const { return partitions_; }
  void set_partitions(std::int32_t count) { partitions_ = count; }
  // Appends take a place in the log, but are durable (and readable) only after `release`.
  void hold() { held_ = true; }
  void release() { held_ = false, released_.notify(); }
  void fail_with(std::optional<ErrorCode> error) { failure_ = error; }
  void read_takes(Duration time) { read_time_ = time; }
  std::size_t batches() const {
    std::size_t count = 0;
    for (const auto& [partition, log] : logs_) count += log.size();
    return count;
  }

  std::int32_t partition_count() const override { return partitions_; }

  Task<Result<Offset>> append(PartitionId partition, Buffer batch, Deadline deadline) override {
    if (failure_) co_return fail(*failure_, "as told");
    auto& log = logs_[partition];
    auto base = log.empty() ? Offset(0) : log::BatchView::parse(log.back().view())->end_offset();
    MutableBuffer stamped(batch.size());
    std::ranges::copy(batch.view(), stamped.data());
    log::set_base_offset(stamped.view(), base);
    log.push_back(std::move(stamped).freeze());
    co_await sleep_until(clock_, clock_.now() + 2ms);
    while (held_) {
      if (!co_await released_.wait(deadline)) co_return fail(ErrorCode::kTimeout, "held");
    }
    co_return base;
  }

  Task<Result<Slices>> read(PartitionId partition, Offset from, Bytes size_max, Deadline) override {
    co_await sleep_until(clock_, clock_.now() + read_time_);
    if (failure_) co_return fail(*failure_, "as told");
    Slices out;
    for (const auto& batch : logs_[partition]) {
      if (log::BatchView::parse(batch.view())->last_offset() < from) continue;
      if (!out.empty() && total_size(out) + static_cast<Bytes>(batch.size()) > size_max) break;
      out.push_back(batch);
    }
    co_return out;
  }

  Result<Offset> start(PartitionId) override { return Offset(0); }
  Result<Offset> end(PartitionId partition) override {
    auto& log = logs_[partition];
    return log.empty() ? Offset(0) : log::BatchView::parse(log.back().view())->end_offset();
  }

 private:
  env::Clock& clock_;
  std::int32_t partitions_;
  bool held_ = false;
  Event released_;
  std::optional<ErrorCode> failure_;
  Duration read_time_ = 1ms;
  std::map<PartitionId, std::vector<Buffer>> logs_;
};

}  // namespace forelog::groups
