// What every implementation of MetadataStore promises.
#include "broker/env/real/embedded_metadata_store.h"
#include "tests/support/worlds.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using Op = MetadataOp;

// The embedded store of production on a simulated disk.
class EmbeddedInSimulation : public test::InSimulation {
 public:
  MetadataStore& metadata() { return *store_; }
  void restart() {
    InSimulation::restart();
    abandon(std::move(store_));
    store_ = make();
  }

 private:
  std::shared_ptr<EmbeddedMetadataStore> make() {
    auto store = std::make_shared<EmbeddedMetadataStore>(env().cores, env().local);
    CHECK(run(store->begin_session()).has_value());
    return store;
  }
  std::shared_ptr<EmbeddedMetadataStore> store_ = make();
};
template <class World>
struct WithItsOwn : World {
  MetadataStore& metadata() { return this->env().metadata; }
};
using Stores = testing::Types<WithItsOwn<test::InSimulation>, WithItsOwn<test::InReality>, EmbeddedInSimulation>;

template <class World>
struct MetadataContract : testing::Test {
  World world;

  Result<void> commit(std::vector<Op> ops) { return world.run(world.metadata().commit(std::move(ops))); }
  Result<Znode> get(std::string path) { return world.run(world.metadata().get(std::move(path))); }
  Result<std::vector<std::string>> children(std::string path) {
    return world.run(world.metadata().children(std::move(path)));
  }
  ErrorCode refusal(std::vector<Op> ops) {
    auto done = commit(std::move(ops));
    return done ? ErrorCode::kUnknown : done.error().code;
  }
};
TYPED_TEST_SUITE(MetadataContract, Stores);

TYPED_TEST(MetadataContract, VersionsCountSetsAndChildren) {
  ASSERT_TRUE(this->commit({Op::create("/a", "one")}));
  ASSERT_TRUE(this->commit({Op::set("/a", "two", 0), Op::create("/a/x", ""), Op::create("/a/y", "")}));
  ASSERT_TRUE(this->commit({Op::remove("/a/x", 0)}));
  auto a = *this->get("/a");
  EXPECT_EQ(a.data, "two");
  EXPECT_EQ(a.version, 1);
  EXPECT_EQ(a.children_version, 3);
  EXPECT_EQ(*this->children("/a"), std::vector<std::string>{"y"});
}

TYPED_TEST(MetadataContract, RefusesWhatDoesNotFit) {
  ASSERT_TRUE(this->commit({Op::create("/a", ""), Op::create("/a/b", "")}));
  EXPECT_EQ(this->refusal({Op::create("/a", "")}), ErrorCode::kAlreadyExists);
  EXPECT_EQ(this->refusal({Op::create("/x/y", "")}), ErrorCode::kNotFound);
  EXPECT_EQ(this->refusal({Op::set("/x", "", -1)}), ErrorCode::kNotFound);
  EXPECT_EQ(this->refusal({Op::set("/a", "", 7)}), ErrorCode::kConflict);
  EXPECT_EQ(this->refusal({Op::remove("/a/b", 7)}), ErrorCode::kConflict);
  EXPECT_EQ(this->refusal({Op::remove("/a", -1)}), ErrorCode::kConflict);
  EXPECT_EQ(this->refusal({Op::check("/x", -1)}), ErrorCode::kNotFound);
  EXPECT_EQ(this->refusal({Op::create("no/slash", "")}), ErrorCode::kMalformed);
  EXPECT_EQ(this->refusal({Op::create("/a/", "")}), ErrorCode::kMalformed);
  EXPECT_EQ(this->get("/x").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(this->children("/x").error().code, ErrorCode::kNotFound);
}

TYPED_TEST(MetadataContract, ACommitHappensWholeOrNotAtAll) {
  ASSERT_TRUE(this->commit({Op::create("/a", "kept")}));
  EXPECT_EQ(this->refusal({Op::set("/a", "lost", 0), Op::create("/b", ""), Op::check("/a", 0)}), ErrorCode::kConflict);
  EXPECT_EQ(this->get("/a")->data, "kept");
  EXPECT_FALSE(this->get("/b"));
  EXPECT_TRUE(this->commit({Op::create("/b", ""), Op::create("/b/c", ""), Op::remove("/b/c", 0), Op::remove("/b", 0)}));
  EXPECT_FALSE(this->get("/b"));
}

TYPED_TEST(MetadataContract, ChildrenAreDirectOnesInOrder) {
  ASSERT_TRUE(this->commit({Op::create("/t", ""), Op::create("/t-2", ""), Op::create("/t/b", ""),
                            Op::create("/t/a", ""), Op::create("/t/a/deep", ""), Op::create("/t/a-b", "")}));
  EXPECT_EQ(*this->children("/t"), (std::vector<std::string>{"a", "a-b", "b"}));
  EXPECT_EQ(*this->children("/"), (std::vector<std::string>{"t", "t-2"}));
}

TYPED_TEST(MetadataContract, EphemeralZnodesEndWithTheSession) {
  ASSERT_TRUE(this->commit({Op::create("/ids", "")}));
  ASSERT_TRUE(this->commit({Op::create_ephemeral("/ids/1", "me"), Op::create("/ids/2", "stays")}));
  ASSERT_TRUE(this->commit({Op::set("/ids/1", "still me", 0)}));
  EXPECT_EQ(this->refusal({Op::create("/ids/1/x", "")}), ErrorCode::kConflict);
  this->world.restart();
  EXPECT_EQ(*this->children("/ids"), std::vector<std::string>{"2"});
  EXPECT_EQ(this->get("/ids")->children_version, 3);
  EXPECT_TRUE(this->commit({Op::create_ephemeral("/ids/1", "again")}));
}

Task<Result<bool>> wait_briefly(MetadataStore& store, Clock& clock, std::string path, MetadataStore::Known known) {
  co_return co_await store.wait_for_change(std::move(path), known, clock.now() + 100ms);
}
Task<Result<bool>> wait_while_changing(Cores& cores, MetadataStore& store, std::string path, MetadataStore::Known known,
                                       std::vector<Op> ops) {
  struct Change {
    static Task<void> later(Cores& at, MetadataStore& in, std::vector<Op> what) {
      co_await sleep_until(at.clock(), at.clock().now() + 50ms);
      (void)co_await in.commit(std::move(what));
    }
  };
  cores.spawn(CoreId{1}, Change::later(cores, store, std::move(ops)));
  co_return co_await store.wait_for_change(std::move(path), known, cores.clock().now() + 30s);
}

TYPED_TEST(MetadataContract, WaitingReturnsAtOnceForWhatIsNewsAndElseAtTheDeadline) {
  auto& env = this->world.env();
  auto& store = this->world.metadata();
  ASSERT_TRUE(this->commit({Op::create("/a", "")}));
  EXPECT_TRUE(*this->world.run(wait_briefly(store, env.clock, "/a", {})));
  EXPECT_FALSE(*this->world.run(wait_briefly(store, env.clock, "/a", {0, 0})));
  EXPECT_FALSE(*this->world.run(wait_briefly(store, env.clock, "/b", {})));
  EXPECT_TRUE(*this->world.run(wait_briefly(store, env.clock, "/b", {0, 0})));
}

TYPED_TEST(MetadataContract, WaitingEndsWhenAnotherCoreSetsCreatesOrRemoves) {
  auto& cores = this->world.env().cores;
  auto& store = this->world.metadata();
  ASSERT_TRUE(this->commit({Op::create("/a", "")}));
  EXPECT_TRUE(*this->world.run(wait_while_changing(cores, store, "/a", {0, 0}, {Op::set("/a", "x", 0)})));
  EXPECT_TRUE(*this->world.run(wait_while_changing(cores, store, "/a", {1, 0}, {Op::create("/a/b", "")})));
  EXPECT_TRUE(*this->world.run(wait_while_changing(cores, store, "/a/b", {0, 0}, {Op::remove("/a/b", 0)})));
  EXPECT_TRUE(*this->world.run(wait_while_changing(cores, store, "/a/c", {}, {Op::create("/a/c", "")})));
}

Task<bool> count_up(MetadataStore& store, int times) {
  for (int i = 0; i < times;) {
    auto now = co_await store.get("/n");
    std::vector<Op> ops;
    ops.push_back(Op::set("/n", std::to_string(std::stoi(now->data) + 1), now->version));
    auto set = co_await store.commit(std::move(ops));
    if (set) ++i;
  }
  co_return true;
}
Task<void> count_up_and_tell(MetadataStore& store, int times, int& done) {
  co_await count_up(store, times);
  ++done;
}
Task<void> count_up_on_two_cores(Cores& cores, MetadataStore& store) {
  int here = 0;
  for (int i = 0; i < 4; ++i) cores.spawn(cores.current(), count_up_and_tell(store, 5, here));
  auto remote = count_up(store, 5);
  co_await cores.on(CoreId{1}, std::move(remote));
  // NOLINTNEXTLINE(bugprone-infinite-loop): the tasks that were spawned count
  while (here < 4) co_await sleep_until(cores.clock(), cores.clock().now() + 1ms);
}

TYPED_TEST(MetadataContract, RacingCompareAndSetsLoseNoUpdate) {
  ASSERT_TRUE(this->commit({Op::create("/n", "0")}));
  this->world.run(count_up_on_two_cores(this->world.env().cores, this->world.metadata()));
  auto n = *this->get("/n");
  EXPECT_EQ(n.data, "25");
  EXPECT_EQ(n.version, 25);
}

}  // namespace
}  // namespace forelog::env
