// What the first release wrote to disk and archive stays readable, byte for byte.

#include "tests/support/golden.h"

#include "broker/env/simulated/simulated_world.h"
#include "broker/log/batch_builder.h"
#include "broker/log/catalog.h"
#include "broker/log/compaction.h"
#include "broker/log/footer.h"
#include "broker/log/recovery.h"
#include "broker/log/wal_format.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::log {
namespace {

using forelog::test::golden;
using forelog::test::run;

const PartitionKey kPartition{TopicId{{1, 2, 3}}, PartitionId(4)};
const ShardId kShard{kPartition, Offset(100), Generation(0)};

Buffer batch(std::int64_t base, int epoch) {
  BatchBuilder builder{Offset(base)};
  builder.add(1'700'000'000'000 + base, "key", "value").add(1'700'000'000'001 + base, "key", "");
  auto bytes = std::move(builder).build();
  set_leader_epoch(writable(bytes), Epoch(epoch));
  return bytes;
}

Footer footer_of(const std::vector<Buffer>& batches) {
  FooterBuilder builder(kShard);
  for (const auto& bytes : batches) builder.add(*BatchView::parse(bytes));
  builder.add_aborted({ProducerId(9), Offset(100), Offset(102)});
  return builder.finish(Buffer::copy_of("producers"));
}

TEST(Golden, ASegmentOfVersion1) {
  std::vector<Buffer> batches{batch(100, 3), batch(102, 3), batch(104, 5)};
  auto footer = footer_of(batches);
  std::string segment;
  for (const auto& bytes : batches) segment += bytes.text();
  segment += footer.encode().text();
  auto stored = golden("segment_v1", segment);
  EXPECT_EQ(stored, segment);
  auto place = find_footer(as_bytes(stored).last(kFooterTrailerSize));
  ASSERT_TRUE(place);
  auto data = as_bytes(stored).first(static_cast<std::size_t>(place->data_size));
  auto read = Footer::decode(as_bytes(stored).last(static_cast<std::size_t>(place->footer_size)));
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, footer);
  EXPECT_TRUE(verify_block(*read, 0, data));
  EXPECT_EQ(BatchView::parse(data)->base_offset(), Offset(100));
}

TEST(Golden, AWriteAheadLogOfVersion1) {
  auto bytes = batch(102, 3);
  Slices payload{bytes};
  WalRecordHeader data{.payload_size = static_cast<std::uint32_t>(bytes.size()),
                       .file = 42,
                       .lsn = Lsn(7),
                       .shard = kShard,
                       .position = 4096};
  WalRecordHeader cut{.kind = WalRecordKind::truncate, .file = 42, .lsn = Lsn(8), .shard = kShard, .position = 512};
  std::string file(encode_wal_file_header(42).text());
  file += encode_wal_record_header(data, payload).text();
  file += bytes.text();
  file += encode_wal_record_header(cut, {}).text();
  auto stored = golden("wal_v1", file);
  EXPECT_EQ(stored, file);
  auto rest = as_bytes(stored);
  EXPECT_EQ(*decode_wal_file_header(rest.first(kWalFileHeaderSize)), 42);
  rest = rest.subspan(kWalFileHeaderSize);
  auto first = parse_wal_record(rest, 42);
  ASSERT_EQ(first.state, WalRecordState::whole);
  EXPECT_EQ(first.record.header.lsn, Lsn(7));
  EXPECT_EQ(first.record.header.shard, kShard);
  EXPECT_EQ(first.record.header.position, 4096U);
  EXPECT_EQ(as_text(first.record.payload), bytes.text());
  auto second = parse_wal_record(rest.subspan(first.record.size()), 42);
  ASSERT_EQ(second.state, WalRecordState::whole);
  EXPECT_EQ(second.record.header.kind, WalRecordKind::truncate);
  EXPECT_EQ(second.record.header.position, 512U);
}

// Keys and values, as lines.
std::string text_of(const env::LocalStore::Entries& entries) {
  std::string out;
  for (const auto& [key, value] : entries) out += key + "\n" + value + "\n";
  return out;
}

TEST(Golden, ACatalogOfVersion1) {
  PartitionState state{Offset(100), Offset(105), Offset(104), {{Epoch(3), Offset(100)}, {Epoch(5), Offset(104)}},
                       {},          {},          {}};
  ShardDescriptor sealed;
  sealed.base = Offset(100);
  sealed.end = Offset(104);
  sealed.state = ShardState::sealed;
  sealed.archived = true;
  sealed.size = 5000;
  sealed.footer_size = 300;
  sealed.first_timestamp = 1'700'000'000'000;
  sealed.max_timestamp = 1'700'000'000'999;
  sealed.epochs = {{Epoch(3), Offset(100)}};
  sealed.created_ms = 1'700'000'000'500;
  sealed.sealed_ms = 1'700'000'001'500;
  sealed.access = {3, 15000, 1'700'000'002'000};
  ShardDescriptor open;
  open.base = Offset(104);
  open.end = Offset(105);
  open.epochs = {{Epoch(5), Offset(104)}};

  env::SimulatedWorld world(1);
  auto& machine = world.machine(1);
  auto& store = machine.env().local;
  Catalog catalog(store);
  Catalog::Change change(kPartition);
  change.put_state(state).put_shard(sealed).put_shard(open);
  ASSERT_TRUE(run(world, machine, catalog.commit(std::move(change), env::Durability::synced)));
  auto written = text_of(*run(world, machine, store.scan("", "~", 100)));
  auto stored = golden("catalog_v1", written);
  EXPECT_EQ(stored, written);

  // The store of another broker, with nothing in it but what the file says.
  auto& other = world.machine(2);
  env::StoreBatch batch;
  for (std::size_t at = 0; at < stored.size();) {
    auto key_end = stored.find('\n', at);
    auto value_end = stored.find('\n', key_end + 1);
    batch.put(stored.substr(at, key_end - at), stored.substr(key_end + 1, value_end - key_end - 1));
    at = value_end + 1;
  }
  auto& other_store = other.env().local;
  ASSERT_TRUE(run(world, other, other_store.commit(std::move(batch), env::Durability::synced)));
  Catalog again(other_store);
  auto entry = run(world, other, again.load(kPartition));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->state, state);
  EXPECT_EQ(entry->shards, (std::vector{sealed, open}));
}

// The shard that compaction and merging leave: a hole in its offsets, a delete horizon, a header without records.
TEST(Golden, ARewrittenSegmentOfVersion1) {
  KeyMap newest(10, 1_MiB, {1, 2});
  CleanRules rules{newest, Offset(200), from_ms(1'700'000'100'000), 24h, {}};
  BatchBuilder with_tombstone{Offset(104)};
  with_tombstone.add(1'700'000'000'500, "gone", std::nullopt).add(1'700'000'000'400, "key", "old");
  FooterBuilder builder(ShardId{kPartition, Offset(100), Generation(3)});
  std::string segment;
  newest.put(as_bytes("key"), Offset(110));
  for (const auto& bytes : {batch(100, 3), std::move(with_tombstone).build(), batch(106, 3)}) {
    bool is_last = BatchView::parse(bytes)->base_offset() == Offset(106);
    auto cleaned = *clean_batch(bytes, rules, is_last);
    if (cleaned.bytes.empty()) continue;
    builder.add(*BatchView::parse(cleaned.bytes));
    segment += cleaned.bytes.text();
  }
  auto footer = builder.finish(Buffer::copy_of("producers"));
  segment += footer.encode().text();
  auto stored = golden("segment_v1_rewritten", segment);
  EXPECT_EQ(stored, segment);
  auto place = *find_footer(as_bytes(stored).last(kFooterTrailerSize));
  auto read = Footer::decode(as_bytes(stored).last(static_cast<std::size_t>(place.footer_size)));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->shard.generation, Generation(3));
  EXPECT_EQ(read->end, Offset(108));
  auto first = *parse_intact(as_bytes(stored));
  EXPECT_EQ(first.base_offset(), Offset(104));
  EXPECT_TRUE(first.has_delete_horizon());
  auto records = *Records::open(first, 1_MiB);
  Record record;
  ASSERT_TRUE(*records.next(record));
  EXPECT_EQ(record.timestamp, 1'700'000'000'500);
  EXPECT_FALSE(record.value);
  EXPECT_EQ(parse_intact(as_bytes(stored).subspan(first.size()))->record_count(), 0);
}

TEST(Golden, ACatalogOfVersion1AfterARewrite) {
  PartitionState state{Offset(100), Offset(105), Offset(100), {}, Offset(104), Generation(3), {}};
  env::SimulatedWorld world(1);
  auto& machine = world.machine(1);
  Catalog catalog(machine.env().local);
  Catalog::Change change(kPartition);
  change.put_state(state);
  ASSERT_TRUE(run(world, machine, catalog.commit(std::move(change), env::Durability::synced)));
  auto written = text_of(*run(world, machine, machine.env().local.scan("", "~", 100)));
  auto stored = golden("catalog_v1_rewritten", written);
  EXPECT_EQ(stored, written);
  EXPECT_EQ(run(world, machine, catalog.load(kPartition))->state, state);
}

// --- what only a newer release can read ------------------------------------------------------------------------------

constexpr std::string_view kWhatToDo = "start the release that wrote it, or a newer one";

TEST(NewerRelease, ItsFootersAreRefusedWithWhatToDo) {
  auto encoded = footer_of({batch(100, 3)}).encode();
  std::string bytes(encoded.text());
  bytes[bytes.size() - 11] = 2;
  auto read = Footer::decode(as_bytes(bytes));
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().text().find("footer of version 2"), std::string::npos) << read.error().text();
  EXPECT_NE(read.error().text().find(kWhatToDo), std::string::npos) << read.error().text();
}

TEST(NewerRelease, ItsWriteAheadLogIsRefusedAndStays) {
  env::SimulatedWorld world(1);
  auto& machine = world.machine(1);
  auto& env = machine.env();
  ASSERT_TRUE(run(world, machine, env.files.create_directories("wal")));
  auto file = *run(world, machine, env.files.open("wal/" + wal_file_name(7), env::OpenMode::create));
  std::string header(encode_wal_file_header(7).text());
  header[5] = 2;
  ASSERT_TRUE(run(world, machine, file->write_at(0, {Buffer::copy_of(header)})));
  auto replayed = run(world, machine, replay_wal(env, "wal", "log"));
  ASSERT_FALSE(replayed);
  EXPECT_NE(replayed.error().text().find(kWhatToDo), std::string::npos) << replayed.error().text();
  EXPECT_EQ(run(world, machine, env.files.list("wal"))->size(), 1U);
}

TEST(NewerRelease, ItsCatalogIsRefusedWithWhatToDo) {
  env::SimulatedWorld world(1);
  auto& machine = world.machine(1);
  Catalog catalog(machine.env().local);
  Catalog::Change change(kPartition);
  change.put_state({});
  ASSERT_TRUE(run(world, machine, catalog.commit(std::move(change), env::Durability::synced)));
  EXPECT_TRUE(run(world, machine, catalog.check_version()));
  env::StoreBatch newer;
  newer.put("log/12/state/x", "?");
  ASSERT_TRUE(run(world, machine, machine.env().local.commit(std::move(newer), env::Durability::synced)));
  auto checked = run(world, machine, catalog.check_version());
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().text().find("version 12"), std::string::npos) << checked.error().text();
  EXPECT_NE(checked.error().text().find(kWhatToDo), std::string::npos);
}

}  // namespace
}  // namespace forelog::log
