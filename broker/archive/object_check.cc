#include "broker/archive/object_check.h"

#include "broker/archive/shard_object.h"
#include "broker/base/crc32c.h"

#include <algorithm>
#include <memory>

namespace forelog::archive {
namespace {

constexpr Bytes kFirstGuess = 64_KiB;  // holds the footer of a shard of some hundred MiB
// Of a damaged object a server may begin an answer and break it off, as often as it is asked.
constexpr Bytes kAskedAtOnce = 4_MiB;
constexpr Duration kAskedMax = 120s;

// Checksums of blocks, as bytes come in pieces of any size.
struct Blocks {
  explicit Blocks(const log::Footer& f) : footer(f) {}
  const log::Footer& footer;
  std::uint32_t index = 0;
  std::uint32_t crc = 0;
  Bytes filled = 0;
  std::optional<std::uint32_t> wrong;

  void take(const env::ObjectStore::Piece& piece) {
    for (auto bytes = piece.bytes.view(); !bytes.empty() && index < footer.block_count();) {
      auto block = std::min(kBlockSize, footer.size - static_cast<Bytes>(index) * kBlockSize);
      auto size = std::min(static_cast<Bytes>(bytes.size()), block - filled);
      bool is_block = size == block && piece.bytes.size() == static_cast<std::size_t>(size);
      crc = is_block ? piece.crc32c : crc32c_extend(crc, bytes.first(static_cast<std::size_t>(size)));
      bytes = bytes.subspan(static_cast<std::size_t>(size));
      filled += size;
      if (filled < block) return;
      if (crc != footer.block_crc(index) && !wrong) wrong = index;
      ++index;
      crc = 0;
      filled = 0;
    }
  }
};

}  // namespace

Task<Result<log::Footer>> read_footer_of(env::ObjectStore& store, std::string key, ShardId shard, Bytes object_size,
                                         Deadline deadline) {
  auto trailer_size = static_cast<Bytes>(log::kFooterTrailerSize);
  if (object_size < trailer_size) co_return fail(ErrorCode::kCorruptFile, key + " is too short for a shard");
  auto size = std::min(kFirstGuess, object_size);
  auto tail = CO_TRY(co_await read_range(store, key, object_size - size, size, deadline));
  auto place = log::find_footer(tail.slice(static_cast<std::size_t>(size - trailer_size)));
  if (!place) co_return fail(ErrorCode::kCorruptFile, key + ": " + place.error().context);
  if (place->footer_size > kFooterSizeMax || place->footer_size + place->data_size != object_size)
    co_return fail(ErrorCode::kCorruptFile, key + " has another size than its trailer says");
  if (place->footer_size > size)
    tail = CO_TRY(co_await read_range(store, key, place->data_size, place->footer_size, deadline));
  auto footer = log::Footer::decode(tail.slice(tail.size() - static_cast<std::size_t>(place->footer_size)));
  if (!footer) co_return fail(ErrorCode::kCorruptFile, key + ": " + footer.error().context);
  if (footer->shard != shard || footer->size != place->data_size)
    co_return fail(ErrorCode::kCorruptFile, key + " holds " + footer->shard.text());
  co_return footer;
}

Task<Result<void>> check_blocks(env::ObjectStore& store, env::Clock& clock, std::string key, const log::Footer& footer,
                                std::function<void(Bytes)> on_read, Deadline deadline) {
  auto blocks = std::make_shared<Blocks>(footer);
  env::ObjectStore::OnPiece take = [blocks, on_read = std::move(on_read)](env::ObjectStore::Piece piece) {
    blocks->take(piece);
    on_read(static_cast<Bytes>(piece.bytes.size()));
  };
  for (Bytes at = 0; at < footer.size; at += kAskedAtOnce) {
    env::ObjectStore::OnPiece pass = [&take](env::ObjectStore::Piece piece) { take(std::move(piece)); };
    auto patience = std::min(deadline, clock.now() + kAskedMax);
    auto size = std::min(kAskedAtOnce, footer.size - at);
    CO_TRY(co_await store.get_range(key, at, size, std::move(pass), env::TrafficClass::archive, patience));
  }
  if (blocks->wrong)
    co_return fail(ErrorCode::kCorruptBlock, key + ": block " + std::to_string(*blocks->wrong) + " of " +
                                                 std::to_string(footer.block_count()) + " fails its checksum");
  if (blocks->index != footer.block_count()) co_return fail(ErrorCode::kCorruptBlock, key + " ends too early");
  co_return Result<void>{};
}

}  // namespace forelog::archive
