// topic_describer.h: keeps what the archive knows of its topics in step (archive/topic_object.h).
//
// One per core, used on that core. Partitions on several cores or brokers may describe the same topic at once: equal
// descriptions have equal names, and of different ones the next change settles it.
#pragma once

#include "broker/archive/topic_object.h"
#include "broker/env/clock.h"
#include "broker/env/object_store.h"

#include <string>
#include <unordered_map>

namespace forelog::replication {

class TopicDescriber {
 public:
  TopicDescriber(env::ObjectStore& store, env::Clock& clock, std::string prefix)
      : store_(store), clock_(clock), prefix_(std::move(prefix)) {}

  // Afterwards the archive's newest description of the topic is `description`. Asks the archive once, and again only
  // when the description has changed.
  Task<Result<void>> ensure(archive::TopicDescription description);

 private:
  env::ObjectStore& store_;
  env::Clock& clock_;
  std::string prefix_;
  std::unordered_map<TopicId, std::string> known_;  // checksum of what is there
};

// Deletes the descriptions of a topic that has no other objects any more.
Task<Result<void>> remove_descriptions_if_last(env::ObjectStore& store, std::string prefix, TopicId topic,
                                               Deadline deadline);

}  // namespace forelog::replication
