#include "predictor/generators/strided_runs.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace forelog::predictor {
namespace {

constexpr std::int64_t kStepMax = 1024;  // further apart is another place, not a step
constexpr std::uint16_t kLengthMax = 1000;

}  // namespace

StridedRuns::Vote StridedRuns::majority(const Run& run) {
  // Boyer and Moore's candidate, then its count.
  Vote vote;
  int balance = 0;
  for (int i = 0; i < run.known; ++i) {
    if (balance == 0) vote.step = run.deltas[i];
    balance += run.deltas[i] == vote.step ? 1 : -1;
  }
  for (int i = 0; i < run.known; ++i) vote.votes += run.deltas[i] == vote.step;
  return vote;
}

int StridedRuns::situation_of(const Run& run, const Vote& vote) {
  int length = std::min<int>(std::bit_width(static_cast<unsigned>(run.length)), 7);
  int kind = vote.step == 1 ? 0 : vote.step > 1 && vote.step <= 8 ? 1 : vote.step > 8 ? 2 : 3;
  int split = run.known == vote.votes ? 0 : 1;
  return length * 8 + kind * 2 + split;  // < 64
}

double StridedRuns::prior(int situation) const {
  int length = situation / 8, kind = situation / 2 % 4;
  double p = length >= 3 ? 0.9 : length == 2 ? 0.75 : length == 1 ? 0.5 : 0.2;
  return kind <= 1 ? p : p * 0.6;
}

void StridedRuns::advance(Run& run, const ReadEvent& event, std::int64_t delta) const {
  bool far = std::abs(delta) > kStepMax;
  run.deltas[run.next_delta] = far ? 0 : static_cast<std::int32_t>(delta);
  run.next_delta = static_cast<std::uint8_t>((run.next_delta + 1) % kDeltas);
  run.known = static_cast<std::uint8_t>(std::min(run.known + 1, kDeltas));
  if (far) run.known = 0, run.next_delta = 0;

  bool is_first = run.at == Instant{};  // and of several blocks: of the pace nothing is known yet
  auto gap = is_first ? 0 : static_cast<float>(to_seconds(event.at - run.at) * 1000 / std::max(1, event.blocks));
  if (run.gap_ms <= 0) {
    run.gap_ms = gap;
  } else {
    // Follows a short gap at once and a long one hardly: about the fifth part of the gaps are shorter.
    run.gap_ms += (gap < run.gap_ms ? 0.4F : 0.1F) * (std::min(gap, 4 * run.gap_ms) - run.gap_ms);
  }

  if (run.step != 0 && delta == run.step) {
    run.length = static_cast<std::uint16_t>(std::min<int>(run.length + 1, kLengthMax));
    // A miss was not too late: it was refused, or had left again. More of the same would not help.
    if (event.answer == Answer::late)
      run.widen = std::min(run.widen * 1.25F, 4.0F);
    else if (run.widen > 1)
      run.widen = std::max(1.0F, run.widen * 0.98F);
  } else {
    if (run.frontier != 0 && run.length > 0) run.widen = std::max(run.widen * 0.7F, 0.5F);
    run.length = 0;
    run.frontier = 0;
  }
}

void StridedRuns::observe(const ReadEvent& event, std::vector<Candidate>& out) {
  if (!event.addressed || event.blocks < 1) return;
  auto& run = runs_.touch({event.reader, event.place.stream});
  auto block = event.place.block + event.blocks - 1;
  bool first = run.at == Instant{};
  auto delta = event.place.block - run.last;
  if (!first && delta == 0 && event.blocks == 1) return;  // the rest of the same block
  // A read of several blocks says itself that they follow each other.
  if (!first) advance(run, event, delta);
  for (int i = 1; i < std::min(event.blocks, kDeltas); ++i) advance(run, event, 1);
  run.last = block;
  run.at = event.at;

  auto vote = majority(run);
  if (vote.step == 0 || vote.votes < 2 || vote.votes * 2 <= run.known) {
    run.step = 0;
    return;
  }
  if (vote.step != run.step) run.step = vote.step, run.frontier = 0;

  auto lead_ms = to_seconds(settings_.lead) * 1000;
  auto gap = std::max<double>(run.gap_ms, 0.05);
  auto depth = static_cast<std::int64_t>(std::ceil(lead_ms / gap * run.widen)) + 1;
  // A young run has not earned a long reach.
  depth = std::min<std::int64_t>({depth, settings_.depth_max, std::int64_t{2} * run.length + 2});
  auto limit = block + depth * run.step;
  auto begin = block + run.step;
  bool ahead = run.frontier != 0 && (run.step > 0 ? run.frontier >= begin : run.frontier <= begin);
  if (ahead) begin = run.frontier + run.step;
  auto situation = static_cast<std::uint16_t>(situation_of(run, vote));
  for (auto b = begin; run.step > 0 ? b <= limit : b >= limit; b += run.step) {
    if (b < 0) break;
    auto steps = (b - block) / run.step;
    auto wait = std::chrono::duration_cast<Duration>(
        std::chrono::duration<double, std::milli>(gap * static_cast<double>(steps)));
    out.push_back({.generator = id(),
                   .situation = situation,
                   .job = event.job,
                   .reader = event.reader,
                   .place = {event.place.stream, b},
                   .needed_by = event.at + wait});
    run.frontier = b;
  }
}

void StridedRuns::save(ByteWriter& out) const {
  out.u32(static_cast<std::uint32_t>(runs_.size()));
  for (const auto& [key, run] : runs_) {
    out.u32(key.reader), out.u32(key.stream);
    for (auto delta : run.deltas) out.i32(delta);
    out.u8(run.next_delta), out.u8(run.known), out.u16(run.length);
    out.i64(run.last), out.i64(run.frontier), out.i64(run.step), out.i64(run.at.time_since_epoch().count());
    out.f64(run.gap_ms), out.f64(run.widen);
  }
}

bool StridedRuns::load(ByteReader& in) {
  runs_.clear();
  auto count = in.u32();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    Key key{in.u32(), in.u32()};
    Run run;
    for (auto& delta : run.deltas) delta = in.i32();
    run.next_delta = static_cast<std::uint8_t>(in.u8() % kDeltas);
    run.known = static_cast<std::uint8_t>(std::min<int>(in.u8(), kDeltas));
    run.length = in.u16();
    run.last = in.i64(), run.frontier = in.i64(), run.step = in.i64();
    run.at = Instant(Duration(in.i64()));
    run.gap_ms = static_cast<float>(in.f64()), run.widen = static_cast<float>(in.f64());
    bool sane = std::abs(run.step) <= kStepMax && std::isfinite(run.gap_ms) && std::isfinite(run.widen);
    if (!in.ok() || !sane) break;
    runs_.touch(key) = run;
  }
  if (in.ok() && runs_.size() == std::min<std::size_t>(count, settings_.runs_max)) return true;
  runs_.clear();
  return false;
}

}  // namespace forelog::predictor
