#include "predictor/replay/ours.h"

#include "broker/base/limits.h"

namespace forelog::predictor::replay {

Ours::Ours(OursSettings settings)
    : settings_(settings), read_ahead_(settings.latency, settings.read_ahead_share), model_(settings.model) {}

void Ours::on_read(const ReadEvent& event, WantedList& out) {
  if (settings_.read_ahead) read_ahead_.on_read(event, out);
  auto named = out.size();
  broker_.on_read(event, out);
  accepted_.clear();
  if (auto seen = broker_.as_seen(event)) {
    // What the read-ahead had in memory would have been there without the model.
    if (seen->answer == Answer::planned && last_ahead_ == event.place) seen->answer = Answer::hit;
    model_.observe(*seen, accepted_);
  }
  last_ahead_.reset();
  for (auto& plan : broker_.plans(accepted_, event.at))
    delayed_.push_back({event.at + settings_.loop_delay, std::move(plan)});
  tell(event.at, out, named);
  release(event.at, out);
}

void Ours::release(Instant now, WantedList& out) {
  auto named = out.size();
  for (; !delayed_.empty() && delayed_.front().at <= now; delayed_.pop_front())
    broker_.offer(std::move(delayed_.front().plan), now);
  broker_.on_time(now, out);
  tell(now, out, named);
}

void Ours::tell(Instant now, const WantedList& wanted, std::size_t from) const {
  if (!on_hint) return;
  for (auto i = from; i < wanted.size(); ++i) on_hint(now, wanted[i]);
}

void Ours::on_time(Instant now, WantedList& out) { release(now, out); }

std::optional<Instant> Ours::next_wake() const {
  auto due = broker_.next_due({});
  if (delayed_.empty()) return due;
  return due ? std::min(*due, delayed_.front().at) : delayed_.front().at;
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
