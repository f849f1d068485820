#include "tests/simulation/admin_client.h"

#include "broker/env/event.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_records.h"
#include "broker/wire/delete_topics.h"
#include "broker/wire/find_coordinator.h"
#include "broker/wire/metadata.h"
#include "broker/wire/offset_commit.h"
#include "broker/wire/offset_fetch.h"
#include "tests/simulation/producer.h"
#include "tests/simulation/reader.h"
#include "tests/simulation/wire_client.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int16_t kOffsetOutOfRange = 1, kUnknownTopic = 3, kTopicExists = 36, kUnknownTopicId = 100;
constexpr Duration kStragglersMax = 45s;  // no request of a client that has gone is still on its way after that
constexpr const char* kPassingGroup = "keeps-offsets";

Error refusal(const char* what, wire::WireError error) {
  return {ErrorCode::kUnavailable, std::string(what) + ": code " + std::to_string(error.code)};
}

Task<void> rest(Trial& trial, Duration time) { co_await sleep_until(trial.env.clock, trial.env.clock.now() + time); }

Task<Result<void>> delete_some(Trial& trial, WireClient& client, PartitionModel& model, env::SeededRandom& random) {
  auto from = model.log_start.value();
  auto room = static_cast<std::uint64_t>(std::max<std::int64_t>(0, model.readable.value() - from));
  auto before = Offset(from + static_cast<std::int64_t>(random.below(room + 1)));
  model.delete_wanted = std::max(model.delete_wanted, before);
  auto cuts = trial.power_cuts;
  bool was_calm = trial.calm;
  wire::DeleteRecordsRequest request;
  request.topics.push_back({model.plan().topic, {{model.plan().partition, before}}});
  request.timeout_ms = 20000;
  auto answer = CO_TRY(co_await client.call(std::move(request), 2, trial.patience()));
  const auto& partition = answer.topics.at(0).partitions.at(0);
  bool forgotten = cuts != trial.power_cuts && model.forgetful();
  if (!partition.error_code.ok()) {
    bool legal = partition.error_code.code == kOffsetOutOfRange && model.forgetful();
    trial.violated_if(Oracle::answers, was_calm && !legal,
                      "DeleteRecords fails with code " + std::to_string(partition.error_code.code));
    co_return fail(refusal("DeleteRecords", partition.error_code));
  }
  ++trial.records_deleted;
  trial.violated_if(Oracle::log_start, partition.low_watermark < before,
                    "records before " + std::to_string(before.value()) + " of " + model.name() +
                        " are deleted, and the log is said to start at " +
                        std::to_string(partition.low_watermark.value()));
  if (!forgotten) model.log_start = std::max(model.log_start, before);
  co_return Result<void>{};
}

Task<Result<void>> delete_for_a_while(Trial& trial, env::SeededRandom& random) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  for (int i = 0; i < 10 && !trial.stopping; ++i) {
    std::vector<PartitionModel*> candidates;
    for (auto& model : trial.models) {
      if (model->plan().deletes) candidates.push_back(model.get());
    }
    if (!candidates.empty())
      CO_TRY(co_await delete_some(trial, client, *candidates[random.below(candidates.size())], random));
    co_await rest(trial, random.between({200ms, 10 * trial.reader_pause_max}));
  }
  co_return Result<void>{};
}

// --- a topic that comes and goes -------------------------------------------------------------------------------------

Task<Result<TopicId>> topic_id(Trial& trial, WireClient& client, TopicName name) {
  wire::MetadataRequest request;
  request.topics.emplace();
  request.topics->emplace_back().name = name;
  request.allow_auto_topic_creation = false;
  auto answer = CO_TRY(co_await client.call(std::move(request), 12, trial.patience()));
  for (const auto& topic : answer.topics) {
    if (topic.name == name && topic.error_code.ok()) co_return topic.topic_id;
  }
  co_return fail(ErrorCode::kUnavailable, name.value() + " is not there");
}

Task<Result<TopicId>> try_create(Trial& trial, const TopicPlan& plan) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  wire::CreateTopicsRequest request;
  wire::CreateTopicsRequest::Topic topic{plan.name, plan.partitions, 1, {}, {}};
  for (const auto& [key, value] : plan.settings) topic.configs.push_back({key, value});
  request.topics.push_back(std::move(topic));
  auto answer = CO_TRY(co_await client.call(std::move(request), 7, trial.patience()));
  const auto& made = answer.topics.at(0);
  if (made.error_code.ok()) co_return made.topic_id;
  if (made.error_code.code == kTopicExists) co_return co_await topic_id(trial, client, plan.name);
  co_return fail(ErrorCode::kUnavailable, plan.name.value() + ": " + made.error_message.value_or("no reason"));
}

// Succeeds when the topic of that id is certainly gone.
Task<Result<void>> try_delete(Trial& trial, TopicId id) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  wire::DeleteTopicsRequest request;
  request.topics.push_back({std::nullopt, id});
  request.timeout_ms = 20000;
  auto answer = CO_TRY(co_await client.call(std::move(request), 6, trial.patience()));
  auto code = answer.responses.at(0).error_code;
  if (code.ok() || code.code == kUnknownTopicId || code.code == kUnknownTopic) co_return Result<void>{};
  co_return fail(refusal("DeleteTopics", code));
}

// One life of the topic.
struct Incarnation {
  std::vector<PartitionModel*> models;
  TopicId id;
  int clients = 0;  // that still run
};

Task<void> write(Trial& trial, std::shared_ptr<Incarnation> life, PartitionModel& model, std::uint64_t seed) {
  co_await produce_all(trial, model, seed);
  --life->clients;
}

Task<Result<void>> read_once(Trial& trial, Incarnation& life, std::uint64_t seed) {
  WireClient client(trial.env, "reader-of-passing");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  // By name as well as by id: an old reader must not meet the next topic of that name under its id.
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + seed % 6));
  std::vector<Position> from;
  for (auto* model : life.models) from.push_back({model, model->log_start});
  for (int i = 0; i < 10 && !life.models.front()->gone; ++i) {
    FetchLimits limits;
    CO_TRY(co_await fetch_once(trial, client, from, limits, version));
    co_await rest(trial, 20ms);
  }
  co_return Result<void>{};
}

Task<void> read(Trial& trial, std::shared_ptr<Incarnation> life, std::uint64_t seed) {
  while (!trial.stopping && trial.violations.empty() && !life->models.front()->gone) {
    (void)co_await read_once(trial, *life, seed);
    co_await rest(trial, 50ms);
  }
  --life->clients;
}

Task<Result<void>> keep_offset(Trial& trial) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  wire::OffsetCommitRequest request;
  request.group_id = GroupId(kPassingGroup);
  request.generation_id_or_member_epoch = -1;
  request.topics.push_back({TopicName(kPassingTopic), {{PartitionId(0), Offset(1), kNoEpoch, std::nullopt}}});
  (void)CO_TRY(co_await client.call(std::move(request), 8, trial.patience()));
  co_return Result<void>{};
}

// What is asked of a topic by the id of one that is gone yields nothing, whoever has its name now.
Task<Result<void>> ask_for_the_gone(Trial& trial, TopicId id) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  wire::FetchRequest request;
  request.max_bytes = 1'000'000;
  wire::FetchRequest::Partition partition;
  partition.partition_max_bytes = 1'000'000;
  request.topics.push_back({TopicName(kPassingTopic), id, {partition}});
  auto answer = CO_TRY(co_await client.call(std::move(request), 13, trial.patience()));
  for (const auto& topic : answer.responses) {
    for (const auto& each : topic.partitions) {
      trial.violated_if(Oracle::topics, each.error_code.ok() || !each.records.empty(),
                        "a topic that was deleted is still read by its id");
    }
  }
  co_return Result<void>{};
}

Task<Result<void>> ask_forgotten_offsets(Trial& trial) {
  WireClient client(trial.env, "admin");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  wire::FindCoordinatorRequest who;
  who.key = kPassingGroup;
  (void)CO_TRY(co_await client.call(std::move(who), 3, trial.patience()));
  wire::OffsetFetchRequest request;
  wire::OffsetFetchRequest::Group wanted;
  wanted.group_id = GroupId(kPassingGroup);
  wanted.topics.emplace();
  wanted.topics->push_back({TopicName(kPassingTopic), {PartitionId(0)}});
  request.groups.push_back(std::move(wanted));
  auto answer = CO_TRY(co_await client.call(std::move(request), 8, trial.patience()));
  const auto& group = answer.groups.at(0);
  if (!group.error_code.ok()) co_return fail(refusal("OffsetFetch", group.error_code));
  for (const auto& topic : group.topics) {
    for (const auto& partition : topic.partitions) {
      trial.violated_if(Oracle::topics, partition.committed_offset != kNoOffset,
                        "an offset committed in a topic that was deleted is still there");
    }
  }
  co_return Result<void>{};
}

}  // namespace

Task<Result<TopicId>> create_topic(Trial& trial, const TopicPlan& plan) {
  while (true) {
    bool was_calm = trial.calm;
    auto made = co_await try_create(trial, plan);
    if (made || was_calm) co_return made;
    co_await rest(trial, 300ms);
  }
}

Task<void> delete_records(Trial& trial, std::uint64_t seed) {
  env::SeededRandom random(seed);
  while (!trial.stopping && trial.violations.empty()) {
    (void)co_await delete_for_a_while(trial, random);
    co_await rest(trial, random.between({100ms, 2s}));
  }
}

Task<void> come_and_go(Trial& trial, int times, std::uint64_t seed) {
  env::SeededRandom random(seed);
  TopicPlan topic;
  topic.name = TopicName(kPassingTopic);
  topic.partitions = static_cast<std::int32_t>(1 + random.below(2));
  topic.settings = {{"segment.bytes", std::to_string(500 + random.below(8000))}, {"local.retention.bytes", "1"}};
  for (int round = 0;; ++round) {
    bool last = round == times;
    auto made = co_await create_topic(trial, topic);
    if (!made) co_return trial.violated(Oracle::progress, "a topic cannot be made: " + made.error().text());
    auto life = std::make_shared<Incarnation>();
    life->id = trial.topic_ids[topic.name] = *made;
    for (std::int32_t p = 0; p < topic.partitions; ++p) {
      PartitionPlan plan;
      plan.topic = topic.name;
      plan.partition = PartitionId(p);
      plan.batches = 10 + random.below(40);
      plan.shard_size = 1000;
      // Another seed each time: bytes of an earlier life are seen for what they are.
      trial.passing.push_back(std::make_unique<PartitionModel>(plan, random.next()));
      life->models.push_back(trial.passing.back().get());
    }
    for (auto* model : life->models) {
      ++life->clients;
      trial.env.cores.spawn(CoreId(0), write(trial, life, *model, random.next()));
    }
    ++life->clients;
    trial.env.cores.spawn(CoreId(0), read(trial, life, random.next()));
    if (round == 0) (void)co_await keep_offset(trial);
    auto stay = random.between({50ms, 6s});
    co_await rest(trial, stay);
    last = last || trial.calm || trial.stopping;
    if (!last) {
      for (auto* model : life->models) model->gone = true;
      while (!co_await try_delete(trial, life->id)) {
        if (!trial.violations.empty()) co_return;
        co_await rest(trial, 200ms);
      }
    }
    while (life->clients > 0 && trial.violations.empty()) co_await rest(trial, 50ms);
    if (last || !trial.violations.empty()) co_return;
    ++trial.topics_recreated;
    trial.deleted_topics.push_back(life->id);
    // A batch of the old life on its way would be taken for one of the next.
    co_await rest(trial, kStragglersMax);
    (void)co_await ask_for_the_gone(trial, life->id);
  }
}

Task<Result<void>> check_forgotten_offsets(Trial& trial) {
  // Where nobody committed anything yet, asking for the coordinator makes the topic that it needs.
  for (auto give_up = trial.env.clock.now() + 30s;;) {
    auto asked = co_await ask_forgotten_offsets(trial);
    if (asked || trial.env.clock.now() >= give_up) co_return asked;
    co_await rest(trial, 200ms);
  }
}

}  // namespace forelog::simulation
