#include "predictor/replay/baselines.h"

#include "broker/base/limits.h"

#include <limits>

namespace forelog::predictor::replay {
namespace {

constexpr std::int64_t kAdjacent = 8;  // blocks

std::uint64_t stream_key(ReaderId reader, StreamId stream) { return (std::uint64_t{reader} << 32) | stream; }

}  // namespace

void NextBlocks::on_read(const ReadEvent& event, WantedList& out) {
  if (!event.addressed) return;
  for (int i = 1; i <= count_; ++i) {
    out.push_back({.place = {event.place.stream, event.place.block + i}, .needed_by = event.at, .reason = "next"});
  }
}

ReadAheadMethod::ReadAheadMethod(Duration latency, Bytes share)
    : latency_(latency), windows_({.extent = kBlockSize, .window_max = 32_MiB}, share, 100'000) {}

void ReadAheadMethod::on_read(const ReadEvent& event, WantedList& out) {
  if (!event.addressed) return;
  auto key = stream_key(event.reader, event.place.stream);
  bool waited = event.answer == Answer::miss || event.answer == Answer::late;
  prefetch::SeenRead read{.from = event.place.block,
                          .to = event.place.block + event.blocks,
                          .bytes = event.blocks * kBlockSize,
                          .wait = waited ? latency_ : Duration{}};
  auto ahead = windows_.on_read(key, read, event.at, latency_, std::numeric_limits<std::int64_t>::max());
  for (const auto& run : ahead) {
    for (auto block = run.from; block < run.to; ++block) {
      out.push_back({.place = {event.place.stream, block},
                     .needed_by = run.needed_by,
                     .score = run.score,
                     .tag = key,
                     .reason = run.strided ? "strided" : "sequential"});
    }
  }
}

void ReadAheadMethod::on_outcome(std::uint64_t tag, const Place&, bool used, Instant) {
  if (!used) windows_.on_waste(tag);
}

bool Reach::nameable(const Request& request) const {
  if (seen_.contains(request.place)) return true;
  if (!request.addressed) return false;
  for (std::int64_t back = 1; back <= kAdjacent; ++back)
    if (seen_.contains({request.place.stream, request.place.block - back})) return true;
  return false;
}

std::optional<Instant> Reach::next_wake() const {
  if (next_ >= trace_.requests.size()) return std::nullopt;
  return trace_.requests[next_].at - lead_;
}

void Reach::on_time(Instant now, WantedList& out) {
  while (next_ < trace_.requests.size() && trace_.requests[next_].at - lead_ <= now) {
    const auto& request = trace_.requests[next_++];
    if (nameable(request)) out.push_back({.place = request.place, .needed_by = request.at, .reason = "reach"});
  }
}

void Reach::on_read(const ReadEvent& event, WantedList&) { seen_.insert(event.place); }

}  // namespace forelog::predictor::replay
