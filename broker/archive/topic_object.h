// topic_object.h: what the archive itself knows of a topic, so that it can be rebuilt with nothing else left: its name,
// id, number of partitions and settings. FORMAT.md has the bytes.
//
// Written anew, under a higher number, when any of it changes; the one with the highest number counts.
#pragma once

#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/settings.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace forelog::archive {

inline constexpr std::int32_t kTopicPartitionsMax = 1'000'000;

struct TopicDescription {
  std::string name;
  TopicId id;
  std::int32_t partitions = 0;
  SettingMap settings;  // the topic's own, as of CreateTopics and AlterConfigs
  friend bool operator==(const TopicDescription&, const TopicDescription&) = default;
};

// "<prefix>/<topic id>/": what all objects of a topic begin with.
std::string topic_prefix(std::string_view prefix, const TopicId& topic);
// "<prefix>/<topic id>/topic/": what its descriptions begin with.
std::string descriptions_prefix(std::string_view prefix, const TopicId& topic);
// "…topic/<number, 20 digits>-<8 hex digits of its checksum>"
std::string description_key(std::string_view prefix, std::uint64_t number, const TopicDescription& description);

struct DescriptionName {
  TopicId topic;
  std::uint64_t number = 0;
  std::string checksum;
};
std::optional<DescriptionName> parse_description_key(std::string_view prefix, std::string_view key);

Buffer encode_description(const TopicDescription& description);
// CorruptFile: bad magic, version, checksum, another topic, an impossible number of partitions.
Result<TopicDescription> decode_description(const TopicId& topic, ByteView bytes);

}  // namespace forelog::archive
