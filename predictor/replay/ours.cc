#include "predictor/replay/ours.h"

#include "broker/base/limits.h"

namespace forelog::predictor::replay {
namespace {

// Tags tell whose guess a load was: the generator's, or a window of the read-ahead (whose tags never reach these).
constexpr std::uint64_t kGeneratorTag = ~std::uint64_t{0} - kGenerators;

ModelSettings without_session_plans(ModelSettings settings) {
  settings.session_plans = false;  // nothing here follows readers or runs chains
  return settings;
}

}  // namespace

Ours::Ours(OursSettings settings)
    : settings_(settings),
      read_ahead_(settings.latency, settings.read_ahead_share),
      model_(without_session_plans(settings.model)) {}

void Ours::on_read(const ReadEvent& event, WantedList& out) {
  if (settings_.read_ahead) read_ahead_.on_read(event, out);
  accepted_.clear();
  // What the read-ahead had in memory would have been there without the model.
  auto seen = event;
  if (seen.answer == Answer::planned && last_ahead_ == event.place) seen.answer = Answer::hit;
  last_ahead_.reset();
  model_.observe(seen, accepted_);
  for (const auto& a : accepted_) {
    const auto& c = a.candidate;
    if (c.trigger || c.until) continue;
    for (std::int32_t i = 0; i < c.blocks; ++i) {
      Wanted wanted{.place = {c.place.stream, c.place.block + i * c.step},
                    .needed_by = c.needed_by,
                    .score = a.probability,
                    .tag = kGeneratorTag + static_cast<std::uint64_t>(c.generator),
                    .reason = name_of(c.generator).data()};
      if (on_hint) on_hint(event.at, wanted);
      delayed_.push_back({event.at + settings_.loop_delay, wanted});
    }
  }
  release(event.at, out);
}

void Ours::release(Instant now, WantedList& out) {
  for (; !delayed_.empty() && delayed_.front().at <= now; delayed_.pop_front()) out.push_back(delayed_.front().wanted);
}
void Ours::on_time(Instant now, WantedList& out) { release(now, out); }
std::optional<Instant> Ours::next_wake() const {
  return delayed_.empty() ? std::nullopt : std::optional(delayed_.front().at);
}

void Ours::on_outcome(std::uint64_t tag, const Place& place, bool used, Instant now) {
  if (tag < kGeneratorTag) {
    if (used) last_ahead_ = place;
    return read_ahead_.on_outcome(tag, place, used, now);
  }
  auto generator = static_cast<GeneratorId>(tag - kGeneratorTag);
  model_.on_outcome(generator, used ? kBlockSize : 0, used ? 0 : kBlockSize, now);
}

}  // namespace forelog::predictor::replay
