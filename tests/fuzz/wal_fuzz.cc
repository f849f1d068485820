// The write-ahead log: any bytes as header, record and name; files written, then torn or damaged, and replayed.
//
// Replay must put back exactly what stands before the first damaged byte, of every shard, and nothing else.
#include "broker/base/crc32c.h"
#include "broker/base/log.h"
#include "broker/env/simulated/simulated_world.h"
#include "broker/log/recovery.h"
#include "broker/log/wal_format.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/run_task.h"

#include <map>

namespace forelog::log {
namespace {

using fuzz::Decisions;

void check_any(ByteView bytes, Decisions& in) {
  auto file = in.any<std::int64_t>();
  if (auto number = decode_wal_file_header(bytes)) {
    CHECK(encode_wal_file_header(*number).view().size() == kWalFileHeaderSize);
  }
  auto parsed = parse_wal_record(bytes, file);
  if (parsed.state == WalRecordState::whole) CHECK(parsed.record.size() <= bytes.size());
  if (parsed.state == WalRecordState::more) CHECK(parsed.needed > bytes.size());
  if (auto number = parse_wal_file_name(as_text(bytes))) CHECK(wal_file_name(*number) == as_text(bytes));
  static_cast<void>(is_wal_spare_name(as_text(bytes)));
  static_cast<void>(parse_segment_name(as_text(bytes)));
}

// Any header and payload under a checksum that is right.
void check_sealed(std::string bytes, Decisions& in) {
  if (bytes.size() < kWalRecordHeaderSize) return;
  auto put = [&](std::size_t at, auto value) {
    value = std::byteswap(value);
    std::memcpy(bytes.data() + at, &value, sizeof value);
  };
  put(4, static_cast<std::uint32_t>(bytes.size() - kWalRecordHeaderSize));
  put(8, std::int64_t{3});
  put(0, crc32c(as_bytes(bytes).subspan(4)));
  auto parsed = parse_wal_record(as_bytes(bytes), 3);
  if (parsed.state == WalRecordState::whole) {
    auto again = encode_wal_record_header(parsed.record.header, {Buffer::copy_of(parsed.record.payload)});
    auto second = parse_wal_record(as_bytes(std::string(again.text()) + bytes.substr(kWalRecordHeaderSize)), 3);
    CHECK(second.state == WalRecordState::whole && second.record.header.lsn == parsed.record.header.lsn);
  }
  static_cast<void>(in);
}

ShardId shard(int partition, int base) {
  TopicId topic;
  topic.bytes[0] = 7;
  return {{topic, PartitionId(partition)}, Offset(base), Generation(0)};
}

// What the segments hold after replay, as a model: a file is its bytes, unwritten ones are zero.
using Model = std::map<ShardId, std::string>;

void apply(Model& model, const WalRecordHeader& header, std::string_view payload) {
  if (header.kind == WalRecordKind::truncate) {
    std::erase_if(model, [&](const auto& entry) {
      return entry.first.partition == header.shard.partition && entry.first.base > header.shard.base;
    });
    auto at = model.find(header.shard);
    if (at != model.end() && at->second.size() > header.position) at->second.resize(header.position);
    return;
  }
  auto& file = model[header.shard];
  file.resize(std::max<std::size_t>(file.size(), header.position + payload.size()));
  file.replace(header.position, payload.size(), payload);
}

struct Written {
  std::string bytes;  // of one file
  std::vector<std::size_t> ends;
  std::vector<WalRecordHeader> headers;
  std::vector<std::string> payloads;
};

Written write_file(std::int64_t number, Lsn& lsn, Decisions& in) {
  Written out;
  out.bytes = encode_wal_file_header(number).text();
  for (auto count = in.between<int>(0, 6); count > 0; --count) {
    WalRecordHeader header;
    header.file = number;
    header.lsn = lsn = lsn + 1;
    header.shard = shard(in.between(0, 1), 10 * in.between(0, 2));
    header.position = in.between<std::uint32_t>(0, 64);
    header.kind = in.one_in(4) ? WalRecordKind::truncate : WalRecordKind::data;
    auto payload = header.kind == WalRecordKind::data ? in.text(40) : std::string();
    if (header.kind == WalRecordKind::data && payload.empty()) payload = "x";
    header.payload_size = static_cast<std::uint32_t>(payload.size());
    out.bytes += encode_wal_record_header(header, {Buffer::copy_of(payload)}).text();
    out.bytes += payload;
    out.ends.push_back(out.bytes.size());
    out.headers.push_back(header);
    out.payloads.push_back(std::move(payload));
  }
  return out;
}

Task<Result<void>> store(env::Files& files, env::Path path, std::string bytes) {
  auto file = CO_TRY(co_await files.open(path, env::OpenMode::create));
  Slices slices{Buffer::take(std::move(bytes))};
  co_return co_await file->write_at(0, std::move(slices));
}

Task<Result<Model>> load(env::Files& files, Model like) {
  Model out;
  for (auto& [id, bytes] : like) {
    auto file = co_await files.open(segment_path("log", id), env::OpenMode::read);
    if (!file && file.error().code == ErrorCode::kNotFound) continue;
    if (!file) co_return fail(file.error());
    auto size = CO_TRY(co_await (*file)->size());
    auto read = CO_TRY(co_await (*file)->read_at(0, size));
    out[id] = std::string(read.text());
  }
  co_return out;
}

Task<Result<void>> prepare(env::Files& files) {
  CO_TRY(co_await files.create_directories("wal"));
  for (int partition = 0; partition < 2; ++partition) {
    CO_TRY(co_await files.create_directories(partition_directory("log", shard(partition, 0).partition)));
  }
  co_return Result<void>{};
}

void check_replay(Decisions& in) {
  set_log_level(error);
  env::SimulatedWorld world(1);
  auto& machine = world.machine();
  auto& env = machine.env();
  CHECK(test::run(world, machine, prepare(env.files)).has_value());

  Model model, everywhere;
  Lsn lsn{0};
  std::int64_t entries = 0;
  bool newer = false;
  auto files = in.between<int>(1, 3);
  for (int number = 1; number <= files; ++number) {
    auto written = write_file(number, lsn, in);
    auto intact = written.headers.size();
    bool is_last = number == files;
    if (is_last && in.any<bool>()) {
      // The torn end of a crash: cut off, zeroed, or anything else from some byte on.
      auto from = in.between<std::size_t>(0, written.bytes.size());
      auto how = in.between<int>(0, 2);
      if (how == 0) written.bytes.resize(from);
      if (how == 1) std::fill(written.bytes.begin() + static_cast<std::ptrdiff_t>(from), written.bytes.end(), '\0');
      if (how == 2 && from < written.bytes.size()) {
        written.bytes[from] = static_cast<char>(written.bytes[from] ^ in.between<int>(1, 255));
      }
      newer = newer_wal_version(as_bytes(written.bytes)).has_value();
      // Zeroing may change nothing; what is not whole ends the log.
      intact = 0;
      auto header = decode_wal_file_header(as_bytes(written.bytes));
      for (std::size_t at = kWalFileHeaderSize; header && *header == number && intact < written.ends.size();) {
        if (from < written.ends[intact]) {
          auto parsed = parse_wal_record(as_bytes(written.bytes).subspan(std::min(at, written.bytes.size())), number);
          if (parsed.state != WalRecordState::whole) break;
        }
        at = written.ends[intact++];
      }
    }
    for (std::size_t i = 0; i < written.headers.size(); ++i) {
      if (i < intact) apply(model, written.headers[i], written.payloads[i]), ++entries;
      everywhere[written.headers[i].shard];
    }
    CHECK(test::run(world, machine, store(env.files, "wal/" + wal_file_name(number), written.bytes)).has_value());
  }
  auto report = test::run(world, machine, replay_wal(env, "wal", "log"));
  if (newer) {
    // Nothing is thrown away, so the start is refused.
    CHECK(!report.has_value() && report.error().code == ErrorCode::kCorruptFile);
    return;
  }
  CHECK(report.has_value() && report->entries == entries);
  auto found = test::run(world, machine, load(env.files, everywhere));
  CHECK(found.has_value());
  CHECK(*found == model, "replay put back something else than what was whole");
  CHECK(report->next.next_file == files + 1);
}

}  // namespace
}  // namespace forelog::log

FUZZ_TARGET(wal) {
  using namespace forelog::log;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  if (kind == 0) {
    auto bytes = in.bytes(2048);
    const AllocationMeter meter;
    check_any(bytes, in);
    meter.expect_bounded(input.size());
  } else if (kind == 1) {
    auto bytes = in.text(2048);
    check_sealed(bytes, in);
  } else {
    check_replay(in);
  }
}
