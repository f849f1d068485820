// `forelog archive`, with an archive that is not all there, or that a broker changes meanwhile.
#include "broker/archive/identity.h"
#include "broker/archive/manifest.h"
#include "broker/archive/shard_object.h"
#include "broker/archive/topic_object.h"
#include "broker/archive_audit.h"
#include "broker/archive_restore.h"
#include "broker/log/batch_builder.h"
#include "broker/log/footer.h"
#include "tests/support/run_task.h"

#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

const TopicId kTopic = *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAQ");
const TopicId kOther = *TopicId::parse("AAAAAAAAAAAAAAAAAAAAAg");
const PartitionKey kPartition{kTopic, PartitionId(0)};

// Cannot read the objects whose keys have `broken` in them.
class BrokenStore : public env::ObjectStore {
 public:
  BrokenStore(env::ObjectStore& store, std::string broken, ErrorCode code)
      : store_(store), broken_(std::move(broken)), code_(code) {}
  Task<Result<void>> put(std::string key, env::ObjectContent& content, Deadline deadline) override {
    co_return co_await store_.put(std::move(key), content, deadline);
  }
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, env::TrafficClass traffic,
                               Deadline deadline) override {
    if (is_broken(key)) co_return fail(code_, "GET " + key + ": 500 InternalError");
    co_return co_await store_.get_range(std::move(key), from, size, std::move(on_piece), traffic, deadline);
  }
  Task<Result<env::ObjectInfo>> head(std::string key, Deadline deadline) override {
    co_return co_await store_.head(std::move(key), deadline);
  }
  Task<Result<void>> remove(std::string key, Deadline deadline) override {
    co_return co_await store_.remove(std::move(key), deadline);
  }
  Task<Result<std::vector<env::ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                                  Deadline deadline) override {
    co_return co_await store_.list(std::move(prefix), std::move(after), limit, deadline);
  }

 protected:
  env::ObjectStore& store() { return store_; }
  bool is_broken(const std::string& key) const { return key.find(broken_) != std::string::npos; }

 private:
  env::ObjectStore& store_;
  std::string broken_;
  ErrorCode code_;
};

// As a server that notices the damage itself: it answers, breaks off, and is asked again.
class BreakingStore final : public BrokenStore {
 public:
  BreakingStore(env::Env& env, std::string broken, Bytes broken_at)
      : BrokenStore(*env.archive, std::move(broken), ErrorCode::kArchiveUnavailable),
        clock_(env.clock),
        broken_at_(broken_at) {}
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, env::TrafficClass traffic,
                               Deadline deadline) override {
    bool hits = is_broken(key) && from <= broken_at_ && broken_at_ < from + size && from + size <= whole_until_;
    if (!hits) co_return co_await store().get_range(std::move(key), from, size, std::move(on_piece), traffic, deadline);
    co_await sleep_until(clock_, deadline);
    co_return fail(ErrorCode::kArchiveUnavailable, "GET " + key + ": the answer broke off");
  }
  void spare_reads_beyond(Bytes until) { whole_until_ = until; }

 private:
  env::Clock& clock_;
  Bytes broken_at_;
  Bytes whole_until_ = INT64_MAX;
};

class ArchiveTools : public testing::Test {
 protected:
  ArchiveTools() {
    describe(kTopic, "orders");
    world.objects()[archive::identity_key("forelog")] = Buffer::take(archive::encode_identity(kOther));
  }
  std::string describe(TopicId id, const std::string& name) {
    archive::TopicDescription topic{name, id, 1, {}};
    auto key = archive::description_key("forelog", 1, topic);
    world.objects()[key] = archive::encode_description(topic);
    return key;
  }
  // One with one record, at offset 0.
  log::ShardDescriptor put_shard(Generation generation) {
    ShardId id{kPartition, Offset(0), generation};
    log::BatchBuilder batch(id.base);
    batch.add(1000, std::nullopt, std::string(1000, 'x'));
    auto bytes = std::move(batch).build();
    log::FooterBuilder builder(id);
    builder.add(*log::BatchView::parse(bytes));
    auto footer = builder.finish({});
    world.objects()[archive::object_key("forelog", id)] =
        Buffer::take(std::string(bytes.text()) + std::string(footer.encode().text()));
    log::ShardDescriptor shard;
    shard.base = id.base;
    shard.end = footer.end;
    shard.generation = generation;
    shard.size = footer.size;
    shard.footer_size = static_cast<Bytes>(footer.encode().size());
    return shard;
  }
  // Kinds and keys of what is found when the chain is one of `records` after the other, the last one for ever.
  std::vector<std::string> audit(std::vector<cluster::ChainRecord> records, env::ObjectStore* store = nullptr) {
    auto env = machine.env();
    if (store != nullptr) env.archive = store;
    std::size_t asked = 0;
    auto source = [&]() -> Task<Result<Chains>> { return answer(records[std::min(asked++, records.size() - 1)]); };
    auto nobody = [](const AuditProgress&) {};
    auto auditing = audit_archive(env, {"forelog", std::nullopt, false}, source, nobody);
    auto report = test::run(world, machine, std::move(auditing));
    EXPECT_TRUE(report) << report.error().text();
    std::vector<std::string> out;
    for (const auto& finding : report->findings)
      out.push_back(std::string(enum_names(finding.kind)[static_cast<std::size_t>(finding.kind)]) + " " + finding.key);
    return out;
  }
  static Task<Result<Chains>> answer(cluster::ChainRecord record) { co_return Chains{{kPartition, std::move(record)}}; }
  Result<RestoreReport> restore(env::ObjectStore& store, bool partial = true) {
    auto env = machine.env();
    env.archive = &store;
    RestoreOptions options{.prefix = "forelog", .topic = "orders", .as = {}, .id = {}, .partial = partial};
    auto restoring = restore_topic(env, std::move(options), [](const std::string&) {});
    return test::run(world, machine, std::move(restoring));
  }

  env::SimulatedWorld world{6};
  env::SimulatedMachine& machine = world.machine(1);
};

// Between the chain and a look at what it names a broker may have replaced a manifest, or deleted what is old.
TEST_F(ArchiveTools, VerifyDoesNotMissWhatTheBrokerHasReplacedMeanwhile) {
  cluster::ChainRecord before, after;
  before.manifest = archive::partition_prefix("forelog", kPartition) + "manifest/00000000000000000010-01234567";
  EXPECT_THAT(audit({before, after}), ElementsAre());
  EXPECT_THAT(audit({before}), ElementsAre("missing " + before.manifest));
}

TEST_F(ArchiveTools, VerifyDoesNotSpendAnHourOnAnObjectThatCannotBeRead) {
  auto shard = put_shard(Generation(0));
  auto key = archive::object_key("forelog", {kPartition, shard.base, shard.generation});
  cluster::ChainRecord record;
  record.shards.push_back(cluster::ChainShard::of(shard));
  EXPECT_THAT(audit({record}), ElementsAre());
  for (bool has_footer : {true, false}) {
    BreakingStore store(machine.env(), key, 500);
    if (has_footer) store.spare_reads_beyond(shard.size);
    auto began = world.now();
    EXPECT_THAT(audit({record}, &store), ElementsAre("unreadable " + key));
    EXPECT_LT(world.now() - began, 10min);
  }
}

// The broker archives nothing then.
TEST_F(ArchiveTools, VerifySeesThatTheArchivesIdCannotBeRead) {
  auto key = archive::identity_key("forelog");
  EXPECT_THAT(audit({{}}), ElementsAre());
  world.objects()[key] = Buffer::copy_of("<html>");
  EXPECT_THAT(audit({{}}), ElementsAre("damaged " + key));
}

TEST_F(ArchiveTools, ATopicThatCannotBeReadIsInTheWayOfNoOther) {
  BrokenStore store(*machine.env().archive, describe(kOther, "orders"), ErrorCode::kArchiveUnavailable);
  auto restored = restore(store);
  ASSERT_FALSE(restored) << "the one that cannot be read may be the newer one of this name";
  EXPECT_EQ(restored.error().code, ErrorCode::kArchiveUnavailable);
  EXPECT_THAT(restored.error().context, HasSubstr("--id " + kTopic.text()));
}

// Shorter than the bucket lists it: nothing that will pass.
TEST_F(ArchiveTools, AShardThatIsCutShortIsLeftOutLikeADamagedOne) {
  auto key = archive::object_key("forelog", {kPartition, Offset(0), Generation(0)});
  world.objects()[key] = Buffer::take(std::string(1000, 'x'));
  BrokenStore cut(*machine.env().archive, key, ErrorCode::kCorruptBlock);
  auto restored = restore(cut);
  ASSERT_TRUE(restored) << restored.error().text();
  ASSERT_EQ(restored->partitions.size(), 1U);
  EXPECT_THAT(restored->partitions[0].left_out, ElementsAre(HasSubstr(key)));
}

// A crash leaves those that a rewritten shard stands for.
TEST_F(ArchiveTools, ADamagedShardOfAnOlderGenerationIsNotMissed) {
  put_shard(Generation(0));
  auto newer = put_shard(Generation(1));
  auto key = archive::object_key("forelog", {kPartition, Offset(0), Generation(0)});
  BrokenStore damaged(*machine.env().archive, key, ErrorCode::kCorruptFile);
  auto restored = restore(damaged, false);
  ASSERT_TRUE(restored) << restored.error().text();
  ASSERT_EQ(restored->partitions.size(), 1U);
  EXPECT_EQ(restored->partitions[0].end, newer.end);
  EXPECT_THAT(restored->partitions[0].left_out, ElementsAre());
}

TEST_F(ArchiveTools, ADamagedShardOfTheNewestGenerationIs) {
  put_shard(Generation(0));
  put_shard(Generation(1));
  auto key = archive::object_key("forelog", {kPartition, Offset(0), Generation(1)});
  BrokenStore damaged(*machine.env().archive, key, ErrorCode::kCorruptFile);
  EXPECT_EQ(restore(damaged, false).error().code, ErrorCode::kCorruptFile);
}

}  // namespace
}  // namespace forelog::simulation
