#include "broker/replication/topic_describer.h"

#include "broker/base/log.h"
#include "broker/replication/small_content.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace forelog::replication {
namespace {

constexpr Duration kRequestMax = 10s;
constexpr std::size_t kListPage = 1000;

}  // namespace

Task<Result<void>> TopicDescriber::ensure(archive::TopicDescription description) {
  auto name = archive::parse_description_key(prefix_, archive::description_key(prefix_, 0, description));
  CHECK(name.has_value());
  auto checksum = name->checksum;
  auto known = known_.find(description.id);
  if (known != known_.end() && known->second == checksum) co_return Result<void>{};

  auto deadline = clock_.now() + kRequestMax;
  auto folder = archive::descriptions_prefix(prefix_, description.id);
  auto there = CO_TRY(co_await store_.list(folder, "", kListPage, deadline));
  std::vector<std::string> older;
  std::uint64_t newest = 0;
  bool is_newest = false;
  for (const auto& object : there) {
    auto parsed = archive::parse_description_key(prefix_, object.key);
    if (!parsed) continue;
    older.push_back(object.key);
    newest = std::max(newest, parsed->number);
    is_newest = parsed->checksum == checksum;
  }
  if (is_newest) {
    older.pop_back();
  } else {
    SmallContent content(archive::encode_description(description));
    CO_TRY(co_await store_.put(archive::description_key(prefix_, newest + 1, description), content, deadline));
  }
  known_[description.id] = std::move(checksum);
  for (auto& key : older) {
    auto removed = co_await store_.remove(std::move(key), deadline);
    if (!removed) log_line(warn, "old_description_stays", {{"topic", description.id}, {"error", removed.error()}});
  }
  co_return Result<void>{};
}

Task<Result<void>> remove_descriptions_if_last(env::ObjectStore& store, std::string prefix, TopicId topic,
                                               Deadline deadline) {
  auto all = archive::topic_prefix(prefix, topic);
  auto left = CO_TRY(co_await store.list(all, "", kListPage, deadline));
  auto folder = archive::descriptions_prefix(prefix, topic);
  auto is_description = [&](const env::ObjectInfo& object) { return object.key.starts_with(folder); };
  if (!std::ranges::all_of(left, is_description)) co_return Result<void>{};
  for (auto& object : left) CO_TRY(co_await store.remove(std::move(object.key), deadline));
  co_return Result<void>{};
}

}  // namespace forelog::replication
