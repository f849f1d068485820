#include "broker/archive_restore.h"

#include "broker/archive/manifest.h"
#include "broker/archive/object_check.h"
#include "broker/archive/shard_object.h"
#include "broker/archive_guard.h"
#include "broker/cluster/chain_record.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"
#include "broker/cluster/session.h"
#include "broker/env/task_group.h"
#include "broker/log/catalog.h"
#include "broker/replication/producer_table.h"
#include "broker/replication/small_content.h"

#include <algorithm>
#include <utility>

namespace forelog {
namespace {

using env::MetadataOp;

const std::string kRestoring = "/forelog/restoring";
constexpr Duration kRequestMax = 120s;
constexpr int kReadersAtOnce = 16;
constexpr std::size_t kRecordShards = 128;  // in the chain record, which has room for twice as many
constexpr std::size_t kRecordSizeMax = 60 << 10;
constexpr std::size_t kShardsPerChange = 256;  // with their footers
constexpr Bytes kManifestMax = 16_MiB;
constexpr std::int32_t kUndescribedMax = 1000;  // partitions that a topic may have got since its description

// One shard as its object has it.
struct ReadShard {
  log::ShardDescriptor descriptor;
  Buffer footer;  // encoded
};

class Restorer {
 public:
  Restorer(env::Env& env, RestoreOptions options, std::function<void(const std::string&)> progress)
      : env_(env), options_(std::move(options)), progress_(std::move(progress)), catalog_(env.local) {}

  Task<Result<RestoreReport>> run();

 private:
  Deadline soon() const { return env_.clock.now() + kRequestMax; }
  Task<Result<TopicId>> choose_topic();
  Task<Result<void>> mark(TopicId topic);
  Task<Result<RestoredPartition>> restore_partition(PartitionKey key, const archive::FoundPartition& found);
  static Task<void> read_footers(Restorer& self, const std::vector<archive::FoundShard>& shards, std::size_t& next,
                                 std::vector<Result<ReadShard>>& into);
  Task<void> take_over_what_manifests_know(PartitionKey key, const std::vector<std::string>& manifests,
                                           std::vector<ReadShard>& shards);
  Task<Result<void>> write_catalog(PartitionKey key, const std::vector<ReadShard>& shards);
  Task<Result<void>> write_chain(PartitionKey key, const std::vector<ReadShard>& shards, Generation newest);
  Task<Result<void>> skip_producer_ids();
  Task<Result<void>> write_topic(const archive::TopicDescription& topic);

  env::Env& env_;
  RestoreOptions options_;
  std::function<void(const std::string&)> progress_;
  log::Catalog catalog_;
  archive::Bucket bucket_;
  Epoch newest_epoch_{0};
  ProducerId largest_producer_{-1};
};

Task<Result<TopicId>> Restorer::choose_topic() {
  std::vector<TopicId> matching;
  std::string others;
  std::optional<Error> unknown;  // of one that may have this name, too
  for (const auto& [id, found] : bucket_.topics) {
    if (options_.id && *options_.id == id) co_return id;
    auto description = co_await archive::read_description(*env_.archive, id, found, soon());
    if (!description) {
      if (is_retriable(description.error().code)) unknown = std::move(description).error();
      continue;
    }
    if (description->name == options_.topic)
      matching.push_back(id);
    else
      others += (others.empty() ? "" : ", ") + description->name;
  }
  if (unknown && !options_.id) {
    if (matching.size() == 1)
      unknown->context += "; it may be of a topic of this name, too; to restore the one that was found, say --id " +
                          matching.front().text();
    co_return fail(*std::move(unknown));
  }
  if (matching.size() == 1 && !options_.id) co_return matching.front();
  if (matching.empty() || options_.id) {
    auto there = others.empty() ? "it has no topic at all" : "it has " + others;
    co_return fail(ErrorCode::kNotFound,
                   "the archive has no topic " + (options_.id ? options_.id->text() : options_.topic) + "; " + there);
  }
  std::string ids;
  for (const auto& id : matching) ids += (ids.empty() ? "" : ", ") + id.text();
  co_return fail(ErrorCode::kConflict,
                 "several topics had the name " + options_.topic + ": say which with --id: " + ids);
}

// Where the newest description cannot be read, an older one counts, of a time with fewer partitions. But not each
// object with a number in its name makes that many partitions.
Result<std::int32_t> count_partitions(const std::string& prefix, const archive::TopicDescription& topic,
                                      const archive::FoundTopic& found) {
  if (found.partitions.empty()) return topic.partitions;
  auto last = found.partitions.rbegin()->first.value();
  if (last >= std::min(archive::kTopicPartitionsMax, topic.partitions + kUndescribedMax))
    return fail(ErrorCode::kCorruptFile, "the archive has objects of a partition " + std::to_string(last) + " of " +
                                             topic.name + ", which has " + std::to_string(topic.partitions) +
                                             "; move those away that begin with " +
                                             archive::partition_prefix(prefix, {topic.id, PartitionId(last)}));
  return std::max(topic.partitions, last + 1);
}

Task<Result<void>> Restorer::mark(TopicId topic) {
  auto path = kRestoring + "/" + topic.text();
  CO_TRY(co_await cluster::ensure_path(env_.metadata, kRestoring));
  std::vector<MetadataOp> ops{MetadataOp::create(path, options_.topic)};
  auto marked = co_await env_.metadata.commit(std::move(ops));
  if (!marked && marked.error().code != ErrorCode::kAlreadyExists) co_return marked;
  co_return Result<void>{};
}

Task<Result<RestoreReport>> Restorer::run() {
  cluster::Session tree(env_, {});
  CO_TRY(co_await tree.prepare());
  auto count = [this](const archive::Bucket& so_far) {
    progress_("listing: " + std::to_string(so_far.objects) + " objects");
  };
  bucket_ = CO_TRY(co_await archive::list_bucket(*env_.archive, env_.clock, options_.prefix, options_.id, count));
  auto id = CO_TRY(co_await choose_topic());
  const auto& found = bucket_.topics[id];
  RestoreReport report;
  report.topic = CO_TRY(co_await archive::read_description(*env_.archive, id, found, soon()));
  report.topic.partitions = CO_TRY(count_partitions(options_.prefix, report.topic, found));
  if (!options_.as.empty()) report.topic.name = options_.as;
  auto exists = co_await env_.metadata.get(cluster::paths::topic(TopicName(report.topic.name)));
  if (exists) {
    co_return fail(ErrorCode::kAlreadyExists, "there is a topic " + report.topic.name +
                                                  " already; delete it, or restore under another name with --as");
  }
  auto topics = co_await cluster::children_or_none(env_.metadata, cluster::paths::kTopics);
  for (const auto& name : CO_TRY(std::move(topics))) {
    auto other = CO_TRY(
        co_await cluster::read_record<cluster::TopicRecord>(env_.metadata, cluster::paths::topic(TopicName(name))));
    if (other && other->record.topic_id == id)
      co_return fail(ErrorCode::kAlreadyExists, "topic " + name + " has the id " + id.text() + " already");
  }
  // Else the broker would take the archive for a wrong one, and serve the topic without its history.
  auto checking = check_archive(env_.metadata, *env_.archive, env_.clock, env_.random, options_.prefix);
  auto foreign = CO_TRY(co_await std::move(checking));
  if (!foreign.empty()) co_return fail(ErrorCode::kConflict, foreign);
  CO_TRY(co_await mark(id));
  for (std::int32_t number = 0; number < report.topic.partitions; ++number) {
    PartitionId partition(number);
    auto at = found.partitions.find(partition);
    static const archive::FoundPartition kNothing;
    auto done =
        CO_TRY(co_await restore_partition({id, partition}, at == found.partitions.end() ? kNothing : at->second));
    report.partitions.push_back(std::move(done));
  }
  CO_TRY(co_await skip_producer_ids());
  CO_TRY(co_await write_topic(report.topic));
  co_return report;
}

Task<void> Restorer::read_footers(Restorer& self, const std::vector<archive::FoundShard>& shards, std::size_t& next,
                                  std::vector<Result<ReadShard>>& into) {
  while (next < shards.size()) {
    auto index = next++;
    const auto& shard = shards[index];
    auto key = archive::object_key(self.options_.prefix, shard.id);
    auto footer = co_await archive::read_footer_of(*self.env_.archive, key, shard.id, shard.object_size, self.soon());
    if (!footer) {
      into[index] = fail(std::move(footer).error());
      continue;
    }
    ReadShard read;
    auto& descriptor = read.descriptor;
    descriptor.base = shard.id.base;
    descriptor.generation = shard.id.generation;
    descriptor.end = footer->end;
    descriptor.state = log::ShardState::archived;
    descriptor.local = false;
    descriptor.archived = true;
    descriptor.size = footer->size;
    descriptor.footer_size = shard.object_size - footer->size;
    descriptor.first_timestamp = footer->first_timestamp;
    descriptor.max_timestamp = footer->max_timestamp;
    descriptor.epochs = footer->epochs;
    // Nothing but a manifest knows better; this is what retention by age would go by.
    descriptor.created_ms = std::max<std::int64_t>(0, footer->first_timestamp);
    descriptor.sealed_ms = std::max<std::int64_t>(0, footer->max_timestamp);
    read.footer = footer->encode();
    if (auto producers = replication::ProducerTable::restore(footer->producer_snapshot))
      self.largest_producer_ = std::max(self.largest_producer_, producers->largest_id());
    into[index] = std::move(read);
  }
}

Task<void> Restorer::take_over_what_manifests_know(PartitionKey key, const std::vector<std::string>& manifests,
                                                   std::vector<ReadShard>& shards) {
  for (const auto& name : manifests) {
    auto info = co_await env_.archive->head(name, soon());
    if (!info || info->size > kManifestMax) continue;
    auto bytes = co_await archive::read_range(*env_.archive, name, 0, info->size, soon());
    if (!bytes) continue;
    auto page = archive::decode_manifest(key, *bytes);
    if (!page) continue;  // footers say what matters
    for (const auto& known : page->shards) {
      auto at = std::ranges::lower_bound(shards, known.base, {}, [](const auto& s) { return s.descriptor.base; });
      if (at == shards.end() || at->descriptor.base != known.base || at->descriptor.generation != known.generation)
        continue;
      at->descriptor.created_ms = known.created_ms;
      at->descriptor.sealed_ms = known.sealed_ms;
      at->descriptor.access = known.access;
    }
  }
}

Task<Result<RestoredPartition>> Restorer::restore_partition(PartitionKey key, const archive::FoundPartition& found) {
  RestoredPartition out;
  out.id = key.partition;
  std::vector<Result<ReadShard>> read(found.shards.size(), fail(ErrorCode::kUnknown, ""));
  std::size_t next = 0;
  {
    TaskGroup readers(env_.cores);
    for (int i = 0; i < kReadersAtOnce; ++i) readers.spawn(read_footers(*this, found.shards, next, read));
    co_await readers.join();
  }
  std::vector<ReadShard> whole;
  std::vector<archive::Span> spans;
  std::vector<std::pair<ShardId, std::string>> damaged_ones;
  for (std::size_t i = 0; i < read.size(); ++i) {
    auto& shard = read[i];
    if (!shard) {
      // An archive that does not answer is no reason to leave anything out.
      auto code = shard.error().code;
      bool damaged =
          code == ErrorCode::kCorruptFile || code == ErrorCode::kCorruptBlock || code == ErrorCode::kNotFound;
      if (!damaged) {
        auto error = std::move(shard).error();
        error.context += "; should it stay so, move this object away and restore with --partial";
        co_return fail(std::move(error));
      }
      damaged_ones.emplace_back(found.shards[i].id, shard.error().context);
      continue;
    }
    spans.push_back({shard->descriptor.base, shard->descriptor.end, shard->descriptor.generation});
    whole.push_back(*std::move(shard));
  }
  auto chosen = archive::choose_chain(spans);
  // One that a newer generation stands for is not missed.
  auto is_replaced = [&](ShardId id) {
    return std::ranges::any_of(chosen.chosen, [&](std::size_t index) {
      const auto& span = spans[index];
      return span.base <= id.base && id.base < span.end && span.generation > id.generation;
    });
  };
  for (auto& [id, text] : damaged_ones)
    if (!is_replaced(id)) out.left_out.push_back(std::move(text));
  Offset from = chosen.gaps.empty() ? Offset(0) : chosen.gaps.back().to;
  for (const auto& gap : chosen.gaps) {
    out.left_out.push_back(key.text() + ": no shard has the offsets " + std::to_string(gap.from.value()) + " to " +
                           std::to_string(gap.to.value() - 1));
  }
  if (!out.left_out.empty() && !options_.partial) {
    co_return fail(ErrorCode::kCorruptFile,
                   out.left_out.front() + (out.left_out.size() > 1 ? ", and more" : "") +
                       "; with --partial, each partition gets its newest unbroken run of shards");
  }
  std::vector<ReadShard> chain;
  for (auto index : chosen.chosen) {
    if (whole[index].descriptor.base >= from) chain.push_back(std::move(whole[index]));
  }
  co_await take_over_what_manifests_know(key, found.manifests, chain);
  CO_TRY(co_await write_catalog(key, chain));
  Generation newest{0};
  for (const auto& shard : found.shards) newest = std::max(newest, shard.id.generation);
  CO_TRY(co_await write_chain(key, chain, newest));
  out.shards = chain.size();
  for (const auto& shard : chain) out.bytes += shard.descriptor.size;
  if (!chain.empty()) {
    out.start = chain.front().descriptor.base;
    out.end = chain.back().descriptor.end;
  }
  progress_(key.text() + ": " + std::to_string(chain.size()) + " shards");
  co_return out;
}

Task<Result<void>> Restorer::write_catalog(PartitionKey key, const std::vector<ReadShard>& shards) {
  CO_TRY(co_await catalog_.remove_all(key));
  log::PartitionState state;
  if (!shards.empty()) {
    state.log_start = shards.front().descriptor.base;
    state.archived_end = state.high_watermark = shards.back().descriptor.end;
  }
  for (const auto& shard : shards) {
    for (const auto& epoch : shard.descriptor.epochs) {
      if (state.epochs.empty() || epoch.epoch > state.epochs.back().epoch) state.epochs.push_back(epoch);
      newest_epoch_ = std::max(newest_epoch_, epoch.epoch);
    }
  }
  for (std::size_t at = 0; at < shards.size();) {
    log::Catalog::Change change(key);
    for (auto end = std::min(at + kShardsPerChange, shards.size()); at < end; ++at) {
      const auto& shard = shards[at];
      change.put_shard(shard.descriptor);
      change.put_footer({key, shard.descriptor.base, shard.descriptor.generation}, shard.footer);
    }
    CO_TRY(co_await catalog_.commit(std::move(change), env::Durability::written));
  }
  log::Catalog::Change last(key);
  last.put_state(state);
  co_return co_await catalog_.commit(std::move(last), env::Durability::synced);
}

Task<Result<void>> Restorer::write_chain(PartitionKey key, const std::vector<ReadShard>& shards, Generation newest) {
  cluster::ChainRecord record;
  record.leader_epoch = newest_epoch_;
  if (newest > Generation(0)) record.generation = newest;  // a name is given once
  if (!shards.empty()) record.log_start = shards.front().descriptor.base;
  auto in_record = std::min(shards.size(), kRecordShards);
  auto fill = [&] {
    record.shards.clear();
    for (auto at = shards.size() - in_record; at < shards.size(); ++at)
      record.shards.push_back(cluster::ChainShard::of(shards[at].descriptor));
  };
  fill();
  while (in_record > 1 && cluster::encode_chain_record(record).size() > kRecordSizeMax) {
    in_record /= 2;
    fill();
  }
  for (std::size_t at = 0; at < shards.size() - in_record;) {
    archive::Manifest page{key, record.manifest, {}};
    auto end = std::min(at + archive::kManifestShardsMax, shards.size() - in_record);
    for (; at < end; ++at) page.shards.push_back(shards[at].descriptor);
    auto name = archive::manifest_key(options_.prefix, page);
    replication::SmallContent content(archive::encode_manifest(page));
    CO_TRY(co_await env_.archive->put(name, content, soon()));
    record.manifest = std::move(name);
  }
  auto path = cluster::chain_path(key);
  CO_TRY(co_await cluster::ensure_path(env_.metadata, path.substr(0, path.rfind('/'))));
  auto there = co_await env_.metadata.get(path);
  auto text = cluster::encode_chain_record(record);
  std::vector<MetadataOp> ops{there ? MetadataOp::set(path, text, there->version) : MetadataOp::create(path, text)};
  co_return co_await env_.metadata.commit(std::move(ops));
}

// The partitions remember producers by their ids. One of these given out anew would be taken for the old one, and its
// first batch for one out of order.
Task<Result<void>> Restorer::skip_producer_ids() {
  auto stored = CO_TRY(
      co_await cluster::read_record<cluster::ProducerIdBlockRecord>(env_.metadata, cluster::paths::kProducerIds));
  if (!stored) co_return fail(ErrorCode::kCorruptFile, cluster::paths::kProducerIds + " is missing");
  if (stored->record.block_end >= largest_producer_.value()) co_return Result<void>{};
  auto next = stored->record;
  next.block_start = next.block_end + 1;
  next.block_end = largest_producer_.value();
  std::vector<MetadataOp> ops{MetadataOp::set(cluster::paths::kProducerIds, to_json(next), stored->version)};
  co_return co_await env_.metadata.commit(std::move(ops));
}

// With the topic itself the mark goes: from here on a broker serves it.
Task<Result<void>> Restorer::write_topic(const archive::TopicDescription& topic) {
  TopicName name(topic.name);
  cluster::TopicRecord record;
  record.topic_id = topic.id;
  for (std::int32_t p = 0; p < topic.partitions; ++p) record.partitions[PartitionId(p)] = {options_.broker};
  cluster::ConfigRecord config;
  config.config = topic.settings;
  auto config_path = cluster::paths::topic_config(name);
  auto old_config = co_await env_.metadata.get(config_path);
  std::vector<MetadataOp> ops;
  ops.push_back(old_config ? MetadataOp::set(config_path, to_json(config), old_config->version)
                           : MetadataOp::create(config_path, to_json(config)));
  ops.push_back(MetadataOp::create(cluster::paths::topic(name), to_json(record)));
  ops.push_back(MetadataOp::create(cluster::paths::partitions(name), ""));
  cluster::PartitionStateRecord state;
  state.leader = options_.broker;
  state.isr = {options_.broker};
  // Above all that the shards know, as after any change of leader.
  state.leader_epoch = Epoch(newest_epoch_.value() + 1);
  for (std::int32_t p = 0; p < topic.partitions; ++p) {
    ops.push_back(MetadataOp::create(cluster::paths::partition(name, PartitionId(p)), ""));
    ops.push_back(MetadataOp::create(cluster::paths::state(name, PartitionId(p)), to_json(state)));
  }
  ops.push_back(MetadataOp::remove(kRestoring + "/" + topic.id.text(), -1));
  co_return co_await env_.metadata.commit(std::move(ops));
}

}  // namespace

Task<Result<RestoreReport>> restore_topic(env::Env& env, RestoreOptions options,
                                          std::function<void(const std::string&)> progress) {
  Restorer restorer(env, std::move(options), std::move(progress));
  co_return co_await restorer.run();
}

Task<Result<std::vector<std::string>>> unfinished_restores(env::MetadataStore& metadata) {
  std::vector<std::string> names;
  for (const auto& id : CO_TRY(co_await cluster::children_or_none(metadata, kRestoring))) {
    auto mark = co_await metadata.get(kRestoring + "/" + id);
    names.push_back(mark ? mark->data : id);
  }
  co_return names;
}

Task<Result<std::vector<ArchivedTopic>>> archived_topics(env::Env& env, const archive::Bucket& bucket) {
  std::vector<ArchivedTopic> out;
  for (const auto& [id, found] : bucket.topics) {
    ArchivedTopic topic;
    topic.id = id;
    auto deadline = env.clock.now() + kRequestMax;
    auto description = co_await archive::read_description(*env.archive, id, found, deadline);
    if (!description && is_retriable(description.error().code)) co_return fail(std::move(description).error());
    if (description) topic.name = description->name;
    topic.partitions = description ? static_cast<std::size_t>(description->partitions) : found.partitions.size();
    for (const auto& [partition, objects] : found.partitions) {
      topic.shards += objects.shards.size();
      for (const auto& shard : objects.shards) topic.bytes += shard.object_size;
    }
    out.push_back(std::move(topic));
  }
  co_return out;
}

}  // namespace forelog
