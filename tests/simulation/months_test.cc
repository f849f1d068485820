// A broker that runs for months of virtual time, as small brokers do: groups commit every few seconds, jobs come for a
// night and never again, producers change, tables are updated, history is archived and goes, the broker is restarted,
// sometimes by a power cut. Whatever it keeps must stay bounded, and nothing may be lost.
//
// FORELOG_DAYS says how long; without it nothing runs, because a day takes seconds (`make verify`: 90). PRINT=1 prints
// a line a day.

#include "broker/all_settings.h"
#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/cluster/chain_record.h"
#include "broker/env/event.h"
#include "broker/env/simulated/simulated_world.h"
#include "broker/log/batch_builder.h"
#include "broker/wire/create_topics.h"
#include "broker/wire/delete_records.h"
#include "broker/wire/describe_producers.h"
#include "broker/wire/fetch.h"
#include "broker/wire/find_coordinator.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_groups.h"
#include "broker/wire/offset_commit.h"
#include "broker/wire/offset_fetch.h"
#include "broker/wire/produce.h"
#include "tests/simulation/life.h"
#include "tests/simulation/wire_client.h"
#include "tests/support/run_task.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

const env::Endpoint kBroker{"broker", 9092};
constexpr Duration kCommitInterval = 5s;
constexpr Duration kDay = 24h;
constexpr int kCommitsADay = static_cast<int>(kDay / kCommitInterval);
constexpr int kKeys = 40;  // of the compacted table

// What must come out, and what was counted.
struct Story {
  explicit Story(env::Env& e) : env(e), client(std::make_unique<WireClient>(e, "months")) {}
  env::Env& env;
  std::unique_ptr<WireClient> client;
  std::map<std::string, std::int64_t> committed;            // by steady group
  std::map<std::string, std::optional<std::string>> table;  // the compacted topic's
  std::map<TopicName, TopicId> topics;
  ProducerId producer{-1};
  std::int32_t sequence = 0;
  std::int64_t commits = 0, records = 0, orders = 0;
  Deadline patience() const { return env.clock.now() + 60s; }
};

template <class Answer>
Result<Answer> checked(Answer answer, wire::WireError error, const char* doing) {
  if (error.ok()) return answer;
  return fail(ErrorCode::kUnavailable, std::string(doing) + ": code " + std::to_string(error.code));
}

Task<Result<void>> connect(Story& story) {
  story.client = std::make_unique<WireClient>(story.env, "months");
  co_return co_await story.client->open(kBroker, story.patience());
}

Task<Result<void>> create_topics(Story& story) {
  wire::CreateTopicsRequest request;
  auto add = [&](const char* name, SettingMap settings) {
    wire::CreateTopicsRequest::Topic topic{TopicName(name), 1, 1, {}, {}};
    for (const auto& [key, value] : settings) topic.configs.push_back({key, value});
    request.topics.push_back(std::move(topic));
  };
  add("orders", {{"segment.ms", "3600000"}, {"retention.ms", "1728000000"}, {"local.retention.ms", "86400000"}});
  add("idle", {{"remote.storage.enable", "false"}, {"retention.ms", "-1"}});
  add("table", {{"cleanup.policy", "compact"}, {"segment.bytes", "65536"}, {"delete.retention.ms", "3600000"}});
  auto answer = CO_TRY(co_await story.client->call(std::move(request), 7, story.patience()));
  for (const auto& topic : answer.topics) {
    CO_TRY(checked(0, topic.error_code, "creating a topic"));
    story.topics[topic.name] = topic.topic_id;
  }
  co_return Result<void>{};
}

// As every client does before it commits; the first one brings the offsets' topic to life.
Task<Result<void>> find_coordinator(Story& story) {
  auto give_up = story.patience();
  while (true) {
    wire::FindCoordinatorRequest request;
    request.coordinator_keys = {"steady-0"};
    auto answer = CO_TRY(co_await story.client->call(std::move(request), 4, story.patience()));
    if (answer.coordinators.at(0).error_code.ok()) co_return Result<void>{};
    if (story.env.clock.now() > give_up) co_return fail(ErrorCode::kTimeout, "no coordinator");
    co_await sleep_until(story.env.clock, story.env.clock.now() + 100ms);
  }
}

Task<Result<void>> produce(Story& story, std::string topic, Buffer batch) {
  wire::ProduceRequest request;
  request.acks = -1;
  request.timeout_ms = 20000;
  request.topic_data.push_back({TopicName(std::move(topic)), {{PartitionId(0), wire::Records(std::move(batch))}}});
  auto version = story.client->version(wire::ApiKey::kProduce, 9);
  auto answer = CO_TRY(co_await story.client->call(std::move(request), version, story.patience()));
  CO_TRY(checked(0, answer.responses.at(0).partition_responses.at(0).error_code, "producing"));
  co_return Result<void>{};
}

Task<Result<void>> new_producer(Story& story) {
  auto version = story.client->version(wire::ApiKey::kInitProducerId, 4);
  wire::InitProducerIdRequest request;
  auto answer = CO_TRY(co_await story.client->call(std::move(request), version, story.patience()));
  CO_TRY(checked(0, answer.error_code, "beginning to produce"));
  story.producer = answer.producer_id;
  story.sequence = 0;
  co_return Result<void>{};
}

Task<Result<void>> commit(Story& story, std::string group, std::int64_t offset, int partitions) {
  wire::OffsetCommitRequest request;
  request.group_id = GroupId(std::move(group));
  auto& topic = request.topics.emplace_back();
  topic.name = TopicName("orders");
  for (int p = 0; p < partitions; ++p) {
    topic.partitions.push_back({PartitionId(p), Offset(offset), kNoEpoch, "where a reader stands"});
  }
  auto version = story.client->version(wire::ApiKey::kOffsetCommit, 8);
  auto answer = CO_TRY(co_await story.client->call(std::move(request), version, story.patience()));
  CO_TRY(checked(0, answer.topics.at(0).partitions.at(0).error_code, "committing"));
  ++story.commits;
  co_return Result<void>{};
}

// Until the group's partition has been loaded, as clients do.
Task<Result<void>> commit_patiently(Story& story, std::string group, std::int64_t offset, int partitions) {
  auto give_up = story.patience();
  while (true) {
    auto done = co_await commit(story, group, offset, partitions);
    if (done || story.env.clock.now() > give_up) co_return done;
    co_await sleep_until(story.env.clock, story.env.clock.now() + 100ms);
  }
}

// A day of work: a commit every five seconds, a few records a minute.
Task<Result<void>> live_a_day(Story& story, int day, env::SeededRandom& random) {
  CO_TRY(co_await commit_patiently(story, "night-" + std::to_string(day), day, 20));
  auto& clock = story.env.clock;
  for (int i = 0; i < kCommitsADay; ++i) {
    auto next = clock.now() + kCommitInterval;
    auto group = "steady-" + std::to_string(i % 3);
    auto offset = story.commits;
    CO_TRY(co_await commit_patiently(story, group, offset, 2));
    story.committed[group] = offset;
    if (i % 720 == 0) CO_TRY(co_await new_producer(story));
    if (i % 12 == 0) {
      log::BatchBuilder builder;
      builder.producer(story.producer, 0, story.sequence);
      for (int r = 0; r < 2; ++r) builder.add(to_ms(clock.wall()), "order", std::string(100, 'x'));
      story.sequence += 2;
      story.orders += 2;
      CO_TRY(co_await produce(story, "orders", std::move(builder).build()));
    }
    if (i % 24 == 0) {
      log::BatchBuilder builder;
      for (int r = 0; r < 4; ++r) {
        auto key = "key-" + std::to_string(random.below(kKeys));
        auto value = random.chance(0.2) ? std::nullopt : std::optional("value " + std::to_string(story.records++));
        builder.add(to_ms(clock.wall()), key, value);
        story.table[key] = value;
      }
      CO_TRY(co_await produce(story, "table", std::move(builder).build()));
    }
    co_await sleep_until(clock, next);
  }
  co_return Result<void>{};
}

// The table as a reader finds it who begins at the start.
Task<Result<std::map<std::string, std::optional<std::string>>>> read_table(Story& story, std::int64_t& records) {
  std::map<std::string, std::optional<std::string>> table;
  records = 0;
  Offset at(0);
  while (true) {
    wire::FetchRequest request;
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    request.max_bytes = 1 << 20;
    request.session_epoch = -1;
    auto& topic = request.topics.emplace_back();
    topic.topic = TopicName("table");
    auto& partition = topic.partitions.emplace_back();
    partition.partition = PartitionId(0);
    partition.fetch_offset = at;
    partition.partition_max_bytes = 1 << 20;
    auto version = story.client->version(wire::ApiKey::kFetch, 12);
    auto answer = CO_TRY(co_await story.client->call(std::move(request), version, story.patience()));
    auto& got = answer.responses.at(0).partitions.at(0);
    CO_TRY(checked(0, got.error_code, "fetching"));
    auto before = at;
    auto visit = [&](log::BatchView batch) {
      auto opened = log::Records::open(batch, 1_MiB);
      if (!opened) return false;
      for (log::Record record; *opened->next(record); ++records) {
        auto value = record.value ? std::optional(std::string(as_text(*record.value))) : std::nullopt;
        table[std::string(as_text(*record.key))] = std::move(value);
      }
      at = batch.end_offset();
      return true;
    };
    CO_TRY(log::for_each_batch(got.records.slices, visit));
    if (at >= got.high_watermark) co_return table;
    if (at == before) co_return fail(ErrorCode::kCorruptMessage, "the end of the table is never reached");
  }
}

Task<Result<std::map<std::string, std::int64_t>>> fetch_committed(Story& story, std::set<std::string> groups) {
  std::map<std::string, std::int64_t> out;
  for (const auto& group : groups) {
    wire::OffsetFetchRequest request;
    request.group_id = GroupId(group);
    request.topics.emplace();
    request.topics->push_back({TopicName("orders"), {PartitionId(0)}});
    auto give_up = story.patience();
    auto answer = CO_TRY(co_await story.client->call(request, 7, story.patience()));
    while (!answer.error_code.ok() && story.env.clock.now() < give_up) {  // the group is being loaded
      co_await sleep_until(story.env.clock, story.env.clock.now() + 100ms);
      answer = CO_TRY(co_await story.client->call(request, 7, story.patience()));
    }
    CO_TRY(checked(0, answer.error_code, "asking for offsets"));
    out[group] = answer.topics.at(0).partitions.at(0).committed_offset.value();
  }
  co_return out;
}

Task<Result<std::size_t>> count_producers(Story& story) {
  wire::DescribeProducersRequest request;
  request.topics.push_back({TopicName("orders"), {PartitionId(0)}});
  auto answer = CO_TRY(co_await story.client->call(std::move(request), 0, story.patience()));
  co_return answer.topics.at(0).partitions.at(0).active_producers.size();
}

Task<Result<std::size_t>> count_groups(Story& story) {
  auto give_up = story.patience();
  wire::ListGroupsRequest request;
  auto answer = CO_TRY(co_await story.client->call(request, 4, story.patience()));
  while (!answer.error_code.ok() && story.env.clock.now() < give_up) {  // some are being loaded
    co_await sleep_until(story.env.clock, story.env.clock.now() + 100ms);
    answer = CO_TRY(co_await story.client->call(request, 4, story.patience()));
  }
  CO_TRY(checked(0, answer.error_code, "listing groups"));
  co_return answer.groups.size();
}

Task<Result<void>> delete_orders_before(Story& story, std::int64_t offset) {
  wire::DeleteRecordsRequest request;
  request.timeout_ms = 20000;
  auto& topic = request.topics.emplace_back();
  topic.name = TopicName("orders");
  topic.partitions.push_back({PartitionId(0), Offset(offset)});
  auto answer = CO_TRY(co_await story.client->call(std::move(request), 2, story.patience()));
  CO_TRY(checked(0, answer.topics.at(0).partitions.at(0).error_code, "deleting records"));
  co_return Result<void>{};
}

// --- what it has grown to --------------------------------------------------------------------------------------------

Task<Result<Bytes>> size_of(env::Env& env, std::string directory) {
  Bytes total = 0;
  auto names = CO_TRY(co_await env.files.list(directory));
  for (const auto& name : names) {
    auto file = co_await env.files.open(directory + "/" + name, env::OpenMode::read);
    if (file) total += CO_TRY(co_await (*file)->size());  // else it has gone meanwhile
  }
  co_return total;
}

struct Sizes {
  Bytes offsets = 0, table = 0, wal = 0, disk = 0, record = 0;
  std::size_t shards = 0, objects = 0, producers = 0, groups = 0;
};

class Months : public testing::Test {
 protected:
  void SetUp() override {
    set_log_level(std::getenv("LOG") != nullptr ? info : error);
    SettingMap raw{{"broker.id", "0"},
                   {"listeners", "PLAINTEXT://broker:9092"},
                   {"log.dirs", "/data"},
                   {"archive.url", "file:/archive"},
                   {"hint.listeners", ""},
                   {"admin.listeners", ""},
                   {"access.log.enable", "false"},
                   {"offsets.topic.num.partitions", "2"},
                   {"offsets.topic.segment.bytes", "262144"},
                   {"offsets.retention.minutes", "2880"},
                   {"log.tail.memory", "1048576"},
                   {"cache.memory", "1048576"},
                   {"wal.file.bytes", "1048576"},
                   {"wal.max.bytes", "4194304"}};
    auto read = read_all_settings(std::move(raw));
    ASSERT_TRUE(read) << read.error().text();
    settings = *std::move(read);
  }
  void begin() {
    life = std::make_shared<Life>();
    machine.cores().spawn(CoreId(0), live(life, machine.env(), settings));
    ASSERT_TRUE(world.run_until([&] { return life->started.has_value(); }, 10min));
    ASSERT_TRUE(life->started->has_value()) << life->started->error().text();
    do_it(connect(story), "connecting");
  }
  void stop() {
    story.client.reset();
    machine.cores().spawn(CoreId(0), die(life));
    ASSERT_TRUE(world.run_until([&] { return life->stopped; }, 10min));
    life.reset();
  }
  void cut_power() {
    story.client.reset();
    world.crash(machine);
    env::abandon(std::exchange(life, nullptr));
    world.run_for(1s);
    world.restart(machine);
  }
  template <class T>
  auto ask(Task<Result<T>> task, const char* what) {
    auto got = forelog::test::run(world, client, std::move(task), CoreId(0), 48h);
    EXPECT_TRUE(got) << what << ": " << got.error().text();
    if constexpr (!std::is_void_v<T>) return got ? *std::move(got) : T{};
  }
  void do_it(Task<Result<void>> task, const char* what) { ask(std::move(task), what); }
  template <class T>
  T on_broker(Task<Result<T>> task) {
    auto got = forelog::test::run(world, machine, std::move(task));
    EXPECT_TRUE(got) << got.error().text();
    return got ? *std::move(got) : T{};
  }

  Sizes measure() {
    Sizes out;
    auto& env = machine.env();
    auto directories = forelog::test::run(world, machine, env.files.list("/data/segments"));
    for (const auto& name : *directories) {
      auto size = on_broker(size_of(env, "/data/segments/" + name));
      auto is = [&](const char* topic) { return name.starts_with(story.topics[TopicName(topic)].text()); };
      if (is("table")) out.table += size;
      if (!is("table") && !is("orders") && !is("idle")) out.offsets += size;
    }
    out.wal = on_broker(size_of(env, "/data/wal"));
    out.disk = machine.disk().used();
    PartitionKey orders{story.topics[TopicName("orders")], PartitionId(0)};
    auto znode = forelog::test::run(world, machine, env.metadata.get(cluster::chain_path(orders)));
    if (znode) {
      out.record = static_cast<Bytes>(znode->data.size());
      out.shards = cluster::decode_chain_record(orders, znode->data)->shards.size();
    }
    out.objects = static_cast<std::size_t>(std::distance(world.objects().begin(), world.objects().end()));
    out.producers = ask(count_producers(story), "producers");
    out.groups = ask(count_groups(story), "groups");
    return out;
  }

  void expect_all_there(int day) {
    std::set<std::string> groups;
    for (const auto& [group, offset] : story.committed) groups.insert(group);
    EXPECT_EQ(ask(fetch_committed(story, groups), "offsets"), story.committed);
    if (day > 4) {
      auto old = "night-" + std::to_string(day - 4);
      EXPECT_EQ(ask(fetch_committed(story, {old}), "old offsets")[old], -1) << "expired two days after its commit";
    }
    std::int64_t records = 0;
    auto table = ask(read_table(story, records), "the table");
    std::erase_if(table, [](const auto& entry) { return !entry.second; });
    auto wanted = story.table;
    std::erase_if(wanted, [](const auto& entry) { return !entry.second; });
    EXPECT_EQ(table, wanted);
    EXPECT_LT(records, 10000) << "a compacted topic holds its keys, and what has come since the last pass";
  }

  static int days() {
    const auto* text = std::getenv("FORELOG_DAYS");
    return text != nullptr ? std::atoi(text) : 0;
  }

  env::SimulatedWorld world{77};
  env::SimulatedMachine& machine = world.machine(1, "broker");
  env::SimulatedMachine& client = world.machine(1, "client");
  AllSettings settings;
  std::shared_ptr<Life> life;
  Story story{client.env()};
  env::SeededRandom random{7};
};

TEST_F(Months, WhatABrokerKeepsStaysBounded) {
  if (days() == 0) GTEST_SKIP() << "FORELOG_DAYS says how many days";
  begin();
  do_it(create_topics(story), "creating the topics");
  do_it(find_coordinator(story), "finding a coordinator");
  do_it(produce(story, "idle", std::move(log::BatchBuilder().add(1, "a", "record, and never another")).build()),
        "idle");
  for (int day = 0; day < days() && !HasFailure(); ++day) {
    do_it(live_a_day(story, day, random), "a day");
    if (day % 10 == 9) do_it(delete_orders_before(story, story.orders / 2), "deleting records");
    if (day % 5 == 4) {
      if (day % 10 == 9) {
        cut_power();
      } else {
        stop();
      }
      begin();
      while (ask(count_groups(story), "groups") == 0 && !HasFailure()) world.run_for(1s);
    }
    expect_all_there(day);
    auto now = measure();
    // A segment of 256 KiB is open in each of the two partitions, and as much dirty beside what is clean.
    EXPECT_LT(now.offsets, 2 * 4 * 262144);
    EXPECT_LT(now.table, 6 * 65536);
    EXPECT_LE(now.wal, 4194304 + 1048576);
    EXPECT_LT(now.producers, 60U) << "a day's producers, one an hour";
    EXPECT_LT(now.groups, 3U + 5U) << "the steady ones and the nights' that have not expired";
    EXPECT_LT(now.record, 64 << 10);
    EXPECT_LT(now.shards, 150U) << "shards of an hour are merged";
    EXPECT_LT(now.objects, 300U);
    EXPECT_LT(now.disk, 16 << 20);
    if (std::getenv("PRINT") != nullptr) {
      std::printf(
          "day %3d: commits %lld, offsets topic %lld B, table %lld B, wal %lld B, disk %lld B, chain record %lld B "
          "of %zu shards, objects %zu, producers %zu, groups %zu\n",
          day, static_cast<long long>(story.commits), static_cast<long long>(now.offsets),
          static_cast<long long>(now.table), static_cast<long long>(now.wal), static_cast<long long>(now.disk),
          static_cast<long long>(now.record), now.shards, now.objects, now.producers, now.groups);
      std::fflush(stdout);
    }
  }
  stop();
}

}  // namespace
}  // namespace forelog::simulation
