// archive_audit.h: checks everything that the archive holds, byte for byte, against itself and against the chains that
// the metadata store has.
#pragma once

#include "broker/archive/bucket.h"
#include "broker/cluster/chain_record.h"
#include "broker/env/env.h"

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forelog {

// What the metadata store says of each partition.
using Chains = std::map<PartitionKey, cluster::ChainRecord>;
Task<Result<Chains>> read_chains(env::MetadataStore& metadata);

enum class FindingKind : std::uint8_t { damaged, missing, unreadable, orphaned };
constexpr std::array<std::string_view, 4> enum_names(FindingKind) {
  return {"damaged", "missing", "unreadable", "orphaned"};
}
struct Finding {
  FindingKind kind = FindingKind::damaged;
  std::string key;   // of the object; of a partition where no object can be named
  std::string text;  // what is wrong, and for people what it means
};

struct AuditOptions {
  std::string prefix;
  std::optional<TopicId> only;
  bool quick = false;  // footers only, not the bytes before them
};
struct AuditProgress {
  std::size_t objects = 0, objects_done = 0;
  Bytes bytes = 0, bytes_done = 0;
};
struct AuditReport {
  std::size_t objects = 0;
  Bytes bytes = 0;
  std::vector<Finding> findings;
  bool is_sound() const;  // nothing damaged, missing or unreadable; what is orphaned only takes room
};

// `chains` is asked after the listing, so that what is archived meanwhile is known; if something is wrong, both are
// done once more, and only what is wrong again is told, as a broker at work changes both; without one the shards are
// checked against each other: no gap may lie between them. Fails when the archive cannot be listed.
using ChainsSource = std::function<Task<Result<Chains>>()>;
Task<Result<AuditReport>> audit_archive(env::Env& env, AuditOptions options, ChainsSource chains,
                                        std::function<void(const AuditProgress&)> progress);

}  // namespace forelog
