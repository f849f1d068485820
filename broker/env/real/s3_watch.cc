#include "broker/env/real/s3_watch.h"

#include "broker/base/log.h"

#include <algorithm>

namespace forelog::env {
namespace {

constexpr Duration kAskMax = 3s;
constexpr Duration kClearMax = 60s;
constexpr Duration kFirstPause = 1s;
constexpr Duration kLongestPause = 5min;
constexpr Duration kClearEvery = 1h;
constexpr Duration kClaimLook = 1s;  // whose the archive is, is known a moment after the start, or much later

}  // namespace

S3Watch::S3Watch(Cores& cores, S3ObjectStore& store, std::string uploads_prefix, Duration stale_after)
    : cores_(cores), store_(store), uploads_prefix_(std::move(uploads_prefix)), stale_after_(stale_after) {}

Task<void> S3Watch::start() {
  stopped_.emplace(cores_.clock());
  tasks_.emplace(cores_);
  tasks_->spawn(watch());
  co_return;
}

Task<void> S3Watch::stop() {
  stopping_ = true;
  if (stopped_) stopped_->notify();
  if (tasks_) co_await tasks_->join();
}

Task<void> S3Watch::sleep(Duration time) {
  auto until = cores_.clock().now() + time;
  while (!stopping_ && cores_.clock().now() < until) co_await stopped_->wait(until);
}

Task<void> S3Watch::watch() {
  auto& clock = cores_.clock();
  bool answered = false;
  std::string said;
  auto pause = kFirstPause;
  while (!stopping_) {
    // A listing needs the keys, the bucket, the region and the clock to be right, and changes nothing.
    auto found = co_await store_.list(uploads_prefix_, "", 1, clock.now() + kAskMax);
    if (stopping_) break;
    if (!found) {
      // The same again tells nobody anything.
      if (answered || found.error().context != said)
        log_line(warn, "archive_unusable", {{"archive", store_.location().text()}, {"error", found.error()}});
      said = found.error().context;
      answered = false;
      co_await sleep(pause);
      pause = std::min(pause * 2, kLongestPause);
      continue;
    }
    if (!std::exchange(answered, true)) log_line(info, "archive_ready", {{"archive", store_.location().text()}});
    pause = kFirstPause;
    auto until = clock.now() + kClearEvery;
    if (!uploads_prefix_.empty()) {
      while (!store_.is_claimed() && !stopping_ && clock.now() < until) co_await sleep(kClaimLook);
      if (store_.is_claimed() && !stopping_) co_await clear();
    }
    co_await sleep(until - clock.now());
  }
}

Task<void> S3Watch::clear() {
  auto aborted = co_await store_.abort_stale_uploads(uploads_prefix_, stale_after_, cores_.clock().now() + kClearMax);
  if (aborted && *aborted > 0) log_line(info, "stale_uploads_aborted", {{"uploads", *aborted}});
  if (!aborted && !stopping_) log_line(warn, "stale_uploads_stay", {{"error", aborted.error()}});
}

}  // namespace forelog::env
