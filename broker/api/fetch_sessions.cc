#include "broker/api/fetch_sessions.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <utility>

namespace forelog::api {
namespace {

constexpr Duration kIdleBeforeEviction = 2min;
constexpr std::int32_t kFinalEpoch = -1;
constexpr wire::Version kTopicIds = 13;

std::vector<FetchPartition> partitions_of(const wire::FetchRequest& request, bool by_id) {
  std::vector<FetchPartition> out;
  for (const auto& topic : request.topics) {
    for (const auto& partition : topic.partitions) {
      out.push_back({by_id, topic.topic, topic.topic_id, partition.partition, partition.fetch_offset,
                     partition.current_leader_epoch, std::max(partition.partition_max_bytes, 0)});
    }
  }
  return out;
}

// After the largest epoch comes 1: 0 would open a new session.
std::int32_t next_epoch(std::int32_t epoch) {
  return epoch == std::numeric_limits<std::int32_t>::max() ? 1 : epoch + 1;
}

void append(wire::FetchResponse& response, const FetchPartition& wanted, wire::FetchResponse::Partition answer) {
  if (response.responses.empty() || response.responses.back().topic != wanted.topic ||
      response.responses.back().topic_id != wanted.topic_id) {
    response.responses.push_back({wanted.topic, wanted.topic_id, {}});
  }
  response.responses.back().partitions.push_back(std::move(answer));
}

}  // namespace

std::size_t FetchSessions::HashName::operator()(const Name& name) const {
  auto topic = std::hash<TopicName>{}(name.topic);
  return topic * 31 + std::hash<PartitionKey>{}({name.topic_id, name.partition});
}

void FetchSessions::Session::add(FetchPartition partition) {
  Name name{partition.topic, partition.topic_id, partition.partition};
  auto known = places.find(name);
  if (known != places.end()) {
    known->second->partition = std::move(partition);
    return;
  }
  partitions.push_back({std::move(partition), kNoOffset, kNoOffset});
  places.emplace(std::move(name), std::prev(partitions.end()));
}

void FetchSessions::Session::forget(const Name& name) {
  auto known = places.find(name);
  if (known == places.end()) return;
  partitions.erase(known->second);
  places.erase(known);
}

FetchSessions::Remembered* FetchSessions::Session::find(const Name& name) {
  auto known = places.find(name);
  return known == places.end() ? nullptr : &*known->second;
}

void FetchSessions::Session::move_to_the_end(const Name& name) {
  auto known = places.find(name);
  if (known != places.end()) partitions.splice(partitions.end(), partitions, known->second);
}

FetchSessions::FetchSessions(std::size_t slots, std::int32_t first_id, std::int32_t step, std::size_t partitions_max)
    : slots_(slots), next_id_(first_id), step_(step), partitions_max_(partitions_max) {}

std::size_t FetchSessions::remembered() const {
  std::size_t out = 0;
  for (const auto& [id, session] : sessions_) out += session.partitions.size();
  return out;
}

FetchSessions::Session* FetchSessions::open(std::size_t partitions, Instant now) {
  if (slots_ == 0) return nullptr;
  auto victim = sessions_.end();
  if (sessions_.size() >= slots_) {
    victim = std::min_element(sessions_.begin(), sessions_.end(),
                              [](const auto& a, const auto& b) { return a.second.used < b.second.used; });
    bool idle = now - victim->second.used > kIdleBeforeEviction;
    if (!idle) {
      victim = std::min_element(sessions_.begin(), sessions_.end(), [](const auto& a, const auto& b) {
        return a.second.partitions.size() < b.second.partitions.size();
      });
      // A session saves most where it has many partitions.
      if (victim->second.partitions.size() >= partitions) return nullptr;
    }
  }
  auto freed = victim == sessions_.end() ? 0 : victim->second.partitions.size();
  if (remembered() - freed + partitions > partitions_max_) return nullptr;
  if (victim != sessions_.end()) sessions_.erase(victim);
  auto id = next_id_;
  next_id_ = next_id_ > std::numeric_limits<std::int32_t>::max() - step_ ? next_id_ % step_ + step_ : next_id_ + step_;
  auto& session = sessions_[id];
  session = {};
  session.id = id;
  return &session;
}

FetchSessions::Begun FetchSessions::begin(const wire::FetchRequest& request, wire::Version version, Instant now) {
  Begun begun;
  const bool by_id = version >= kTopicIds;
  if (request.session_epoch == 0 || request.session_epoch == kFinalEpoch) {
    // A full fetch. Whatever session it names is over.
    if (request.session_id != 0) sessions_.erase(request.session_id);
    begun.partitions = partitions_of(request, by_id);
    if (request.session_epoch == kFinalEpoch) return begun;
    if (auto* session = open(begun.partitions.size(), now)) {
      session->used = now;
      session->by_id = by_id;
      for (const auto& partition : begun.partitions) session->add(partition);
      begun.session_id = session->id;
    }
    return begun;
  }
  auto found = sessions_.find(request.session_id);
  if (found == sessions_.end()) return begun.error = ErrorCode::kFetchSessionIdNotFound, begun;
  auto& session = found->second;
  if (request.session_epoch != session.epoch) return begun.error = ErrorCode::kInvalidFetchSessionEpoch, begun;
  if (session.by_id != by_id) return begun.error = ErrorCode::kFetchSessionTopicIdError, begun;
  session.epoch = next_epoch(session.epoch);
  session.used = now;
  for (const auto& topic : request.forgotten_topics_data) {
    for (auto partition : topic.partitions) session.forget({topic.topic, topic.topic_id, partition});
  }
  const auto before = session.partitions.size();
  for (auto& partition : partitions_of(request, by_id)) session.add(std::move(partition));
  if (session.partitions.size() > before && remembered() > partitions_max_) {
    // The client starts over with a full fetch, and gets no session for it.
    sessions_.erase(found);
    return begun.error = ErrorCode::kFetchSessionIdNotFound, begun;
  }
  begun.session_id = session.id;
  begun.incremental = true;
  for (const auto& entry : session.partitions) begun.partitions.push_back(entry.partition);
  return begun;
}

wire::FetchResponse FetchSessions::finish(const Begun& begun, std::vector<FetchPartition> wanted,
                                          std::vector<wire::FetchResponse::Partition> answers) {
  wire::FetchResponse response;
  response.session_id = begun.session_id;
  // The session may have been evicted meanwhile. The client learns it with its next fetch; until then nothing is known
  // of what it knows, so it is told everything.
  auto found = begun.session_id == 0 ? sessions_.end() : sessions_.find(begun.session_id);
  auto* session = found == sessions_.end() ? nullptr : &found->second;
  std::vector<Name> served;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    auto& answer = answers[i];
    bool has_data = !answer.records.empty();
    bool news = has_data || !answer.error_code.ok() || answer.preferred_read_replica.value() >= 0;
    Name name{wanted[i].topic, wanted[i].topic_id, wanted[i].partition};
    if (auto* entry = session == nullptr ? nullptr : session->find(name)) {
      news |= entry->high_watermark != answer.high_watermark || entry->log_start != answer.log_start_offset;
      // After an error what the client knows is sent again, whatever it is.
      entry->high_watermark = answer.error_code.ok() ? answer.high_watermark : kNoOffset;
      entry->log_start = answer.log_start_offset;
      if (has_data) served.push_back(std::move(name));
    }
    if (!begun.incremental || session == nullptr || news) append(response, wanted[i], std::move(answer));
  }
  // Their order among themselves stays: whoever was served first is served first of these.
  for (const auto& name : served) session->move_to_the_end(name);
  return response;
}

}  // namespace forelog::api
