// message.timestamp.type=LogAppendTime: the broker's clock counts, whatever producers say.
#include "tests/log/log_fixture.h"

namespace forelog::log {
namespace {

using test::batch_of;

class AppendTimeTest : public test::StorageTest {};

TEST_F(AppendTimeTest, TimesOfProducersEndNoShard) {
  TopicSettings topic;
  topic.timestamp_type = TimestampType::log_append_time;
  start({{0, topic}});
  auto now = to_ms(machine->env().clock.wall());
  for (auto time : {now, std::int64_t{1000}, now + to_ms(365 * 24h), std::int64_t{0}, now}) {
    append(batch_of("x", 1, time));
  }
  EXPECT_EQ(log().chain().shards().size(), 1U) << log().chain().text();
  EXPECT_LE(log().chain().shards().front().max_timestamp, to_ms(machine->env().clock.wall()));
  stop();
}

}  // namespace
}  // namespace forelog::log
