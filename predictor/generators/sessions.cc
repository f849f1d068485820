#include "predictor/generators/sessions.h"

#include <algorithm>
#include <utility>

namespace forelog::predictor {
namespace {

constexpr std::int64_t kNear = 2;                        // blocks: "the same place"
constexpr std::int64_t kStep = 4;                        // a longer way is a jump
constexpr std::uint32_t kFormat = 3, kFormatBefore = 2;  // without `announced_before`
enum Shape : int { head, follow };

int situation_of(std::uint32_t repeats, Shape shape, bool moved) {
  return static_cast<int>(std::min<std::uint32_t>(repeats, 3)) * 4 + shape * 2 + (moved ? 1 : 0);  // < 16
}
bool near(std::int64_t a, std::int64_t b) { return std::abs(a - b) <= kNear; }

}  // namespace

const Sessions::Part* Sessions::Session::find(StreamId stream, std::uint32_t turn) const {
  for (const auto& part : parts)
    if (part.stream == stream && part.turn == turn) return &part;
  return nullptr;
}

Sessions::Part* Sessions::Session::around(const Place& place) {
  bool is_newest = true;
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (part->stream != place.stream) continue;
    // An older range is over: what comes behind it is another one.
    auto slack = std::exchange(is_newest, false) ? kStep : 0;
    if (place.block >= part->first - kNear && place.block <= part->last + slack) return &*part;
  }
  return nullptr;
}

Sessions::Part* Sessions::Session::newest(StreamId stream) {
  for (auto part = parts.rbegin(); part != parts.rend(); ++part)
    if (part->stream == stream) return &*part;
  return nullptr;
}

double Sessions::prior(int situation) const {
  int repeats = situation / 4;
  bool moved = situation % 2 == 1;
  double p = repeats == 0 ? 0.65 : repeats == 1 ? 0.8 : 0.9;
  return moved ? p - 0.1 : p;
}

// The session is over: what it was is what the next one is measured by. One that read next to nothing is a visit, and
// does not make the job forget.
void Sessions::close(Job& job) {
  if (job.now.blocks >= settings_.blocks_min) {
    for (auto& part : job.now.parts) {
      const auto* old = job.before.find(part.stream, part.turn);
      if (old == nullptr) continue;
      part.moved = part.first - old->first;
      part.moved_last = part.last - old->last;
      // Clients read ahead on their own, so that ends are a little different each time.
      part.steady = near(part.first, old->first) && 2 * std::abs(part.last - old->last) <= old->last - old->first;
      // A jump is no movement that would go on.
      if (std::abs(part.moved) > old->blocks * 4 + kNear) part.moved = part.moved_last = 0;
    }
    job.before = std::move(job.now);
    if (!job.matched) job.repeats = 0;
  }
  job.now = {};
  job.matched = false;
}

// Whether the job starts at `start` as it did last time; then the old session is what it is expected to do.
bool Sessions::begins(Job& job, const Place& start, Instant at) const {
  const auto* same = job.before.find(start.stream);
  if (job.matched || same == nullptr) return false;
  bool still = near(start.block, same->first);
  bool moved = !still && near(start.block, expected_first(*same));
  if (!still && !moved) return false;
  this->start(job, at, same->after, moved);
  return true;
}

// The present session is taken for the old one once more, which was `into` its course when it did what happens `at`.
void Sessions::start(Job& job, Instant at, Duration into, bool moved) const {
  job.matched = true;
  job.moved = moved;
  job.next = 0;
  job.begun = at;
  job.into = into;
  ++job.repeats;
}

// Where the reader of the range before is so near its end that the head of `part` should be fetched.
std::optional<Place> Sessions::trigger_of(const Job& job, const Part& part) const {
  const auto* before = part.turn == 0 ? nullptr : job.before.find(part.stream, part.turn - 1);
  if (before == nullptr) return std::nullopt;
  auto seconds = std::max(to_seconds(before->until - before->after), 1e-3);
  auto lead_blocks = static_cast<double>(before->blocks) / seconds * to_seconds(settings_.lead);
  auto first = first_of(job, *before), last = std::max(first, surely_until(job, *before));
  auto way = std::min(std::max(lead_blocks, static_cast<double>(2 * kNear)), static_cast<double>(last - first));
  return Place{part.stream, last - std::max<std::int64_t>(0, static_cast<std::int64_t>(way))};
}

// How long the reader will take for that much. Half of what it took last time, when it may have waited.
Duration Sessions::time_for(const Part& part, std::int64_t blocks) {
  auto each = to_seconds(part.until - part.after) / static_cast<double>(std::max<std::int64_t>(part.blocks, 1)) / 2;
  return Duration(static_cast<std::int64_t>(std::clamp(each * static_cast<double>(blocks), 0.0, 60.0) * 1e9));
}

void Sessions::propose(Job& job, JobId job_id, Instant now, std::vector<Candidate>& out) const {
  if (!job.matched) return;
  auto repeats = job.repeats - 1;
  auto firsts = std::ranges::count_if(job.before.parts, [](const Part& part) { return part.turn == 0; });
  auto share = settings_.heads_blocks / std::max<std::int64_t>(1, firsts);
  auto head_blocks = std::clamp<std::int64_t>(share, settings_.head_blocks, settings_.head_blocks_max);
  for (; job.next < job.before.parts.size(); ++job.next) {
    const auto& part = job.before.parts[job.next];
    auto turn = std::max(now, job.begun + (part.after - job.into));
    if (turn - now > settings_.early) return;
    const auto* under_way = job.now.find(part.stream, part.turn);
    if (under_way != nullptr && under_way->blocks > head_blocks) continue;
    auto first = first_of(job, part), last = last_of(job, part);
    Candidate head_of{.generator = id(),
                      .situation = static_cast<std::uint16_t>(situation_of(repeats, head, job.moved)),
                      .job = job_id,
                      .place = {part.stream, first},
                      .needed_by = turn,
                      .trigger = trigger_of(job, part)};
    if (const auto* range_before = job.before.find(part.stream, part.turn - 1); head_of.trigger && range_before) {
      auto way = std::min(settings_.lead, range_before->until - range_before->after);
      head_of.needed_after = way + std::max(Duration{}, part.after - range_before->until);
    }
    auto count = std::min<std::int64_t>({head_blocks, part.blocks, last - first + 1});
    // The first blocks of all partitions are wanted before the last ones of the first.
    auto turn_after_trigger = head_of.needed_after;
    for (std::int64_t i = 0; i < count; ++i, ++head_of.place.block) {
      head_of.needed_by = turn + time_for(part, i);
      head_of.needed_after = turn_after_trigger + time_for(part, i);
      out.push_back(head_of);
    }
    bool dense = part.blocks * 2 > last - first;  // a follower loads everything on the way
    if (dense) {
      auto behind = head_of;
      behind.trigger.reset();
      behind.needed_by = turn;
      behind.situation = static_cast<std::uint16_t>(situation_of(repeats, follow, job.moved));
      behind.place.block = first;
      // Where the head is all, it only tells where the reader stops.
      behind.blocks =
          static_cast<std::int32_t>(std::clamp<std::int64_t>(last - first + 1 - count, 1, settings_.ahead_blocks));
      behind.until = last;
      out.push_back(behind);
    }
  }
}

bool Sessions::knows_the_way(JobId job_id, StreamId stream) {
  const auto* job = jobs_.find(job_id);
  if (job == nullptr || !job->matched) return false;
  auto of_stream = [stream](const Part& part) { return part.stream == stream; };
  // Of a reader that hops about within a range nothing but the head is proposed here.
  auto unsteady = [&](const Part& part) { return of_stream(part) && !(part.steady && part.is_dense()); };
  return std::ranges::any_of(job->before.parts, of_stream) && std::ranges::none_of(job->before.parts, unsteady);
}

void Sessions::announce(const Announcement& announcement, std::vector<Candidate>& out) {
  auto* job = jobs_.find(announcement.job);
  if (job == nullptr) return;
  bool quiet = announcement.at - job->last > settings_.idle;
  if (job->now.blocks > 0 && quiet) close(*job);
  // Announced long ago and never come.
  if (job->matched && job->now.parts.empty() && announcement.at - job->begun > settings_.idle) job->matched = false;
  if (!announcement.place) {
    bool is_first = !job->formed || announcement.at - *job->formed > settings_.idle;
    if (job->now.parts.empty() && is_first) job->formed = announcement.at;
    bool begins_anew = job->now.parts.empty() && !job->matched && !job->before.parts.empty();
    if (!begins_anew) return;
    // Its members join first, and then read; last time so long after, this time perhaps sooner.
    start(*job, announcement.at + job->before.announced_before / 2, {}, job->before.parts.front().moved != 0);
    return propose(*job, announcement.job, announcement.at, out);
  }
  const auto& place = *announcement.place;
  // In the middle of a session a rebalance names places too; only a start that fits is one.
  const auto* now = job->now.find(place.stream);
  bool begun = now != nullptr && now->last > now->first + kNear;
  if (begun && near(place.block, now->first)) close(*job);
  if (job->now.parts.empty() && begins(*job, place, announcement.at)) {
    propose(*job, announcement.job, announcement.at, out);
  }
}

void Sessions::observe(const ReadEvent& event, std::vector<Candidate>& out) {
  if (!event.addressed || event.blocks < 1) return;
  auto& job = jobs_.touch(event.job);
  auto* part = job.now.around(event.place);
  bool quiet = job.last != Instant{} && event.at - job.last > settings_.idle;
  bool again = part != nullptr && part->last - part->first > 2 * kNear && near(event.place.block, part->first) &&
               part == &job.now.parts.front();
  // An announcement may have come before the first read of a session.
  bool announced = job.matched && job.now.parts.empty() && event.at - job.begun <= settings_.idle;
  if ((quiet && !announced) || again) close(job), part = nullptr;
  job.last = event.at;

  if (job.now.parts.empty()) {
    job.now.started = event.at;
    bool was_announced = job.formed && event.at >= *job.formed && event.at - *job.formed <= settings_.idle;
    if (was_announced) job.now.announced_before = event.at - *job.formed;
    job.formed.reset();
    const auto* same = job.before.find(event.place.stream);
    if (job.matched && same != nullptr) job.begun = event.at, job.into = same->after;
  }
  auto* newest = part == nullptr ? job.now.newest(event.place.stream) : part;
  // Only the end of a real range is a jump to the next one; a reader that hops about has a single part.
  bool is_range =
      newest != nullptr && newest->blocks >= settings_.range_min && newest->blocks * 2 > newest->last - newest->first;
  if (part == nullptr && newest != nullptr && !is_range) part = newest;
  if (part == nullptr) {
    if (job.now.parts.size() >= settings_.parts_max) return;
    // Each partition's first read may be the one that gives the job away.
    if (newest == nullptr) begins(job, event.place, event.at);
    job.now.parts.push_back({.stream = event.place.stream,
                             .turn = newest == nullptr ? 0 : newest->turn + 1,
                             .first = event.place.block,
                             .last = event.place.block,
                             .after = event.at - job.now.started});
    part = &job.now.parts.back();
  }
  part->last = std::max(part->last, event.place.block + event.blocks - 1);
  part->blocks += event.blocks;
  part->until = event.at - job.now.started;
  job.now.blocks += event.blocks;
  propose(job, event.job, event.at, out);
}

std::size_t Sessions::memory_bytes() const {
  std::size_t bytes = jobs_.memory_bytes();
  for (const auto& [id_of_job, job] : jobs_)
    bytes += (job.now.parts.capacity() + job.before.parts.capacity()) * sizeof(Part);
  return bytes;
}

void Sessions::save(ByteWriter& out) const {
  auto put = [&out](const Session& session) {
    out.i64(session.started.time_since_epoch().count()), out.i64(session.blocks);
    out.i64(session.announced_before.count());
    out.u32(static_cast<std::uint32_t>(session.parts.size()));
    for (const auto& part : session.parts) {
      out.u32(part.stream), out.u32(part.turn), out.u8(part.steady ? 1 : 0), out.i64(part.until.count());
      out.i64(part.first), out.i64(part.last), out.i64(part.blocks), out.i64(part.after.count());
      out.i64(part.moved), out.i64(part.moved_last);
    }
  };
  out.u32(kFormat), out.u32(static_cast<std::uint32_t>(jobs_.size()));
  for (const auto& [id_of_job, job] : jobs_) {
    out.u32(id_of_job), out.i64(job.last.time_since_epoch().count()), out.u32(job.repeats);
    put(job.now), put(job.before);
  }
}

bool Sessions::load(ByteReader& in) {
  auto format = in.u32();
  auto take = [&](Session& session) {
    session.started = Instant(Duration(in.i64()));
    session.blocks = in.i64();
    if (format == kFormat) session.announced_before = std::clamp(Duration(in.i64()), Duration{}, settings_.idle);
    auto count = in.u32();
    if (count > settings_.parts_max) in.fail();
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
      Part part;
      part.stream = in.u32(), part.turn = in.u32(), part.steady = in.u8() == 1, part.until = Duration(in.i64());
      part.first = in.i64(), part.last = in.i64(), part.blocks = in.i64();
      part.after = Duration(in.i64()), part.moved = in.i64(), part.moved_last = in.i64();
      session.parts.push_back(part);
    }
  };
  jobs_.clear();
  if (format != kFormat && format != kFormatBefore) return false;
  auto count = in.u32();
  for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
    auto id_of_job = in.u32();
    Job job;
    job.last = Instant(Duration(in.i64()));
    job.repeats = in.u32();
    take(job.now), take(job.before);
    if (in.ok()) jobs_.touch(id_of_job) = std::move(job);
  }
  if (!in.ok()) jobs_.clear();
  return in.ok();
}

}  // namespace forelog::predictor
