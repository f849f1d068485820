#include "broker/archive/shard_object.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::archive {
namespace {

constexpr std::size_t kOffsetDigits = 20;  // so that keys sort as offsets do

template <class T>
std::optional<T> whole_number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// The text up to `separator`, which is taken off `rest` with it; none when there is no separator.
std::optional<std::string_view> take_until(std::string_view& rest, char separator) {
  auto at = rest.find(separator);
  if (at == std::string_view::npos) return std::nullopt;
  auto part = rest.substr(0, at);
  rest.remove_prefix(at + 1);
  return part;
}

Task<Result<void>> verify_object(env::ObjectStore& store, std::string key, Bytes size, Buffer footer,
                                 Deadline deadline) {
  auto info = CO_TRY(co_await store.head(key, deadline));
  if (info.size != size) {
    co_return fail(ErrorCode::kCorruptFile, fmt::format("{} has {} bytes instead of {}", key, info.size, size));
  }
  auto footer_size = static_cast<Bytes>(footer.size());
  auto found = CO_TRY(co_await read_range(store, key, size - footer_size, footer_size, deadline));
  if (found != footer) co_return fail(ErrorCode::kCorruptFile, key + " does not end with its footer");
  co_return Result<void>{};
}

}  // namespace

std::string partition_prefix(std::string_view prefix, const PartitionKey& partition) {
  return fmt::format("{}/{}/{}/", prefix, partition.topic.text(), partition.partition.value());
}

std::string object_key(std::string_view prefix, const ShardId& shard) {
  return fmt::format("{}{:020}.{}", partition_prefix(prefix, shard.partition), shard.base.value(),
                     shard.generation.value());
}

std::optional<ShardId> parse_object_key(std::string_view prefix, std::string_view key) {
  if (!key.starts_with(prefix) || !key.substr(prefix.size()).starts_with('/')) return std::nullopt;
  auto rest = key.substr(prefix.size() + 1);
  auto topic = take_until(rest, '/');
  auto partition = take_until(rest, '/');
  auto base = take_until(rest, '.');
  if (!topic || !partition || !base || base->size() != kOffsetDigits) return std::nullopt;
  auto id = TopicId::parse(*topic);
  auto partition_number = whole_number<std::int32_t>(*partition);
  auto offset = whole_number<std::int64_t>(*base);
  auto generation = whole_number<std::int32_t>(rest);
  if (!id || !partition_number || !offset || !generation) return std::nullopt;
  ShardId shard{{*id, PartitionId(*partition_number)}, Offset(*offset), Generation(*generation)};
  if (object_key(prefix, shard) != key) return std::nullopt;  // "007" for 7 is somebody else's
  return shard;
}

Task<Result<Buffer>> FileContent::read(Bytes from, Bytes size) {
  CHECK(from >= 0 && size >= 0 && from + size <= size_);
  auto bytes = CO_TRY(co_await file_->read_at(from, size));
  if (static_cast<Bytes>(bytes.size()) != size)
    co_return fail(ErrorCode::kCorruptFile, "a segment ends before its footer");
  co_return bytes;
}

Task<Result<Buffer>> read_range(env::ObjectStore& store, std::string key, Bytes from, Bytes size, Deadline deadline) {
  auto parts = std::make_shared<Slices>();
  env::ObjectStore::OnPiece on_piece = [parts](env::ObjectStore::Piece piece) {
    parts->push_back(std::move(piece.bytes));
  };
  CO_TRY(co_await store.get_range(key, from, size, std::move(on_piece), env::TrafficClass::cold, deadline));
  if (total_size(*parts) != size)
    co_return fail(ErrorCode::kArchiveUnavailable, key + ": not the bytes that were asked for");
  co_return flatten(*parts);
}

Task<Result<void>> put_shard(env::ObjectStore& store, std::string key, env::ObjectContent& content,
                             const log::Footer& footer, Deadline deadline) {
  auto size = content.size();
  auto encoded = footer.encode();
  if (size != footer.size + static_cast<Bytes>(encoded.size())) {
    co_return fail(ErrorCode::kCorruptFile,
                   fmt::format("{}: {} bytes do not fit their footer", footer.shard.text(), size));
  }
  auto there = co_await verify_object(store, key, size, encoded, deadline);
  if (there) co_return Result<void>{};
  CO_TRY(co_await store.put(key, content, deadline));
  co_return co_await verify_object(store, key, size, encoded, deadline);
}

Task<Result<log::Footer>> read_footer(env::ObjectStore& store, std::string key, ShardId shard,
                                      std::optional<ObjectShape> shape, Deadline deadline) {
  if (!shape) {
    auto info = CO_TRY(co_await store.head(key, deadline));
    auto trailer_size = static_cast<Bytes>(log::kFooterTrailerSize);
    if (info.size < trailer_size) co_return fail(ErrorCode::kCorruptFile, key + " is too short for a shard");
    auto trailer = CO_TRY(co_await read_range(store, key, info.size - trailer_size, trailer_size, deadline));
    auto place = CO_TRY(log::find_footer(trailer));
    if (place.footer_size > kFooterSizeMax || place.footer_size + place.data_size != info.size) {
      co_return fail(ErrorCode::kCorruptFile, key + " has another size than its trailer says");
    }
    shape = ObjectShape{info.size, place.footer_size};
  }
  if (shape->footer_size <= 0 || shape->footer_size > kFooterSizeMax || shape->footer_size > shape->size) {
    co_return fail(ErrorCode::kCorruptFile, key + ": impossible size of a footer");
  }
  auto bytes = CO_TRY(co_await read_range(store, key, shape->size - shape->footer_size, shape->footer_size, deadline));
  auto footer = CO_TRY(log::Footer::decode(bytes));
  if (footer.shard != shard || footer.size + shape->footer_size != shape->size) {
    co_return fail(ErrorCode::kCorruptFile, key + " holds " + footer.shard.text());
  }
  co_return footer;
}

}  // namespace forelog::archive
