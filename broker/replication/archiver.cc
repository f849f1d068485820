#include "broker/replication/archiver.h"

#include "broker/archive/shard_object.h"
#include "broker/base/log.h"
#include "broker/replication/retention.h"
#include "broker/replication/small_content.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace forelog::replication {
namespace {

constexpr Duration kRequestTimeout = 10s;  // of a small request to the archive
constexpr std::size_t kRecordSizeMax = kZnodeSizeMax - 4_KiB;
constexpr std::size_t kGarbageMax = 10000;  // more is left to the search for orphans
constexpr std::size_t kListPage = 1000;
constexpr Bytes kManifestSizeMax = 16_MiB;

Task<Result<archive::Manifest>> read_manifest(env::ObjectStore& store, PartitionKey partition, std::string key,
                                              Deadline deadline) {
  auto info = CO_TRY(co_await store.head(key, deadline));
  if (info.size > kManifestSizeMax) co_return fail(ErrorCode::kCorruptFile, key + " is too large for a manifest");
  auto bytes = CO_TRY(co_await archive::read_range(store, key, 0, info.size, deadline));
  co_return archive::decode_manifest(partition, bytes);
}

}  // namespace

ArchiverMetrics::ArchiverMetrics(MetricsRegistry& r)
    : archived_shards(r, "forelog_archiver_archived_shards_total", "Shards put into the archive."),
      archived_bytes(r, "forelog_archiver_archived_bytes_total", "Bytes put into the archive."),
      removed_shards(r, "forelog_archiver_removed_shards_total", "Shards removed by retention."),
      removed_objects(r, "forelog_archiver_removed_objects_total", "Objects deleted from the archive."),
      dropped_local_shards(r, "forelog_archiver_dropped_local_shards_total",
                           "Archived shards dropped from the local disk."),
      failures(r, "forelog_archiver_failures_total", "Passes over a partition that ended early."),
      waiting_shards(r, "forelog_archiver_waiting_shards", "Sealed shards that are not archived yet.") {}

Archiver::Archiver(Context& context, log::LocalLog& log, archive::ArchivedLog& archived, const ProducerTable* producers)
    : context_(context),
      log_(log),
      archived_(archived),
      partition_(log.partition()),
      changed_(context.env.clock),
      tasks_(context.env.cores) {
  if (context.compactor != nullptr) compactor_ = std::make_unique<Compactor>(*context.compactor, log, *this, producers);
  publish();
}

Archiver::~Archiver() = default;

void Archiver::start(Epoch leader_epoch) {
  epoch_ = leader_epoch;
  tasks_.spawn(loop());
}

Task<void> Archiver::stop() {
  stopping_ = true;
  changed_.notify();
  co_await tasks_.join();
  count_waiting(0);
}

void Archiver::wake() {
  woken_ = true;
  changed_.notify();
}

Task<void> Archiver::loop() {
  auto& clock = context_.env.clock;
  auto pause = context_.settings.retry_backoff;
  std::optional<ErrorCode> told;  // of a thousand partitions, each attempt would be a line
  while (!stopping_) {
    woken_ = false;
    auto done = co_await pass();
    if (done) {
      pause = context_.settings.retry_backoff;
      if (std::exchange(told, std::nullopt)) log_line(info, "archiving_resumed", {{"partition", partition_}});
      auto next = clock.now() + context_.pass_interval;
      while (!stopping_ && !woken_ && clock.now() < next) co_await changed_.wait(next);
      continue;
    }
    if (done.error().code != ErrorCode::kStopping) {
      ++context_.metrics.failures;
      if (std::exchange(told, done.error().code) != done.error().code) {
        log_line(warn, "archiving_failed",
                 {{"partition", partition_}, {"retry_ms", to_ms(pause)}, {"error", done.error()}});
      }
    }
    // What is sealed meanwhile does not shorten the pause.
    auto jitter = context_.env.random.below(static_cast<std::uint64_t>(pause.count()));
    auto next = clock.now() + pause / 2 + Duration(static_cast<std::int64_t>(jitter));
    while (!stopping_ && clock.now() < next) co_await changed_.wait(next);
    pause = std::min(pause * 2, context_.settings.retry_backoff_max);
  }
}

Task<Result<void>> Archiver::pass() {
  if (context_.env.archive == nullptr) {
    CO_TRY(co_await apply_retention());
    if (compactor_) co_await compactor_->pass(stopping_);
    co_return Result<void>{};
  }
  CO_TRY(co_await load_chain());
  // An archive that does not answer delays archiving, not retention.
  auto archived = co_await archive_sealed();
  CO_TRY(co_await apply_retention());
  CO_TRY(std::move(archived));
  if (!orphans_collected_ && record_version_ >= 0) CO_TRY(co_await collect_orphans());
  if (compactor_) co_await compactor_->pass(stopping_);
  co_return co_await remove_objects();
}

// --- the chain record ------------------------------------------------------------------------------------------------

Task<Result<void>> Archiver::load_chain() {
  if (loaded_) co_return Result<void>{};
  auto znode = co_await context_.env.metadata.get(cluster::chain_path(partition_));
  if (!znode && znode.error().code != ErrorCode::kNotFound) co_return fail(std::move(znode).error());
  record_ = {};
  record_version_ = -1;
  if (znode) {
    record_ = CO_TRY(cluster::decode_chain_record(partition_, znode->data));
    record_version_ = znode->version;
  }
  if (record_.leader_epoch > epoch_) {
    co_return fail(ErrorCode::kNotLeader, "a leader of epoch " + std::to_string(record_.leader_epoch.value()) +
                                              " writes the chain of " + partition_.text());
  }
  if (auto read = co_await load_manifests(); !read) {
    // What is gone or damaged stays so, and the catalog knows the same shards.
    auto code = read.error().code;
    if (code != ErrorCode::kNotFound && code != ErrorCode::kCorruptFile) co_return read;
    CO_TRY(co_await remake_manifests(std::move(read).error()));
  }
  std::vector<log::ShardDescriptor> shards;
  auto add = [&](const log::ShardDescriptor& shard) {
    // What the catalog has removed stays removed; `trim_chain` will follow.
    if (shard.end > std::max(record_.log_start, log_.log_start())) shards.push_back(shard);
  };
  for (const auto& page : pages_) std::for_each(page.shards.begin(), page.shards.end(), add);
  for (const auto& shard : record_.shards) add(shard.descriptor());
  // A crash may have come between the chain record and the catalog.
  if (record_.log_start > log_.log_start()) CO_TRY(co_await log_.set_log_start(record_.log_start));
  for (const auto& shard : shards) {
    const auto* here = log_.chain().find(ShardId{partition_, shard.base, shard.generation});
    if (here != nullptr && !here->archived)
      CO_TRY(co_await log_.mark_archived({partition_, shard.base, shard.generation}));
    // It may begin before the catalog's chain, whose first shards have been deleted meanwhile.
    if (here == nullptr && shard.end > log_.chain().start()) CO_TRY(co_await adopt_rewritten(shard));
  }
  CO_TRY(co_await log_.adopt_archived(shards));
  loaded_ = true;
  publish();
  restore_access(shards);
  co_return Result<void>{};
}

Task<Result<void>> Archiver::load_manifests() {
  pages_.clear();
  page_keys_.clear();
  auto& store = *context_.env.archive;
  auto follows = record_.shards.empty() ? kNoOffset : record_.shards.front().base;
  for (auto key = record_.manifest; !key.empty();) {
    auto page = CO_TRY(co_await read_manifest(store, partition_, key, request_deadline()));
    bool fits = !page.shards.empty() && (follows == kNoOffset || page.shards.back().end == follows);
    if (!fits) co_return fail(ErrorCode::kCorruptFile, key + " does not precede what names it");
    follows = page.shards.front().base;
    auto older = page.older;
    pages_.insert(pages_.begin(), std::move(page));
    page_keys_.insert(page_keys_.begin(), std::exchange(key, std::move(older)));
  }
  co_return Result<void>{};
}

// Fails with `why` unless the catalog has every shard up to those in the record, but for what was deleted, and the
// archive has them: it may be another one than it was. Where the catalog lags behind a rewrite, its shards have not
// been retired yet: their objects are there.
Task<Result<void>> Archiver::remake_manifests(Error why) {
  if (record_.shards.empty()) co_return fail(std::move(why));
  auto end = record_.shards.front().base;
  std::vector<archive::Manifest> pages;
  auto next_base = std::max(record_.log_start, log_.log_start());
  for (const auto& shard : log_.chain().shards()) {
    if (next_base >= end || !shard.archived || shard.end > end || shard.base > next_base || shard.footer_size <= 0)
      break;
    next_base = shard.end;
    if (pages.empty() || pages.back().shards.size() == archive::kManifestShardsMax)
      pages.push_back({partition_, {}, {}});
    pages.back().shards.push_back(shard);
  }
  if (next_base < end) co_return fail(std::move(why));
  for (const auto& page : pages) {
    for (const auto& shard : {page.shards.front(), page.shards.back()}) {
      auto there = co_await context_.env.archive->head(key_of(shard), request_deadline());
      if (!there && there.error().code == ErrorCode::kNotFound) co_return fail(std::move(why));
      CO_TRY(std::move(there));
    }
  }
  std::vector<std::string> keys;
  auto next = record_;
  next.manifest.clear();  // all that it had may be deleted by now
  CO_TRY(co_await put_pages(0, next, pages, keys));
  CO_TRY(co_await write_chain(std::move(next)));
  pages_ = std::move(pages);
  page_keys_ = std::move(keys);
  log_line(warn, "manifest_remade", {{"partition", partition_}, {"error", why}});
  co_return Result<void>{};
}

Task<Result<void>> Archiver::write_chain(cluster::ChainRecord next) {
  next.leader_epoch = epoch_;
  for (auto& shard : next.shards) {
    auto descriptor = shard.descriptor();
    descriptor.access = access_of(descriptor);
    shard = cluster::ChainShard::of(descriptor);
  }
  auto path = cluster::chain_path(partition_);
  auto text = cluster::encode_chain_record(next);
  auto write = [&] {
    return record_version_ < 0 ? env::MetadataOp::create(path, text)
                               : env::MetadataOp::set(path, text, record_version_);
  };
  std::vector<env::MetadataOp> ops{write()};
  auto written = co_await context_.env.metadata.commit(ops);
  if (!written && written.error().code == ErrorCode::kNotFound && record_version_ < 0) {
    CO_TRY(co_await create_parents());
    written = co_await context_.env.metadata.commit(ops);
  }
  if (!written) {
    loaded_ = false;             // it may have happened all the same, or somebody else was first: look again
    orphans_collected_ = false;  // then objects that it no longer names are on nobody's list
    co_return fail(std::move(written).error());
  }
  ++record_version_;
  record_ = std::move(next);
  co_return Result<void>{};
}

Task<Result<void>> Archiver::create_parents() {
  auto topic = "/forelog/chains/" + partition_.topic.text();
  for (std::string path : {std::string("/forelog"), std::string("/forelog/chains"), topic}) {
    std::vector<env::MetadataOp> ops{env::MetadataOp::create(path, "")};
    auto created = co_await context_.env.metadata.commit(std::move(ops));
    if (!created && created.error().code != ErrorCode::kAlreadyExists) co_return fail(std::move(created).error());
  }
  co_return Result<void>{};
}

// Makes room in the record for one shard more: the older half moves into a manifest. The page named last goes on as
// long as it is small, so that there are few of them.
Task<Result<void>> Archiver::spill_if_full() {
  auto next = record_;
  bool has_room = next.shards.size() < kChainRecordShardsMax && encode_chain_record(next).size() < kRecordSizeMax;
  if (has_room) co_return Result<void>{};
  auto moved = static_cast<std::ptrdiff_t>((next.shards.size() + 1) / 2);
  bool goes_on =
      !pages_.empty() && pages_.back().shards.size() + static_cast<std::size_t>(moved) <= archive::kManifestShardsMax;
  auto page = goes_on ? pages_.back() : archive::Manifest{partition_, next.manifest, {}};
  std::erase_if(page.shards, [&](const auto& shard) { return shard.end <= next.log_start; });
  for (auto at = next.shards.begin(); at != next.shards.begin() + moved; ++at) page.shards.push_back(at->descriptor());
  next.shards.erase(next.shards.begin(), next.shards.begin() + moved);
  next.manifest = archive::manifest_key(context_.settings.prefix, page);
  SmallContent content(archive::encode_manifest(page));
  CO_TRY(co_await context_.env.archive->put(next.manifest, content, request_deadline()));
  CO_TRY(co_await write_chain(std::move(next)));
  if (goes_on) {
    garbage_.push_back(page_keys_.back());
    pages_.pop_back();
    page_keys_.pop_back();
  }
  pages_.push_back(std::move(page));
  page_keys_.push_back(record_.manifest);
  co_return Result<void>{};
}

// --- archiving -------------------------------------------------------------------------------------------------------

Task<Result<void>> Archiver::archive_sealed() {
  // A compacted topic is rewritten again and again; in Kafka too it stays on the brokers' disks (KIP-405).
  if (!log_.settings().remote_storage || log_.settings().compacts()) co_return Result<void>{};
  auto waiting = log_.sealed();
  count_waiting(waiting.size());
  bool is_archived = !waiting.empty() || !record_.shards.empty();
  if (is_archived && topic_ != described_ && context_.topics != nullptr) {
    auto topic = topic_;
    archive::TopicDescription description{topic->name.value(), topic->id,
                                          static_cast<std::int32_t>(topic->partitions.size()), topic->overrides};
    CO_TRY(co_await context_.topics->ensure(std::move(description)));
    described_ = std::move(topic);
  }
  for (auto& shard : waiting) {
    if (stopping_) break;
    CO_TRY(co_await archive_one(std::move(shard)));
    count_waiting(waiting_ - 1);
  }
  co_return Result<void>{};
}

// The gauge is the sum over all partitions of the core.
void Archiver::count_waiting(std::size_t shards) {
  context_.metrics.waiting_shards.add(static_cast<std::int64_t>(shards) - static_cast<std::int64_t>(waiting_));
  waiting_ = shards;
}

Task<Result<void>> Archiver::archive_one(log::ShardDescriptor shard) {
  ShardId id{partition_, shard.base, shard.generation};
  auto footer = CO_TRY(co_await log_.footer_of(id));
  auto content = CO_TRY(co_await log_.content_of(id));
  auto deadline = context_.env.clock.now() + context_.settings.put_timeout;
  CO_TRY(co_await archive::put_shard(*context_.env.archive, key_of(shard), *content, *footer, deadline));

  CO_TRY(co_await spill_if_full());
  auto next = record_;
  if (!next.shards.empty() && next.shards.back().end != shard.base) {
    co_return fail(ErrorCode::kCorruptFile, shard.text() + " does not follow the archived chain of " +
                                                partition_.text() + ", which ends at " +
                                                std::to_string(next.shards.back().end.value()));
  }
  shard.footer_size = content->size() - shard.size;
  next.shards.push_back(cluster::ChainShard::of(shard));
  next.log_start = std::max(next.log_start, log_.log_start());
  CO_TRY(co_await write_chain(next));
  auto marked = co_await log_.mark_archived(id);
  if (!marked) {
    loaded_ = false;  // the record is ahead of the catalog, which catches up when the chain is loaded again
    co_return marked;
  }
  publish();
  ++context_.metrics.archived_shards;
  context_.metrics.archived_bytes.add(content->size());
  log_line(info, "shard_archived", {{"shard", id}, {"end_offset", shard.end}, {"bytes", content->size()}});
  co_return Result<void>{};
}

// What readers of the archive see: the archived front of the catalog's chain.
void Archiver::publish() {
  std::vector<log::ShardDescriptor> shards;
  for (const auto& shard : log_.chain().shards()) {
    if (!shard.archived) break;
    shards.push_back(shard);
    const auto* known = find_archived(shard);
    shards.back().access = known != nullptr ? known->access : log::AccessSummary{};
  }
  archived_.set_shards(std::move(shards));
}

const log::ShardDescriptor* Archiver::find_archived(const log::ShardDescriptor& shard) const {
  const auto& shards = archived_.shards();
  auto at = std::lower_bound(shards.begin(), shards.end(), shard.base,
                             [](const auto& other, Offset base) { return other.base < base; });
  return at != shards.end() && at->base == shard.base && at->generation == shard.generation ? &*at : nullptr;
}

// The chain record counts all reads; the catalog counts those of local bytes, `archived_` those through the cache.
log::AccessSummary Archiver::access_of(const log::ShardDescriptor& shard) const {
  log::AccessSummary sum;
  auto add = [&](const log::ShardDescriptor* part) {
    if (part == nullptr) return;
    sum.reads += part->access.reads;
    sum.bytes += part->access.bytes;
    sum.last_read_ms = std::max(sum.last_read_ms, part->access.last_read_ms);
  };
  add(log_.chain().find(ShardId{partition_, shard.base, shard.generation}));
  add(find_archived(shard));
  return sum;
}

void Archiver::restore_access(const std::vector<log::ShardDescriptor>& recorded) {
  auto shards = archived_.shards();
  for (const auto& was : recorded) {
    auto counted = access_of(was);
    if (counted.reads >= was.access.reads) continue;
    auto at = std::find_if(shards.begin(), shards.end(), [&](const auto& shard) { return shard.base == was.base; });
    if (at == shards.end()) continue;
    at->access.reads += was.access.reads - counted.reads;
    at->access.bytes += std::max<Bytes>(0, was.access.bytes - counted.bytes);
    at->access.last_read_ms = std::max(at->access.last_read_ms, was.access.last_read_ms);
  }
  archived_.set_shards(std::move(shards));
}

// --- retention -------------------------------------------------------------------------------------------------------

Task<Result<void>> Archiver::apply_retention() {
  // What a full disk does not let be sealed can still be deleted, which frees it.
  auto unsealed_end = log_.error() ? std::min(log_.high_watermark(), log_.durable_end()) : kNoOffset;
  auto decision =
      decide_retention(log_.chain(), log_.settings(), log_.log_start(), context_.env.clock.wall(), unsealed_end);
  if (decision.cut) log_.cut(context_.env.clock.wall());
  if (context_.env.archive != nullptr) CO_TRY(co_await trim_chain(decision.log_start));
  auto shards_before = log_.chain().shards().size();
  if (decision.log_start > log_.log_start()) CO_TRY(co_await log_.set_log_start(decision.log_start));
  auto removed = shards_before - std::min(shards_before, log_.chain().shards().size());
  if (removed > 0) {
    context_.metrics.removed_shards.add(static_cast<std::int64_t>(removed));
    log_line(info, "shards_removed", {{"partition", partition_}, {"shards", removed}, {"log_start", log_.log_start()}});
  }
  if (!archived_.empty() && (log_.chain().empty() || archived_.start() != log_.chain().start())) publish();
  for (const auto& id : decision.drop_local) {
    const auto* shard = log_.chain().find(id);
    auto end = shard == nullptr ? id.base : shard->end;
    CO_TRY(co_await log_.drop_local(id));
    ++context_.metrics.dropped_local_shards;
    if (context_.on_local_drop) context_.on_local_drop(partition_, id.base, end);
  }
  co_return Result<void>{};
}

// Takes shards that end at or before `log_start` out of the chain record. Their objects become garbage.
Task<Result<void>> Archiver::trim_chain(Offset log_start) {
  auto gone = [&](const auto& shard) { return shard.end <= log_start; };
  std::vector<log::ShardDescriptor> removed;
  auto next = record_;
  for (const auto& shard : record_.shards) {
    if (gone(shard)) removed.push_back(shard.descriptor());
  }
  std::erase_if(next.shards, gone);
  std::size_t pages_gone = 0;
  for (const auto& page : pages_) {
    for (const auto& shard : page.shards) {
      if (gone(shard) && shard.end > record_.log_start) removed.push_back(shard);
    }
    if (gone(page.shards.back())) ++pages_gone;
  }
  if (removed.empty()) co_return Result<void>{};
  if (pages_gone == pages_.size()) next.manifest.clear();
  next.log_start = std::max(next.log_start, log_start);
  CO_TRY(co_await write_chain(std::move(next)));
  auto after = static_cast<std::ptrdiff_t>(pages_gone);
  garbage_.insert(garbage_.end(), page_keys_.begin(), page_keys_.begin() + after);
  pages_.erase(pages_.begin(), pages_.begin() + after);
  page_keys_.erase(page_keys_.begin(), page_keys_.begin() + after);
  for (const auto& shard : removed) {
    garbage_.push_back(key_of(shard));
    ShardId id{partition_, shard.base, shard.generation};
    if (context_.footers != nullptr) context_.footers->forget(id);
    if (context_.cache != nullptr) context_.cache->erase({id, 0, cache::block_count(shard.size)});
  }
  co_return Result<void>{};
}

// --- what is left over -----------------------------------------------------------------------------------------------

Task<Result<void>> Archiver::remove_objects() {
  auto now = context_.env.clock.now();
  auto due = std::partition(retired_.begin(), retired_.end(), [&](const auto& entry) { return entry.first > now; });
  for (auto at = due; at != retired_.end(); ++at) garbage_.push_back(std::move(at->second));
  retired_.erase(due, retired_.end());
  while (!garbage_.empty() && !stopping_) {
    CO_TRY(co_await context_.env.archive->remove(garbage_.back(), request_deadline()));
    garbage_.pop_back();
    ++context_.metrics.removed_objects;
  }
  co_return Result<void>{};
}

// After each start, and after a chain record was written of which nobody knows: objects left behind between the record
// and their deletion.
Task<Result<void>> Archiver::collect_orphans() {
  std::vector<std::string> orphans;
  auto prefix = archive::partition_prefix(context_.settings.prefix, partition_);
  for (std::string after;;) {
    auto page = CO_TRY(co_await context_.env.archive->list(prefix, after, kListPage, request_deadline()));
    for (const auto& object : page) {
      if (is_orphan(object.key) && orphans.size() < kGarbageMax) orphans.push_back(object.key);
    }
    if (page.size() < kListPage || stopping_) break;
    after = page.back().key;
  }
  if (!orphans.empty()) {
    // From here on an older leader that is still at work cannot name what it has put.
    if (record_.leader_epoch != epoch_) CO_TRY(co_await write_chain(record_));
    // Still the leader that wrote the chain? Another one's objects are not ours to judge.
    auto znode = CO_TRY(co_await context_.env.metadata.get(cluster::chain_path(partition_)));
    if (znode.version != record_version_) {
      loaded_ = false;
      co_return fail(ErrorCode::kConflict, "the chain of " + partition_.text() + " has changed");
    }
  }
  for (auto& key : orphans) {
    if (std::find(garbage_.begin(), garbage_.end(), key) == garbage_.end()) garbage_.push_back(std::move(key));
  }
  orphans_collected_ = true;
  co_return Result<void>{};
}

// An object before the end of the chain that the chain does not name. What lies at or after its end may be an upload
// whose turn comes yet.
bool Archiver::is_orphan(const std::string& key) const {
  const auto& shards = archived_.shards();
  auto chain_end = shards.empty() ? record_.log_start : shards.back().end;
  if (auto id = archive::parse_object_key(context_.settings.prefix, key)) {
    // The log keeps its last shard in mind, also when the chain has been trimmed to its end.
    auto is_it = [&](const auto& shard) {
      return shard.base == id->base && shard.generation == id->generation && shard.end > record_.log_start;
    };
    return id->base < chain_end && std::none_of(shards.begin(), shards.end(), is_it);
  }
  auto page_end = archive::parse_manifest_key(context_.settings.prefix, partition_, key);
  if (!page_end) return false;
  // A page that ends where the newest one does, or later, may be one that the next leader is about to name.
  auto newest_end = pages_.empty() ? record_.log_start : pages_.back().shards.back().end;
  return *page_end < newest_end && std::find(page_keys_.begin(), page_keys_.end(), key) == page_keys_.end();
}

// --- small things ----------------------------------------------------------------------------------------------------

std::string Archiver::key_of(const log::ShardDescriptor& shard) const {
  return archive::object_key(context_.settings.prefix, {partition_, shard.base, shard.generation});
}

Deadline Archiver::request_deadline() const { return context_.env.clock.now() + kRequestTimeout; }

Task<Result<void>> remove_archived_partition(env::Env& env, std::string prefix, PartitionKey partition,
                                             Deadline deadline) {
  auto path = cluster::chain_path(partition);
  std::vector<env::MetadataOp> ops{env::MetadataOp::remove(path, -1)};
  auto removed = co_await env.metadata.commit(std::move(ops));
  if (!removed && removed.error().code != ErrorCode::kNotFound) co_return fail(std::move(removed).error());
  // The topic's own znode goes with its last partition; until then it has children and stays.
  std::vector<env::MetadataOp> parent{env::MetadataOp::remove(path.substr(0, path.rfind('/')), -1)};
  (void)co_await env.metadata.commit(std::move(parent));
  if (env.archive == nullptr) co_return Result<void>{};
  auto objects = archive::partition_prefix(prefix, partition);
  while (true) {
    auto page = CO_TRY(co_await env.archive->list(objects, "", kListPage, deadline));
    for (const auto& object : page) CO_TRY(co_await env.archive->remove(object.key, deadline));
    if (page.size() < kListPage) break;
    if (env.clock.now() >= deadline) co_return fail(ErrorCode::kTimeout, "deleting " + objects);
  }
  co_return co_await remove_descriptions_if_last(*env.archive, prefix, partition.topic, deadline);
}

}  // namespace forelog::replication
