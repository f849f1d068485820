#include "tests/simulation/scenario.h"

namespace forelog::simulation {
namespace {

constexpr std::string_view kFaultNames[kFaultCount] = {"crash",
                                                       "crash-all",
                                                       "clean-restart",
                                                       "full-disk",
                                                       "disk-errors",
                                                       "slow-disk",
                                                       "archive-slow",
                                                       "archive-failing",
                                                       "archive-outage",
                                                       "archive-silent",
                                                       "archive-breaks",
                                                       "archive-wrong-bytes",
                                                       "resets",
                                                       "silence",
                                                       "wall-jump",
                                                       "metadata-failures",
                                                       "rotten-cache",
                                                       "metadata-slow",
                                                       "session-expiry",
                                                       "archive-missing",
                                                       "archive-late-listing",
                                                       "archive-doubled-puts",
                                                       "stall",
                                                       "slow-core",
                                                       "bit-rot"};
constexpr std::string_view kShapeNames[] = {"small", "wide", "lasting"};
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
  out["cache.heads.share"] = random.chance(0.5) ? "0.1" : "0.3";
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
  out["archive.put.timeout.ms"] = text(2000 + random.below(60'000));
  out["archive.hedge"] = random.chance(0.7) ? "true" : "false";
  out["prefetch.mode"] = random.chance(0.7) ? "predict" : "read-ahead";
  out["prefetch.queue.max.entries"] = scaled(random, 1, 10);
  out["prefetch.lane.max.entries"] = scaled(random, 1, 6);
  out["prefetch.bytes.per.second"] = scaled(random, 64 << 10, 14);
  out["prefetch.requests.per.second"] = scaled(random, 4, 9);
  out["prefetch.signal.bytes"] = scaled(random, 64 << 10, 6);
  out["prefetch.in.flight.max.bytes"] = scaled(random, 256 << 10, 6);
  out["prefetch.read.ahead.max.bytes"] = scaled(random, 256 << 10, 6);
  out["prefetch.plans.max"] = scaled(random, 1, 10);
  out["prefetch.starve.after"] = scaled(random, 1, 8);
  out["access.log.enable"] = random.chance(0.7) ? "true" : "false";
  out["access.log.identities"] = random.chance(0.5) ? "plain" : "hashed";
  out["access.log.events.max"] = scaled(random, 16, 8);
  out["fetch.max.bytes"] = scaled(random, 64 << 10, 10);
  out["offsets.commit.timeout.ms"] = text(1000 + random.below(9000));
  out["log.cleaner.backoff.ms"] = text(random.below(2000));
  out["log.cleaner.dedupe.buffer.size"] = scaled(random, 1 << 20, 4);
  if (random.chance(0.3)) out["log.cleaner.io.max.bytes.per.second"] = scaled(random, 64 << 10, 6);
  constexpr const char* kMergeCounts[] = {"0", "2", "3", "4", "10"};
  out["shard.merge.count"] = kMergeCounts[random.below(std::size(kMergeCounts))];
  out["max.incremental.fetch.session.cache.slots"] = text(random.below(5));
  return out;
}

// How records of a topic go, if they do: by its size, by their age, or because somebody deletes them.
void draw_retention(env::SeededRandom& random, Shape shape, TopicPlan& topic, PartitionPlan& plan) {
  topic.settings["retention.ms"] = "-1";
  auto kind = random.below(10);
  if (kind == 0 || kind == 1) {
    plan.retention_bytes = 4 * Bytes{plan.shard_size} + 20'000;
    topic.settings["retention.bytes"] = std::to_string(plan.retention_bytes);
  }
  if (kind == 1 || kind == 2) {
    auto scale = shape == Shape::lasting ? 60 : 1;
    plan.retention_time = scale * random.between({2s, 60s});
    topic.settings["retention.ms"] = std::to_string(to_ms(plan.retention_time));
  }
  plan.deletes = kind == 3 || (kind == 4 && plan.has_retention());
  topic.settings["local.retention.bytes"] = std::to_string(random.chance(0.6) ? 1 : plan.shard_size);
  if (random.chance(0.2)) {
    topic.settings["local.retention.bytes"] = "-2";
    auto age = static_cast<std::int64_t>(1 + random.below(20'000));
    if (plan.retention_time >= 0ms) age = std::min(age, to_ms(plan.retention_time));  // longer is refused
    topic.settings["local.retention.ms"] = std::to_string(age);
  }
}

// Of each key the newest record stays, and what was deleted goes.
void draw_compaction(env::SeededRandom& random, TopicPlan& topic, PartitionPlan& plan) {
  plan.deletes = random.chance(0.2);
  // Who may delete records of it: of a topic that is only compacted nobody may.
  topic.settings["cleanup.policy"] = plan.deletes ? "compact,delete" : "compact";
  if (plan.deletes) topic.settings["retention.ms"] = "-1";
  topic.settings["min.cleanable.dirty.ratio"] = random.chance(0.5) ? "0.01" : "0.5";
  plan.compacts = true;
  plan.tombstones_stay = random.chance(0.5);
  if (!plan.tombstones_stay) topic.settings["delete.retention.ms"] = text(random.below(3000));
  if (random.chance(0.3)) topic.settings["min.compaction.lag.ms"] = text(random.below(5000));
  if (random.chance(0.3)) topic.settings["max.compaction.lag.ms"] = text(5000 + random.below(5000));
}

// When a shard ends: by its size, or by its age, often long before it is full, so that neighbours may be merged.
void draw_shards(env::SeededRandom& random, bool large, TopicPlan& topic, PartitionPlan& plan) {
  plan.value_size_max = large ? 40'000 : 50 + random.below(2000);
  plan.shard_size = large ? 300'000 + static_cast<std::int32_t>(random.below(900'000))
                          : static_cast<std::int32_t>(14 + random.below(60'000));
  auto kind = random.below(10);
  if (kind == 0) plan.shard_size = 14;  // every batch is a shard
  if (kind >= 4 && kind <= 6) {
    plan.shard_size = std::max(plan.shard_size, 30'000);
    topic.settings["segment.ms"] = text(30 + random.below(500));
  }
  if (kind >= 7) topic.settings["segment.ms"] = text(1000 + random.below(10'000));
  topic.settings["segment.bytes"] = std::to_string(plan.shard_size);
}

void draw_topic(env::SeededRandom& random, int number, std::int32_t partitions_max, Scenario& scenario) {
  TopicPlan topic;
  topic.name = TopicName("topic" + std::to_string(number));
  topic.partitions = static_cast<std::int32_t>(1 + random.below(static_cast<std::uint64_t>(partitions_max)));
  PartitionPlan plan;
  plan.topic = topic.name;
  bool large = random.chance(scenario.shape == Shape::wide ? 0.1 : 0.25);  // shards of several blocks
  draw_shards(random, large, topic, plan);
  plan.durability = random.chance(0.75) ? log::Durability::wal : log::Durability::page_cache;
  topic.settings["durability"] = plan.durability == log::Durability::wal ? "wal" : "page-cache";
  if (random.chance(0.4)) topic.settings["cache.write.through"] = random.chance(0.5) ? "memory" : "disk";
  if (random.chance(0.25)) {
    draw_compaction(random, topic, plan);
  } else {
    draw_retention(random, scenario.shape, topic, plan);
  }
  plan.append_time = random.chance(0.2);
  plan.disordered = random.chance(0.3);
  if (plan.append_time) topic.settings["message.timestamp.type"] = "LogAppendTime";
  if (random.chance(0.3)) topic.settings["producer.validation"] = "full";
  if (!plan.compacts && random.chance(0.15)) topic.settings["remote.storage.enable"] = "false";
  topic.settings["file.delete.delay.ms"] = text(random.below(10'000));
  if (random.chance(0.2)) topic.settings["flush.ms"] = std::to_string(100 + random.below(5000));
  plan.pause_max = scenario.shape == Shape::lasting ? random.between({1s, 4min}) : random.between({0ms, 120ms});
  auto batches_max = scenario.shape == Shape::wide ? 60 : large ? 60 : 150;
  for (std::int32_t p = 0; p < topic.partitions; ++p) {
    plan.partition = PartitionId(p);
    plan.batches = 20 + random.below(static_cast<std::uint64_t>(batches_max));
    scenario.partitions.push_back(plan);
  }
  scenario.topics.push_back(std::move(topic));
}

// In half of the worlds any fault may come; in the others a few kinds meet each other again and again, mostly with
// power cuts between them.
std::vector<Fault> draw_faults(env::SeededRandom& random) {
  std::vector<Fault> all, few;
  for (int i = 0; i < kFaultCount; ++i) all.push_back(static_cast<Fault>(i));
  if (random.chance(0.5)) return all;
  if (random.chance(0.7)) few = {Fault::crash, random.chance(0.5) ? Fault::crash : Fault::crash_all};
  auto more = 1 + random.below(3);
  for (std::uint64_t i = 0; i < more; ++i) few.push_back(all[random.below(all.size())]);
  return few;
}

Shape draw_shape(env::SeededRandom& random) {
  auto draw = random.below(10);
  return draw < 6 ? Shape::small : draw < 8 ? Shape::wide : Shape::lasting;
}

}  // namespace

std::string_view name_of(Fault fault) { return kFaultNames[static_cast<std::size_t>(fault)]; }
std::string_view name_of(Shape shape) { return kShapeNames[static_cast<std::size_t>(shape)]; }
std::string_view name_of(PlanSource source) { return kPlanSourceNames[static_cast<std::size_t>(source)]; }

Scenario draw_scenario(std::uint64_t seed) {
  // Apart from the world's own stream, so that the draw does not move with what the world does.
  env::SeededRandom random(seed ^ 0x5ca1ab1e);
  Scenario out;
  out.seed = seed;
  out.shape = draw_shape(random);
  out.cores = static_cast<int>(1 + random.below(3));
  out.settings = draw_settings(random);
  bool wide = out.shape == Shape::wide, lasting = out.shape == Shape::lasting;
  auto topics = (wide ? 3 : 1) + random.below(wide ? 4 : 3);
  for (std::uint64_t i = 0; i < topics; ++i) draw_topic(random, static_cast<int>(i), wide ? 10 : 3, out);
  out.readers = static_cast<int>(1 + random.below(3));
  out.groups = static_cast<int>(random.below(wide ? 4 : 3));
  out.members = static_cast<int>(1 + random.below(wide ? 5 : 3));
  out.plans = static_cast<PlanSource>(random.below(kPlanSourceCount));
  if (lasting) out.reader_pause_max = random.between({1s, 30s});
  if (random.chance(0.3)) out.recreations = static_cast<int>(1 + random.below(3));
  auto phases = (wide || lasting ? 3 : 0) + random.below(7);
  auto kinds = draw_faults(random);
  for (std::uint64_t i = 0; i < phases; ++i) {
    auto fault = kinds[random.below(kinds.size())];
    auto before = random.between({100ms, lasting ? Duration(15min) : Duration(3s)});
    auto lasts = random.between({50ms, lasting ? Duration(3min) : Duration(4s)});
    out.phases.push_back({fault, before, lasts});
  }
  return out;
}

std::string text_of(const Scenario& scenario) {
  std::string out = "  " + std::string(name_of(scenario.shape)) + ", " + std::to_string(scenario.cores) + " cores, " +
                    std::to_string(scenario.readers) + " readers, " + std::to_string(scenario.groups) + " groups of " +
                    std::to_string(scenario.members) + ", plans " + std::string(name_of(scenario.plans)) + "\n ";
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
