#include "predictor/generators/sessions.h"

#include <algorithm>

namespace forelog::predictor {
namespace {

constexpr std::int64_t kNear = 2;  // blocks: "the same place"
enum Shape : int { head, follow };

int situation_of(std::uint32_t repeats, Shape shape, bool moved) {
  return static_cast<int>(std::min<std::uint32_t>(repeats, 3)) * 4 + shape * 2 + (moved ? 1 : 0);  // < 16
}
bool near(std::int64_t a, std::int64_t b) { return std::abs(a - b) <= kNear; }

}  // namespace

Sessions::Part* Sessions::Session::find(StreamId stream) {
  for (auto& part : parts)
    if (part.stream == stream) return &part;
  return nullptr;
}
const Sessions::Part* Sessions::Session::find(StreamId stream) const {
  return const_cast<Session*>(this)->find(stream);
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
      const auto* old = job.before.find(part.stream);
      if (old == nullptr) continue;
      part.moved = part.first - old->first;
      part.moved_last = part.last - old->last;
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
  job.matched = true;
  job.moved = moved;
  job.next = 0;
  job.begun = at;
  job.into = same->after;
  ++job.repeats;
  return true;
}

void Sessions::propose(Job& job, JobId job_id, Instant now, std::vector<Candidate>& out) const {
  if (!job.matched) return;
  auto repeats = job.repeats - 1;
  for (; job.next < job.before.parts.size(); ++job.next) {
    const auto& part = job.before.parts[job.next];
    auto turn = std::max(now, job.begun + (part.after - job.into));
    if (turn - now > settings_.early) return;
    const auto* under_way = job.now.find(part.stream);
    if (under_way != nullptr && under_way->blocks > settings_.head_blocks) continue;
    auto first = job.moved ? expected_first(part) : part.first;
    auto last = job.moved ? part.last + part.moved_last : part.last;
    Candidate head_of{.generator = id(),
                      .situation = static_cast<std::uint16_t>(situation_of(repeats, head, job.moved)),
                      .job = job_id,
                      .place = {part.stream, first},
                      .needed_by = turn};
    auto count = std::min<std::int64_t>({settings_.head_blocks, part.blocks, last - first + 1});
    for (std::int64_t i = 0; i < count; ++i, ++head_of.place.block) out.push_back(head_of);
    bool dense = part.blocks * 2 > last - first;  // a follower loads everything on the way
    if (last - first + 1 > count && dense) {
      auto behind = head_of;
      behind.situation = static_cast<std::uint16_t>(situation_of(repeats, follow, job.moved));
      behind.place.block = first;
      behind.blocks = settings_.ahead_blocks;
      behind.until = last;
      out.push_back(behind);
    }
  }
}

void Sessions::announce(const Announcement& announcement, std::vector<Candidate>& out) {
  auto* job = jobs_.find(announcement.job);
  if (job == nullptr) return;
  if (job->now.blocks > 0 && announcement.at - job->last > settings_.idle) close(*job);
  // In the middle of a session a rebalance names places too; only a start that fits is one.
  const auto* now = job->now.find(announcement.place.stream);
  bool begun = now != nullptr && now->last > now->first + kNear;
  if (begun && near(announcement.place.block, now->first)) close(*job);
  if (job->now.parts.empty() && begins(*job, announcement.place, announcement.at)) {
    propose(*job, announcement.job, announcement.at, out);
  }
}

void Sessions::observe(const ReadEvent& event, std::vector<Candidate>& out) {
  if (!event.addressed || event.blocks < 1) return;
  auto& job = jobs_.touch(event.job);
  auto* part = job.now.find(event.place.stream);
  bool quiet = job.last != Instant{} && event.at - job.last > settings_.idle;
  bool again = part != nullptr && part->last - part->first > 2 * kNear && near(event.place.block, part->first) &&
               part == &job.now.parts.front();
  // An announcement may have come before the first read of a session.
  bool announced = job.matched && job.now.parts.empty() && event.at - job.begun <= settings_.idle;
  if ((quiet && !announced) || again) close(job), part = nullptr;
  job.last = event.at;

  if (job.now.parts.empty()) job.now.started = event.at;
  if (part == nullptr) {
    if (job.now.parts.size() >= settings_.parts_max) return;
    // Each partition's first read may be the one that gives the job away.
    begins(job, event.place, event.at);
    job.now.parts.push_back({.stream = event.place.stream,
                             .first = event.place.block,
                             .last = event.place.block,
                             .after = event.at - job.now.started});
    part = &job.now.parts.back();
  }
  part->last = std::max(part->last, event.place.block + event.blocks - 1);
  part->blocks += event.blocks;
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
    out.u32(static_cast<std::uint32_t>(session.parts.size()));
    for (const auto& part : session.parts) {
      out.u32(part.stream), out.i64(part.first), out.i64(part.last), out.i64(part.blocks), out.i64(part.after.count());
      out.i64(part.moved), out.i64(part.moved_last);
    }
  };
  out.u32(static_cast<std::uint32_t>(jobs_.size()));
  for (const auto& [id_of_job, job] : jobs_) {
    out.u32(id_of_job), out.i64(job.last.time_since_epoch().count()), out.u32(job.repeats);
    put(job.now), put(job.before);
  }
}

bool Sessions::load(ByteReader& in) {
  auto take = [&](Session& session) {
    session.started = Instant(Duration(in.i64()));
    session.blocks = in.i64();
    auto count = in.u32();
    if (count > settings_.parts_max) in.fail();
    for (std::uint32_t i = 0; i < count && in.ok(); ++i) {
      Part part;
      part.stream = in.u32(), part.first = in.i64(), part.last = in.i64(), part.blocks = in.i64();
      part.after = Duration(in.i64()), part.moved = in.i64(), part.moved_last = in.i64();
      session.parts.push_back(part);
    }
  };
  jobs_.clear();
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
