#include "broker/env/simulated/simulated_archive.h"

#include "broker/env/object_key.h"

#include <algorithm>

namespace forelog::env {
namespace {

constexpr DurationRange kSecondPut{1ms, 500ms};  // how late a doubled put comes
constexpr Bytes kChunkSizeMax = 192_KiB;         // not a divisor of a block, so that blocks arrive in pieces

Buffer with_a_wrong_bit(const Buffer& chunk, std::uint64_t draw) {
  std::string text(chunk.text());
  text[draw % text.size()] ^= 1;
  return Buffer::take(std::move(text));
}

}  // namespace

Task<void> SimulatedArchive::pause(Duration wait) {
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(wait, Duration(1)));
}

Task<Result<void>> SimulatedArchive::travel(std::string key, Deadline deadline) {
  if (!is_object_key(key)) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  auto answer = scheduler_.now() + std::max(scheduler_.random().between(faults_.archive), Duration(1));
  if (answer > deadline || faults_.archive_silent) {
    co_await sleep_until(cores_.clock(), deadline);
    co_return fail(ErrorCode::kTimeout, key);
  }
  co_await sleep_until(cores_.clock(), answer);
  if (faults_.archive_outage) co_return fail(ErrorCode::kArchiveUnavailable, key + ": outage");
  if (scheduler_.random().chance(faults_.archive_failure_rate))
    co_return fail(ErrorCode::kArchiveUnavailable, key + ": drawn");
  co_return Result<void>{};
}

Task<Result<void>> SimulatedArchive::put(std::string key, ObjectContent& content, Deadline deadline) {
  ++traffic_.puts;
  Slices parts;
  for (Bytes at = 0; at < content.size();) {
    auto size = std::min<Bytes>(1_MiB, content.size() - at);
    parts.push_back(CO_TRY(co_await content.read(at, size)));
    at += size;
  }
  auto answered = co_await travel(key, deadline);
  if (answered || (!faults_.archive_outage && scheduler_.random().chance(0.5))) store(key, flatten(parts));
  co_return answered;
}

void SimulatedArchive::store(const std::string& key, Buffer object) {
  if (scheduler_.random().chance(faults_.archive_doubled_puts_rate)) {
    auto again = [this, key, object] { objects_[key] = object; };
    scheduler_.after(scheduler_.random().between(kSecondPut), std::move(again));
  }
  objects_[key] = std::move(object);
  put_at_[key] = scheduler_.now();
}

bool SimulatedArchive::is_missing(const std::string& key) {
  return !objects_.contains(key) || scheduler_.random().chance(faults_.archive_missing_rate);
}

Task<Result<void>> SimulatedArchive::get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece,
                                               TrafficClass /*traffic*/, Deadline deadline) {
  ++traffic_.gets;
  CO_TRY(co_await travel(key, deadline));
  if (is_missing(key)) co_return fail(ErrorCode::kNotFound, key);
  auto object = objects_.at(key);
  if (from < 0 || size < 0 || from > static_cast<Bytes>(object.size()) ||
      size > static_cast<Bytes>(object.size()) - from)
    co_return fail(ErrorCode::kCorruptBlock, key + ": shorter than the range asked for");

  auto& random = scheduler_.random();
  bool breaks = random.chance(faults_.archive_break_rate);
  bool wrong = random.chance(faults_.archive_wrong_bytes_rate);
  auto whole = size;
  if (breaks) size = static_cast<Bytes>(random.below(static_cast<std::uint64_t>(size)));
  for (Bytes at = 0; at < size;) {
    if (at > 0) co_await pause(scheduler_.random().between({1us, 200us}));
    if (scheduler_.now() > deadline) co_return fail(ErrorCode::kTimeout, key);
    auto most = static_cast<std::uint64_t>(std::min(kChunkSizeMax, size - at));
    auto length = 1 + scheduler_.random().below(most);
    if (!faults_.network_partial_reads) length = most;
    auto chunk = object.slice(static_cast<std::size_t>(from + at), length);
    if (std::exchange(wrong, false)) chunk = with_a_wrong_bit(chunk, scheduler_.random().next());
    at += static_cast<Bytes>(length);
    traffic_.bytes_read += static_cast<Bytes>(length);
    on_piece(Piece(std::move(chunk)));
  }
  if (size < whole || breaks) co_return fail(ErrorCode::kArchiveUnavailable, key + ": the answer broke off");
  co_return Result<void>{};
}

Task<Result<ObjectInfo>> SimulatedArchive::head(std::string key, Deadline deadline) {
  CO_TRY(co_await travel(key, deadline));
  if (is_missing(key)) co_return fail(ErrorCode::kNotFound, key);
  co_return ObjectInfo{key, static_cast<Bytes>(objects_.at(key).size())};
}

Task<Result<void>> SimulatedArchive::remove(std::string key, Deadline deadline) {
  auto answered = co_await travel(key, deadline);
  if (answered || (!faults_.archive_outage && scheduler_.random().chance(0.5))) objects_.erase(key);
  co_return answered;
}

Task<Result<std::vector<ObjectInfo>>> SimulatedArchive::list(std::string prefix, std::string after, std::size_t limit,
                                                             Deadline deadline) {
  CO_TRY(co_await travel("list", deadline));
  std::vector<ObjectInfo> out;
  auto at = after < prefix ? objects_.lower_bound(prefix) : objects_.upper_bound(after);
  for (; at != objects_.end() && out.size() < limit && at->first.starts_with(prefix); ++at) {
    auto put = put_at_.find(at->first);
    bool shown = put == put_at_.end() || put->second + faults_.archive_listing_delay <= scheduler_.now();
    if (shown) out.push_back({at->first, static_cast<Bytes>(at->second.size())});
  }
  co_return out;
}

}  // namespace forelog::env
