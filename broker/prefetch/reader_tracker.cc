#include "broker/prefetch/reader_tracker.h"

#include "broker/base/check.h"

#include <algorithm>

namespace forelog::prefetch {

namespace {
constexpr Duration kAnnounceEvery = 30s;
constexpr Duration kGuessEvery = 1s;
}  // namespace

ReaderTracker::ReaderTracker(CoreId core, std::size_t readers_max) : core_(core), readers_max_(readers_max) {
  CHECK(readers_max > 0 && core.value() >= 0 && core.value() < (1 << 15));
}

ReaderTracker::Seen ReaderTracker::on_access(const AccessEvent& event, Instant now) {
  CHECK(event.client != nullptr);
  Seen seen;
  auto [known, is_first] = by_key_.try_emplace(Key{event.client->connection, event.partition});
  if (is_first) {
    streams_.push_front({});
    known->second = streams_.begin();
    by_partition_[event.partition].push_back(known->second);
  } else {
    streams_.splice(streams_.begin(), streams_, known->second);
  }
  auto& stream = streams_.front();
  // Asking again for what it has just been given, or part of it, is a retry.
  bool jumped = !is_first && (event.asked < stream.last_asked || event.asked > stream.next);
  auto begin = [&](ReaderStart start) {
    stream.reader = next_id();
    stream.start = event.asked;
    stream.opened = now;
    stream.trailing_commits.clear();
    guess(stream, now);
    return start;
  };
  std::optional<ReaderStart> start;
  if (is_first) {
    stream.client = event.client;
    stream.partition = event.partition;
    start = begin(ReaderStart::first);
    stream.id = stream.reader.value();
  } else if (jumped) {
    seen.ended = stream.reader;
    start = begin(ReaderStart::seek);
  } else {
    if (stream.evidence_version != evidence_.version() && now - stream.guessed >= kGuessEvery) guess(stream, now);
    if (now - stream.announced >= kAnnounceEvery) {
      guess(stream, now);
      start = ReaderStart::still_open;
    }
  }
  stream.last_asked = event.asked;
  auto next = event.last == kNoOffset ? event.asked : event.last + 1;
  stream.next = start && *start != ReaderStart::still_open ? next : std::max(stream.next, next);
  if (start) {
    stream.announced = now;
    seen.announce = {stream.reader, stream.client, event.partition, std::string(event.topic),
                     *start,        stream.start,  stream.opened,   stream.groups};
  }
  seen.reader = stream.reader;
  seen.stream = stream.id;
  seen.groups = &stream.groups;
  if (streams_.size() > readers_max_) {
    forgotten_.push_back({streams_.back().reader, streams_.back().id});
    forget(std::prev(streams_.end()));
  }
  return seen;
}

bool ReaderTracker::others_behind(const PartitionKey& partition, ReaderId reader, Offset offset) const {
  auto there = by_partition_.find(partition);
  if (there == by_partition_.end()) return false;
  return std::ranges::any_of(there->second, [&](const auto& s) { return s->reader != reader && s->next <= offset; });
}

void ReaderTracker::guess(Stream& stream, Instant now) {
  stream.groups = evidence_.candidates(*stream.client, stream.partition, stream.start, stream.trailing_commits, now);
  stream.evidence_version = evidence_.version();
  stream.guessed = now;
}

void ReaderTracker::on_group_event(const GroupEvent& event, Instant now) {
  evidence_.note(event, now);
  if (event.kind != GroupEventKind::commit) return;
  for (const auto& committed : event.offsets) {
    auto readers = by_partition_.find(committed.partition);
    if (readers == by_partition_.end()) continue;
    for (auto stream : readers->second) {
      bool trails = committed.offset > stream->start && committed.offset <= stream->next;
      if (trails && stream->trailing_commits.size() < 16) ++stream->trailing_commits[event.group];
    }
  }
}

void ReaderTracker::forget(Streams::iterator stream) {
  by_key_.erase({stream->client->connection, stream->partition});
  auto there = by_partition_.find(stream->partition);
  std::erase(there->second, stream);
  if (there->second.empty()) by_partition_.erase(there);
  streams_.erase(stream);
}

std::vector<ReaderTracker::Ended> ReaderTracker::on_disconnect(ConnectionId connection) {
  std::vector<Ended> out;
  auto at = by_key_.lower_bound({connection, PartitionKey{}});
  while (at != by_key_.end() && at->first.first == connection) {
    auto stream = at++->second;
    out.push_back({stream->reader, stream->id});
    forget(stream);
  }
  evidence_.forget(connection);
  return out;
}

std::vector<ReaderTracker::Ended> ReaderTracker::take_forgotten() { return std::exchange(forgotten_, {}); }

}  // namespace forelog::prefetch
