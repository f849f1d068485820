#include "broker/log/wal_files.h"

#include "broker/base/log.h"
#include "broker/log/wal_format.h"

#include <algorithm>
#include <utility>

namespace forelog::log {
namespace {

constexpr std::size_t kSparesMin = 2;  // kept also when the log is as large as it may be, or is slow
constexpr Bytes kFillStep = 1_MiB;
// A broker that fills files faster than this is not helped by filling them twice; those that it has used come back.
constexpr Duration kSlow = 2s;
constexpr Duration kLook = 100ms;

}  // namespace

WalFiles::WalFiles(env::Env& env, env::Path directory, Bytes file_size, Bytes size_max)
    : env_(env),
      directory_(std::move(directory)),
      file_size_(file_size),
      size_max_(size_max),
      tasks_(env.cores),
      named_(env.clock) {}

Task<Result<void>> WalFiles::start(std::int64_t next_number) {
  next_number_ = next_number;
  CO_TRY(co_await env_.files.create_directories(directory_));
  auto names = CO_TRY(co_await env_.files.list(directory_));
  for (const auto& name : names) {
    if (is_wal_spare_name(name)) CO_TRY(co_await env_.files.remove(path(name)));
  }
  co_return Result<void>{};
}

// --- the next file ---------------------------------------------------------------------------------------------------
Task<Result<WalFiles::Open>> WalFiles::next(bool was_full) {
  while (naming_) co_await named_.wait(env_.clock.now() + kLook);
  auto now = env_.clock.now();
  bool is_slow = opened_at_ == Instant{} || now - opened_at_ >= kSlow;
  opened_at_ = now;
  Open out;
  if (ready_) {
    out = *std::exchange(ready_, std::nullopt);
  } else {
    out = CO_TRY(co_await name_next());
  }
  // Whoever has left a file for a better one is slow: he has time until that one is full.
  if (was_full || !spares_.empty()) begin_preparing(is_slow);
  co_return out;
}

void WalFiles::begin_preparing(bool is_slow) {
  if (stopping_ || ready_ || std::exchange(preparing_, true)) return;
  tasks_.spawn(prepare(is_slow));
}

Task<void> WalFiles::prepare(bool is_slow) {
  for (auto& name : std::exchange(leftovers_, {})) co_await remove_or_note(std::move(name));
  if (is_slow && spares_.empty()) {
    auto number = next_number_++;
    auto made = co_await make_spare(number);
    if (made) {
      spares_.push_back(number);
    } else if (made.error().code != ErrorCode::kStopping) {
      log_line(warn, "wal_spare_not_made", {{"error", made.error()}});
    }
  }
  // What a busy hour has used is given back by and by.
  if (is_slow && spares_.size() > kSparesMin) {
    auto spare = spares_.back();
    spares_.pop_back();
    co_await remove_or_note(path(wal_spare_name(spare)));
  }
  if (!stopping_) {
    naming_ = true;
    auto named = co_await name_next();
    naming_ = false;
    if (named) {
      ready_ = *std::move(named);
    } else {
      log_line(warn, "wal_file_not_prepared", {{"error", named.error()}});
    }
    named_.notify();
  }
  preparing_ = false;
}

// Numbers are given here, one call after the other, so that files are used in the order of their numbers.
Task<Result<WalFiles::Open>> WalFiles::name_next() {
  // Also beforehand by the log's own threads: a round may come to wait for it, and should not wait for segments then.
  auto& files = env_.wal_files;
  Open named;
  named.number = next_number_++;
  named.overwrites = !spares_.empty();
  auto name = path(wal_file_name(named.number));
  if (named.overwrites) {
    auto spare = spares_.front();
    spares_.pop_front();
    auto renamed = co_await files.rename(path(wal_spare_name(spare)), name);
    if (!renamed) {
      if (renamed.error().code != ErrorCode::kNotFound) spares_.push_front(spare);
      co_return fail(std::move(renamed).error());
    }
  }
  auto file = co_await files.open(name, env::OpenMode::create_direct);
  if (!file) {
    if (named.overwrites) co_await remove_or_note(name);
    co_return fail(std::move(file).error());
  }
  named.file = *std::move(file);
  auto synced = co_await files.sync_directory(directory_);
  if (synced) co_return named;
  co_await remove_or_note(name);
  co_return fail(std::move(synced).error());
}

// Growing a file makes each sync write the file system's journal too; overwriting one does not, and takes half the
// time.
Task<Result<void>> WalFiles::make_spare(std::int64_t number) {
  auto name = path(wal_spare_name(number));
  auto filled = co_await fill_with_zeros(name);
  if (!filled) co_await remove_or_note(name);
  co_return filled;
}

Task<Result<void>> WalFiles::fill_with_zeros(env::Path name) {
  auto spare = CO_TRY(co_await env_.files.open(name, env::OpenMode::create_direct));
  MutableBuffer room(static_cast<std::size_t>(std::min(kFillStep, file_size_)));
  std::ranges::fill(room.view(), std::byte{0});
  auto zeros = std::move(room).freeze();
  for (Bytes at = 0; at < file_size_; at += static_cast<Bytes>(zeros.size())) {
    if (stopping_) co_return fail(ErrorCode::kStopping, name);
    auto size = std::min(static_cast<Bytes>(zeros.size()), file_size_ - at);
    Slices piece{zeros.slice(0, static_cast<std::size_t>(size))};
    // Synced piece by piece: the writer's syncs wait for no more than one of them.
    CO_TRY(co_await spare->write_and_sync(at, std::move(piece)));
  }
  co_return Result<void>{};
}

Task<void> WalFiles::remove_or_note(env::Path name) {
  auto removed = co_await env_.files.remove(name);
  if (!removed && removed.error().code != ErrorCode::kNotFound) leftovers_.push_back(std::move(name));
}

// --- files that have served ------------------------------------------------------------------------------------------
Task<Result<void>> WalFiles::retire(std::int64_t number, Bytes size, std::size_t in_use) {
  auto name = path(wal_file_name(number));
  auto all = static_cast<Bytes>(in_use + spares_.size() + (ready_ ? 1 : 0)) * file_size_;
  bool is_usual = size >= file_size_ * 3 / 4 && size <= file_size_ * 5 / 4;
  bool is_kept = is_usual && (spares_.size() < kSparesMin || all <= size_max_);
  auto done =
      is_kept ? co_await env_.files.rename(name, path(wal_spare_name(number))) : co_await env_.files.remove(name);
  // Somebody has removed it by hand. Were that an error, later files would never be given back.
  if (!done && done.error().code == ErrorCode::kNotFound) co_return Result<void>{};
  if (!done || !is_kept) co_return done;
  spares_.push_back(number);
  begin_preparing(false);
  co_return done;
}

Task<void> WalFiles::stop() {
  interrupt();
  co_await tasks_.join();
}

Task<Result<void>> WalFiles::remove_all(std::vector<std::int64_t> in_use) {
  for (auto number : in_use) leftovers_.push_back(path(wal_file_name(number)));
  if (ready_) leftovers_.push_back(path(wal_file_name(ready_->number)));
  for (auto number : std::exchange(spares_, {})) leftovers_.push_back(path(wal_spare_name(number)));
  ready_.reset();
  for (const auto& name : std::exchange(leftovers_, {})) {
    auto removed = co_await env_.files.remove(name);
    if (!removed && removed.error().code != ErrorCode::kNotFound) co_return removed;
  }
  co_return co_await env_.files.sync_directory(directory_);
}

}  // namespace forelog::log
