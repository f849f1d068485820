#include "broker/prefetch/group_evidence.h"

#include <algorithm>
#include <cctype>

namespace forelog::prefetch {

namespace {

constexpr Duration kOffsetMemory = 2min;  // a member fetches right after it was told its offsets
constexpr Duration kAssignmentMemory = 24h;
constexpr std::size_t kCandidatesMax = 8;
constexpr int kTrailingCommits = 3;

bool is_number(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](unsigned char c) { return std::isdigit(c) != 0; });
}

std::string member_of(const ClientInfo& client) {
  return client.client_id + '\n' + client.host + '\n' + client.principal;
}

}  // namespace

std::string_view client_stem(std::string_view client_id) {
  auto dash = client_id.find_last_of("-_.");
  if (dash == std::string_view::npos || dash == 0 || !is_number(client_id.substr(dash + 1))) return client_id;
  return client_id.substr(0, dash);
}

std::optional<GroupId> group_in_client_id(std::string_view client_id) {
  constexpr std::string_view kConsumer = "consumer-", kConnector = "connector-consumer-", kStreams = "-StreamThread-";
  auto stem = client_stem(client_id);
  bool numbered = stem.size() < client_id.size();
  if (numbered && stem.starts_with(kConnector) && stem.size() > kConnector.size()) {
    return GroupId{"connect-" + std::string(stem.substr(kConnector.size()))};
  }
  if (numbered && stem.starts_with(kConsumer) && stem.size() > kConsumer.size()) {
    return GroupId{std::string(stem.substr(kConsumer.size()))};
  }
  // <application id>-<uuid of 36 characters>-StreamThread-<n>-consumer
  auto streams = client_id.find(kStreams);
  if (streams != std::string_view::npos && streams > 37) return GroupId{std::string(client_id.substr(0, streams - 37))};
  return std::nullopt;
}

void GroupEvidence::note(const GroupEvent& event, Instant now) {
  if (event.group.value().empty()) return;
  ++version_;
  if (event.client && (connections_.size() < kConnectionsMax || connections_.contains(event.client->connection))) {
    auto& groups = connections_[event.client->connection];
    if (groups.size() < kGroupsOfConnectionMax) groups.insert(event.group);
  }
  bool names_partitions = event.kind == GroupEventKind::sync || event.kind == GroupEventKind::offset_fetch;
  if (!names_partitions) return;
  for (const auto& named : event.offsets) {
    bool told = event.kind == GroupEventKind::offset_fetch;
    if (told && named.offset.value() < 0) continue;
    if (mentions_.size() >= kPartitionsMax && !mentions_.contains(named.partition)) continue;
    auto& mentions = mentions_[named.partition];
    auto member = event.client ? member_of(*event.client) : std::string{};
    std::erase_if(mentions, [&](const Mention& m) {
      return m.group == event.group && m.member == member && (m.offset == kNoOffset) != told;
    });
    mentions.push_back({event.group, told ? named.offset : kNoOffset, std::move(member), now});
    if (mentions.size() > kMentionsMax) mentions.pop_front();
  }
}

void GroupEvidence::forget(ConnectionId connection) { connections_.erase(connection); }

std::vector<GroupCandidate> GroupEvidence::candidates(const ClientInfo& client, const PartitionKey& partition,
                                                      Offset start, const std::map<GroupId, int>& commits,
                                                      Instant now) const {
  std::map<GroupId, GroupCandidate> best;
  auto consider = [&best](const GroupId& group, double confidence, Evidence evidence) {
    auto& candidate = best[group];
    if (confidence > candidate.confidence) candidate = {group, confidence, evidence};
  };
  if (auto group = group_in_client_id(client.client_id)) consider(*group, 0.9, Evidence::client_id);
  if (auto known = connections_.find(client.connection); known != connections_.end()) {
    // A connection that speaks for several groups is a proxy or a tool.
    for (const auto& group : known->second)
      consider(group, known->second.size() == 1 ? 0.95 : 0.4, Evidence::coordinator);
  }
  if (auto known = mentions_.find(partition); known != mentions_.end()) {
    auto self = member_of(client);
    for (const auto& mention : known->second) {
      bool same_client = mention.member == self;
      bool assigned = mention.offset == kNoOffset;
      if (assigned && same_client && now - mention.at < kAssignmentMemory)
        consider(mention.group, 0.85, Evidence::assignment);
      bool begins_there = !assigned && mention.offset == start && now - mention.at < kOffsetMemory;
      if (begins_there) consider(mention.group, same_client ? 0.9 : 0.6, Evidence::first_offset);
    }
  }
  for (const auto& [group, count] : commits) {
    if (count >= kTrailingCommits) consider(group, 0.8, Evidence::commits);
  }
  std::vector<GroupCandidate> out;
  for (auto& [group, candidate] : best) out.push_back(std::move(candidate));
  std::ranges::sort(out, [](const GroupCandidate& a, const GroupCandidate& b) {
    return a.confidence != b.confidence ? a.confidence > b.confidence : a.group < b.group;
  });
  if (out.size() > kCandidatesMax) out.resize(kCandidatesMax);
  return out;
}

}  // namespace forelog::prefetch
