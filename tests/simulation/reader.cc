#include "tests/simulation/reader.h"

#include "broker/env/event.h"
#include "broker/wire/fetch.h"
#include "broker/wire/list_offsets.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int64_t kLatest = -1, kEarliest = -2, kEarliestLocal = -4, kLatestTiered = -5;
constexpr std::int16_t kOffsetOutOfRange = 1;

wire::FetchRequest request_for(Trial& trial, const std::vector<Position>& from, FetchLimits limits) {
  wire::FetchRequest request;
  request.max_wait_ms = limits.wait_ms;
  request.min_bytes = static_cast<std::int32_t>(limits.min);
  request.max_bytes = static_cast<std::int32_t>(limits.max);
  for (const auto& position : from) {
    const auto& plan = position.model->plan();
    wire::FetchRequest::Partition partition;
    partition.partition = plan.partition;
    partition.fetch_offset = position.offset;
    partition.partition_max_bytes = static_cast<std::int32_t>(limits.partition_max);
    auto& topic = entry_of(request.topics, plan.topic, &wire::FetchRequest::Topic::topic);
    topic.topic_id = trial.topic_ids[plan.topic];
    topic.partitions.push_back(partition);
  }
  return request;
}

wire::FetchResponse::Partition* find(Trial& trial, wire::FetchResponse& answer, const PartitionPlan& plan) {
  for (auto& topic : answer.responses) {
    if (topic.topic != plan.topic && topic.topic_id != trial.topic_ids[plan.topic]) continue;
    for (auto& partition : topic.partitions) {
      if (partition.partition_index == plan.partition) return &partition;
    }
  }
  return nullptr;
}

// Mixes every record's bytes and offset.
void mix(std::uint64_t& content, const Slices& records) {
  auto visit = [&](log::BatchView batch) {
    auto offset = batch.base_offset().value();
    content = hash_bytes(&offset, sizeof offset, content);
    content = hash_bytes(batch.records().data(), batch.records().size(), content);
    return true;
  };
  (void)log::for_each_batch(records, visit);
}

// A partition's part of one answer against what must be true of it.
void check_answer(Trial& trial, Position& position, wire::FetchResponse::Partition& answer, Offset readable_before,
                  bool was_calm, std::uint64_t* content) {
  auto& model = *position.model;
  auto asked = position.offset;
  auto where = " at offset " + std::to_string(asked.value()) + " of " + model.name();
  if (answer.error_code.code == kOffsetOutOfRange) {
    bool promised = asked >= model.log_start && asked <= readable_before && !model.plan().has_retention;
    trial.violated_if(promised, "an offset that was readable is out of range" + where);
    if (answer.log_start_offset > asked) position.offset = answer.log_start_offset;
    if (asked > model.acknowledged_end()) position.offset = model.log_start;
    return;
  }
  if (!answer.error_code.ok()) {
    trial.violated_if(was_calm, "reading fails with code " + std::to_string(answer.error_code.code) + where);
    return;
  }
  trial.violated_if(answer.high_watermark < readable_before, "the high watermark fell from " +
                                                                 std::to_string(readable_before.value()) + " to " +
                                                                 std::to_string(answer.high_watermark.value()) + where);
  trial.violated_if(!model.plan().has_retention && answer.log_start_offset != Offset(0),
                    "records went that no retention takes: the log starts at " +
                        std::to_string(answer.log_start_offset.value()) + where);
  model.readable = std::max(model.readable, answer.high_watermark);
  model.log_start = std::max(model.log_start, answer.log_start_offset);
  Offset next = asked;
  if (auto wrong = model.check(answer.records.slices, asked, answer.high_watermark, next)) trial.violated(*wrong);
  if (content != nullptr) mix(*content, answer.records.slices);
  if (next != asked) ++trial.batches_read;
  position.offset = next;
}

}  // namespace

Task<Result<Bytes>> fetch_once(Trial& trial, WireClient& client, std::vector<Position>& from, FetchLimits limits,
                               wire::Version version, std::uint64_t* content) {
  bool was_calm = trial.calm;
  auto cuts = trial.power_cuts;
  std::vector<Offset> readable;
  for (const auto& position : from) readable.push_back(position.model->readable);
  auto request = request_for(trial, from, limits);
  auto deadline = trial.env.clock.now() + std::chrono::milliseconds(limits.wait_ms) + 30s;
  auto answer = CO_TRY(co_await client.call(std::move(request), version, deadline));
  if (!answer.error_code.ok()) {
    trial.violated_if(was_calm, "a fetch fails with code " + std::to_string(answer.error_code.code));
    co_return fail(ErrorCode::kUnavailable, "fetch");
  }
  Bytes size = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    auto* found = find(trial, answer, from[i].model->plan());
    if (found == nullptr) {
      trial.violated("an answer to a fetch leaves out " + from[i].model->name());
      continue;
    }
    auto& partition = *found;
    if (cuts != trial.power_cuts) readable[i] = std::min(readable[i], from[i].model->readable);
    size += partition.records.size();
    check_answer(trial, from[i], partition, readable[i], was_calm, content);
  }
  co_return size;
}

Task<Result<Offset>> ask_offset(Trial& trial, WireClient& client, const PartitionModel& model, std::int64_t time) {
  wire::ListOffsetsRequest request;
  request.topics.push_back({model.plan().topic, {{model.plan().partition, kNoEpoch, time}}});
  auto version = client.version(wire::ApiKey::kListOffsets, 9);
  auto answer = CO_TRY(co_await client.call(std::move(request), version, trial.patience()));
  const auto& partition = answer.topics.at(0).partitions.at(0);
  if (!partition.error_code.ok()) {
    co_return fail(ErrorCode::kUnavailable, "the offset of time " + std::to_string(time) + " in " + model.name() +
                                                ": code " + std::to_string(partition.error_code.code));
  }
  co_return partition.offset;
}

namespace {

Task<Result<void>> look_up(Trial& trial, WireClient& client, PartitionModel& model, env::SeededRandom& random) {
  auto last = model.full_end().value();
  auto wanted = Offset(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(last) + 1)));
  auto time = PartitionModel::timestamp_of(wanted) - static_cast<std::int64_t>(random.below(10));
  auto readable = model.readable;
  auto cuts = trial.power_cuts;
  bool was_calm = trial.calm;
  auto found = co_await ask_offset(trial, client, model, time);
  if (!found) {
    trial.violated_if(was_calm, found.error().text());
    co_return fail(found.error());
  }
  if (cuts != trial.power_cuts) co_return Result<void>{};
  auto where = " for the time of offset " + std::to_string(wanted.value()) + " of " + model.name();
  bool gone = model.plan().has_retention && *found > wanted;
  trial.violated_if(*found == kNoOffset && wanted < readable, "ListOffsets finds nothing" + where);
  trial.violated_if(*found != kNoOffset && *found != wanted && !gone,
                    "ListOffsets finds " + std::to_string(found->value()) + where);
  co_return Result<void>{};
}

Task<Result<void>> wander(Trial& trial, WireClient& client, env::SeededRandom& random) {
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + random.below(6)));
  auto walks = 1 + random.below(8);
  for (std::uint64_t walk = 0; walk < walks && !trial.stopping; ++walk) {
    std::vector<Position> from;
    for (auto& model : trial.models) {
      if (!trial.topic_ids.contains(model->plan().topic) || !random.chance(0.4)) continue;
      auto end = model->acknowledged_end().value();
      from.push_back(
          {model.get(), Offset(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end) + 1)))});
    }
    if (from.empty()) {
      co_await sleep_until(trial.env.clock, trial.env.clock.now() + 50ms);
      continue;
    }
    if (random.chance(0.3)) CO_TRY(co_await look_up(trial, client, *from.front().model, random));
    FetchLimits limits;
    limits.partition_max = static_cast<Bytes>(1 + random.below(200'000));
    limits.max = static_cast<Bytes>(1 + random.below(600'000));
    limits.min = static_cast<Bytes>(random.below(3) * 1000);
    limits.wait_ms = static_cast<std::int32_t>(random.below(600));
    auto steps = 1 + random.below(12);
    for (std::uint64_t step = 0; step < steps && !trial.stopping; ++step) {
      CO_TRY(co_await fetch_once(trial, client, from, limits, version));
      auto pause = random.between({0ms, 30ms});
      co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
    }
  }
  co_return Result<void>{};
}

}  // namespace

Task<void> read_at_random(Trial& trial, std::uint64_t seed) {
  env::SeededRandom random(seed);
  while (!trial.stopping && trial.violations.empty()) {
    bool was_calm = trial.calm;
    WireClient client(trial.env, "reader-" + std::to_string(random.below(3)));
    auto wandered = co_await wander(trial, client, random);
    if (!wandered) trial.violated_if(was_calm, "a reader fails: " + wandered.error().text());
    auto pause = random.between({1ms, 200ms});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
}

Task<Result<void>> read_whole(Trial& trial, PartitionModel& model, std::uint64_t seed, std::uint64_t& content) {
  env::SeededRandom random(seed);
  WireClient client(trial.env, "verifier");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  auto start = CO_TRY(co_await ask_offset(trial, client, model, kEarliest));
  auto end = CO_TRY(co_await ask_offset(trial, client, model, kLatest));
  auto local = CO_TRY(co_await ask_offset(trial, client, model, kEarliestLocal));
  auto tiered = CO_TRY(co_await ask_offset(trial, client, model, kLatestTiered));
  trial.violated_if(end != model.acknowledged_end(), model.name() + " ends at " + std::to_string(end.value()) +
                                                         ", acknowledged is up to " +
                                                         std::to_string(model.acknowledged_end().value()));
  trial.violated_if(start > Offset(0) && !model.plan().has_retention, model.name() + " has lost its beginning");
  trial.violated_if(local < start || local > end || tiered >= end, model.name() + ": its ends contradict each other");
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + random.below(6)));
  std::vector<Position> from{{&model, start}};
  FetchLimits limits;
  limits.partition_max = static_cast<Bytes>(1 + random.below(400'000));
  limits.wait_ms = 5000;
  content = 0;
  for (int idle = 0; from.front().offset < end && trial.violations.empty();) {
    auto before = from.front().offset;
    auto got = CO_TRY(co_await fetch_once(trial, client, from, limits, version, &content));
    idle = got > 0 || from.front().offset != before ? 0 : idle + 1;
    if (idle > 3)
      co_return fail(ErrorCode::kTimeout,
                     "nothing comes of " + model.name() + " from offset " + std::to_string(before.value()));
  }
  for (int i = 0; i < 5; ++i) CO_TRY(co_await look_up(trial, client, model, random));
  co_return Result<void>{};
}

}  // namespace forelog::simulation
