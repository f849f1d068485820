#include "broker/log/shard_rewriter.h"

#include "broker/log/recovery.h"

#include <algorithm>
#include <utility>

namespace forelog::log {
namespace {

// Small enough that hashing and packing a piece does not keep the core from its clients for long.
constexpr Bytes kScanSize = 512_KiB;
constexpr Bytes kWriteSize = 1_MiB;

}  // namespace

Task<Result<Buffer>> BatchScan::next() {
  auto wanted = kScanSize;
  while (position_ < size_) {
    auto bytes = CO_TRY(co_await content_.read(position_, std::min(wanted, size_ - position_)));
    std::size_t whole = 0;
    std::optional<std::size_t> size;
    while ((size = BatchView::size_of(bytes.view().subspan(whole))) && *size <= bytes.size() - whole) whole += *size;
    if (whole > 0) {
      position_ += static_cast<Bytes>(whole);
      co_return bytes.slice(0, whole);
    }
    bool cut_off = static_cast<Bytes>(bytes.size()) == size_ - position_;
    if (!size || cut_off) co_return fail(ErrorCode::kCorruptFile, "no batch at byte " + std::to_string(position_));
    wanted = static_cast<Bytes>(*size);
  }
  co_return Buffer();
}

ShardRewriter::ShardRewriter(env::Env& env, env::Path segments_directory, ShardId target, std::vector<FooterPtr> inputs)
    : env_(env),
      segments_directory_(std::move(segments_directory)),
      target_(target),
      inputs_(std::move(inputs)),
      builder_(target) {
  CHECK(!inputs_.empty() && inputs_.front()->shard.base == target.base, "a rewrite begins where its first shard does");
}

Task<Result<void>> ShardRewriter::open() {
  auto path = segment_path(segments_directory_, target_);
  file_ = CO_TRY(co_await env_.files.open(path, env::OpenMode::create));
  // What an attempt before a crash has left.
  co_return co_await file_->truncate(0);
}

Task<Result<void>> ShardRewriter::add(Buffer batch) {
  auto view = CO_TRY(BatchView::parse(batch));
  if (view.base_offset() < builder_.so_far().end || view.end_offset() > inputs_.back()->end) {
    co_return fail(ErrorCode::kCorruptFile, target_.text() + ": a batch at offset " +
                                                std::to_string(view.base_offset().value()) + " is out of order");
  }
  builder_.add(view);
  pending_size_ += static_cast<Bytes>(batch.size());
  pending_.push_back(std::move(batch));
  if (pending_size_ < kWriteSize) co_return Result<void>{};
  co_return co_await write_pending();
}

Task<Result<void>> ShardRewriter::write_pending() {
  if (pending_.empty()) co_return Result<void>{};
  auto size = std::exchange(pending_size_, 0);
  auto bytes = std::exchange(pending_, {});
  CO_TRY(co_await file_->write_to_free_space(written_, std::move(bytes)));
  written_ += size;
  co_return Result<void>{};
}

Task<Result<Footer>> ShardRewriter::finish() {
  CHECK(builder_.size() > 0, "a shard holds at least one batch");
  CO_TRY(co_await write_pending());
  auto footer = builder_.finish(inputs_.back()->producer_snapshot);
  footer.end = inputs_.back()->end;
  // The first batch that stays may carry a delete horizon in place of its time.
  footer.first_timestamp = inputs_.front()->first_timestamp;
  footer.epochs.clear();
  footer.aborted.clear();
  for (const auto& input : inputs_) {
    for (const auto& epoch : input->epochs) {
      if (footer.epochs.empty() || epoch.epoch > footer.epochs.back().epoch) footer.epochs.push_back(epoch);
    }
    footer.aborted.insert(footer.aborted.end(), input->aborted.begin(), input->aborted.end());
  }
  auto encoded = footer.encode();
  CO_TRY(co_await file_->write_at(written_, {encoded}));
  CO_TRY(co_await file_->sync());
  CO_TRY(co_await env_.files.sync_directory(partition_directory(segments_directory_, target_.partition)));
  file_.reset();
  co_return footer;
}

Task<void> ShardRewriter::abandon() {
  file_.reset();
  (void)co_await env_.files.remove(segment_path(segments_directory_, target_));
}

}  // namespace forelog::log
