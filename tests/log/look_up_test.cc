// Look-ups by time that go through many shards while these are rewritten or leave.
#include "broker/log/compaction.h"
#include "broker/log/shard_rewriter.h"
#include "tests/log/log_fixture.h"

#include <functional>

namespace forelog::log {
namespace {

using test::batch_of;

constexpr int kShards = 40;  // of one record each; compaction has left nothing in any but the last

// A rewritten shard that nobody names yet.
struct Rewritten {
  ShardDescriptor shard;
  Buffer footer;
};

class LookUpTest : public test::StorageTest {
 protected:
  // The record of shard i has the time first + i·step. Emptied batches keep theirs, as in Kafka, so that a look-up has
  // to go through the shards in which they are.
  void make_shards(std::int64_t first, std::int64_t step) {
    TopicSettings topic;
    topic.segment_bytes = 14;  // every batch is a shard
    start({{0, topic}});
    for (int i = 0; i < kShards; ++i) append(batch_of("value", 1, first + i * step));
    run_here(cut_task(log(), machine->env().clock.wall()));
    ASSERT_EQ(run_here(log().seal_up_to(Offset(kShards))), kShards);
    stop();
    start(settings);  // memory has nothing any more
    for (int i = 0; i + 1 < kShards; ++i) replace(rewrite(i, true));
  }
  static Task<void> cut_task(LocalLog& log, WallTime now) {
    log.cut(now);
    co_return;
  }

  Rewritten rewrite(int index, bool emptied) {
    return *run_here(rewrite_task(index, emptied ? log().end() : Offset(0)));
  }
  // Compaction leaves what is not before `newest`, the newest offset of the only key.
  Task<Result<Rewritten>> rewrite_task(int index, Offset newest) {
    auto shard = log().chain().shards()[static_cast<std::size_t>(index)];
    auto footer = CO_TRY(co_await log().footer_of(log().chain().id_of(shard)));
    ShardId target{log().partition(), shard.base, log().next_generation()};
    ShardRewriter rewriter(machine->env(), log().segments_directory(), target, {footer});
    CO_TRY(co_await rewriter.open());
    auto read = CO_TRY(co_await log().read(shard.base, shard.end, 1_MiB, true));
    KeyMap latest(1, 1_KiB, {1, 2});
    latest.put(as_bytes("key"), newest);
    for (auto bytes = flatten(read.batches); !bytes.empty();) {
      auto size = *BatchView::size_of(bytes);
      auto cleaned = CO_TRY(clean_batch(bytes.slice(0, size), {latest, log().end(), {}, {}, {}}, true));
      CO_TRY(co_await rewriter.add(std::move(cleaned.bytes)));
      bytes = bytes.slice(size, bytes.size() - size);
    }
    auto written = CO_TRY(co_await rewriter.finish());
    Rewritten out{shard, written.encode()};
    out.shard.generation = target.generation;
    out.shard.size = written.size;
    out.shard.footer_size = static_cast<Bytes>(out.footer.size());
    co_return out;
  }
  void replace(const Rewritten& next) {
    auto replaced = run_here(log().replace_shards(next.shard, next.footer));
    ASSERT_TRUE(replaced.has_value()) << replaced.error().text();
  }

  static Task<void> replace_task(LocalLog& log, Rewritten next, bool& done) {
    auto replaced = co_await log.replace_shards(next.shard, next.footer);
    EXPECT_TRUE(replaced.has_value()) << replaced.error().text();
    done = true;
  }

  static std::string text(TimestampedOffset found) {
    return std::to_string(found.offset.value()) + " of time " + std::to_string(found.timestamp);
  }
  static std::string text(std::optional<TimestampedOffset> found) { return found ? text(*found) : "nothing"; }

  // Begins a look-up, lets `change` happen before it is through, and waits for its end.
  template <class T>
  T look_up_beside(Task<T> look_up, const std::function<void()>& change) {
    auto result = std::make_shared<std::optional<T>>();
    machine->cores().spawn(CoreId(0), forelog::test::detail::keep_result(result, std::move(look_up)));
    change();
    EXPECT_FALSE(result->has_value()) << "the test is too slow: the look-up did not meet what it was to meet";
    EXPECT_TRUE(world->run_until([&] { return result->has_value(); }, 10s));
    return **result;
  }
};

TEST_F(LookUpTest, ByTimeFindsARecordInAShardThatIsRewrittenBeforeItIsReached) {
  make_shards(1000, 1);
  auto last = rewrite(kShards - 1, false);
  auto found = look_up_beside(log().find_by_time(1000, Offset(kShards)), [&] { replace(last); });
  EXPECT_EQ(found ? text(*found) : found.error().text(), "39 of time 1039");
  stop();
}

TEST_F(LookUpTest, ByTimeGoesOnAtTheStartOfALogThatHasMoved) {
  make_shards(1000, 1);
  auto found = look_up_beside(log().find_by_time(1000, Offset(kShards)),
                              [&] { EXPECT_TRUE(run_here(log().set_log_start(Offset(20)))); });
  EXPECT_EQ(found ? text(*found) : found.error().text(), "39 of time 1039");
  stop();
}

TEST_F(LookUpTest, TheNewestRecordIsFoundInAShardThatIsRewrittenBeforeItIsReached) {
  make_shards(2000, -1);  // it is looked for in the shards of larger times first
  auto last = rewrite(kShards - 1, false);
  auto found = look_up_beside(log().max_timestamp(Offset(kShards)), [&] { replace(last); });
  EXPECT_EQ(found ? text(*found) : found.error().text(), "39 of time 1961");
  stop();
}

TEST_F(LookUpTest, TheNewestRecordIsFoundBehindTheStartOfALogThatHasMoved) {
  make_shards(2000, -1);
  auto found = look_up_beside(log().max_timestamp(Offset(kShards)),
                              [&] { EXPECT_TRUE(run_here(log().set_log_start(Offset(20)))); });
  EXPECT_EQ(found ? text(*found) : found.error().text(), "39 of time 1961");
  stop();
}

TEST_F(LookUpTest, TheNewestRecordIsFoundBesideABatchThatWasNewerAndIsEmpty) {
  start();
  append(batch_of("emptied", 1, 3000));
  append(batch_of("stays", 1, 2000));
  run_here(cut_task(log(), machine->env().clock.wall()));
  ASSERT_EQ(run_here(log().seal_up_to(Offset(2))), 1);
  append(batch_of("older", 1, 1000));
  stop();
  start();  // memory has nothing any more
  replace(*run_here(rewrite_task(0, Offset(1))));
  EXPECT_EQ(text(*run_here(log().max_timestamp(Offset(3)))), "1 of time 2000");
  EXPECT_EQ(text(*run_here(log().find_by_time(1500, Offset(3)))), "1 of time 2000");
  EXPECT_EQ(text(*run_here(log().find_by_time(2500, Offset(3)))), "nothing");
  stop();
}

TEST_F(LookUpTest, TheNewestRecordIsOneBelowTheLimit) {
  start();
  for (int i = 0; i < 10; ++i) append(batch_of("value", 1, 1000 + 10 * i));
  EXPECT_EQ(text(*run_here(log().max_timestamp(Offset(9)))), "8 of time 1080");
  EXPECT_EQ(text(*run_here(log().max_timestamp(Offset(1)))), "0 of time 1000");
  EXPECT_EQ(*run_here(log().max_timestamp(Offset(0))), TimestampedOffset{});
  stop();
}

TEST_F(LookUpTest, TheNewestRecordIsNotAmongThoseDeleted) {
  start();
  for (int i = 0; i < 300; ++i) append(batch_of(std::string(10'000, 'x'), 2, 3000 - i / 2));  // three MiB of one shard
  ASSERT_TRUE(run_here(log().set_log_start(Offset(301))));
  EXPECT_EQ(text(*run_here(log().max_timestamp(Offset(600)))), "301 of time 2925");
  ASSERT_TRUE(run_here(log().set_log_start(Offset(302))));
  EXPECT_EQ(text(*run_here(log().max_timestamp(Offset(600)))), "302 of time 2925");
  ASSERT_TRUE(run_here(log().set_log_start(Offset(600))));
  EXPECT_EQ(*run_here(log().max_timestamp(Offset(600))), TimestampedOffset{});
  stop();
}

// The catalog has a change before the chain in memory has it.
TEST_F(LookUpTest, AReadSucceedsAtEveryMomentOfARewrite) {
  make_shards(1000, 1);
  for (Duration delay = 0us; delay < 1ms; delay += 2us) {
    bool replaced = false;
    auto next = rewrite(0, false);
    for (int other = 1; other < 4; ++other) rewrite(other, false);  // footers of those read last are in memory
    machine->cores().spawn(CoreId(0), replace_task(log(), next, replaced));
    world->run_for(delay);
    auto read = run_here(log().read(Offset(0), Offset(1), 1_MiB, true));
    EXPECT_TRUE(read.has_value()) << read.error().text() << " after " << delay.count() / 1000 << " us";
    EXPECT_TRUE(world->run_until([&] { return replaced; }, 10s));
  }
  stop();
}

}  // namespace
}  // namespace forelog::log
