// scenario.h: what one seed stands for: machine, settings, topics, clients, and what will break. Pure.
#pragma once

#include "broker/base/settings.h"
#include "broker/base/time.h"
#include "tests/simulation/partition_model.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace forelog::simulation {

enum class Fault : std::uint8_t {
  crash,      // power cut: some unsynced writes are lost, some torn
  crash_all,  // power cut: every unsynced write is lost
  clean_restart,
  full_disk,
  disk_errors,
  slow_disk,
  archive_slow,
  archive_failing,  // one request in five
  archive_outage,
  archive_silent,
  archive_breaks,
  archive_wrong_bytes,
  resets,
  silence,  // nothing passes over the network for a while
  wall_jump,
  metadata_failures,
  rotten_cache,  // flipped bits in the files of the disk tier
  metadata_slow,
  session_expiry,  // the metadata store forgets that this broker is there
  archive_missing,
  archive_late_listing,
  archive_doubled_puts,
  stall,      // no core runs for a while
  slow_core,  // one of them seldom does
  bit_rot,    // in sealed shards on the disk
};
inline constexpr int kFaultCount = 25;
std::string_view name_of(Fault fault);

enum class PlanSource : std::uint8_t { silent, honest, lying, flooding };
inline constexpr int kPlanSourceCount = 4;
std::string_view name_of(PlanSource source);

// How a world spends its effort: on many faults in a short time, on many partitions, or on many hours.
enum class Shape : std::uint8_t { small, wide, lasting };
std::string_view name_of(Shape shape);

struct TopicPlan {
  TopicName name;
  std::int32_t partitions = 1;
  SettingMap settings;
};

struct Phase {
  Fault fault;
  Duration before;  // quiet
  Duration lasts;   // then it heals
};

struct Scenario {
  std::uint64_t seed = 0;
  Shape shape = Shape::small;
  int cores = 1;
  SettingMap settings;  // the broker's
  std::vector<TopicPlan> topics;
  std::vector<PartitionPlan> partitions;
  int readers = 1;
  int groups = 1;
  int members = 1;  // of each group
  Duration reader_pause_max = 200ms;
  int recreations = 0;  // of a topic that comes and goes
  PlanSource plans = PlanSource::silent;
  std::vector<Phase> phases;

  // The same world without anything loaded ahead of readers.
  Scenario without_prefetching() const;
};

Scenario draw_scenario(std::uint64_t seed);
std::string text_of(const Scenario& scenario);  // for people, some lines

}  // namespace forelog::simulation
