#include "broker/log/catalog.h"

#include "broker/base/json.h"
#include "broker/base/versions.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::log {
namespace {

// The number is the version of both the keys and what they hold.
constexpr std::string_view kStates = "log/1/state/";
constexpr std::string_view kShards = "log/1/shard/";
constexpr std::string_view kFooters = "log/1/footer/";
constexpr std::int64_t kVersion = 1;
constexpr std::size_t kPage = 1000;

std::string state_key(PartitionKey partition) { return std::string(kStates) + partition.text(); }

// Numbers have a fixed width, so that keys sort as shards do.
std::string shard_key(std::string_view space, ShardId shard) {
  return fmt::format("{}{}/{:020}.{:010}", space, shard.partition.text(), shard.base.value(), shard.generation.value());
}

// The range of keys that begin with `prefix`, which ends in '/': '0' is the character after it.
std::string end_of(std::string prefix) {
  prefix.back() = '0';
  return prefix;
}

// Every entry of a key space, page by page.
Task<Result<env::LocalStore::Entries>> scan_all(env::LocalStore& store, std::string prefix) {
  env::LocalStore::Entries out;
  auto from = prefix;
  auto to = end_of(prefix);
  while (true) {
    auto page = CO_TRY(co_await store.scan(from, to, kPage));
    bool last = page.size() < kPage;
    for (auto& entry : page) out.push_back(std::move(entry));
    if (last) co_return out;
    from = out.back().first + '\0';
  }
}

template <class T>
Result<T> parse_value(std::string_view key, std::string_view value) {
  auto parsed = from_json<T>(value);
  if (parsed) return parsed;
  return fail(ErrorCode::kCorruptFile, "catalog key " + std::string(key) + ": " + parsed.error().text());
}

}  // namespace

std::optional<PartitionKey> parse_partition(std::string_view text) {
  auto dash = text.rfind('-');
  if (dash == std::string_view::npos) return std::nullopt;
  auto topic = TopicId::parse(text.substr(0, dash));
  std::int32_t partition = -1;
  auto digits = text.substr(dash + 1);
  auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), partition);
  if (!topic || error != std::errc{} || end != digits.data() + digits.size() || partition < 0) return std::nullopt;
  return PartitionKey{*topic, PartitionId(partition)};
}

Catalog::Change& Catalog::Change::put_state(const PartitionState& state) {
  batch_.put(state_key(partition_), to_json(state));
  return *this;
}

Catalog::Change& Catalog::Change::put_shard(const ShardDescriptor& shard) {
  batch_.put(shard_key(kShards, {partition_, shard.base, shard.generation}), to_json(shard));
  return *this;
}

Catalog::Change& Catalog::Change::put_footer(ShardId shard, ByteView encoded) {
  CHECK(shard.partition == partition_);
  batch_.put(shard_key(kFooters, shard), std::string(as_text(encoded)));
  return *this;
}

Catalog::Change& Catalog::Change::erase_shard(ShardId shard) { return erase_descriptor(shard).erase_footer(shard); }

Catalog::Change& Catalog::Change::erase_descriptor(ShardId shard) {
  CHECK(shard.partition == partition_);
  batch_.erase(shard_key(kShards, shard));
  return *this;
}

Catalog::Change& Catalog::Change::erase_footer(ShardId shard) {
  CHECK(shard.partition == partition_);
  batch_.erase(shard_key(kFooters, shard));
  return *this;
}

Task<Result<void>> Catalog::check_version() {
  // Behind all keys of version 1, "log/1/…": '0' is the character after '/'.
  auto newer = CO_TRY(co_await store_.scan("log/10", "log0", 1));
  if (newer.empty()) co_return Result<void>{};
  auto digits = std::string_view(newer.front().first).substr(4);
  std::int64_t version = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), version);
  co_return fail(ErrorCode::kCorruptFile, unknown_version("catalog of shards", version, kVersion));
}

Task<Result<std::vector<PartitionKey>>> Catalog::partitions() {
  std::vector<PartitionKey> out;
  auto entries = CO_TRY(co_await scan_all(store_, std::string(kStates)));
  for (const auto& [key, value] : entries) {
    auto partition = parse_partition(std::string_view(key).substr(kStates.size()));
    if (!partition) co_return fail(ErrorCode::kCorruptFile, "catalog key " + key);
    out.push_back(*partition);
  }
  co_return out;
}

Task<Result<PartitionEntry>> Catalog::load(PartitionKey partition) {
  PartitionEntry out;
  auto key = state_key(partition);
  auto state = CO_TRY(co_await store_.get(key));
  if (state) out.state = CO_TRY(parse_value<PartitionState>(key, *state));
  auto entries = CO_TRY(co_await scan_all(store_, std::string(kShards) + partition.text() + "/"));
  for (const auto& [shard, value] : entries) out.shards.push_back(CO_TRY(parse_value<ShardDescriptor>(shard, value)));
  co_return out;
}

Task<Result<Footer>> Catalog::footer(ShardId shard) {
  auto value = CO_TRY(co_await store_.get(shard_key(kFooters, shard)));
  if (!value) co_return fail(ErrorCode::kNotFound, "footer of " + shard.text());
  auto footer = CO_TRY(Footer::decode(as_bytes(*value)));
  if (footer.shard != shard) co_return fail(ErrorCode::kCorruptFile, "footer of " + shard.text() + " names another");
  co_return footer;
}

Task<Result<void>> Catalog::commit(Change change, env::Durability durability) {
  if (change.empty()) co_return Result<void>{};
  co_return co_await store_.commit(std::move(change.batch_), durability);
}

Task<Result<void>> Catalog::remove_all(PartitionKey partition) {
  env::StoreBatch batch;
  batch.erase(state_key(partition));
  for (auto space : {kShards, kFooters}) {
    auto prefix = std::string(space) + partition.text() + "/";
    auto entries = CO_TRY(co_await scan_all(store_, prefix));
    for (auto& [key, value] : entries) batch.erase(std::move(key));
  }
  co_return co_await store_.commit(std::move(batch), env::Durability::synced);
}

}  // namespace forelog::log
