#include "tests/simulation/storage_check.h"

#include "broker/archive/manifest.h"
#include "broker/archive/shard_object.h"
#include "broker/cluster/chain_record.h"
#include "broker/log/footer.h"
#include "broker/log/recovery.h"

#include <algorithm>
#include <set>
#include <vector>

namespace forelog::simulation {
namespace {

constexpr std::size_t kManifestsMax = 1000;
constexpr Duration kDeleteDelayMax = 20s;  // until an object that nothing names any more is gone

// Where the footer of a whole segment lies.
Result<log::FooterPlace> footer_place(const Buffer& bytes) {
  if (bytes.size() < log::kFooterTrailerSize) return fail(ErrorCode::kCorruptFile, "too short for a footer");
  auto place = TRY(log::find_footer(bytes.view().subspan(bytes.size() - log::kFooterTrailerSize)));
  if (place.data_size + place.footer_size != static_cast<Bytes>(bytes.size()))
    return fail(ErrorCode::kCorruptFile, "bytes before or behind it");
  return place;
}

struct ArchivedChain {
  Offset log_start{0};
  std::vector<log::ShardDescriptor> shards;
  std::set<std::string> keys;  // of all objects that it names
};

// Record and manifests put together, as a reader of the archive would.
Task<Result<ArchivedChain>> read_chain(Trial& trial, Storage storage, PartitionKey partition) {
  ArchivedChain chain;
  auto znode = co_await trial.env.metadata.get(cluster::chain_path(partition));
  if (!znode && znode.error().code == ErrorCode::kNotFound) co_return chain;
  if (!znode) co_return fail(znode.error());
  auto record = CO_TRY(cluster::decode_chain_record(partition, znode->data));
  chain.log_start = record.log_start;
  std::vector<std::vector<log::ShardDescriptor>> pages;
  for (auto key = record.manifest; !key.empty();) {
    auto object = storage.objects.find(key);
    if (object == storage.objects.end()) co_return fail(ErrorCode::kNotFound, "manifest " + key);
    auto manifest = CO_TRY(archive::decode_manifest(partition, object->second));
    chain.keys.insert(key);
    key = manifest.older;
    pages.push_back(std::move(manifest.shards));
    if (pages.size() > kManifestsMax) co_return fail(ErrorCode::kCorruptFile, "manifests go round in a ring");
  }
  for (auto page = pages.rbegin(); page != pages.rend(); ++page)
    chain.shards.insert(chain.shards.end(), page->begin(), page->end());
  for (const auto& shard : record.shards) chain.shards.push_back(shard.descriptor());
  std::erase_if(chain.shards, [&](const auto& shard) { return shard.end <= chain.log_start; });
  for (const auto& shard : chain.shards)
    chain.keys.insert(archive::object_key(storage.archive_prefix, {partition, shard.base, shard.generation}));
  co_return chain;
}

// What is wrong with a whole segment, batches and footer, as file or object.
std::optional<std::string> check_segment(PartitionModel& model, const ShardId& id, const Buffer& bytes) {
  auto place = footer_place(bytes);
  if (!place) return "has no sound footer: " + place.error().context;
  auto data_size = static_cast<std::size_t>(place->data_size);
  auto footer = log::Footer::decode(bytes.slice(data_size, bytes.size() - data_size));
  if (!footer) return footer.error().text();
  if (footer->shard != id) return "has the footer of " + footer->shard.text();
  for (std::uint32_t i = 0; i < footer->block_count(); ++i) {
    auto from = static_cast<std::size_t>(i) * static_cast<std::size_t>(kBlockSize);
    auto block = bytes.view().subspan(from, std::min(static_cast<std::size_t>(kBlockSize), data_size - from));
    if (!log::verify_block(*footer, i, block)) return "differs from its footer in block " + std::to_string(i);
  }
  Offset next = id.base;
  auto wrong = model.check({bytes.slice(0, data_size)}, id.base, footer->end, next, PartitionModel::Witness::file);
  if (wrong) return wrong->what;
  if (next != footer->end) return "ends at " + std::to_string(next.value()) + " and says otherwise";
  return std::nullopt;
}

// Of the whole batches at the front of a segment without a footer. Who reads batches takes a cut-off one for the end.
Bytes size_of_batches(const Buffer& bytes) {
  Bytes size = 0;
  auto add = [&size](log::BatchView batch) {
    size += static_cast<Bytes>(batch.size());
    return true;
  };
  (void)log::for_each_batch({bytes}, add);
  return size;
}

Buffer read_file(const env::SimulatedDisk& disk, const env::SimulatedDisk::NodePtr& file) {
  return disk.read(*file, 0, disk.size(*file));
}

void check_partition_files(Trial& trial, Storage storage, PartitionModel& model, const PartitionKey& key) {
  auto directory = log::partition_directory(storage.segments, key);
  auto names = storage.disk.list(directory);
  if (!names) return;
  for (const auto& name : *names) {
    auto segment = log::parse_segment_name(name);
    if (trial.violated_if(Oracle::files, !segment.has_value(), directory + "/" + name + " is no segment")) continue;
    ShardId id{key, segment->base, segment->generation};
    auto file = storage.disk.open(directory + "/" + name, env::OpenMode::read);
    if (trial.violated_if(Oracle::files, !file.has_value(), directory + "/" + name + " cannot be opened")) continue;
    auto bytes = read_file(storage.disk, *file);
    auto object = storage.objects.find(archive::object_key(storage.archive_prefix, id));
    if (!footer_place(bytes)) {
      // It still grows: whole batches, and nothing behind them.
      Offset next = id.base;
      auto wrong = bytes.empty() ? std::nullopt
                                 : model.check({bytes}, id.base, model.sent_end(), next, PartitionModel::Witness::file);
      trial.violated_if(Oracle::files, wrong.has_value(), id.text() + ": " + (wrong ? wrong->what : ""));
      auto torn = static_cast<Bytes>(bytes.size()) - size_of_batches(bytes);
      trial.violated_if(Oracle::files, torn != 0,
                        "the file of " + id.text() + " ends in " + std::to_string(torn) + " bytes that are no batch");
      continue;
    }
    auto wrong = check_segment(model, id, bytes);
    trial.violated_if(Oracle::files, wrong.has_value(), "the file of " + id.text() + " " + wrong.value_or(""));
    bool same = object == storage.objects.end() || as_text(object->second.view()) == as_text(bytes.view());
    trial.violated_if(Oracle::files, !same, id.text() + " is not the same here and in the archive");
  }
}

// Objects of the partition that its chain does not name, and will not.
std::vector<std::string> leftovers(Storage storage, PartitionKey key, const ArchivedChain& chain) {
  auto prefix = archive::partition_prefix(storage.archive_prefix, key);
  auto end = chain.shards.empty() ? chain.log_start : chain.shards.back().end;
  std::vector<std::string> out;
  for (auto at = storage.objects.lower_bound(prefix); at != storage.objects.end() && at->first.starts_with(prefix);
       ++at) {
    auto shard = archive::parse_object_key(storage.archive_prefix, at->first);
    // At the end of the chain may lie an upload that a crash kept from being named; its turn comes.
    bool may_come =
        shard ? shard->base >= end : archive::parse_manifest_key(storage.archive_prefix, key, at->first) >= end;
    if (!chain.keys.contains(at->first) && !may_come) out.push_back(at->first);
  }
  return out;
}

}  // namespace

Task<Result<void>> check_archived(Trial& trial, Storage storage, PartitionModel& model, bool leftovers_gone) {
  PartitionKey key{trial.topic_ids[model.plan().topic], model.plan().partition};
  auto read = co_await read_chain(trial, storage, key);
  if (trial.violated_if(Oracle::chain, !read.has_value(), model.name() + ": " + (read ? "" : read.error().text())))
    co_return Result<void>{};
  const auto& chain = *read;
  for (std::size_t i = 0; i < chain.shards.size(); ++i) {
    const auto& shard = chain.shards[i];
    ShardId id{key, shard.base, shard.generation};
    bool follows = i == 0 ? shard.base <= std::max(chain.log_start, model.log_start) || model.plan().start_moves()
                          : shard.base == chain.shards[i - 1].end;
    trial.violated_if(Oracle::chain, !follows || shard.end <= shard.base,
                      id.text() + " does not follow what stands before it in the chain");
    auto object = storage.objects.find(archive::object_key(storage.archive_prefix, id));
    if (trial.violated_if(Oracle::chain, object == storage.objects.end(),
                          "the chain names " + id.text() + ", which the archive does not have"))
      continue;
    bool right_size = shard.object_size() == static_cast<Bytes>(object->second.size());
    auto wrong = right_size ? check_segment(model, id, object->second)
                            : "has another size than the chain says: " + std::to_string(object->second.size());
    trial.violated_if(Oracle::objects, wrong.has_value(), "the object of " + id.text() + " " + wrong.value_or(""));
  }
  if (!leftovers_gone) co_return Result<void>{};
  auto left = leftovers(storage, key, chain);
  if (!left.empty()) {
    // Retention may have trimmed the chain a moment ago; what it named goes after file.delete.delay.ms.
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + kDeleteDelayMax);
    auto later = co_await read_chain(trial, storage, key);
    if (later) {
      auto still = leftovers(storage, key, *later);
      std::erase_if(left, [&](const std::string& object) { return std::ranges::count(still, object) == 0; });
    }
  }
  trial.violated_if(Oracle::objects, !left.empty(),
                    "nothing names the object " + (left.empty() ? std::string() : left.front()));
  co_return Result<void>{};
}

void check_segments(Trial& trial, Storage storage) {
  for (auto& model : trial.models) {
    check_partition_files(trial, storage, *model, {trial.topic_ids[model->plan().topic], model->plan().partition});
  }
}

void check_files(Trial& trial, Storage storage) {
  check_segments(trial, storage);
  auto directories = storage.disk.list(storage.segments);
  if (!directories) return;
  for (const auto& directory : *directories) {
    for (const auto& topic : trial.deleted_topics) {
      trial.violated_if(Oracle::topics, directory.starts_with(topic.text()),
                        "files of a deleted topic are left: " + directory);
    }
  }
}

void check_deleted_topics(Trial& trial, Storage storage) {
  for (const auto& topic : trial.deleted_topics) {
    auto prefix = storage.archive_prefix + "/" + topic.text() + "/";
    auto at = storage.objects.lower_bound(prefix);
    bool left = at != storage.objects.end() && at->first.starts_with(prefix);
    trial.violated_if(Oracle::topics, left, "objects of a deleted topic are left: " + (left ? at->first : ""));
  }
}

}  // namespace forelog::simulation
