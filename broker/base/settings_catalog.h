// settings_catalog.h: all settings there are: the structs of every layer, and Kafka's keys that have no effect here. It
// checks a file, answers DescribeConfigs, and writes the page of documentation.
//
// Filled once at start, then only read: any core may.
#pragma once

#include "broker/base/settings.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace forelog {

// Where a value came from: Kafka's ConfigSource codes.
enum class SettingSource : std::int8_t {
  topic = 1,
  dynamic_broker = 2,
  dynamic_default_broker = 3,
  static_broker = 4,
  default_value = 5
};

// One line of a DescribeConfigs answer.
struct SettingEntry {
  std::string name;
  std::optional<std::string> value;  // none when sensitive
  SettingSource source = SettingSource::default_value;
  bool is_default = true;
  bool read_only = false;
  bool sensitive = false;
  SettingType type = SettingType::string;
  std::string text;
  struct SynonymValue {
    std::string name;
    std::optional<std::string> value;
    SettingSource source = SettingSource::default_value;
  };
  std::vector<SynonymValue> synonyms;  // the value in force first
};

// Where the value in force may stand, strongest first.
struct SettingLayers {
  const SettingMap& topic;            // a topic's overrides; empty for a broker
  const SettingMap& dynamic_broker;   // what AlterConfigs said for this broker
  const SettingMap& dynamic_default;  // and for all brokers
  const SettingMap& file;             // with --set
};

class SettingsCatalog {
 public:
  // Adds a layer's struct; `section` heads it on the page. Names may not collide with those added before.
  template <Described T>
  void add(std::string_view section) {
    add_section(section, &setting_rows<T>());
  }

  // What a broker's file says, checked: an unknown key is refused by name, with the nearest known one; a value out of
  // range is refused. Yields a warning for each key that is Kafka's but without effect here.
  struct Checked {
    std::vector<std::string> warnings;
  };
  Result<Checked> check_broker(const SettingMap& settings) const;
  // What a topic's overrides say, checked the same way (keys of topic scope, and Kafka's topic keys).
  Result<Checked> check_topic(const SettingMap& overrides) const;
  // Whether `name` may change while the broker runs.
  bool is_dynamic(std::string_view name) const;
  // Whether `name` is a list, so that AppendConfig and SubtractConfig apply.
  bool is_list(std::string_view name, bool of_topic) const;
  // The value in force for a topic or broker without any override of `name`; none when the name is unknown.
  std::optional<std::string> value_of(std::string_view name, const SettingMap& overrides, const SettingMap& broker,
                                      bool of_topic) const;

  // The rows of a DescribeConfigs answer, by name.
  std::vector<SettingEntry> describe_topic(const SettingLayers& layers) const;
  std::vector<SettingEntry> describe_broker(const SettingLayers& layers) const;

  std::string page() const;  // docs/settings.md

 private:
  struct Section {
    std::string title;
    const std::vector<SettingRow>* rows;
  };
  void add_section(std::string_view title, const std::vector<SettingRow>* rows);
  const SettingRow* find(std::string_view key, bool of_topic) const;  // by name or synonym
  Result<Checked> check(const SettingMap& settings, bool of_topic) const;
  std::vector<SettingEntry> describe(const SettingLayers& layers, bool of_topic) const;
  std::string nearest(std::string_view key, bool of_topic) const;
  std::vector<Section> sections_;
};

}  // namespace forelog
