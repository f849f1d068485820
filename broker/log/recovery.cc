#include "broker/log/recovery.h"

#include "broker/base/log.h"
#include "broker/log/wal_format.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <vector>

#include <fmt/format.h>

namespace forelog::log {
namespace {

constexpr Bytes kWindow = 16_MiB;

// Puts entries back into segments. Holds the bytes of one window, then writes each shard's in few large pieces.
class Replay {
 public:
  Replay(env::Env& env, env::Path directory) : env_(env), directory_(std::move(directory)) {}

  Task<Result<void>> add(WalRecord record, Buffer payload);
  Task<Result<void>> write_pending();
  Task<Result<void>> finish();  // what was written is on the disk

 private:
  struct Run {
    Bytes position = 0;
    Bytes end = 0;
    Slices bytes;
  };
  Task<Result<void>> write_shard(ShardId shard, std::vector<Run> runs);
  Task<Result<void>> truncate(ShardId shard, Bytes position);

  env::Env& env_;
  env::Path directory_;
  std::map<ShardId, std::vector<Run>> pending_;
  std::set<ShardId> touched_;
};

Task<Result<void>> Replay::add(WalRecord record, Buffer payload) {
  const auto& header = record.header;
  if (header.kind == WalRecordKind::truncate) {
    CO_TRY(co_await write_pending());
    co_return co_await truncate(header.shard, header.position);
  }
  auto& runs = pending_[header.shard];
  Bytes position = header.position;
  if (runs.empty() || runs.back().end != position) runs.push_back({position, position, {}});
  runs.back().end += static_cast<Bytes>(payload.size());
  runs.back().bytes.push_back(std::move(payload));
  co_return Result<void>{};
}

Task<Result<void>> Replay::write_pending() {
  auto pending = std::exchange(pending_, {});
  for (auto& [shard, runs] : pending) CO_TRY(co_await write_shard(shard, std::move(runs)));
  co_return Result<void>{};
}

Task<Result<void>> Replay::write_shard(ShardId shard, std::vector<Run> runs) {
  auto file = co_await env_.files.open(segment_path(directory_, shard), env::OpenMode::create);
  // The partition was deleted, and its directory with it: nobody will ask for these bytes.
  if (!file && file.error().code == ErrorCode::kNotFound) co_return Result<void>{};
  if (!file) co_return fail(std::move(file).error());
  for (auto& run : runs) CO_TRY(co_await (*file)->write_at(run.position, std::move(run.bytes)));
  touched_.insert(shard);
  co_return Result<void>{};
}

Task<Result<void>> Replay::truncate(ShardId shard, Bytes position) {
  auto directory = partition_directory(directory_, shard.partition);
  auto names = co_await env_.files.list(directory);
  if (!names && names.error().code == ErrorCode::kNotFound) co_return Result<void>{};
  if (!names) co_return fail(std::move(names).error());
  for (const auto& name : *names) {
    auto segment = parse_segment_name(name);
    if (!segment || segment->base <= shard.base) continue;
    // Only sealed shards are rewritten, and what is sealed is never truncated: this one came after the truncation.
    if (segment->generation > Generation(0)) continue;
    CO_TRY(co_await env_.files.remove(directory + "/" + name));
    touched_.erase({shard.partition, segment->base, segment->generation});
  }
  auto file = co_await env_.files.open(segment_path(directory_, shard), env::OpenMode::write);
  if (!file && file.error().code == ErrorCode::kNotFound) co_return Result<void>{};
  if (!file) co_return fail(std::move(file).error());
  auto size = CO_TRY(co_await (*file)->size());
  if (size > position) CO_TRY(co_await (*file)->truncate(position));
  touched_.insert(shard);
  co_return Result<void>{};
}

Task<Result<void>> Replay::finish() {
  CO_TRY(co_await write_pending());
  std::set<PartitionKey> partitions;
  for (const auto& shard : touched_) {
    auto file = CO_TRY(co_await env_.files.open(segment_path(directory_, shard), env::OpenMode::write));
    CO_TRY(co_await file->sync());
    partitions.insert(shard.partition);
  }
  for (const auto& partition : partitions) {
    CO_TRY(co_await env_.files.sync_directory(partition_directory(directory_, partition)));
  }
  co_return Result<void>{};
}

std::string segment_name(Offset base, Generation generation) {
  return fmt::format("{:020}.{}.log", base.value(), generation.value());
}

struct FileReport {
  Lsn first{0}, last{0};  // 0: no record
  std::int64_t entries = 0;
  Bytes bytes = 0;
  bool torn = false;  // something follows the last whole record
};

Task<Result<FileReport>> replay_file(env::Env& env, env::Path path, std::int64_t number, Replay& replay) {
  FileReport report;
  auto file = CO_TRY(co_await env.files.open(path, env::OpenMode::read));
  auto size = CO_TRY(co_await file->size());
  auto head = CO_TRY(co_await file->read_at(0, kWalFileHeaderSize));
  auto named = decode_wal_file_header(head);
  // What only a newer release can read must not be thrown away.
  if (auto newer = newer_wal_version(head)) co_return fail(ErrorCode::kCorruptFile, path + ": " + *newer);
  // A file made just before the crash is empty, or still has the header of its earlier life.
  if (!named || *named != number) co_return report;

  Bytes position = kWalFileHeaderSize;
  Bytes window = kWindow;
  while (true) {
    auto bytes = CO_TRY(co_await file->read_at(position, window));
    std::size_t at = 0;
    WalParse parse;
    while (at < bytes.size()) {
      parse = parse_wal_record(bytes.view().subspan(at), number);
      if (parse.state != WalRecordState::whole) break;
      const auto& header = parse.record.header;
      // Records of one file count up: another number is a leftover.
      if (report.entries > 0 && header.lsn != report.last + 1) {
        parse.state = WalRecordState::torn;
        break;
      }
      if (report.entries == 0) report.first = header.lsn;
      report.last = header.lsn;
      ++report.entries;
      report.bytes += static_cast<Bytes>(parse.record.payload.size());
      auto payload = bytes.slice(at + kWalRecordHeaderSize, parse.record.payload.size());
      at += parse.record.size();
      CO_TRY(co_await replay.add(parse.record, std::move(payload)));
    }
    CO_TRY(co_await replay.write_pending());
    position += static_cast<Bytes>(at);
    bool ended = position + static_cast<Bytes>(bytes.size() - at) >= size;
    if (at == bytes.size() && !bytes.empty() && !ended) {
      window = kWindow;
      continue;
    }
    if (parse.state == WalRecordState::more && !ended) {
      window = std::max(kWindow, static_cast<Bytes>(parse.needed));
      if (position + window > size) window = size - position;
      if (static_cast<Bytes>(parse.needed) <= window) continue;
    }
    report.torn = position < size;
    co_return report;
  }
}

}  // namespace

env::Path partition_directory(const env::Path& segments_directory, PartitionKey partition) {
  return segments_directory + "/" + partition.text();
}

env::Path segment_path(const env::Path& segments_directory, ShardId shard) {
  return partition_directory(segments_directory, shard.partition) + "/" + segment_name(shard.base, shard.generation);
}

std::optional<SegmentName> parse_segment_name(std::string_view name) {
  if (!name.ends_with(".log") || name.size() < 26 || name[20] != '.') return std::nullopt;
  auto generation_text = name.substr(21, name.size() - 25);
  std::int64_t base = 0;
  std::int32_t generation = 0;
  auto parsed = [](std::string_view digits, auto& value) {
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    return error == std::errc{} && end == digits.data() + digits.size() && value >= 0;
  };
  if (!parsed(name.substr(0, 20), base) || !parsed(generation_text, generation)) return std::nullopt;
  // What is found by its numbers is opened by the name that we would give it.
  if (name != segment_name(Offset(base), Generation(generation))) return std::nullopt;
  return SegmentName{Offset(base), Generation(generation)};
}

Task<Result<ReplayReport>> replay_wal(env::Env& env, env::Path wal_directory, env::Path segments_directory) {
  ReplayReport report;
  CO_TRY(co_await env.files.create_directories(wal_directory));
  auto names = CO_TRY(co_await env.files.list(wal_directory));
  std::vector<std::int64_t> numbers;
  for (const auto& name : names) {
    if (auto number = parse_wal_file_name(name)) numbers.push_back(*number);
    // It holds nothing, and what goes back into segments may need its room.
    if (is_wal_spare_name(name)) CO_TRY(co_await env.files.remove(wal_directory + "/" + name));
  }
  std::sort(numbers.begin(), numbers.end());

  Replay replay(env, std::move(segments_directory));
  Lsn last{0};
  for (auto number : numbers) {
    auto file = CO_TRY(co_await replay_file(env, wal_directory + "/" + wal_file_name(number), number, replay));
    report.next.next_file = number + 1;
    ++report.files;
    report.entries += file.entries;
    report.bytes += file.bytes;
    report.torn = file.torn;
    if (file.entries == 0) continue;
    if (last.value() > 0 && file.first > last + 1) {
      // Appends follow one another without a gap, so stored bytes have been damaged. The partitions keep what is whole
      // before the gap.
      log_line(error, "wal_gap", {{"after_lsn", last}, {"next_lsn", file.first}, {"file", number}});
    }
    last = std::max(last, file.last);
  }
  CO_TRY(co_await replay.finish());
  report.next.next_lsn = last + 1;
  for (auto number : numbers) CO_TRY(co_await env.files.remove(wal_directory + "/" + wal_file_name(number)));
  CO_TRY(co_await env.files.sync_directory(wal_directory));
  if (report.entries > 0) {
    log_line(info, "wal_replayed", {{"files", report.files}, {"entries", report.entries}, {"bytes", report.bytes}});
  }
  co_return report;
}

}  // namespace forelog::log
