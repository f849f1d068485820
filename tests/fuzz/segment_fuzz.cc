// Shards: any bytes as a footer, and under a checksum that is right; footers built from batches; a segment whose end
// was damaged, opened again.
#include "broker/base/crc32c.h"
#include "broker/base/log.h"
#include "broker/log/footer.h"
#include "tests/fuzz/fuzz.h"
#include "tests/log/log_fixture.h"

#include <limits>

namespace forelog::log {
namespace {

using fuzz::Decisions;

void ask_all(const Footer& footer, Decisions& in) {
  for (int i = 0; i < 3; ++i) {
    auto position = footer.position_for(Offset(in.any<std::int64_t>()));
    CHECK(position >= 0 && (position < footer.size || position == 0));
  }
  if (auto entry = footer.entry_for_time(in.any<std::int64_t>())) CHECK(entry->position < footer.size);
  for (std::uint32_t i = 0; i < footer.block_count() && i < 4; ++i) static_cast<void>(footer.block_crc(i));
}

void check_footer(ByteView bytes, Decisions& in) {
  auto footer = Footer::decode(bytes);
  if (!footer) return;
  CHECK(*Footer::decode(footer->encode()) == *footer);
  ask_all(*footer, in);
}

void check_sealed(std::string body, Decisions& in) {
  ByteWriter out;
  out.text(body);
  out.u64(in.one_in(4) ? in.any<std::uint64_t>() : in.between<std::uint64_t>(0, 1 << 20));
  out.u32(static_cast<std::uint32_t>(body.size()));
  out.u16(1);
  out.u16(0);
  out.u32(crc32c(out.view()));
  out.u32(0x464c4654);
  check_footer(out.view(), in);
}

ShardId shard() { return {test::partition_key(0), Offset(100), Generation(1)}; }

void check_built(Decisions& in) {
  FooterBuilder builder(shard());
  struct At {
    Offset base;
    Bytes position;
    std::int64_t max_timestamp;
  };
  std::vector<At> batches;
  std::string data;
  Offset next = shard().base;
  Epoch epoch(in.between(0, 3));
  for (auto count = in.between<int>(1, 12); count > 0; --count) {
    BatchBuilder batch(next);
    auto records = in.between<int>(1, 3);
    auto timestamp = in.between<std::int64_t>(0, 1'000'000);
    for (int i = 0; i < records; ++i) {
      std::string value(in.one_in(3) ? in.between<std::size_t>(0, 60'000) : 10, 'v');
      batch.add(timestamp + i, std::nullopt, value);
    }
    auto bytes = std::move(batch).build();
    if (in.one_in(4)) epoch = epoch + 1;
    set_leader_epoch(writable(bytes), epoch);
    builder.add(*BatchView::parse(bytes));
    batches.push_back({next, static_cast<Bytes>(data.size()), timestamp + records - 1});
    data += bytes.text();
    next = next + records;
  }
  if (in.any<bool>()) builder.add_aborted({ProducerId(1), shard().base, shard().base});
  auto footer = builder.finish(in.bytes(64));
  auto encoded = footer.encode();
  auto decoded = Footer::decode(encoded);
  CHECK(decoded.has_value() && *decoded == footer);
  CHECK(find_footer(encoded.view().last(kFooterTrailerSize))->data_size == static_cast<Bytes>(data.size()));
  for (std::uint32_t i = 0; i < footer.block_count(); ++i) {
    auto from = static_cast<std::size_t>(i) * kBlockSize;
    auto block = as_bytes(data).subspan(from, std::min<std::size_t>(kBlockSize, data.size() - from));
    CHECK(verify_block(footer, i, block).has_value());
  }
  // The index leads to the batch that holds an offset, never behind it; and to no batch that is too young for a time.
  for (const auto& at : batches) {
    CHECK(footer.position_for(at.base) <= at.position && at.position - footer.position_for(at.base) < 2 * 260_KiB);
    auto wanted = footer.position_for_time(at.max_timestamp);
    CHECK(wanted && *wanted <= at.position);
  }
  std::string damaged(encoded.text());
  auto place = in.between<std::size_t>(0, damaged.size() - 1);
  damaged[place] = static_cast<char>(damaged[place] ^ in.between<int>(1, 255));
  CHECK(!Footer::decode(as_bytes(damaged)), "damage is seen");
}

Task<Result<void>> damage(env::Files& files, env::Path path, std::string tail, Bytes cut) {
  auto file = CO_TRY(co_await files.open(path, env::OpenMode::write));
  auto size = CO_TRY(co_await file->size());
  CO_TRY(co_await file->truncate(size - std::min(cut, size)));
  Slices slices{Buffer::take(std::move(tail))};
  co_return co_await file->write_at(size - std::min(cut, size), std::move(slices));
}

Task<Result<AppendResult>> append(LocalLog& log, Buffer batch, WallTime now) {
  co_return log.append(std::move(batch), std::max(Epoch(1), log.latest_epoch()), now);
}

Task<Result<std::string>> read_all(LocalLog& log) {
  std::string all;
  for (Offset from = log.local_start(); from < log.end();) {
    auto read = CO_TRY(co_await log.read(from, log.end(), 1_MiB, true));
    if (read.empty()) break;
    all += flatten(read.batches).text();
    from = read.end;
  }
  co_return all;
}

// What a clean stop left is there whatever follows it in the file: that part was never covered by a checkpoint.
void check_open(Decisions& in) {
  set_log_level(error);
  env::SimulatedWorld world(1);
  auto& machine = world.machine();
  std::string kept;
  auto batches = in.between<int>(0, 4);
  {
    test::Storage storage(machine, 1_MiB, 1_MiB);
    CHECK(test::run(world, machine, test::Storage::start(storage, {{0, {}}})).has_value());
    for (int i = 0; i < batches; ++i) {
      auto made = test::batch_of(in.text(100), in.between(1, 3));
      auto now = machine.env().clock.wall();
      CHECK(test::run(world, machine, append(storage.log(), std::move(made), now)).has_value());
    }
    kept = *test::run(world, machine, read_all(storage.log()));
    CHECK(test::run(world, machine, test::Storage::stop(storage)).has_value());
  }
  if (batches > 0) {
    std::string tail;
    if (in.any<bool>()) {
      // Batches that look right: their own offsets, an epoch that falls, a count that lies, a torn last one.
      BatchBuilder next(in.any<bool>() ? Offset(in.between<std::int64_t>(0, 12)) : Offset(in.any<std::int64_t>()));
      next.add(1, "k", "v");
      auto bytes = std::move(next).build();
      set_leader_epoch(writable(bytes), Epoch(in.between(-1, 3)));
      tail =
          std::string(bytes.text()).substr(0, in.one_in(3) ? in.between<std::size_t>(0, bytes.size()) : bytes.size());
    }
    tail += in.text(100);
    ShardId id{test::partition_key(0), Offset(0), Generation(0)};
    auto damaged = test::run(world, machine, damage(machine.env().files, segment_path("data/log", id), tail, 0));
    CHECK(damaged.has_value());
  }
  test::Storage storage(machine, 1_MiB, 1_MiB);
  CHECK(test::run(world, machine, test::Storage::start(storage, {{0, {}}})).has_value(), "the log does not open");
  auto found = test::run(world, machine, read_all(storage.log()));
  CHECK(found.has_value() && found->starts_with(kept), "what was checkpointed has changed");
  Offset next(0);
  auto walked = for_each_batch({Buffer::copy_of(*found)}, [&](BatchView batch) {
    CHECK(batch.base_offset() == next && batch.crc_matches());
    next = batch.end_offset();
    return true;
  });
  CHECK(walked.has_value() && next == storage.log().end());
  auto made = test::batch_of("and on");
  auto now = machine.env().clock.wall();
  auto more = test::run(world, machine, append(storage.log(), std::move(made), now));
  CHECK(more.has_value() && more->base == next, "appends go on where the log ends");
  CHECK(test::run(world, machine, test::Storage::stop(storage)).has_value());
}

}  // namespace
}  // namespace forelog::log

FUZZ_TARGET(segment) {
  using namespace forelog::log;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  if (kind <= 1) {
    auto bytes = in.text(2048);
    const AllocationMeter meter;
    if (kind == 0) check_footer(as_bytes(bytes), in);
    if (kind == 1) check_sealed(bytes, in);
    meter.expect_bounded(input.size());
  } else if (kind == 2) {
    check_built(in);
  } else {
    check_open(in);
  }
}
