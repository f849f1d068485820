#include "predictor/generators/temporal_streams.h"

#include <algorithm>
#include <bit>

namespace forelog::predictor {
namespace {

constexpr int kSkipMax = 10;  // places that a reader may leave out, against last time
constexpr int kStrayMax = 3;  // reads in a row off the stream before it is given up
constexpr Duration kPauseMax = 10s;
constexpr int kVoters = 4;  // earlier occurrences asked how they went on
constexpr std::uint64_t kPairSalt = 0x70616972, kJobSalt = 0x6a6f62, kPlaceSalt = 0x706c616365;

std::uint64_t pair_hash(const Place& previous, const Place& place) {
  return mix(hash_of(previous, kPairSalt) * 3 + hash_of(place));
}
std::uint64_t job_hash(JobId job, const Place& place) {
  return mix(hash_of(place, kJobSalt) + job * 0x9e3779b97f4a7c15ULL);
}
std::uint64_t place_hash(const Place& place) { return hash_of(place, kPlaceSalt); }

// source 3 × matched 4 × agreed 3 × depth 4 × pause 3 = 432 situations.
int situation_of(int source, int matched, int agreed, int depth, Duration pause) {
  int run = std::min(matched, 8) == 0 ? 0 : matched == 1 ? 1 : matched < 6 ? 2 : 3;
  int far = depth <= 1 ? 0 : depth <= 2 ? 1 : depth <= 5 ? 2 : 3;
  int gap = pause < 128ms ? 0 : pause < 1s ? 1 : 2;
  return (((source * 4 + run) * 3 + std::min(agreed, 2)) * 4 + far) * 3 + gap;
}

}  // namespace

TemporalStreams::TemporalStreams(TemporalStreamsSettings settings)
    : settings_(settings),
      ring_(std::bit_ceil(std::max<std::size_t>(settings.reads_max, 16))),
      readers_(settings.readers_max) {}

TemporalStreams::Entry* TemporalStreams::entry(Position position) {
  if (position == 0 || position >= end_ || position < oldest()) return nullptr;
  return &ring_[position & (ring_.size() - 1)];
}

double TemporalStreams::prior(int situation) const {
  int gap = situation % 3, far = situation / 3 % 4, agreed = situation / 12 % 3, run = situation / 36 % 4;
  int source = situation / 144;
  double p = source == pair ? 0.65 : source == same_job ? 0.55 : 0.3;
  p += 0.1 * run + 0.1 * agreed - 0.05 * far - 0.15 * gap;
  return std::clamp(p, 0.05, 0.9);
}

// Whether the reader has gone on along `stream`; then the stream stands at that place.
bool TemporalStreams::follow(Stream& stream, const Place& place) {
  auto* at = entry(stream.at);
  for (int step = 0; at != nullptr && step <= kSkipMax; ++step) {
    auto position = at->next;
    at = entry(position);
    if (at == nullptr || at->place != place) continue;
    stream.at = position;
    stream.missed = 0;
    stream.matched = static_cast<std::uint16_t>(std::min(stream.matched + 1, 1000));
    return true;
  }
  return false;
}

// Of the latest occurrences of a place, the newest among those whose continuation most of them share.
TemporalStreams::Stream TemporalStreams::vote(Position newest, Source source) {
  struct Ballot {
    Position position;
    Place next;
  };
  std::array<Ballot, kVoters> ballots;
  int count = 0;
  for (auto p = newest; count < kVoters;) {
    auto* e = entry(p);
    if (e == nullptr) break;
    if (auto* next = entry(e->next)) ballots[count++] = {p, next->place};
    p = e->before;
  }
  Stream best{.source = source};
  int best_votes = 0;
  for (int i = 0; i < count; ++i) {
    int votes = 0;
    for (int j = 0; j < count; ++j) votes += ballots[i].next == ballots[j].next;
    if (votes <= best_votes) continue;
    best_votes = votes;
    best.at = ballots[i].position;
  }
  // One dissenter in four is as good as one supporter less.
  best.agreed = static_cast<std::uint8_t>(std::max(0, best_votes - 1 - (count - best_votes)));
  return best;
}

TemporalStreams::Stream TemporalStreams::find(const Place& place, const Reader& reader, JobId job) {
  if (reader.last != 0) {
    auto p = by_pair_.find(pair_hash(reader.last_place, place));
    auto* e = entry(p);
    if (e != nullptr && e->place == place && entry(e->next) != nullptr) return Stream{.at = p, .source = pair};
  }
  auto p = by_job_.find(job_hash(job, place));
  auto* e = entry(p);
  if (e != nullptr && e->place == place && e->job == job && entry(e->next) != nullptr) {
    auto voted = vote(p, same_job);
    // The job's own last time counts, whatever others did; their agreement only makes it surer.
    auto* own = entry(e->next);
    auto* theirs = entry(voted.at) == nullptr ? nullptr : entry(entry(voted.at)->next);
    bool same = own != nullptr && theirs != nullptr && own->place == theirs->place;
    return Stream{.at = p, .agreed = same ? voted.agreed : std::uint8_t{0}, .source = same_job};
  }
  p = by_place_.find(place_hash(place));
  e = entry(p);
  if (e == nullptr || e->place != place) return {};
  return vote(p, anyone);
}

void TemporalStreams::roll_out(const Stream& stream, const ReadEvent& event, std::vector<Candidate>& out) {
  auto* from = entry(stream.at);
  auto start = from->at;
  auto previous = start;
  Duration pause{};
  int depth = 0;
  for (auto* e = entry(from->next); e != nullptr && depth < settings_.rollout_max; e = entry(e->next)) {
    auto after = e->at - start;
    if (depth > 0 && after > settings_.horizon) break;
    pause = std::max(pause, e->at - previous);
    previous = e->at;
    ++depth;
    auto situation = situation_of(stream.source, stream.matched, stream.agreed, depth, pause);
    out.push_back({.generator = id(),
                   .situation = static_cast<std::uint16_t>(situation),
                   .job = event.job,
                   .reader = event.reader,
                   .place = e->place,
                   .needed_by = event.at + after});
  }
}

// The chain behind `place`, where the past agreed with itself: for the broker to run at the touch.
void TemporalStreams::propose_chain(const Stream& stream, const ReadEvent& event, const Place& place,
                                    std::vector<Candidate>& out) {
  if (!settings_.chains || stream.agreed == 0) return;
  std::vector<Candidate> rolled;
  roll_out(stream, event, rolled);
  for (auto& candidate : rolled) {
    candidate.needed_after = candidate.needed_by - event.at;
    candidate.trigger = place;
    out.push_back(candidate);
  }
}

TemporalStreams::Position TemporalStreams::append(const ReadEvent& event, const Place& place) {
  auto position = end_++;
  auto before = by_place_.find(place_hash(place));
  ring_[position & (ring_.size() - 1)] = {.place = place, .at = event.at, .before = before, .job = event.job};
  by_place_.put(place_hash(place), position, oldest());
  by_job_.put(job_hash(event.job, place), position, oldest());
  return position;
}

void TemporalStreams::observe_block(const ReadEvent& event, Place place, bool last_of_run,
                                    std::vector<Candidate>& out) {
  auto& reader = readers_.touch(event.reader);
  if (reader.last != 0 && reader.last_place == place) return;  // the rest of the same block

  // After a long pause something new begins, even where the old stream would go on.
  auto* before = entry(reader.last);
  if (before == nullptr || event.at - before->at > kPauseMax) reader.stream = reader.aside = {};
  // A reader well under way reads something else now and then: its stream waits for it a little, while what was found
  // for the stray read stands by.
  bool kept = follow(reader.stream, place);
  if (!kept && follow(reader.aside, place)) kept = true, reader.stream = reader.aside;
  Stream* current = &reader.stream;
  if (!kept) {
    bool stray = reader.stream.matched >= 3 && ++reader.stream.missed <= kStrayMax;
    if (stray) current = &reader.aside;
    *current = find(place, reader, event.job);
  }
  if (current->at != 0 && last_of_run) {
    roll_out(*current, event, out);
    // The next time round, the broker can do the same by itself.
    if (current->matched == 0) propose_chain(*current, event, place, out);
  }

  auto position = append(event, place);
  if (auto* last = entry(reader.last)) {
    last->next = position;
    by_pair_.put(pair_hash(reader.last_place, place), position, oldest());
  }
  reader.last = position;
  reader.last_place = place;
}

void TemporalStreams::observe(const ReadEvent& event, std::vector<Candidate>& out) {
  for (std::int32_t i = 0; i < event.blocks; ++i) {
    observe_block(event, {event.place.stream, event.place.block + i}, i + 1 == event.blocks, out);
  }
}

std::size_t TemporalStreams::memory_bytes() const {
  return ring_.size() * sizeof(Entry) + by_pair_.memory_bytes() + by_job_.memory_bytes() + by_place_.memory_bytes() +
         readers_.memory_bytes();
}

void TemporalStreams::save(ByteWriter& out) const {
  out.u64(ring_.size()), out.u64(end_), out.u64(oldest());
  for (auto p = oldest(); p < end_; ++p) {
    const auto& e = ring_[p & (ring_.size() - 1)];
    out.u32(e.place.stream), out.i64(e.place.block), out.i64(e.at.time_since_epoch().count());
    out.u64(e.next), out.u64(e.before), out.u32(e.job);
  }
}

// Readers are not kept: they begin anew after a restart, and find their streams at the next read. The indexes are
// rebuilt, since each entry says what it was put under, but for the predecessor: that one points to it.
bool TemporalStreams::load(ByteReader& in) {
  readers_.clear(), by_pair_.clear(), by_job_.clear(), by_place_.clear();
  std::fill(ring_.begin(), ring_.end(), Entry{});
  end_ = 1;
  auto size = in.u64();
  auto end = in.u64(), first = in.u64();
  if (!in.ok() || size != ring_.size() || first == 0 || end < first || end - first > size) return false;
  end_ = end;
  for (auto p = first; p < end; ++p) {
    Entry e;
    e.place.stream = in.u32(), e.place.block = in.i64();
    e.at = Instant(Duration(in.i64()));
    e.next = in.u64(), e.before = in.u64(), e.job = in.u32();
    if (!in.ok() || (e.next != 0 && (e.next <= p || e.next >= end)) || e.before >= p) {
      std::fill(ring_.begin(), ring_.end(), Entry{});
      by_job_.clear(), by_place_.clear();
      end_ = 1;
      return false;
    }
    ring_[p & (ring_.size() - 1)] = e;
    by_place_.put(place_hash(e.place), p, first);
    by_job_.put(job_hash(e.job, e.place), p, first);
  }
  for (auto p = first; p < end; ++p) {
    const auto& e = ring_[p & (ring_.size() - 1)];
    if (auto* next = entry(e.next)) by_pair_.put(pair_hash(e.place, next->place), e.next, first);
  }
  return true;
}

}  // namespace forelog::predictor
