#include "predictor/state_store.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/log.h"

#include <algorithm>
#include <cstdio>

namespace forelog::predictor {
namespace {

constexpr std::string_view kCurrent = "predictor/current";
constexpr std::string_view kPieces = "predictor/piece/";
constexpr std::size_t kPieceSize = 1_MiB;
constexpr std::uint32_t kFormat = 1;
constexpr std::uint32_t kPartitionsMax = 100'000;

std::string piece_prefix(std::uint64_t number) {
  char text[64];
  std::snprintf(text, sizeof text, "%s%016llx/", kPieces.data(), static_cast<unsigned long long>(number));
  return text;
}
std::string piece_key(std::uint64_t number, std::size_t index) {
  char text[16];
  std::snprintf(text, sizeof text, "%08zx", index);
  return piece_prefix(number) + text;
}

// What the key `predictor/current` says.
struct Head {
  std::uint64_t number = 0;
  std::uint64_t size = 0;
  std::uint32_t crc = 0;

  std::string encode() const {
    ByteWriter out;
    out.u32(kFormat), out.u64(number), out.u64(size), out.u32(crc);
    return std::move(out).take();
  }
  static std::optional<Head> decode(std::string_view text) {
    ByteReader in(as_bytes(text));
    if (in.u32() != kFormat) return std::nullopt;
    Head head{in.u64(), in.u64(), in.u32()};
    return in.ok() && in.at_end() ? std::optional(head) : std::nullopt;
  }
};

std::string encode(const Snapshot& snapshot) {
  ByteWriter out;
  out.u32(static_cast<std::uint32_t>(snapshot.positions.size()));
  for (auto [partition, offset] : snapshot.positions) out.i32(partition), out.i64(offset);
  out.text(snapshot.model);
  return std::move(out).take();
}

std::optional<Snapshot> decode(std::string_view text) {
  ByteReader in(as_bytes(text));
  Snapshot out;
  auto count = in.u32();
  if (count > kPartitionsMax) return std::nullopt;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto partition = in.i32();
    out.positions[partition] = in.i64();
  }
  if (!in.ok()) return std::nullopt;
  out.model = in.text(static_cast<std::int64_t>(in.remaining()));
  return out;
}

}  // namespace

Task<Result<void>> StateStore::save(Snapshot snapshot) {
  auto blob = encode(snapshot);
  auto current = CO_TRY(co_await store_.get(std::string(kCurrent)));
  auto before = current ? Head::decode(*current) : std::nullopt;
  Head head{before ? before->number + 1 : 1, blob.size(), crc32c(as_bytes(blob))};

  // A snapshot that was never finished had the same number; its pieces go first.
  auto stale = CO_TRY(co_await store_.scan(piece_prefix(head.number), piece_prefix(head.number + 1), 100'000));
  env::StoreBatch cleared;
  for (const auto& [key, value] : stale) cleared.erase(key);
  stale.clear();
  if (!cleared.changes.empty()) CO_TRY(co_await store_.commit(std::move(cleared), env::Durability::written));

  for (std::size_t i = 0; i * kPieceSize < blob.size(); ++i) {
    env::StoreBatch piece;
    piece.put(piece_key(head.number, i), blob.substr(i * kPieceSize, kPieceSize));
    CO_TRY(co_await store_.commit(std::move(piece), env::Durability::written));
  }
  env::StoreBatch finish;
  finish.put(std::string(kCurrent), head.encode());
  if (before) {
    for (std::size_t i = 0; i * kPieceSize < before->size; ++i) finish.erase(piece_key(before->number, i));
  }
  co_return co_await store_.commit(std::move(finish), env::Durability::synced);
}

Task<Result<std::optional<Snapshot>>> StateStore::load() {
  auto current = CO_TRY(co_await store_.get(std::string(kCurrent)));
  if (!current) co_return std::optional<Snapshot>();
  auto head = Head::decode(*current);
  std::string blob;
  for (std::size_t i = 0; head && blob.size() < head->size; ++i) {
    auto piece = CO_TRY(co_await store_.get(piece_key(head->number, i)));
    if (!piece || piece->empty()) break;
    blob += *piece;
  }
  bool whole = head && blob.size() == head->size && crc32c(as_bytes(blob)) == head->crc;
  auto snapshot = whole ? decode(blob) : std::nullopt;
  if (!snapshot) log_line(warn, "snapshot_unreadable", {{"bytes", blob.size()}});
  co_return snapshot;
}

}  // namespace forelog::predictor
