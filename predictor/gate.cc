#include "predictor/gate.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace forelog::predictor {
namespace {

constexpr float kPriorWeight = 6;
constexpr float kSeenMax = 2000;  // then both counts are halved, so that the past fades
constexpr float kRecordWeight = 8;
constexpr float kRecordMax = 400;
constexpr double kJobFactorMax = 1.15;  // a job may be a little better than the rest, and much worse

}  // namespace

double Gate::Cell::p() const { return (hits + prior * kPriorWeight) / (seen + kPriorWeight); }

Gate::Gate(GateSettings settings)
    : settings_(settings), records_(settings.jobs_max), reads_(std::bit_ceil(settings.places_max)) {}

void Gate::introduce(const Generator& generator) {
  for (int i = 0; i < kSituations; ++i) cell(generator.id(), i).prior = static_cast<float>(generator.prior(i));
}

double Gate::expected(GeneratorId generator, int situation) const {
  return cells_[static_cast<std::size_t>(generator)][static_cast<std::size_t>(situation)].p();
}

double Gate::estimate(const Candidate& candidate) {
  auto p = cell(candidate.generator, candidate.situation).p();
  if (auto* record = records_.find(record_key(candidate.generator, candidate.job))) {
    auto factor = (record->hits + kRecordWeight) / (record->foreseen + kRecordWeight);
    p *= std::min<double>(factor, kJobFactorMax);
  }
  return std::min(p, 0.999);
}

double Gate::judge(const Candidate& candidate, Instant now) {
  settle(now);
  if (watched_.size() < settings_.watched_max) {
    // A follower's fate is that of its next block.
    auto foreseen = static_cast<float>(cell(candidate.generator, candidate.situation).p());
    watched_.push_back({candidate.place, now, foreseen, candidate.situation, candidate.generator, candidate.job});
  }
  return estimate(candidate);
}

void Gate::on_read(const ReadEvent& event) {
  settle(event.at);
  auto mask = reads_.size() - 1;
  for (std::int32_t i = 0; i < event.blocks; ++i) {
    Place place{event.place.stream, event.place.block + i};
    auto position = reads_end_++;
    auto oldest = reads_end_ > reads_.size() ? reads_end_ - reads_.size() : 1;
    reads_[position & mask] = {place, event.at, event.answer == Answer::hit};
    read_index_.put(hash_of(place), position, oldest);
  }
}

// Candidates whose window has passed get their label: the last read of the place tells, since the window ends now.
void Gate::settle(Instant now) {
  while (!watched_.empty() && now - watched_.front().at >= settings_.window) {
    auto w = watched_.front();
    watched_.pop_front();
    auto position = read_index_.find(hash_of(w.place));
    const LastRead* read = position == 0 ? nullptr : &reads_[position & (reads_.size() - 1)];
    bool known = read != nullptr && read->place == w.place && reads_end_ - position <= reads_.size();
    bool hit = known && read->at > w.at && read->at <= w.at + settings_.window + 1s;
    if (hit && read->anyway) continue;
    auto& c = cell(w.generator, w.situation);
    c.hits += hit ? 1.0F : 0.0F;
    c.seen += 1;
    if (c.seen > kSeenMax) c.hits /= 2, c.seen /= 2;
    auto& record = records_.touch(record_key(w.generator, w.job));
    record.hits += hit ? 1.0F : 0.0F;
    record.foreseen += w.foreseen;
    if (record.foreseen > kRecordMax || record.hits > kRecordMax) record.hits /= 2, record.foreseen /= 2;
  }
}

std::size_t Gate::memory_bytes() const {
  return sizeof(cells_) + records_.memory_bytes() + watched_.size() * sizeof(Watched) +
         reads_.size() * sizeof(LastRead) + read_index_.memory_bytes();
}

// What was learnt; what is being watched is not worth keeping over a restart.
void Gate::save(ByteWriter& out) const {
  for (const auto& row : cells_)
    for (const auto& c : row) out.f64(c.hits), out.f64(c.seen);
  out.u32(static_cast<std::uint32_t>(records_.size()));
  for (const auto& [key, record] : records_) out.u64(key), out.f64(record.hits), out.f64(record.foreseen);
}

bool Gate::load(ByteReader& in) {
  auto sane = [](double v) { return std::isfinite(v) && v >= 0 && v < 1e6; };
  auto cells = cells_;
  for (auto& row : cells) {
    for (auto& c : row) {
      auto hits = in.f64(), seen = in.f64();
      if (!in.ok() || !sane(hits) || !sane(seen) || hits > seen) return false;
      c.hits = static_cast<float>(hits), c.seen = static_cast<float>(seen);
    }
  }
  records_.clear();
  auto count = in.u32();
  for (std::uint32_t i = 0; i < count; ++i) {
    auto key = in.u64();
    auto hits = in.f64(), foreseen = in.f64();
    if (!in.ok() || !sane(hits) || !sane(foreseen)) {
      records_.clear();
      return false;
    }
    records_.touch(key) = {static_cast<float>(hits), static_cast<float>(foreseen)};
  }
  cells_ = cells;
  return in.ok();
}

}  // namespace forelog::predictor
