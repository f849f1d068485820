#include "broker/archive/topic_object.h"

#include "broker/archive/envelope.h"
#include "broker/base/crc32c.h"
#include "broker/base/json.h"

#include <charconv>

#include <fmt/format.h>

namespace forelog::archive {
namespace {

constexpr Envelope kEnvelope{0x464c5444, 1, "description of a topic"};  // "FLTD"
constexpr std::size_t kDigits = 20, kHexDigits = 8;

struct Page {
  std::string name;
  std::string id;
  std::int32_t partitions = 0;
  std::map<std::string, std::string> settings;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("name", m.name);
    field("id", m.id);
    field("partitions", m.partitions);
    field("settings", m.settings);
  };
};

}  // namespace

std::string topic_prefix(std::string_view prefix, const TopicId& topic) {
  return fmt::format("{}/{}/", prefix, topic.text());
}

std::string descriptions_prefix(std::string_view prefix, const TopicId& topic) {
  return topic_prefix(prefix, topic) + "topic/";
}

std::string description_key(std::string_view prefix, std::uint64_t number, const TopicDescription& description) {
  return fmt::format("{}{:020}-{:08x}", descriptions_prefix(prefix, description.id), number,
                     crc32c(encode_description(description)));
}

std::optional<DescriptionName> parse_description_key(std::string_view prefix, std::string_view key) {
  if (!key.starts_with(prefix) || !key.substr(prefix.size()).starts_with('/')) return std::nullopt;
  auto rest = key.substr(prefix.size() + 1);
  auto slash = rest.find('/');
  auto id = TopicId::parse(rest.substr(0, slash));
  if (!id || slash == std::string_view::npos) return std::nullopt;
  rest.remove_prefix(slash + 1);
  constexpr std::string_view kFolder = "topic/";
  if (!rest.starts_with(kFolder) || rest.size() != kFolder.size() + kDigits + 1 + kHexDigits) return std::nullopt;
  rest.remove_prefix(kFolder.size());
  DescriptionName out{*id, 0, std::string(rest.substr(kDigits + 1))};
  auto [end, error] = std::from_chars(rest.data(), rest.data() + kDigits, out.number);
  if (error != std::errc{} || end != rest.data() + kDigits || rest[kDigits] != '-') return std::nullopt;
  return out;
}

Buffer encode_description(const TopicDescription& description) {
  return seal(kEnvelope, to_json(Page{description.name,
                                      description.id.text(),
                                      description.partitions,
                                      {description.settings.begin(), description.settings.end()}}));
}

Result<TopicDescription> decode_description(const TopicId& topic, ByteView bytes) {
  auto bad = [&](std::string_view what) {
    return fail(ErrorCode::kCorruptFile, fmt::format("description of topic {}: {}", topic.text(), what));
  };
  auto text = open_sealed(kEnvelope, bytes);
  if (!text) return bad(text.error().context);
  auto page = from_json<Page>(*text);
  if (!page) return bad(page.error().context);
  if (page->id != topic.text()) return bad("it is of " + page->id);
  if (page->partitions <= 0 || page->partitions > kTopicPartitionsMax || page->name.empty()) return bad("impossible");
  return TopicDescription{
      std::move(page->name), topic, page->partitions, {page->settings.begin(), page->settings.end()}};
}

}  // namespace forelog::archive
