// bucket.h: what lies in the archive, found by listing it, and the chains that its shards make.
//
// For checking a whole archive and for rebuilding topics from it: nothing here asks the metadata store.
#pragma once

#include "broker/archive/topic_object.h"
#include "broker/base/ids.h"
#include "broker/env/object_store.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forelog::archive {

struct FoundShard {
  ShardId id;
  Bytes object_size = 0;
};
struct FoundPartition {
  std::vector<FoundShard> shards;  // by base offset, then generation
  std::vector<std::string> manifests;
};
struct FoundTopic {
  std::vector<std::string> descriptions;  // keys, oldest first
  std::map<PartitionId, FoundPartition> partitions;
};
struct Bucket {
  std::map<TopicId, FoundTopic> topics;
  std::vector<std::string> strangers;  // keys under the prefix that no object of ours has
  std::size_t objects = 0;
  Bytes bytes = 0;
};

// Lists all objects below `prefix`, or only those of one topic. `progress` is called after each page.
Task<Result<Bucket>> list_bucket(env::ObjectStore& store, env::Clock& clock, std::string prefix,
                                 std::optional<TopicId> only, std::function<void(const Bucket&)> progress);

// The newest description that can be read. NotFound when there is none.
Task<Result<TopicDescription>> read_description(env::ObjectStore& store, TopicId topic, const FoundTopic& found,
                                                Deadline deadline);

// What a shard covers.
struct Span {
  Offset base;
  Offset end;
  Generation generation;
};
// Of shards in the order of base and generation, those that make the chain: of several that begin at one offset the
// newest generation, then the one that begins where it ends. Pure.
struct SpanChain {
  std::vector<std::size_t> chosen;      // indexes, in order
  std::vector<std::size_t> superseded;  // covered by newer generations
  struct Gap {
    Offset from;
    Offset to;
  };
  std::vector<Gap> gaps;
};
SpanChain choose_chain(const std::vector<Span>& spans);

}  // namespace forelog::archive
