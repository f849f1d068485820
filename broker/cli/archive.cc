// archive: checks a whole archive, and rebuilds topics from it.

#include "broker/all_settings.h"
#include "broker/archive_audit.h"
#include "broker/archive_restore.h"
#include "broker/archived_chains.h"
#include "broker/base/json.h"
#include "broker/base/log.h"
#include "broker/cli/command.h"
#include "broker/cli/http_client.h"
#include "broker/config_file.h"
#include "broker/env/real/real_env.h"

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <unistd.h>

namespace forelog::cli {
namespace {

using SteadyClock = std::chrono::steady_clock;

// One line that is written over, on a terminal; elsewhere one line now and then.
class Progress {
 public:
  void say(const std::string& text, bool last = false) {
    auto now = SteadyClock::now();
    auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::milliseconds(2000);
    if (!last && now - said_ < pause) return;
    said_ = now;
    fmt::print(stderr, "{}{}{}", terminal_ ? "\r\033[K" : "", text, terminal_ ? "" : "\n");
    std::fflush(stderr);
    open_line_ = terminal_;
  }
  ~Progress() {
    if (open_line_) fmt::print(stderr, "\n");
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) == 1;
  bool open_line_ = false;
  SteadyClock::time_point said_{};
};

std::string size_text(Bytes bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, kUnits[unit]);
}

Result<AllSettings> read_config(const Arguments& arguments) {
  if (!arguments.has("config")) return fail(ErrorCode::kInvalidSetting, "--config FILE is missing");
  auto raw = TRY(read_settings_file(arguments.text("config")));
  auto settings = TRY(read_all_settings(std::move(raw)));
  if (settings.broker.archive_url.empty())
    return fail(ErrorCode::kNotFound, arguments.text("config") + " names no archive (archive.url)");
  return settings;
}

// The broker's archive, and its stores if they are there and no broker has them.
class Opened {
 public:
  ~Opened() {
    if (real_) real_->stop();
    real_.reset();
    std::error_code ignored;
    if (!scratch_.empty()) std::filesystem::remove_all(scratch_, ignored);
  }
  // With the stores in `log.dirs`, which are made when missing. A broker that runs has them: Io.
  Result<void> with_stores(const AllSettings& settings) {
    auto opened = env::RealEnv::open(options(settings, settings.broker.log_dirs.front()));
    if (!opened && opened.error().code == ErrorCode::kIo)
      return fail(ErrorCode::kIo, opened.error().context + "; does the broker run? Stop it first");
    real_ = TRY(std::move(opened));
    return real_->start();
  }
  // The archive alone.
  Result<void> without_stores(const AllSettings& settings) {
    auto name = (std::filesystem::temp_directory_path() / "forelog-archive-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return fail(ErrorCode::kIo, "no directory can be made like " + name);
    scratch_ = name;
    real_ = TRY(env::RealEnv::open(options(settings, scratch_)));
    return real_->start();
  }
  env::RealEnv& real() { return *real_; }

 private:
  static env::RealEnvOptions options(const AllSettings& settings, std::string directory) {
    env::RealEnvOptions out;
    out.data_directory = std::move(directory);
    out.archive_url = settings.broker.archive_url;
    out.archive_first_byte_delay = settings.broker.archive_first_byte_delay;
    out.s3 = settings.s3;
    out.clears_uploads = false;  // a broker may be at work
    return out;
  }

  std::unique_ptr<env::RealEnv> real_;
  std::string scratch_;
};

// --- verify ----------------------------------------------------------------------------------------------------------

Result<Chains> ask_broker(const std::string& admin) {
  Chains out;
  std::string after;
  do {
    auto body = TRY(http_get(admin, "/api/chains", {{"after", after}}));
    auto page = TRY(from_json<ArchivedChainsPage>(body));
    for (const auto& entry : page.chains) {
      auto id = TopicId::parse(entry.topic);
      if (!id) return fail(ErrorCode::kMalformed, "the broker names a topic '" + entry.topic + "'");
      PartitionKey key{*id, PartitionId(entry.partition)};
      out.emplace(key, TRY(cluster::decode_chain_record(key, entry.record)));
    }
    after = page.next;
  } while (!after.empty());
  return out;
}

Task<Result<Chains>> ready(Result<Chains> chains) { co_return chains; }

Result<void> verify(const Arguments& arguments) {
  auto settings = TRY(read_config(arguments));
  AuditOptions options{settings.archive.prefix, std::nullopt, arguments.has("quick")};
  if (arguments.has("id")) {
    options.only = TopicId::parse(arguments.text("id"));
    if (!options.only) return fail(ErrorCode::kInvalidSetting, "--id " + arguments.text("id") + " is no topic id");
  }
  // The chains say what should be there. They lie with the broker: in its stores when it is stopped, else it is asked.
  Opened opened;
  ChainsSource chains;
  auto stores = std::filesystem::path(settings.broker.log_dirs.front()) / "store";
  std::error_code error;
  bool has_stores = !arguments.has("bucket-only") && std::filesystem::exists(stores, error);
  auto stored = has_stores ? opened.with_stores(settings) : Result<void>(fail(ErrorCode::kNotFound, ""));
  if (stored) {
    chains = [&] { return read_chains(opened.real().env().metadata); };
  } else {
    if (has_stores && stored.error().code != ErrorCode::kIo) return stored;
    TRY(opened.without_stores(settings));
    if (has_stores) {
      auto first = settings.broker.admin_listeners.empty() ? std::string(kDefaultAdmin)
                                                           : settings.broker.admin_listeners.front();
      auto admin = arguments.text("admin", first);
      chains = [admin] { return ready(ask_broker(admin)); };
    } else {
      fmt::print(stderr, "no broker's stores are looked at: objects are checked against each other alone\n");
    }
  }
  Progress progress;
  auto began = SteadyClock::now();
  auto say = [&](const AuditProgress& p) {
    auto seconds = std::max(0.001, std::chrono::duration<double>(SteadyClock::now() - began).count());
    progress.say(
        fmt::format("{} of {} objects, {} of {}, {}/s", p.objects_done, p.objects, size_text(p.bytes_done),
                    size_text(p.bytes), size_text(static_cast<Bytes>(static_cast<double>(p.bytes_done) / seconds))),
        p.objects_done == p.objects);
  };
  bool has_chains = chains != nullptr;
  auto auditing = audit_archive(opened.real().env(), std::move(options), std::move(chains), std::move(say));
  auto report = TRY(opened.real().run(std::move(auditing)));
  if (report.objects == 0 && !has_chains)
    return fail(ErrorCode::kNotFound,
                "no object of the archive is there: are archive.url, archive.prefix and --id right?");
  std::map<FindingKind, std::size_t> counts;
  for (const auto& finding : report.findings) {
    auto kind = enum_names(finding.kind)[static_cast<std::size_t>(finding.kind)];
    fmt::print("{}: {}: {}\n", kind, finding.key, finding.text);
    ++counts[finding.kind];
  }
  fmt::print("{} objects, {}: {} damaged, {} missing, {} unreadable, {} orphaned\n", report.objects,
             size_text(report.bytes), counts[FindingKind::damaged], counts[FindingKind::missing],
             counts[FindingKind::unreadable], counts[FindingKind::orphaned]);
  if (!report.is_sound()) return fail(ErrorCode::kCorruptFile, "the archive is not sound");
  return {};
}

// --- topics, restore -------------------------------------------------------------------------------------------------

Task<Result<std::vector<ArchivedTopic>>> list_topics(env::Env& env, std::string prefix) {
  auto none = [](const archive::Bucket&) {};
  auto bucket = CO_TRY(co_await archive::list_bucket(*env.archive, env.clock, std::move(prefix), std::nullopt, none));
  co_return co_await archived_topics(env, bucket);
}

Result<void> topics(const Arguments& arguments) {
  auto settings = TRY(read_config(arguments));
  Opened opened;
  TRY(opened.without_stores(settings));
  auto listing = list_topics(opened.real().env(), settings.archive.prefix);
  auto all = TRY(opened.real().run(std::move(listing)));
  fmt::print("{:<24}{:>12}{:>9}{:>12}  {}\n", "id", "partitions", "shards", "size", "name");
  for (const auto& topic : all) {
    fmt::print("{:<24}{:>12}{:>9}{:>12}  {}\n", topic.id.text(), topic.partitions, topic.shards, size_text(topic.bytes),
               topic.name.empty() ? "(no description)" : topic.name);
  }
  return {};
}

Result<void> restore(const Arguments& arguments) {
  if (arguments.positional().size() != 2) return fail(ErrorCode::kInvalidSetting, "restore needs one TOPIC");
  auto settings = TRY(read_config(arguments));
  if (!settings.broker.zookeeper_connect.empty())
    return fail(ErrorCode::kInvalidSetting, "zookeeper.connect: restoring works on the embedded metadata store");
  RestoreOptions options;
  options.prefix = settings.archive.prefix;
  options.topic = arguments.positional()[1];
  options.as = arguments.text("as");
  options.partial = arguments.has("partial");
  options.broker = BrokerId(settings.broker.broker_id);
  if (arguments.has("id")) {
    options.id = TopicId::parse(arguments.text("id"));
    if (!options.id) return fail(ErrorCode::kInvalidSetting, "--id " + arguments.text("id") + " is no topic id");
  }
  Opened opened;
  TRY(opened.with_stores(settings));
  Progress progress;
  auto say = [&](const std::string& text) { progress.say(text); };
  auto restoring = restore_topic(opened.real().env(), std::move(options), std::move(say));
  auto report = TRY(opened.real().run(std::move(restoring)));
  fmt::print("{} ({}), {} partitions\n", report.topic.name, report.topic.id.text(), report.topic.partitions);
  for (const auto& partition : report.partitions) {
    fmt::print("  {}: offsets {} to {}, {} shards, {}\n", partition.id.value(), partition.start.value(),
               partition.end.value(), partition.shards, size_text(partition.bytes));
    for (const auto& text : partition.left_out) fmt::print("     left out: {}\n", text);
    if (!partition.left_out.empty())
      fmt::print("     the broker deletes objects before offset {} once it runs: copy first what you want to keep\n",
                 partition.start.value());
  }
  fmt::print(
      "start the broker: it serves the topic. The broker that it came from must not run beside it with the same\n"
      "archive: both would give the same names to their shards, and remove those of each other\n");
  return {};
}

Result<void> run(const Arguments& arguments) {
  set_log_level(LogLevel::error);  // of the parts that the broker runs with; what matters here is returned
  const auto& what = arguments.positional()[0];
  if (what == "verify" && arguments.positional().size() == 1) return verify(arguments);
  if (what == "topics" && arguments.positional().size() == 1) return topics(arguments);
  if (what == "restore") return restore(arguments);
  return fail(ErrorCode::kInvalidSetting, "'" + what + "' is not verify, topics or restore TOPIC");
}

}  // namespace

Command archive_command() {
  return {.name = "archive",
          .summary = "check the whole archive; list its topics; rebuild one from it",
          .usage =
              "verify --config FILE [--quick] [--id TOPIC_ID] [--bucket-only] [--admin HOST:PORT]\n"
              "       forelog archive topics --config FILE\n"
              "       forelog archive restore TOPIC --config FILE [--id TOPIC_ID] [--as NAME] [--partial]\n\n"
              "FILE is the broker's server.properties.\n\n"
              "verify reads all objects, compares each block with its checksum and each object with the chains of the\n"
              "broker (from its stores when it is stopped, else by asking it), and prints a line for each object that\n"
              "is damaged, missing, unreadable or orphaned. Exit status: 0 the archive is sound (orphans only take\n"
              "room), 1 it is not, or could not be looked at.\n"
              "  --quick            only the objects' footers, not all their bytes\n"
              "  --id TOPIC_ID      only this topic\n"
              "  --bucket-only      do not look at the broker's chains: check that no gap lies between the objects\n"
              "  --admin HOST:PORT  where a broker that runs is asked (the first of its admin.listeners)\n\n"
              "topics lists what topics the archive has.\n\n"
              "restore rebuilds a topic, with its id, settings, offsets, epochs and producers, from nothing but the\n"
              "archive, into the stores of a stopped broker. What was not archived yet is not there. The broker that\n"
              "the topic came from must not run beside it with the same archive.\n"
              "  --id TOPIC_ID      which, when several topics had this name\n"
              "  --as NAME          under another name\n"
              "  --partial          where shards are missing or damaged: the newest unbroken run of each partition; "
              "the broker\n"
              "                     deletes older ones when it starts",
          .flags = {"config", "id", "as", "admin"},
          .switches = {"quick", "partial", "bucket-only"},
          .positional_min = 1,
          .positional_max = 2,
          .run = &run};
}

}  // namespace forelog::cli
