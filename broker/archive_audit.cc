#include "broker/archive_audit.h"

#include "broker/archive/identity.h"
#include "broker/archive/manifest.h"
#include "broker/archive/object_check.h"
#include "broker/archive/shard_object.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"
#include "broker/env/task_group.h"

#include <algorithm>
#include <charconv>
#include <set>
#include <utility>

namespace forelog {
namespace {

constexpr Duration kRequestMax = 60s;
constexpr Duration kObjectMax = 3600s;
constexpr int kObjectsAtOnce = 8;
constexpr Bytes kManifestMax = 16_MiB;

class Audit {
 public:
  Audit(env::Env& env, AuditOptions options, std::function<void(const AuditProgress&)> progress)
      : env_(env), options_(std::move(options)), progress_(std::move(progress)) {}

  Task<Result<AuditReport>> run(ChainsSource chains);

 private:
  Task<Result<void>> compare_all(ChainsSource chains);
  Task<Result<void>> compare_once(ChainsSource chains);
  struct Checked {
    archive::FoundShard shard;
    std::optional<archive::Span> span;  // none when its footer cannot be read
  };
  Deadline soon() const { return env_.clock.now() + kRequestMax; }
  void find(FindingKind kind, std::string key, std::string text) {
    report_.findings.push_back({kind, std::move(key), std::move(text)});
  }
  // What failed with `error` is damaged, gone, or could not be looked at.
  void find(const std::string& key, const Error& error);
  static Task<void> check_objects(Audit& self, std::vector<Checked>& all, std::size_t& next);
  Task<void> check_object(Checked& checked);
  Task<std::optional<archive::Manifest>> read_manifest(PartitionKey key, std::string name);
  Task<void> check_topic(TopicId id, const archive::FoundTopic& found);
  Task<void> compare(PartitionKey key, const archive::FoundPartition& found, const cluster::ChainRecord& record);
  Task<void> expect_shard(PartitionKey key, const log::ShardDescriptor& shard, const archive::FoundPartition& found,
                          std::set<std::pair<Offset, Generation>>& named);
  void check_order(PartitionKey key, const std::vector<Checked>& all);

  env::Env& env_;
  AuditOptions options_;
  std::function<void(const AuditProgress&)> progress_;
  archive::Bucket bucket_;
  std::optional<Chains> chains_;
  AuditReport report_;
  AuditProgress so_far_;
};

void Audit::find(const std::string& key, const Error& error) {
  auto kind = FindingKind::unreadable;
  if (error.code == ErrorCode::kCorruptFile || error.code == ErrorCode::kCorruptBlock ||
      error.code == ErrorCode::kNewerFormat)
    kind = FindingKind::damaged;
  if (error.code == ErrorCode::kNotFound) kind = FindingKind::missing;
  find(kind, key, error.context);
}

Task<void> Audit::check_object(Checked& checked) {
  auto key = archive::object_key(options_.prefix, checked.shard.id);
  auto deadline = env_.clock.now() + kObjectMax;
  auto footer =
      co_await archive::read_footer_of(*env_.archive, key, checked.shard.id, checked.shard.object_size, soon());
  Bytes read = 0;
  if (footer) {
    checked.span = archive::Span{checked.shard.id.base, footer->end, checked.shard.id.generation};
    auto on_read = [&](Bytes bytes) {
      read += bytes;
      so_far_.bytes_done += bytes;
      progress_(so_far_);
    };
    if (!options_.quick) {
      auto blocks = co_await archive::check_blocks(*env_.archive, env_.clock, key, *footer, on_read, deadline);
      if (!blocks) find(key, blocks.error());
    }
  } else if (footer.error().code == ErrorCode::kNotFound) {
    // Listed, and gone since: retention removes what is old. What is still listed should be there.
    auto again = co_await env_.archive->list(key, "", 1, soon());
    bool listed = again && !again->empty() && again->front().key == key;
    if (!again) find(key, again.error());
    if (listed) find(FindingKind::missing, key, "it is listed, and there is nothing to read");
  } else {
    find(key, footer.error());
  }
  so_far_.bytes_done += checked.shard.object_size - read;
  ++so_far_.objects_done;
  progress_(so_far_);
}

Task<void> Audit::check_objects(Audit& self, std::vector<Checked>& all, std::size_t& next) {
  while (next < all.size()) {
    auto index = next++;
    co_await self.check_object(all[index]);
  }
}

Task<std::optional<archive::Manifest>> Audit::read_manifest(PartitionKey key, std::string name) {
  auto info = co_await env_.archive->head(name, soon());
  if (!info) {
    find(name, info.error());
    co_return std::nullopt;
  }
  if (info->size > kManifestMax) {
    find(FindingKind::damaged, name, "too large for a manifest");
    co_return std::nullopt;
  }
  auto bytes = co_await archive::read_range(*env_.archive, name, 0, info->size, soon());
  auto page = bytes ? archive::decode_manifest(key, *bytes) : Result<archive::Manifest>(fail(bytes.error()));
  if (!page) {
    find(name, page.error());
    co_return std::nullopt;
  }
  co_return *std::move(page);
}

Task<void> Audit::check_topic(TopicId id, const archive::FoundTopic& found) {
  auto description = co_await archive::read_description(*env_.archive, id, found, soon());
  if (description) co_return;
  find(archive::descriptions_prefix(options_.prefix, id), description.error());
}

// A shard that the chain names: its object is there, with the right size?
Task<void> Audit::expect_shard(PartitionKey key, const log::ShardDescriptor& shard,
                               const archive::FoundPartition& found, std::set<std::pair<Offset, Generation>>& named) {
  named.emplace(shard.base, shard.generation);
  // In the order of base and generation; an archive may have a hundred thousand shards of one partition.
  std::pair wanted(shard.base, shard.generation);
  auto place = [](const archive::FoundShard& other) { return std::pair(other.id.base, other.id.generation); };
  auto at = std::ranges::lower_bound(found.shards, wanted, {}, place);
  auto name = archive::object_key(options_.prefix, {key, shard.base, shard.generation});
  Bytes size = -1;
  if (at != found.shards.end() && place(*at) == wanted) {
    size = at->object_size;
  } else {
    auto info = co_await env_.archive->head(name, soon());  // it may have come after the listing
    if (!info) {
      auto error = info.error();
      if (error.code == ErrorCode::kNotFound) error.context = "the chain names it: " + shard.text();
      find(name, error);
      co_return;
    }
    size = info->size;
  }
  if (size != shard.object_size())
    find(FindingKind::damaged, name,
         std::to_string(size) + " bytes, where the chain says " + std::to_string(shard.object_size()));
}

Task<void> Audit::compare(PartitionKey key, const archive::FoundPartition& found, const cluster::ChainRecord& record) {
  std::set<std::pair<Offset, Generation>> named;
  std::set<std::string> pages;
  Offset end = record.log_start;
  for (const auto& shard : record.shards) {
    co_await expect_shard(key, shard.descriptor(), found, named);
    end = std::max(end, shard.end);
  }
  for (auto name = record.manifest; !name.empty() && pages.insert(name).second;) {
    auto page = co_await read_manifest(key, name);
    if (!page) break;
    for (const auto& shard : page->shards)
      if (shard.end > record.log_start) co_await expect_shard(key, shard, found, named);
    name = page->older;
  }
  for (const auto& shard : found.shards) {
    // What lies after the end of the chain is on its way into it.
    if (named.contains({shard.id.base, shard.id.generation}) || shard.id.base >= end) continue;
    find(FindingKind::orphaned, archive::object_key(options_.prefix, shard.id),
         "the chain does not name it; the broker removes it after its next start");
  }
  for (const auto& name : found.manifests) {
    if (!pages.contains(name)) find(FindingKind::orphaned, name, "the chain does not name it");
  }
}

// Without a chain to compare with.
void Audit::check_order(PartitionKey key, const std::vector<Checked>& all) {
  std::vector<archive::Span> spans;
  std::vector<const Checked*> objects;
  bool all_known = true;
  // In the order of the bucket's maps.
  for (const auto& each : std::ranges::equal_range(all, key, {}, [](const auto& c) { return c.shard.id.partition; })) {
    all_known = all_known && each.span.has_value();
    if (!each.span) continue;
    spans.push_back(*each.span);
    objects.push_back(&each);
  }
  auto chain = archive::choose_chain(spans);
  for (const auto& gap : chain.gaps) {
    // A damaged shard leaves a gap too, and was reported.
    if (!all_known) break;
    find(FindingKind::missing, archive::partition_prefix(options_.prefix, key),
         "no shard has the offsets " + std::to_string(gap.from.value()) + " to " + std::to_string(gap.to.value() - 1));
  }
  for (auto index : chain.superseded)
    find(FindingKind::orphaned, archive::object_key(options_.prefix, objects[index]->shard.id),
         "a newer generation has its offsets");
}

// What a broker does meanwhile, between the listing, its chains and a look at what they name, looks like damage: it
// replaces manifests and descriptions, and deletes what is old. What is wrong is so twice.
Task<Result<void>> Audit::compare_all(ChainsSource chains_source) {
  CO_TRY(co_await compare_once(chains_source));
  if (!chains_source || report_.findings.empty()) co_return Result<void>{};
  auto before = std::exchange(report_.findings, {});
  CO_TRY(co_await compare_once(chains_source));
  std::erase_if(report_.findings, [&](const Finding& finding) {
    return std::ranges::none_of(before, [&](const auto& b) { return b.kind == finding.kind && b.key == finding.key; });
  });
  co_return Result<void>{};
}

Task<Result<void>> Audit::compare_once(ChainsSource chains_source) {
  auto none = [](const archive::Bucket&) {};
  bucket_ = CO_TRY(co_await archive::list_bucket(*env_.archive, env_.clock, options_.prefix, options_.only, none));
  if (chains_source) {
    auto reading = chains_source();
    chains_ = CO_TRY(co_await std::move(reading));
  }
  auto identity = co_await archive::read_identity(*env_.archive, options_.prefix, soon());
  if (!identity) find(archive::identity_key(options_.prefix), identity.error());
  for (const auto& [id, topic] : bucket_.topics) {
    co_await check_topic(id, topic);
    for (const auto& [partition, found] : topic.partitions) {
      PartitionKey key{id, partition};
      if (chains_ && chains_->contains(key)) {
        co_await compare(key, found, chains_->at(key));
        continue;
      }
      for (const auto& name : found.manifests) (void)co_await read_manifest(key, name);
      if (chains_)
        find(FindingKind::orphaned, archive::partition_prefix(options_.prefix, key),
             "this cluster knows no such partition; restore it, or delete what is there");
    }
  }
  if (chains_) {
    for (const auto& [key, record] : *chains_) {
      if (options_.only && key.topic != *options_.only) continue;
      auto topic = bucket_.topics.find(key.topic);
      if (topic != bucket_.topics.end() && topic->second.partitions.contains(key.partition)) continue;
      co_await compare(key, {}, record);
    }
  }
  for (auto& key : bucket_.strangers) find(FindingKind::orphaned, key, "no object of this archive has such a name");
  co_return Result<void>{};
}

Task<Result<AuditReport>> Audit::run(ChainsSource chains_source) {
  CO_TRY(co_await compare_all(std::move(chains_source)));
  report_.objects = so_far_.objects = bucket_.objects;
  report_.bytes = so_far_.bytes = bucket_.bytes;
  std::vector<Checked> all;
  for (const auto& [id, topic] : bucket_.topics) {
    for (const auto& [partition, found] : topic.partitions)
      for (const auto& shard : found.shards) all.push_back({shard, std::nullopt});
  }
  so_far_.objects_done = bucket_.objects - all.size();
  std::size_t next = 0;
  TaskGroup workers(env_.cores);
  for (int i = 0; i < kObjectsAtOnce; ++i) workers.spawn(check_objects(*this, all, next));
  co_await workers.join();
  for (const auto& [id, topic] : bucket_.topics) {
    for (const auto& [partition, found] : topic.partitions) {
      PartitionKey key{id, partition};
      if (!chains_ || !chains_->contains(key)) check_order(key, all);
    }
  }
  co_return std::move(report_);
}

}  // namespace

bool AuditReport::is_sound() const {
  return std::ranges::all_of(findings, [](const Finding& f) { return f.kind == FindingKind::orphaned; });
}

Task<Result<Chains>> read_chains(env::MetadataStore& metadata) {
  Chains out;
  for (const auto& topic : CO_TRY(co_await cluster::children_or_none(metadata, cluster::paths::kChains))) {
    auto id = TopicId::parse(topic);
    if (!id) continue;
    auto path = cluster::paths::kChains + "/" + topic;
    for (const auto& name : CO_TRY(co_await cluster::children_or_none(metadata, path))) {
      std::int32_t number = -1;
      std::from_chars(name.data(), name.data() + name.size(), number);
      PartitionKey key{*id, PartitionId(number)};
      auto znode = co_await metadata.get(cluster::chain_path(key));
      if (!znode) {
        if (znode.error().code == ErrorCode::kNotFound) continue;
        co_return fail(std::move(znode).error());
      }
      out.emplace(key, CO_TRY(cluster::decode_chain_record(key, znode->data)));
    }
  }
  co_return out;
}

Task<Result<AuditReport>> audit_archive(env::Env& env, AuditOptions options, ChainsSource chains,
                                        std::function<void(const AuditProgress&)> progress) {
  Audit audit(env, std::move(options), std::move(progress));
  co_return co_await audit.run(std::move(chains));
}

}  // namespace forelog
