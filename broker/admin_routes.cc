#include "broker/admin_routes.h"

#include "broker/api/fan_out.h"
#include "broker/archived_chains.h"
#include "broker/base/json.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"
#include "broker/prefetch/plan_shape.h"
#include "broker/prefetch/prefetcher.h"
#include "broker/replication/partition_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace forelog {
namespace {

using admin::HttpRequest;
using admin::HttpResponse;

constexpr Duration kWarmLife = 10min;
constexpr Duration kAnswerMax = 10s;

// --- shards ----------------------------------------------------------------------------------------------------------

struct ShardRow {
  std::int32_t partition = 0;
  std::int64_t base = 0;
  std::int64_t end = 0;
  std::int32_t generation = 0;
  std::string state;
  std::string location;
  std::int64_t size = 0;
  std::int64_t age_ms = 0;
  std::int64_t first_timestamp = -1;
  std::int64_t max_timestamp = -1;
  std::int64_t reads = 0;
  std::int64_t bytes_read = 0;
  std::int64_t last_read_ms = -1;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("partition", m.partition);
    field("base", m.base);
    field("end", m.end);
    field("generation", m.generation);
    field("state", m.state);
    field("location", m.location);
    field("size", m.size);
    field("age_ms", m.age_ms);
    field("first_timestamp", m.first_timestamp);
    field("max_timestamp", m.max_timestamp);
    field("reads", m.reads);
    field("bytes_read", m.bytes_read);
    field("last_read_ms", m.last_read_ms);
  };
};

struct ShardsAnswer {
  std::string topic;
  std::string topic_id;
  std::vector<ShardRow> shards;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("topic", m.topic);
    field("topic_id", m.topic_id);
    field("shards", m.shards);
  };
};

ShardRow row_of(const replication::Partition& partition, const log::ShardDescriptor& shard, WallTime now) {
  ShardRow row;
  row.partition = partition.key().partition.value();
  row.base = shard.base.value();
  row.end = shard.end.value();
  row.generation = shard.generation.value();
  row.state = log::name_of(shard.state);
  row.location = shard.local && shard.archived ? "local+archive" : shard.archived ? "archive" : "local";
  row.size = shard.size;
  row.age_ms = shard.created_ms > 0 ? to_ms(now) - shard.created_ms : 0;
  row.first_timestamp = shard.first_timestamp;
  row.max_timestamp = shard.max_timestamp;
  row.reads = shard.access.reads;
  row.bytes_read = shard.access.bytes;
  row.last_read_ms = shard.access.last_read_ms;
  return row;
}

Task<void> shards_on_core(api::Services& services, TopicId topic, std::vector<ShardRow>& out) {
  auto now = services.env.clock.wall();
  for (const auto& partition : services.here().partitions.all()) {
    if (partition->key().topic != topic) continue;
    for (const auto& shard : partition->chain().shards()) out.push_back(row_of(*partition, shard, now));
  }
  co_return;
}

std::string parameter(const HttpRequest& request, const std::string& name) {
  auto it = request.query.find(name);
  return it == request.query.end() ? std::string() : it->second;
}

Task<HttpResponse> get_shards(api::Services& services, HttpRequest request) {
  TopicName name(parameter(request, "topic"));
  auto view = services.cluster.view();
  const auto* topic = view->topic(name);
  if (topic == nullptr) co_return admin::http_error({ErrorCode::kUnknownTopicOrPartition, name.value()});
  ShardsAnswer answer{name.value(), topic->id.text(), {}};
  std::vector<std::vector<ShardRow>> by_core(services.cores.size());
  std::vector<api::CoreTask> tasks;
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    tasks.emplace_back(CoreId(static_cast<std::int32_t>(core)), shards_on_core(services, topic->id, by_core[core]));
  }
  co_await api::fan_out(services.env.cores, std::move(tasks));
  for (auto& rows : by_core) std::move(rows.begin(), rows.end(), std::back_inserter(answer.shards));
  std::sort(answer.shards.begin(), answer.shards.end(), [](const auto& a, const auto& b) {
    return std::pair(a.partition, a.base) < std::pair(b.partition, b.base);
  });
  co_return HttpResponse{200, "application/json", to_json(answer)};
}

// --- plans -----------------------------------------------------------------------------------------------------------

Task<void> plans_on_core(api::Services& services, std::int64_t since, std::vector<prefetch::PlanNote>& out) {
  out = services.here().prefetcher.plans_since(since);
  co_return;
}

// Notes are numbered on each core; `since` is a list, one number a core, as the last answer gave it in `next`.
Task<HttpResponse> get_plans(api::Services& services, HttpRequest request) {
  std::vector<std::int64_t> since(services.cores.size(), 0);
  auto text = parameter(request, "since");
  const char* at = text.data();
  const char* end = at + text.size();
  for (auto& number : since) {
    auto parsed = std::from_chars(at, end, number);
    if (parsed.ec != std::errc()) break;
    at = parsed.ptr != end && *parsed.ptr == ',' ? parsed.ptr + 1 : parsed.ptr;
  }
  std::vector<std::vector<prefetch::PlanNote>> by_core(services.cores.size());
  std::vector<api::CoreTask> tasks;
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    tasks.emplace_back(CoreId(static_cast<std::int32_t>(core)), plans_on_core(services, since[core], by_core[core]));
  }
  co_await api::fan_out(services.env.cores, std::move(tasks));
  std::string next;
  std::string notes;
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    for (const auto& note : by_core[core]) {
      since[core] = note.sequence;
      notes += (notes.empty() ? "" : ",") + note.json;
    }
    next += (core == 0 ? "" : ",") + std::to_string(since[core]);
  }
  co_return HttpResponse{200, "application/json", "{\"next\":\"" + next + "\",\"plans\":[" + notes + "]}"};
}

// --- chains ----------------------------------------------------------------------------------------------------------

// What the metadata store says is archived, for `forelog archive verify`. In pages of a topic each: `after` is the last
// topic's id.
Task<Result<ArchivedChainsPage>> chains_after(env::MetadataStore& metadata, std::string after) {
  constexpr std::size_t kPageBytes = 1 << 20;
  ArchivedChainsPage answer;
  std::size_t bytes = 0;
  for (const auto& topic : CO_TRY(co_await cluster::children_or_none(metadata, cluster::paths::kChains))) {
    if (topic <= after) continue;
    auto path = cluster::paths::kChains + "/" + topic;
    for (const auto& partition : CO_TRY(co_await cluster::children_or_none(metadata, path))) {
      auto znode = co_await metadata.get(path + "/" + partition);
      if (!znode) continue;  // removed meanwhile
      std::int32_t number = 0;
      std::from_chars(partition.data(), partition.data() + partition.size(), number);
      bytes += znode->data.size();
      answer.chains.push_back({topic, number, std::move(znode->data)});
    }
    answer.next = topic;
    if (bytes > kPageBytes) co_return answer;
  }
  answer.next.clear();
  co_return answer;
}

Task<HttpResponse> get_chains(api::Services& services, HttpRequest request) {
  auto reading = chains_after(services.env.metadata, parameter(request, "after"));
  auto answer = co_await services.env.cores.on(CoreId{0}, std::move(reading));
  if (!answer) co_return admin::http_error(answer.error());
  co_return HttpResponse{200, "application/json", to_json(*answer)};
}

// --- warm ------------------------------------------------------------------------------------------------------------

struct Bound {
  std::optional<Offset> offset;
  std::optional<WallTime> time;
};

// "2026-11-23T10:00:00Z", or the beginning of it. Of no other zone: what is left unread would be read wrongly.
std::optional<WallTime> parse_time(std::string_view text) {
  constexpr std::string_view kBefore = " --T::";
  std::array<int, 6> parts{};
  std::size_t given = 0;
  if (text.ends_with('Z')) text.remove_suffix(1);
  for (; given < parts.size() && !text.empty(); ++given) {
    if (given > 0 && text.front() != kBefore[given]) return std::nullopt;
    if (given > 0) text.remove_prefix(1);
    auto digits = text.substr(0, given == 0 ? 4 : 2);
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), parts[given]);
    if (parsed.ec != std::errc() || parts[given] < 0) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(parsed.ptr - digits.data()));
  }
  if (given == parts.size() && text.starts_with('.'))  // parts of a second
    text.remove_prefix(std::min(text.find_first_not_of("0123456789", 1), text.size()));
  auto [year, month, day, hour, minute, second] = parts;
  auto date = std::chrono::year(year) / std::chrono::month(static_cast<unsigned>(month)) / static_cast<unsigned>(day);
  if (!text.empty() || given < 3 || !date.ok() || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  auto time = std::chrono::sys_days(date).time_since_epoch() + std::chrono::hours(hour) + std::chrono::minutes(minute) +
              std::chrono::seconds(second);
  return WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(time));
}

// "1200" is an offset, "@1700000000000" milliseconds, "2026-11-23T10:00:00Z" a time.
Result<Bound> parse_bound(const std::string& text) {
  auto number = [](std::string_view digits) -> std::optional<std::int64_t> {
    std::int64_t value = 0;
    auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size()) return std::nullopt;
    return value;
  };
  if (text.starts_with('@')) {
    if (auto ms = number(std::string_view(text).substr(1))) return Bound{std::nullopt, from_ms(*ms)};
  } else if (auto offset = number(text)) {
    if (*offset >= 0) return Bound{Offset(*offset), std::nullopt};
  } else if (auto time = parse_time(text)) {
    return Bound{std::nullopt, *time};
  }
  return fail(ErrorCode::kMalformed,
              "'" + text + "' is no offset, no @milliseconds and no time like 2026-11-23T10:00:00Z");
}

Result<prefetch::HintRange> range_of(const HttpRequest& request) {
  auto from = TRY(parse_bound(parameter(request, "from")));
  auto end = parameter(request, "to");
  Bound to{Offset(INT64_MAX),
           from_ms(INT64_MAX / 2)};  // without one: to the end of the log, whichever way it is counted
  if (!end.empty()) to = TRY(parse_bound(end));
  if (from.offset && to.offset && *from.offset < *to.offset) return prefetch::OffsetRange{*from.offset, *to.offset};
  if (from.time && to.time && *from.time < *to.time) return prefetch::TimeRange{*from.time, *to.time};
  return fail(ErrorCode::kMalformed, "from and to must both be offsets, or both times, from before to");
}

struct WarmAnswer {
  std::int32_t partitions = 0;
  std::int32_t accepted = 0;
  std::vector<std::string> refused;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("partitions", m.partitions);
    field("accepted", m.accepted);
    field("refused", m.refused);
  };
};

Task<HttpResponse> post_warm(api::Services& services, prefetch::HintSink& hints, HttpRequest request) {
  TopicName name(parameter(request, "topic"));
  auto view = services.cluster.view();
  const auto* topic = view->topic(name);
  if (topic == nullptr) co_return admin::http_error({ErrorCode::kUnknownTopicOrPartition, name.value()});
  auto range = range_of(request);
  if (!range) co_return admin::http_error(range.error());
  auto only = parameter(request, "partition");
  auto& clock = services.env.clock;
  std::vector<prefetch::Plan> plans;
  for (const auto& partition : topic->partitions) {
    if (!only.empty() && only != std::to_string(partition.id.value())) continue;
    prefetch::Plan plan;
    plan.id = prefetch::PlanId(services.env.random.next() >> 1);
    plan.score = 1;
    plan.byte_budget = prefetch::kPlanBytesMax;  // the cache's own share for unread blocks is the bound
    plan.reason = prefetch::Reason::announced;
    plan.received = clock.now();
    plan.decided = clock.wall();
    plan.expires = clock.now() + kWarmLife;
    plan.body = prefetch::WarmPlan{{{PartitionKey{topic->id, partition.id}, *range, 1.0, 1}}, clock.now()};
    plans.push_back(std::move(plan));
  }
  WarmAnswer answer;
  answer.partitions = static_cast<std::int32_t>(plans.size());
  struct Arrival {
    explicit Arrival(env::Clock& c) : event(c) {}
    Event event;
    std::optional<std::vector<prefetch::PlanAnswer>> answers;
  };
  auto arrival = std::make_shared<Arrival>(clock);
  auto home = services.env.cores.current();
  auto done = [&services, home, arrival](std::vector<prefetch::PlanAnswer> answers) {
    auto deliver = [arrival, answers = std::move(answers)]() mutable {
      arrival->answers = std::move(answers);
      arrival->event.notify();
    };
    services.env.cores.post(home, std::move(deliver));
  };
  hints.offer(std::move(plans), std::move(done));
  auto deadline = clock.now() + kAnswerMax;
  while (!arrival->answers) {
    if (!co_await arrival->event.wait(deadline))
      co_return admin::http_error({ErrorCode::kTimeout, "the cores do not answer"});
  }
  for (const auto& one : *arrival->answers) {
    if (one.accepted()) {
      ++answer.accepted;
    } else {
      answer.refused.push_back(std::string(prefetch::name_of(one.refusal)) +
                               (one.detail.empty() ? "" : ": " + one.detail));
    }
  }
  co_return HttpResponse{200, "application/json", to_json(answer)};
}

}  // namespace

void add_admin_routes(admin::HttpServer& server, api::Services& services, prefetch::HintSink& hints) {
  server.route("GET", "/api/shards",
               [&services](HttpRequest request) { return get_shards(services, std::move(request)); });
  server.route("GET", "/api/chains",
               [&services](HttpRequest request) { return get_chains(services, std::move(request)); });
  server.route("GET", "/api/plans",
               [&services](HttpRequest request) { return get_plans(services, std::move(request)); });
  server.route("POST", "/api/warm",
               [&services, &hints](HttpRequest request) { return post_warm(services, hints, std::move(request)); });
}

}  // namespace forelog
