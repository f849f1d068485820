// archive_restore.h: rebuilds a topic's chains from nothing but the archive's objects, into a metadata store and a
// catalog that have lost them.
//
// Runs while the broker does not. Repeatable: what a crash leaves half done is marked, a broker refuses to start with
// it, and the next call does it over.
#pragma once

#include "broker/archive/bucket.h"
#include "broker/env/env.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace forelog {

struct RestoreOptions {
  std::string prefix;         // archive.prefix
  std::string topic;          // its name in the archive
  std::string as;             // the name it gets; empty: the same
  std::optional<TopicId> id;  // needed when several topics had this name
  bool partial = false;       // take the newest unbroken run where shards are missing or damaged
  BrokerId broker{0};         // that leads it from now on
};

struct RestoredPartition {
  PartitionId id;
  std::size_t shards = 0;
  Offset start{0};
  Offset end{0};
  Bytes bytes = 0;
  std::vector<std::string> left_out;  // why, with `partial`
};
struct RestoreReport {
  archive::TopicDescription topic;
  std::vector<RestoredPartition> partitions;
};

// Errors: NotFound (no topic of this name; it names those there are), Conflict (several; it names their ids),
// AlreadyExists, CorruptFile (shards are missing or damaged, and `partial` was not said), those of the stores.
Task<Result<RestoreReport>> restore_topic(env::Env& env, RestoreOptions options,
                                          std::function<void(const std::string&)> progress);

// The topics whose restoring was begun and not ended.
Task<Result<std::vector<std::string>>> unfinished_restores(env::MetadataStore& metadata);

// What the archive has: a line of `forelog archive topics`.
struct ArchivedTopic {
  TopicId id;
  std::string name;  // empty when no description can be read
  std::size_t partitions = 0;
  std::size_t shards = 0;
  Bytes bytes = 0;
};
Task<Result<std::vector<ArchivedTopic>>> archived_topics(env::Env& env, const archive::Bucket& bucket);

}  // namespace forelog
