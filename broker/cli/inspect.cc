// inspect: what lies in a file of ours: a segment or an archived object, a file of the write-ahead log, or a region of
// the cache's disk tier.

#include "broker/base/json.h"
#include "broker/cache/disk_format.h"
#include "broker/cli/command.h"
#include "broker/log/batch.h"
#include "broker/log/footer.h"
#include "broker/log/wal_format.h"

#include <algorithm>
#include <filesystem>
#include <memory>

#include <fmt/format.h>

namespace forelog::cli {
namespace {

Result<Buffer> read_file(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return fail(ErrorCode::kNotFound, path);
  std::error_code error;
  auto size = std::filesystem::file_size(path, error);
  if (error || static_cast<Bytes>(size) > 4_GiB)
    return fail(ErrorCode::kIo, path + ": not a file of a size that we write");
  MutableBuffer bytes(size);
  auto read = std::fread(bytes.data(), 1, size, file.get());
  return std::move(bytes).freeze(read);
}

void print_batch(Bytes position, const log::BatchView& batch) {
  constexpr const char* kCodecs[] = {"none", "gzip", "snappy", "lz4", "zstd", "?", "?", "?"};
  std::string notes;
  if (!batch.crc_matches()) notes += " CRC-WRONG";
  if (batch.is_transactional()) notes += " transactional";
  if (batch.is_control()) notes += " control";
  if (batch.has_producer()) {
    notes += fmt::format(" producer={}/{} sequence={}", batch.producer_id().value(), batch.producer_epoch(),
                         batch.base_sequence());
  }
  fmt::print("  @{:<10} offsets {}..{} records={} bytes={} epoch={} time={}..{} codec={}{}\n", position,
             batch.base_offset().value(), batch.last_offset().value(), batch.record_count(), batch.size(),
             batch.leader_epoch().value(), batch.base_timestamp(), batch.max_timestamp(), kCodecs[batch.codec_bits()],
             notes);
}

// Batches one after another; yields where they end.
Bytes print_batches(ByteView bytes, std::size_t records_left) {
  Bytes position = 0;
  while (!bytes.empty()) {
    auto batch = log::BatchView::parse(bytes);
    if (!batch) break;
    print_batch(position, *batch);
    if (records_left > 0) {
      // Records inside, as far as they can be opened.
      auto records = log::Records::open(*batch, 64_MiB);
      log::Record record;
      while (records && records_left > 0) {
        auto more = records->next(record);
        if (!more || !*more) break;
        auto text = [](const std::optional<ByteView>& v) {
          return v ? std::string(as_text(*v).substr(0, 200)) : std::string("null");
        };
        fmt::print("      {} time={} key={} value={}\n", record.offset.value(), record.timestamp,
                   to_json(text(record.key)), to_json(text(record.value)));
        --records_left;
      }
    }
    position += static_cast<Bytes>(batch->size());
    bytes = bytes.subspan(batch->size());
  }
  return position;
}

void print_footer(const log::Footer& footer) {
  fmt::print("shard {}: offsets {}..{}, {} bytes of batches, time {}..{}\n", footer.shard.text(),
             footer.shard.base.value(), footer.end.value() - 1, footer.size, footer.first_timestamp,
             footer.max_timestamp);
  for (const auto& epoch : footer.epochs)
    fmt::print("  epoch {} from offset {}\n", epoch.epoch.value(), epoch.start.value());
  fmt::print("  index: {} entries; blocks: {}; aborted transactions: {}; producer snapshot: {} bytes\n",
             footer.index.size(), footer.block_crcs.size(), footer.aborted.size(), footer.producer_snapshot.size());
}

Result<void> inspect_wal(const Buffer& bytes) {
  auto number = TRY(log::decode_wal_file_header(bytes.view().first(std::min(bytes.size(), log::kWalFileHeaderSize))));
  fmt::print("write-ahead log, file {}\n", number);
  auto rest = bytes.view().subspan(std::min(bytes.size(), log::kWalFileHeaderSize));
  while (!rest.empty()) {
    auto parsed = log::parse_wal_record(rest, number);
    if (parsed.state != log::WalRecordState::whole) {
      fmt::print("  ends here, {} bytes before the end of the file{}\n", rest.size(),
                 parsed.state == log::WalRecordState::more ? " (a record is cut off)" : "");
      break;
    }
    const auto& header = parsed.record.header;
    bool data = header.kind == log::WalRecordKind::data;
    fmt::print("lsn {} {} {} @{} bytes={}\n", header.lsn.value(), data ? "data" : "truncate", header.shard.text(),
               header.position, header.payload_size);
    if (data) print_batches(parsed.record.payload, 0);
    rest = rest.subspan(parsed.record.size());
  }
  return {};
}

Result<void> inspect_region(const std::string& path, const Buffer& bytes) {
  auto header = TRY(cache::decode_region_header(bytes));
  fmt::print("region {} of the disk tier, life {:016x}\n", header.number, header.life);
  auto size = static_cast<Bytes>(bytes.size());
  auto tail = std::min(bytes.size(), static_cast<std::size_t>(cache::kRegionTrailerSize));
  auto index = cache::find_region_index(bytes.view().last(tail), size);
  auto end = index ? index->position : size;
  std::size_t damaged = 0;
  auto position = cache::kRegionHeaderSize;
  while (position < end) {
    auto rest = bytes.slice(static_cast<std::size_t>(position));
    auto record = cache::decode_region_record(rest, header.number);
    if (!record) break;
    auto whole = static_cast<std::size_t>(cache::kRegionRecordHeaderSize) + record->size;
    if (record->kind == cache::RegionRecordKind::link) {
      fmt::print("  @{:<10} {} is generation {}\n", position, record->id.shard.text(), record->generation.value());
    } else {
      cache::DiskPlace place{header.number, position, record->size, record->crc};
      bool sound = whole <= rest.size() && cache::block_in_record(rest.slice(0, whole), record->id, place);
      fmt::print("  @{:<10} {} bytes={}{}\n", position, record->id.text(), record->size,
                 sound ? "" : " CHECKSUM-WRONG");
      if (!sound) ++damaged;
    }
    if (whole > rest.size()) break;
    position += static_cast<Bytes>(whole);
  }
  if (index) {
    fmt::print("index of {} records{}\n", index->size / cache::kRegionIndexEntrySize,
               position == end ? "" : fmt::format(", {} bytes behind the last sound record", end - position));
  } else {
    fmt::print("no index: the region was not closed; {} bytes behind the last sound record\n", end - position);
  }
  if (damaged > 0) return fail(ErrorCode::kCorruptFile, path);
  return {};
}

Result<void> inspect_shard(const std::string& path, const Buffer& bytes, std::size_t records) {
  auto data = bytes.view();
  std::optional<log::Footer> footer;
  if (bytes.size() >= log::kFooterTrailerSize) {
    auto place = log::find_footer(data.last(log::kFooterTrailerSize));
    bool fits = place && place->footer_size + place->data_size == static_cast<Bytes>(bytes.size());
    if (fits) {
      footer = TRY(log::Footer::decode(data.subspan(static_cast<std::size_t>(place->data_size))));
      data = data.first(static_cast<std::size_t>(place->data_size));
    }
  }
  if (footer) {
    print_footer(*footer);
  } else if (!log::BatchView::parse(data) && !data.empty()) {
    return fail(ErrorCode::kCorruptFile,
                path + ": neither a segment, a file of the write-ahead log nor a region of the disk tier");
  } else {
    fmt::print("open segment, no footer\n");
  }
  auto end = print_batches(data, records);
  std::size_t damaged = 0;
  for (std::uint32_t block = 0; footer && block < footer->block_count(); ++block) {
    auto from = static_cast<std::size_t>(block) * static_cast<std::size_t>(kBlockSize);
    if (from >= data.size()) break;
    auto piece = data.subspan(from, std::min(static_cast<std::size_t>(kBlockSize), data.size() - from));
    if (log::verify_block(*footer, block, piece)) continue;
    fmt::print("block {}: CHECKSUM-WRONG\n", block);
    ++damaged;
  }
  if (static_cast<std::size_t>(end) < data.size()) {
    fmt::print("  ends here, {} bytes before the end of the data\n", data.size() - static_cast<std::size_t>(end));
    if (footer) ++damaged;
  }
  if (damaged > 0) return fail(ErrorCode::kCorruptFile, path);
  return {};
}

Result<void> run(const Arguments& arguments) {
  const auto& path = arguments.positional()[0];
  auto records = TRY(arguments.integer("records", 0, 0, 1'000'000'000));
  auto name = std::filesystem::path(path).filename().string();
  auto bytes = TRY(read_file(path));
  if (cache::parse_region_file_name(name)) return inspect_region(path, bytes);
  bool is_wal = log::parse_wal_file_name(name) || log::is_wal_spare_name(name);
  return is_wal ? inspect_wal(bytes) : inspect_shard(path, bytes, static_cast<std::size_t>(records));
}

}  // namespace

Command inspect_command() {
  return {.name = "inspect",
          .summary = "print a segment, an archived object, a file of the write-ahead log or of the disk tier",
          .usage =
              "FILE [--records N]\n\n"
              "Prints what the file says of itself and each batch in it, and checks every checksum on the way.\n"
              "  --records N  also the first N records",
          .flags = {"records"},
          .switches = {},
          .positional_min = 1,
          .positional_max = 1,
          .run = &run};
}

}  // namespace forelog::cli
