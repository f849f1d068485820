#include "broker/env/real/embedded_metadata_store.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/versions.h"
#include "broker/env/task_group.h"

#include <algorithm>
#include <utility>

namespace forelog::env {
namespace {

constexpr CoreId kHome{0};
constexpr std::int8_t kVersion = 1;
constexpr std::string_view kZnodes = "meta/z";
constexpr std::string_view kEphemerals = "meta/e";
constexpr std::size_t kScanStep = 1000;
constexpr std::size_t kLoadsTogether = 32;

// The children of one znode lie side by side: the path of the parent, a zero byte, the name.
std::string children_prefix(std::string_view path) {
  auto key = std::string(kZnodes);
  key += path;
  key += '\0';
  return key;
}
std::string key_of(std::string_view path) {
  if (path == "/") return std::string(kZnodes);
  return children_prefix(parent_of(path)) + name_of_znode(path);
}
std::string ephemeral_key_of(std::string_view path) { return std::string(kEphemerals) + std::string(path); }

std::string after(std::string prefix) {
  ++prefix.back();  // no prefix of ours ends in 0xff
  return prefix;
}

std::string encode(const StoredZnode& stored) {
  ByteWriter out;
  out.i8(kVersion);
  out.i8(stored.ephemeral ? 1 : 0);
  out.i32(stored.znode.version);
  out.i32(stored.znode.children_version);
  out.i32(stored.children);
  out.text(stored.znode.data);
  return std::move(out).take();
}

Result<StoredZnode> decode(std::string_view path, std::string_view value) {
  ByteReader in(as_bytes(value));
  auto version = in.i8();
  StoredZnode stored;
  stored.ephemeral = in.i8() != 0;
  stored.znode.version = in.i32();
  stored.znode.children_version = in.i32();
  stored.children = in.i32();
  if (in.ok() && version != kVersion) {
    return fail(ErrorCode::kCorruptFile,
                "znode " + std::string(path) + ": " + unknown_version("record", version, kVersion));
  }
  if (!in.ok()) return fail(ErrorCode::kCorruptFile, "znode " + std::string(path));
  stored.znode.data = in.text(static_cast<std::int64_t>(in.remaining()));
  return stored;
}

StoreBatch batch_of(const Znodes& znodes, const std::set<std::string>& changed) {
  StoreBatch batch;
  for (const auto& path : changed) {
    const auto& stored = znodes.at(path);
    if (!stored) {
      batch.erase(key_of(path));
      batch.erase(ephemeral_key_of(path));
      continue;
    }
    batch.put(key_of(path), encode(*stored));
    if (stored->ephemeral) batch.put(ephemeral_key_of(path), "");
  }
  return batch;
}

}  // namespace

Task<Result<void>> EmbeddedMetadataStore::begin_session() {
  CHECK(cores_.current() == kHome);
  while (true) {
    auto left = co_await local_.scan(std::string(kEphemerals), after(std::string(kEphemerals)), kScanStep);
    if (!left) co_return fail(std::move(left).error());
    std::vector<MetadataOp> ops;
    for (const auto& [key, value] : *left) ops.push_back(MetadataOp::remove(key.substr(kEphemerals.size()), -1));
    if (ops.empty()) co_return Result<void>{};
    CO_TRY(co_await commit_here(std::move(ops)));
  }
}

Task<Result<std::optional<StoredZnode>>> EmbeddedMetadataStore::load(std::string path) {
  auto value = CO_TRY(co_await local_.get(key_of(path)));
  if (!value) co_return path == "/" ? std::optional(StoredZnode{}) : std::nullopt;
  co_return CO_TRY(decode(path, *value));
}

// Reading needs no turn on core 0: what the local store holds is committed.
Task<Result<Znode>> EmbeddedMetadataStore::get(std::string path) {
  auto stored = CO_TRY(co_await load(path));
  if (!stored) co_return fail(ErrorCode::kNotFound, "znode " + path);
  co_return std::move(stored->znode);
}

Task<Result<std::vector<std::string>>> EmbeddedMetadataStore::children(std::string path) {
  auto stored = CO_TRY(co_await load(path));
  if (!stored) co_return fail(ErrorCode::kNotFound, "znode " + path);
  std::vector<std::string> names;
  auto prefix = children_prefix(path);
  auto from = prefix;
  while (true) {
    auto some = CO_TRY(co_await local_.scan(from, after(prefix), kScanStep));
    for (const auto& [key, value] : some) names.push_back(key.substr(prefix.size()));
    if (some.size() < kScanStep) co_return names;
    from = some.back().first + '\0';
  }
}

Task<Result<void>> EmbeddedMetadataStore::commit(std::vector<MetadataOp> ops) {
  auto here = commit_here(std::move(ops));
  co_return co_await cores_.on(kHome, std::move(here));
}

Task<Result<bool>> EmbeddedMetadataStore::wait_for_change(std::string path, Known known, Deadline deadline) {
  auto here = wait_here(std::move(path), known, deadline);
  co_return co_await cores_.on(kHome, std::move(here));
}

Task<Result<void>> EmbeddedMetadataStore::commit_here(std::vector<MetadataOp> ops) {
  auto mine = std::make_shared<Pending>(cores_.clock(), std::move(ops));
  pending_.push_back(mine);
  if (!std::exchange(writing_, true)) cores_.spawn(kHome, write_pending());
  while (!mine->outcome) co_await mine->done.wait(kForever);
  co_return *std::move(mine->outcome);
}

Task<void> EmbeddedMetadataStore::write_pending() {
  while (!pending_.empty()) {
    auto round = std::exchange(pending_, {});
    auto written = co_await write_round(round);
    for (auto& each : round) {
      if (!written) each->outcome = fail(Error(written.error()));  // none of the round is in the store
      each->done.notify();
    }
  }
  writing_ = false;
}

// A topic of many partitions is thousands of znodes: their reads wait beside each other, level by level, and below what
// does not exist nothing is read.
Task<Result<void>> EmbeddedMetadataStore::load_all(Znodes& znodes) {
  std::map<std::ptrdiff_t, std::vector<std::pair<const std::string, std::optional<StoredZnode>>*>> levels;
  for (auto& entry : znodes) levels[std::ranges::count(entry.first, '/')].push_back(&entry);
  for (auto& [depth, entries] : levels) {
    std::erase_if(entries, [&](const auto* entry) {
      auto parent = znodes.find(parent_of(entry->first));
      return entry->first != "/" && parent != znodes.end() && parent->first != "/" && !parent->second;
    });
    Loads loads{std::move(entries), 0, {}};
    TaskGroup group(cores_);
    for (std::size_t i = 0; i < std::min(loads.entries.size(), kLoadsTogether); ++i)
      group.spawn(load_some(*this, loads));
    co_await group.join();
    CO_TRY(std::move(loads.outcome));
  }
  co_return Result<void>{};
}

Task<void> EmbeddedMetadataStore::load_some(EmbeddedMetadataStore& self, Loads& loads) {
  while (loads.outcome && loads.next < loads.entries.size()) {
    auto* entry = loads.entries[loads.next++];
    auto stored = co_await self.load(entry->first);
    if (stored)
      entry->second = *std::move(stored);
    else
      loads.outcome = fail(std::move(stored).error());
  }
}

// Decides every commit of the round on what those before it leave, and writes what they change.
Task<Result<void>> EmbeddedMetadataStore::write_round(std::vector<std::shared_ptr<Pending>> round) {
  Znodes znodes;
  for (const auto& each : round) {
    for (auto& path : znodes_needed(each->ops)) znodes.try_emplace(std::move(path));
  }
  CO_TRY(co_await load_all(znodes));
  std::set<std::string> changed;
  for (auto& each : round) each->outcome = apply_ops(each->ops, znodes, changed);
  if (changed.empty()) co_return Result<void>{};
  CO_TRY(co_await local_.commit(batch_of(znodes, changed), Durability::synced));
  for (const auto& path : changed) {
    auto found = watches_.find(path);
    if (found == watches_.end()) continue;
    if (auto watch = found->second.lock()) {
      ++watch->changes;
      watch->changed.notify();
    } else {
      watches_.erase(found);
    }
  }
  co_return Result<void>{};
}

Task<Result<bool>> EmbeddedMetadataStore::wait_here(std::string path, Known known, Deadline deadline) {
  auto& slot = watches_[path];
  auto watch = slot.lock();
  if (!watch) slot = watch = std::make_shared<Watch>(cores_.clock());
  while (true) {
    auto seen = watch->changes;
    auto stored = CO_TRY(co_await load(path));
    if (differs(stored, known)) co_return true;
    // A commit that came through while we read has notified nobody.
    bool in_time = watch->changes != seen;
    if (!in_time) in_time = co_await watch->changed.wait(deadline);
    if (!in_time) co_return false;
  }
}

}  // namespace forelog::env
