#include "tests/simulation/scenario.h"

namespace forelog::simulation {
namespace {

constexpr std::string_view kFaultNames[kFaultCount] = {
    "crash",        "crash-all",       "clean-restart",  "full-disk",         "disk-errors",    "slow-disk",
    "archive-slow", "archive-failing", "archive-outage", "archive-silent",    "archive-breaks", "archive-wrong-bytes",
    "resets",       "silence",         "wall-jump",      "metadata-failures", "rotten-cache"};
constexpr std::string_view kPlanSourceNames[kPlanSourceCount] = {"silent", "honest", "lying", "flooding"};

std::string text(std::uint64_t number) { return std::to_string(number); }

// A power of two between `from` and `from << doublings`.
std::string scaled(env::SeededRandom& random, std::uint64_t from, std::uint64_t doublings) {
  return text(from << random.below(doublings + 1));
}

SettingMap draw_settings(env::SeededRandom& random) {
  SettingMap out;
  out["broker.id"] = "0";
  out["listeners"] = "PLAINTEXT://broker:9092";
  out["log.dirs"] = "/data";
  out["archive.url"] = "file:/archive";
  // Thrift's threads are not of this world.
  out["hint.listeners"] = "";
  out["admin.listeners"] = "";

  out["offsets.topic.num.partitions"] = text(1 + random.below(4));
  out["offsets.topic.segment.bytes"] = scaled(random, 1024, 6);
  out["offsets.retention.check.interval.ms"] = text(500 + random.below(10'000));
  out["group.initial.rebalance.delay.ms"] = text(random.below(2) * random.below(3000));
  out["log.tail.memory"] = scaled(random, 1 << 20, 4);
  out["wal.file.bytes"] = text(1 << 20);
  out["wal.max.bytes"] = scaled(random, 2 << 20, 3);
  out["log.checkpoint.bytes"] = scaled(random, 64 << 10, 6);
  out["cache.memory"] = scaled(random, 1 << 20, 4);
  out["cache.staging.share"] = random.chance(0.5) ? "0.4" : "0.1";
  out["cache.loads.in.flight.max"] = scaled(random, 4, 5);
  out["cache.load.timeout.ms"] = text(300 + random.below(5000));
  out["cache.failure.memory.ms"] = text(10 + random.below(300));
  if (random.chance(0.6)) {
    out["cache.disk.path"] = "/cache";
    out["cache.disk.bytes"] = scaled(random, 8 << 20, 3);
    out["cache.disk.free.bytes"] = text(random.below(2) * (4 << 20));
    out["cache.disk.write.bytes.per.second"] = scaled(random, 64 << 10, 10);
  }
  out["archive.index.memory"] = scaled(random, 64 << 10, 5);
  out["archive.retry.backoff.ms"] = text(1 + random.below(100));
  out["archive.retry.backoff.max.ms"] = text(200 + random.below(5000));
  out["archive.hedge"] = random.chance(0.7) ? "true" : "false";
  out["prefetch.mode"] = random.chance(0.7) ? "predict" : "read-ahead";
  out["prefetch.queue.max.entries"] = scaled(random, 1, 10);
  out["prefetch.lane.max.entries"] = scaled(random, 1, 6);
  out["prefetch.in.flight.max.bytes"] = scaled(random, 256 << 10, 6);
  out["prefetch.read.ahead.max.bytes"] = scaled(random, 256 << 10, 6);
  out["prefetch.plans.max"] = scaled(random, 1, 10);
  out["prefetch.starve.after"] = scaled(random, 1, 8);
  out["access.log.enable"] = random.chance(0.7) ? "true" : "false";
  out["access.log.identities"] = random.chance(0.5) ? "plain" : "hashed";
  out["access.log.events.max"] = scaled(random, 16, 8);
  out["max.incremental.fetch.session.cache.slots"] = text(random.below(5));
  return out;
}

void draw_topic(env::SeededRandom& random, int number, Scenario& scenario) {
  TopicPlan topic;
  topic.name = TopicName("topic" + std::to_string(number));
  topic.partitions = static_cast<std::int32_t>(1 + random.below(3));
  PartitionPlan plan;
  plan.topic = topic.name;
  bool large = random.chance(0.25);  // shards of several blocks
  plan.value_size_max = large ? 40'000 : 50 + random.below(2000);
  plan.shard_size = large ? 300'000 + static_cast<std::int32_t>(random.below(900'000))
                          : static_cast<std::int32_t>(14 + random.below(60'000));
  if (random.chance(0.1)) plan.shard_size = 14;  // every batch is a shard
  plan.durability = random.chance(0.75) ? log::Durability::wal : log::Durability::page_cache;
  plan.has_retention = random.chance(0.2);
  topic.settings["segment.bytes"] = std::to_string(plan.shard_size);
  topic.settings["durability"] = plan.durability == log::Durability::wal ? "wal" : "page-cache";
  topic.settings["local.retention.bytes"] = std::to_string(random.chance(0.6) ? 1 : plan.shard_size);
  if (random.chance(0.4)) topic.settings["cache.write.through"] = random.chance(0.5) ? "memory" : "disk";
  if (random.chance(0.3)) topic.settings["segment.ms"] = std::to_string(1000 + random.below(10'000));
  if (random.chance(0.3)) topic.settings["producer.validation"] = "full";
  if (random.chance(0.15)) topic.settings["remote.storage.enable"] = "false";
  if (plan.has_retention) topic.settings["retention.bytes"] = std::to_string(4 * plan.shard_size + 20'000);
  for (std::int32_t p = 0; p < topic.partitions; ++p) {
    plan.partition = PartitionId(p);
    plan.batches = 20 + random.below(large ? 60 : 150);
    scenario.partitions.push_back(plan);
  }
  scenario.topics.push_back(std::move(topic));
}

}  // namespace

std::string_view name_of(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }
std::string_view name_of(PlanSource source) { return kPlanSourceNames[static_cast<std::size_t>(source)]; }

Scenario draw_scenario(std::uint64_t seed) {
  // Apart from the world's own stream, so that the draw does not move with what the world does.
  env::SeededRandom random(seed ^ 0x5ca1ab1e);
  Scenario out;
  out.seed = seed;
  out.cores = static_cast<int>(1 + random.below(3));
  out.settings = draw_settings(random);
  auto topics = 1 + random.below(3);
  for (std::uint64_t i = 0; i < topics; ++i) draw_topic(random, static_cast<int>(i), out);
  out.readers = static_cast<int>(1 + random.below(3));
  out.groups = static_cast<int>(random.below(3));
  out.members = static_cast<int>(1 + random.below(3));
  out.plans = static_cast<PlanSource>(random.below(kPlanSourceCount));
  auto phases = random.below(7);
  for (std::uint64_t i = 0; i < phases; ++i) {
    auto fault = static_cast<Fault>(random.below(kFaultCount));
    out.phases.push_back({fault, random.between({100ms, 3s}), random.between({50ms, 4s})});
  }
  return out;
}

std::string text_of(const Scenario& scenario) {
  std::string out = "  " + std::to_string(scenario.cores) + " cores, " + std::to_string(scenario.readers) +
                    " readers, " + std::to_string(scenario.groups) + " groups of " + std::to_string(scenario.members) +
                    ", plans " + std::string(name_of(scenario.plans)) + "\n ";
  for (const auto& [key, value] : scenario.settings) out += " " + key + "=" + value;
  out += "\n";
  for (const auto& topic : scenario.topics) {
    out += "  " + topic.name.value() + ": " + std::to_string(topic.partitions) + " partitions,";
    for (const auto& [key, value] : topic.settings) out += " " + key + "=" + value;
    out += "\n";
  }
  for (const auto& phase : scenario.phases) {
    out += "  after " + std::to_string(to_ms(phase.before)) + " ms " + std::string(name_of(phase.fault)) + " for " +
           std::to_string(to_ms(phase.lasts)) + " ms\n";
  }
  return out;
}

Scenario Scenario::without_prefetching() const {
  Scenario out = *this;
  out.settings["prefetch.mode"] = "off";
  out.plans = PlanSource::silent;
  return out;
}

}  // namespace forelog::simulation
