#include "broker/archive/identity.h"

#include "broker/archive/shard_object.h"
#include "broker/base/crc32c.h"
#include "broker/base/json.h"

#include <fmt/format.h>

namespace forelog::archive {
namespace {

constexpr Bytes kSizeMax = 4_KiB;
constexpr std::int32_t kVersion = 1;

struct Page {
  std::int32_t version = kVersion;
  std::string id;
  std::optional<std::string> checksum;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("id", m.id);
    field("checksum", m.checksum);
  };
};

std::string checksum_of(std::string_view id) { return fmt::format("{:08x}", crc32c(as_bytes(id))); }

class Content final : public env::ObjectContent {
 public:
  explicit Content(std::string text) : bytes_(Buffer::take(std::move(text))) {}
  Bytes size() const override { return static_cast<Bytes>(bytes_.size()); }
  Task<Result<Buffer>> read(Bytes from, Bytes size) override {
    co_return bytes_.slice(static_cast<std::size_t>(from), static_cast<std::size_t>(size));
  }

 private:
  Buffer bytes_;
};

}  // namespace

std::string identity_key(std::string_view prefix) { return std::string(prefix) + "/archive.id"; }

std::string encode_identity(const ArchiveId& id) { return to_json(Page{kVersion, id.text(), checksum_of(id.text())}); }

Result<ArchiveId> decode_identity(std::string_view text) {
  auto page = from_json<Page>(text);
  if (!page) return fail(ErrorCode::kCorruptFile, "it is not {\"version\":1,\"id\":…}: " + page.error().context);
  if (page->version != kVersion)
    return fail(ErrorCode::kNewerFormat, "it has version " + std::to_string(page->version) +
                                             "; start the release that wrote it, or a newer one");
  auto id = TopicId::parse(page->id);
  if (page->checksum && *page->checksum != checksum_of(page->id))
    return fail(ErrorCode::kCorruptFile, "its checksum is not that of its id");
  if (!id) return fail(ErrorCode::kCorruptFile, "'" + page->id + "' is no id");
  return *id;
}

Task<Result<std::optional<ArchiveId>>> read_identity(env::ObjectStore& store, std::string prefix, Deadline deadline) {
  auto key = identity_key(prefix);
  // Only a listing tells a bucket that does not exist from an object that does not.
  auto listed = CO_TRY(co_await store.list(key, "", 1, deadline));
  Bytes size = -1;
  if (!listed.empty() && listed.front().key == key) {
    size = listed.front().size;
  } else {
    // Some servers list what was just put a moment later.
    auto info = co_await store.head(key, deadline);
    if (!info && info.error().code == ErrorCode::kNotFound) co_return std::optional<ArchiveId>();
    if (!info) co_return fail(std::move(info).error());
    size = info->size;
  }
  if (size > kSizeMax) co_return fail(ErrorCode::kCorruptFile, key + " is too large");
  auto bytes = CO_TRY(co_await read_range(store, key, 0, size, deadline));
  auto id = decode_identity(bytes.text());
  // The checksum tells bytes that rotted there from those that rot anew on the way.
  if (!id)
    co_return fail(id.error().code, fmt::format("{} ({} bytes, CRC-32C {:08x}): {}", key, bytes.size(), crc32c(bytes),
                                                id.error().context));
  co_return std::optional<ArchiveId>(*id);
}

Task<Result<void>> put_identity(env::ObjectStore& store, std::string prefix, ArchiveId id, Deadline deadline) {
  Content content(encode_identity(id));
  co_return co_await store.put(identity_key(prefix), content, deadline);
}

}  // namespace forelog::archive
