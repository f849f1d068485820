#include "broker/archive/manifest.h"

#include "broker/archive/envelope.h"
#include "broker/archive/shard_object.h"
#include "broker/base/crc32c.h"
#include "broker/base/json.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::archive {
namespace {

constexpr Envelope kEnvelope{0x464c4d46, 1, "manifest"};  // "FLMF"

// What stands in the page as JSON.
struct Page {
  std::string partition;
  std::string older;
  std::vector<log::ShardDescriptor> shards;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("partition", m.partition);
    field("older", m.older);
    field("shards", m.shards);
  };
};

}  // namespace

Buffer encode_manifest(const Manifest& manifest) {
  return seal(kEnvelope, to_json(Page{manifest.partition.text(), manifest.older, manifest.shards}));
}

std::string manifest_key(std::string_view prefix, const Manifest& manifest) {
  auto end = manifest.shards.empty() ? Offset(0) : manifest.shards.back().end;
  auto checksum = crc32c(encode_manifest(manifest));
  return fmt::format("{}manifest/{:020}-{:08x}", partition_prefix(prefix, manifest.partition), end.value(), checksum);
}

std::optional<Offset> parse_manifest_key(std::string_view prefix, const PartitionKey& partition, std::string_view key) {
  auto before = partition_prefix(prefix, partition) + "manifest/";
  constexpr std::size_t kDigits = 20, kRest = 9;  // and '-' with the checksum
  if (!key.starts_with(before) || key.size() != before.size() + kDigits + kRest) return std::nullopt;
  auto digits = key.substr(before.size(), kDigits);
  std::int64_t end = 0;
  auto [stop, error] = std::from_chars(digits.data(), digits.data() + digits.size(), end);
  if (error != std::errc{} || stop != digits.data() + digits.size() || key[before.size() + kDigits] != '-') {
    return std::nullopt;
  }
  return Offset(end);
}

Result<Manifest> decode_manifest(const PartitionKey& partition, ByteView bytes) {
  auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kCorruptFile, fmt::format("manifest of {}: {}", partition.text(), what));
  };
  auto text = open_sealed(kEnvelope, bytes);
  if (!text) return bad(text.error().context);
  auto page = from_json<Page>(*text);
  if (!page) return bad(page.error().context);
  if (page->partition != partition.text()) return bad("it is of " + page->partition);
  for (std::size_t i = 0; i < page->shards.size(); ++i) {
    const auto& shard = page->shards[i];
    bool follows = i == 0 || page->shards[i - 1].end == shard.base;
    if (!follows || shard.end <= shard.base || shard.size <= 0 || shard.footer_size <= 0)
      return bad("shards out of order");
  }
  return Manifest{partition, std::move(page->older), std::move(page->shards)};
}

}  // namespace forelog::archive
