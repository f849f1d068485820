#include "broker/archive/bucket.h"

#include "broker/archive/identity.h"
#include "broker/archive/manifest.h"
#include "broker/archive/shard_object.h"

#include <algorithm>
#include <charconv>

namespace forelog::archive {
namespace {

constexpr std::size_t kListPage = 1000;
constexpr Duration kPageMax = 60s;
constexpr Bytes kDescriptionMax = 4_MiB;

// "<prefix>/<topic id>/<partition>/…"
std::optional<PartitionKey> partition_of(std::string_view prefix, std::string_view key) {
  auto rest = key.substr(prefix.size() + 1);
  auto first = rest.find('/');
  if (first == std::string_view::npos) return std::nullopt;
  auto second = rest.find('/', first + 1);
  auto topic = TopicId::parse(rest.substr(0, first));
  if (!topic || second == std::string_view::npos) return std::nullopt;
  auto number = rest.substr(first + 1, second - first - 1);
  std::int32_t partition = -1;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), partition);
  if (error != std::errc{} || end != number.data() + number.size() || partition < 0) return std::nullopt;
  return PartitionKey{*topic, PartitionId(partition)};
}

void sort_in(Bucket& bucket, std::string_view prefix, const env::ObjectInfo& object) {
  ++bucket.objects;
  bucket.bytes += object.size;
  if (object.key == identity_key(prefix)) return;
  if (auto shard = parse_object_key(prefix, object.key)) {
    auto& partition = bucket.topics[shard->partition.topic].partitions[shard->partition.partition];
    partition.shards.push_back({*shard, object.size});
    return;
  }
  if (auto description = parse_description_key(prefix, object.key)) {
    bucket.topics[description->topic].descriptions.push_back(object.key);
    return;
  }
  auto partition = partition_of(prefix, object.key);
  if (partition && parse_manifest_key(prefix, *partition, object.key)) {
    bucket.topics[partition->topic].partitions[partition->partition].manifests.push_back(object.key);
    return;
  }
  bucket.strangers.push_back(object.key);
}

Task<Result<TopicDescription>> read_description_at(env::ObjectStore& store, TopicId topic, std::string key,
                                                   Deadline deadline) {
  auto info = CO_TRY(co_await store.head(key, deadline));
  if (info.size > kDescriptionMax) co_return fail(ErrorCode::kCorruptFile, "it is too large");
  auto bytes = CO_TRY(co_await read_range(store, key, 0, info.size, deadline));
  co_return decode_description(topic, bytes);
}

}  // namespace

Task<Result<Bucket>> list_bucket(env::ObjectStore& store, env::Clock& clock, std::string prefix,
                                 std::optional<TopicId> only, std::function<void(const Bucket&)> progress) {
  Bucket bucket;
  auto root = only ? topic_prefix(prefix, *only) : prefix + "/";
  for (std::string after;;) {
    auto deadline = clock.now() + kPageMax;
    auto page = CO_TRY(co_await store.list(root, after, kListPage, deadline));
    for (const auto& object : page) sort_in(bucket, prefix, object);
    if (progress) progress(bucket);
    if (page.size() < kListPage) break;
    after = page.back().key;
  }
  for (auto& [topic, found] : bucket.topics) {
    for (auto& [partition, shards] : found.partitions) {
      std::ranges::sort(shards.shards, {}, [](const FoundShard& shard) {
        return std::pair(shard.id.base, shard.id.generation);  // names sort generations as text
      });
    }
  }
  co_return bucket;
}

Task<Result<TopicDescription>> read_description(env::ObjectStore& store, TopicId topic, const FoundTopic& found,
                                                Deadline deadline) {
  Error error{ErrorCode::kNotFound, "the archive has no description of topic " + topic.text()};
  for (auto key = found.descriptions.rbegin(); key != found.descriptions.rend(); ++key) {
    auto description = co_await read_description_at(store, topic, *key, deadline);
    if (description) co_return description;
    error = std::move(description).error();
    error.context += " in " + *key;
    // What does not answer may be newer than all that can be read.
    bool is_lost = error.code == ErrorCode::kNotFound || error.code == ErrorCode::kCorruptBlock ||
                   error.code == ErrorCode::kCorruptFile;
    if (!is_lost) break;
  }
  co_return fail(std::move(error));
}

SpanChain choose_chain(const std::vector<Span>& spans) {
  SpanChain out;
  std::optional<Offset> at;
  for (std::size_t i = 0; i < spans.size();) {
    std::size_t last = i;  // of those that begin here
    while (last + 1 < spans.size() && spans[last + 1].base == spans[i].base) ++last;
    bool covered = at && spans[i].base < *at;
    for (std::size_t j = i; j < last + (covered ? 1 : 0); ++j) out.superseded.push_back(j);
    i = last + 1;
    if (covered) continue;
    if (at && spans[last].base > *at) out.gaps.push_back({*at, spans[last].base});
    out.chosen.push_back(last);
    at = spans[last].end;
  }
  return out;
}

}  // namespace forelog::archive
