// trial.h: what the clients of one simulated run share: what must be true, whether anything is allowed to go wrong just
// now, and what has gone wrong that must not.
#pragma once

#include "broker/env/env.h"
#include "tests/simulation/oracle.h"
#include "tests/simulation/partition_model.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace forelog::simulation {

inline constexpr const char* kPassingTopic = "comes-and-goes";

// Offsets that one group has committed of one partition.
struct CommittedOffset {
  Offset acknowledged = kNoOffset;
  std::vector<Offset> unanswered;  // sent after it; each may or may not have come through
};

// The entry of `topic` in a request's list of topics; a new one behind the others if there is none.
template <class Topic, class Name>
Topic& entry_of(std::vector<Topic>& topics, const Name& name, Name Topic::* member) {
  for (auto& topic : topics) {
    if (topic.*member == name) return topic;
  }
  topics.emplace_back().*member = name;
  return topics.back();
}

class Trial {
 public:
  Trial(env::Env& client, env::Endpoint broker) : env(client), endpoint(std::move(broker)) {}

  // Notes a violation; the run ends as failed.
  void violated(Oracle oracle, const std::string& what) {
    if (violations.size() < 20) violations.push_back(std::string(name_of(oracle)) + ": " + what);
  }
  // One check. Returns whether it went wrong.
  bool violated_if(Oracle oracle, bool wrong, const std::string& what) {
    checked(oracle);
    if (wrong) violated(oracle, what);
    return wrong;
  }
  void checked(Oracle oracle) { ++checks[static_cast<std::size_t>(oracle)]; }
  // Whether nothing has been broken for so long that an error counts.
  bool sound() const { return calm || env.clock.now() >= sound_from; }
  void breaks() { sound_from = Instant::max(); }
  void heals(Duration until_sound) { sound_from = env.clock.now() + until_sound; }
  Deadline patience() const { return env.clock.now() + 30s; }
  // Of all partitions that there are.
  std::vector<PartitionModel*> living() {
    std::vector<PartitionModel*> out;
    for (auto* all : {&models, &passing}) {
      for (auto& model : *all) {
        if (!model->gone) out.push_back(model.get());
      }
    }
    return out;
  }
  PartitionModel* find(const TopicName& topic, PartitionId partition) {
    for (auto& model : models) {
      if (model->plan().topic == topic && model->plan().partition == partition) return model.get();
    }
    return nullptr;
  }

  env::Env& env;  // of the clients' machine
  env::Endpoint endpoint;
  std::vector<std::unique_ptr<PartitionModel>> models;
  std::vector<std::unique_ptr<PartitionModel>> passing;  // of topics that come and go; `gone` when they have
  std::map<TopicName, TopicId> topic_ids;
  std::vector<TopicId> deleted_topics;
  std::map<std::string, std::map<std::string, CommittedOffset>> committed;  // by group, then partition
  // Who was handed what: by group, generation, partition. A generation has one owner a partition.
  std::map<std::string, std::map<std::int32_t, std::map<std::string, MemberId>>> owners;

  bool stopping = false;                  // readers and groups: finish what is under way
  bool calm = false;                      // nothing will be broken any more
  Instant sound_from = Instant::max();    // see sound()
  int power_cuts = 0;                     // so far
  std::function<WallTime()> latest_wall;  // the latest that the broker's clock has shown
  Duration reader_pause_max = 200ms;      // between two fetches
  std::vector<std::string> violations;
  CheckCounts checks{};

  // What happened, for the summary.
  std::uint64_t batches_acknowledged = 0, batches_read = 0, commits = 0, rebalances = 0, retries = 0;
  std::uint64_t incremental_fetches = 0, records_deleted = 0, topics_recreated = 0, members_fenced = 0,
                damaged_reads = 0, compactions = 0, merges = 0;
};

}  // namespace forelog::simulation
