#include "broker/archive_guard.h"

#include "broker/archive/identity.h"
#include "broker/base/log.h"
#include "broker/cluster/chain_record.h"
#include "broker/cluster/metadata_access.h"
#include "broker/cluster/records.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

namespace forelog {
namespace {

using archive::ArchiveId;

const std::string kPath = "/forelog/archive";
constexpr Duration kRequestMax = 10s;
constexpr Duration kStopMax = 1s;
constexpr Duration kFirstPause = 100ms;
constexpr Duration kLongestPause = 5s;

struct RememberedArchive {
  std::int32_t version = 1;
  std::string id;
  bool stored = false;  // the archive is known to have it
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("id", m.id);
    field("stored", m.stored);
  };
};

Task<Result<bool>> is_anything_archived(env::MetadataStore& metadata) {
  for (const auto& topic : CO_TRY(co_await cluster::children_or_none(metadata, cluster::paths::kChains))) {
    auto id = TopicId::parse(topic);
    if (!id) continue;
    auto path = cluster::paths::kChains + "/" + topic;
    for (const auto& name : CO_TRY(co_await cluster::children_or_none(metadata, path))) {
      std::int32_t number = -1;
      std::from_chars(name.data(), name.data() + name.size(), number);
      PartitionKey key{*id, PartitionId(number)};
      auto znode = co_await metadata.get(cluster::chain_path(key));
      if (!znode && znode.error().code == ErrorCode::kNotFound) continue;
      if (!znode) co_return fail(std::move(znode).error());
      auto record = cluster::decode_chain_record(key, znode->data);
      if (!record || !record->shards.empty() || !record->manifest.empty()) co_return true;
    }
  }
  co_return false;
}

std::string explain(const std::string& prefix, const ArchiveId& ours, const std::optional<ArchiveId>& found) {
  auto key = archive::identity_key(prefix);
  auto has = found ? "has another id (" + found->text() + " in " + key + ")" : "has no id (" + key + ")";
  auto moved = found
                   ? std::string()
                   : ", or, if you have moved the objects there, write " + archive::encode_identity(ours) + " into it";
  return "archive.url does not lead to this cluster's archive: what is there " + has + ", and this cluster's has " +
         ours.text() + "; correct archive.url or archive.prefix" + moved + ". Nothing is read, put or deleted there";
}

Error advise(Error error, const std::optional<ArchiveId>& ours) {
  if (error.code != ErrorCode::kCorruptFile) return error;
  auto mend = ours ? "write " + archive::encode_identity(*ours) + " into it" : "delete it, and it gets a new one";
  error.context += "; put back what was there, or, if this is the cluster's archive, " + mend;
  return error;
}

// What does not pass by itself.
bool is_for_people(const Error& error) {
  return error.code == ErrorCode::kCorruptFile || error.code == ErrorCode::kNewerFormat;
}

}  // namespace

Task<Result<std::string>> check_archive(env::MetadataStore& metadata, env::ObjectStore& archive, env::Clock& clock,
                                        env::Random& random, std::string prefix) {
  auto remembered = CO_TRY(co_await cluster::read_record<RememberedArchive>(metadata, kPath));
  auto version = remembered ? remembered->version : -1;
  std::optional<ArchiveId> ours;
  if (remembered) {
    if (remembered->record.version != 1)
      co_return fail(ErrorCode::kCorruptFile, kPath + " is of a newer release; start that one, or a newer one");
    ours = TopicId::parse(remembered->record.id);
    if (!ours) co_return fail(ErrorCode::kCorruptFile, kPath + " holds no id");
  }
  auto deadline = clock.now() + kRequestMax;
  auto read = co_await archive::read_identity(archive, prefix, deadline);
  if (!read) co_return fail(advise(std::move(read).error(), ours));
  auto found = *std::move(read);
  bool is_bound = remembered && remembered->record.stored;
  if (is_bound && found == ours) co_return std::string();
  if (is_bound) {
    bool matters = CO_TRY(co_await is_anything_archived(metadata));
    if (matters) co_return explain(prefix, *ours, found);
  }

  RememberedArchive next;
  auto id = found ? *found : ours ? *ours : random.topic_id();
  next.id = id.text();
  // Remembered before it is put, so that brokers which start at once agree on one; and that it was put afterwards, so
  // that nobody who is cut off in between misses it.
  for (bool stored : {false, true}) {
    next.stored = stored;
    if (!stored && found) continue;
    std::vector<env::MetadataOp> ops{version < 0 ? env::MetadataOp::create(kPath, to_json(next))
                                                 : env::MetadataOp::set(kPath, to_json(next), version)};
    CO_TRY(co_await metadata.commit(std::move(ops)));
    ++version;
    if (!stored) CO_TRY(co_await archive::put_identity(archive, prefix, id, clock.now() + kRequestMax));
  }
  log_line(info, "archive_identified", {{"id", id}, {"how", found ? "it had this id" : "it got this id"}});
  co_return std::string();
}

ArchiveGuard::ArchiveGuard(env::Env& env, std::string prefix, MetricsRegistry& metrics)
    : env_(env),
      prefix_(std::move(prefix)),
      store_(env.cores, *env.archive),
      asked_(env.cores, *env.archive, metrics),
      is_foreign_(metrics, "forelog_archive_foreign",
                  "1 while archive.url leads to an archive that is not this cluster's, and that is left alone."),
      stopped_(env.clock),
      tasks_(env.cores) {}

void ArchiveGuard::start() { tasks_.spawn(watch()); }

void ArchiveGuard::interrupt() {
  stopping_ = true;
  store_.stop();
  asked_.stop(kStopMax);
  stopped_.notify();
}

Task<void> ArchiveGuard::stop() {
  interrupt();
  co_await tasks_.join();
}

Task<void> ArchiveGuard::watch() {
  std::string suspicion;
  for (auto pause = kFirstPause; !stopping_; pause = std::min(pause * 2, kLongestPause)) {
    auto found = co_await check_archive(env_.metadata, asked_, env_.clock, env_.random, prefix_);
    if (stopping_ || take(found, suspicion)) break;
    auto until = env_.clock.now() + pause;
    while (!stopping_ && env_.clock.now() < until) co_await stopped_.wait(until);
  }
}

// Whether all is well, and nothing left to look at.
bool ArchiveGuard::take(const Result<std::string>& found, std::string& suspicion) {
  if (found && found->empty()) {
    if (!trouble_.empty()) log_line(info, "archive_is_ours", {});
    trouble_.clear();
    is_foreign_.set(0);
    store_.open();
    return true;
  }
  auto text = found ? *found : found.error().context;
  // Nobody is accused on one answer: a store may overlook an object once, or cut it short.
  bool is_certain = text == std::exchange(suspicion, text);
  if (!found || !is_certain) store_.note_away(text);
  if (!is_certain) return false;
  if (found) {
    note_trouble(error, "archive_is_another", text);
    is_foreign_.set(1);
    store_.refuse(text);
  } else if (is_for_people(found.error())) {
    note_trouble(warn, "archive_id_unreadable", text);
  }
  return false;
}

void ArchiveGuard::note_trouble(LogLevel level, std::string_view event, const std::string& text) {
  if (text != trouble_) log_line(level, event, {{"error", text}});
  trouble_ = text;
}

}  // namespace forelog
