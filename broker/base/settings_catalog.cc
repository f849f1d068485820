#include "broker/base/settings_catalog.h"

#include "broker/base/check.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <span>

#include <fmt/format.h>

namespace forelog {
namespace {

struct KafkaKey {
  std::string_view name;
  SettingType type;
  std::string_view default_value;
  bool dynamic = false;
};

using enum SettingType;
#define KAFKA_KEY(name, type, default_value, dynamic) {name, type, default_value, dynamic},
#define KAFKA_TOPIC_KEY(name, type, default_value)
constexpr KafkaKey kBrokerKeys[] = {
#include "broker/base/kafka_keys.def"
};
#undef KAFKA_KEY
#undef KAFKA_TOPIC_KEY
#define KAFKA_KEY(name, type, default_value, dynamic)
#define KAFKA_TOPIC_KEY(name, type, default_value) {name, type, default_value},
constexpr KafkaKey kTopicKeys[] = {
#include "broker/base/kafka_keys.def"
};
#undef KAFKA_KEY
#undef KAFKA_TOPIC_KEY

static_assert(std::ranges::is_sorted(kBrokerKeys, {}, &KafkaKey::name));
static_assert(std::ranges::is_sorted(kTopicKeys, {}, &KafkaKey::name));

std::span<const KafkaKey> kafka_keys(bool of_topic) {
  return of_topic ? std::span<const KafkaKey>(kTopicKeys) : std::span<const KafkaKey>(kBrokerKeys);
}

const KafkaKey* kafka_key(std::string_view name, bool of_topic) {
  auto keys = kafka_keys(of_topic);
  auto found = std::ranges::lower_bound(keys, name, {}, &KafkaKey::name);
  return found != keys.end() && found->name == name ? &*found : nullptr;
}

// Settings that Kafka hands on to its plugins, and those of one listener
// (`listener.name.<listener>[.<mechanism>].<key>`).
bool is_prefixed(std::string_view key) {
  for (std::string_view plugin : {"rsm.config.", "rlmm.config."}) {
    if (key.starts_with(plugin)) return true;
  }
  if (!key.starts_with("listener.name.")) return false;
  key.remove_prefix(std::string_view("listener.name.").size());
  for (int parts = 0; parts < 2; ++parts) {
    auto dot = key.find('.');
    if (dot == std::string_view::npos) return false;
    key.remove_prefix(dot + 1);
    if (kafka_key(key, false) != nullptr) return true;
  }
  return false;
}

template <class Number>
bool is_number(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} && end == text.data() + text.size();
}

bool has_type(std::string_view value, SettingType type) {
  switch (type) {
    case boolean:
      return value == "true" || value == "false";
    case int32:
      return is_number<std::int32_t>(value);
    case int16:
      return is_number<std::int16_t>(value);
    case int64:
      return is_number<std::int64_t>(value);
    case real:
      return is_number<double>(value);
    case string:
    case list:
    case type_class:
    case password:
      break;
  }
  return true;
}

std::string_view name_of(SettingType type) {
  constexpr std::string_view kNames[] = {"",     "boolean", "string", "int",   "short",
                                         "long", "double",  "list",   "class", "password"};
  return kNames[static_cast<std::size_t>(type)];
}

// How many letters must be inserted, removed or replaced to make one text of the other.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 0; i < a.size(); ++i) {
    auto diagonal = row[0];
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      auto replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

void put_in_force(SettingEntry& entry) {
  const auto& first = entry.synonyms.front();
  entry.value = first.value;
  entry.source = first.source;
  entry.is_default = first.source == SettingSource::default_value;
  if (!entry.sensitive) return;
  entry.value.reset();
  for (auto& synonym : entry.synonyms) synonym.value.reset();
}

std::string cell(std::string_view text) {  // of a table in Markdown
  std::string out;
  for (char c : text) out += c == '|' ? std::string("\\|") : std::string{c};
  return out;
}

}  // namespace

void SettingsCatalog::add_section(std::string_view title, const std::vector<SettingRow>* rows) {
  for (const auto& row : *rows) CHECK(find(row.name, row.scope == Scope::topic) == nullptr);
  sections_.push_back({std::string(title), rows});
}

const SettingRow* SettingsCatalog::find(std::string_view key, bool of_topic) const {
  for (const auto& section : sections_) {
    for (const auto& row : *section.rows) {
      bool topic_row = row.scope == Scope::topic;
      if (row.name == key && topic_row == of_topic) return &row;
      if (!of_topic && std::ranges::find(row.synonyms, key) != row.synonyms.end()) return &row;
    }
  }
  return nullptr;
}

std::string SettingsCatalog::nearest(std::string_view key, bool of_topic) const {
  std::string best;
  std::size_t best_distance = key.size() / 2 + 1;  // further away is no help
  auto offer = [&](std::string_view name) {
    auto d = distance(key, name);
    if (d < best_distance) best = name, best_distance = d;
  };
  if (key.size() > 200) return best;
  for (const auto& section : sections_) {
    for (const auto& row : *section.rows) {
      if ((row.scope == Scope::topic) == of_topic) offer(row.name);
      if (!of_topic) std::ranges::for_each(row.synonyms, offer);
    }
  }
  for (const auto& known : kafka_keys(of_topic)) offer(known.name);
  return best;
}

Result<SettingsCatalog::Checked> SettingsCatalog::check(const SettingMap& settings, bool of_topic) const {
  Checked checked;
  for (const auto& [key, value] : settings) {
    if (const auto* row = find(key, of_topic)) {
      TRY(row->check(key, value));
    } else if (const auto* known = kafka_key(key, of_topic)) {
      if (!has_type(value, known->type)) {
        return fail(ErrorCode::kInvalidSetting,
                    fmt::format("{}={}: not a value of type {}", key, value.substr(0, 200), name_of(known->type)));
      }
      checked.warnings.push_back(key + " is a setting of Kafka that has no effect here");
    } else if (!of_topic && is_prefixed(key)) {
      checked.warnings.push_back(key + " is a setting of Kafka that has no effect here");
    } else if (!of_topic && find(key, true) != nullptr) {
      const auto& synonyms = find(key, true)->synonyms;
      auto hint = synonyms.empty() ? std::string() : fmt::format("; for all topics there is {}", synonyms.front());
      return fail(ErrorCode::kInvalidSetting, fmt::format("{}: a setting of a topic, not of a broker{}", key, hint));
    } else {
      auto similar = nearest(key, of_topic);
      auto hint = similar.empty() ? std::string() : "; did you mean " + similar + "?";
      return fail(ErrorCode::kInvalidSetting, fmt::format("{}: no such setting{}", key.substr(0, 200), hint));
    }
  }
  return checked;
}

Result<SettingsCatalog::Checked> SettingsCatalog::check_broker(const SettingMap& settings) const {
  return check(settings, false);
}
Result<SettingsCatalog::Checked> SettingsCatalog::check_topic(const SettingMap& overrides) const {
  return check(overrides, true);
}

bool SettingsCatalog::is_dynamic(std::string_view name) const {
  // What a topic may override takes effect at once for all topics, too.
  if (const auto* row = find(name, false)) return row->scope != Scope::broker;
  const auto* known = kafka_key(name, false);
  return known != nullptr && known->dynamic;
}

bool SettingsCatalog::is_list(std::string_view name, bool of_topic) const {
  if (const auto* row = find(name, of_topic)) return row->kind == SettingRow::Kind::list;
  const auto* known = kafka_key(name, of_topic);
  return known != nullptr && known->type == list;
}

std::optional<std::string> SettingsCatalog::value_of(std::string_view name, const SettingMap& overrides,
                                                     const SettingMap& broker, bool of_topic) const {
  if (auto at = overrides.find(name); at != overrides.end()) return at->second;
  if (const auto* row = find(name, of_topic)) {
    for (auto synonym : row->synonyms) {
      if (auto at = broker.find(synonym); at != broker.end()) return at->second;
    }
    if (auto at = broker.find(name); !of_topic && at != broker.end()) return at->second;
    return row->default_value;
  }
  const auto* known = kafka_key(name, of_topic);
  if (known == nullptr) return std::nullopt;
  if (auto at = broker.find(name); !of_topic && at != broker.end()) return at->second;
  return std::string(known->default_value);
}

std::vector<SettingEntry> SettingsCatalog::describe(const SettingLayers& layers, bool of_topic) const {
  std::vector<SettingEntry> entries;
  auto describe = [&](SettingEntry entry, const std::vector<std::string_view>& names, std::string_view default_value) {
    auto look = [&](const SettingMap& settings, std::string_view name, SettingSource source) {
      auto at = settings.find(name);
      if (at != settings.end()) entry.synonyms.push_back({std::string(name), at->second, source});
    };
    if (of_topic) look(layers.topic, entry.name, SettingSource::topic);
    for (auto name : names) {
      look(layers.dynamic_broker, name, SettingSource::dynamic_broker);
      look(layers.dynamic_default, name, SettingSource::dynamic_default_broker);
      look(layers.file, name, SettingSource::static_broker);
    }
    auto default_name = names.empty() ? entry.name : std::string(names.front());
    entry.synonyms.push_back({default_name, std::string(default_value), SettingSource::default_value});
    put_in_force(entry);
    entries.push_back(std::move(entry));
  };
  auto add_row = [&](const SettingRow& row, std::string_view name, const std::vector<std::string_view>& names) {
    SettingEntry entry;
    entry.name = name;
    entry.read_only = !of_topic && row.scope == Scope::broker;
    entry.sensitive = row.sensitive;
    const auto* known = kafka_key(name, of_topic);
    entry.type = known != nullptr ? known->type : row.type();
    entry.text = row.text;
    // Under a synonym the default is Kafka's own, in the synonym's unit; it may be empty.
    bool renamed = name != row.name && known != nullptr;
    describe(std::move(entry), names, renamed ? known->default_value : std::string_view(row.default_value));
  };
  for (const auto& section : sections_) {
    for (const auto& row : *section.rows) {
      bool topic_row = row.scope == Scope::topic;
      if (of_topic && topic_row) add_row(row, row.name, row.synonyms);
      if (of_topic) continue;
      if (!topic_row) {
        auto names = row.synonyms;
        names.insert(names.begin(), row.name);
        add_row(row, row.name, names);
      }
      for (std::size_t i = 0; i < row.synonyms.size(); ++i) {
        if (row.synonyms[i] == row.name && !topic_row) continue;
        add_row(row, row.synonyms[i], {row.synonyms.begin() + static_cast<std::ptrdiff_t>(i), row.synonyms.end()});
      }
    }
  }
  for (const auto& known : kafka_keys(of_topic)) {
    if (find(known.name, of_topic) != nullptr) continue;
    SettingEntry entry;
    entry.name = known.name;
    entry.read_only = !of_topic && !known.dynamic;
    entry.sensitive = known.type == password;
    entry.type = known.type;
    entry.text = "Kafka's; without effect here.";
    describe(std::move(entry), of_topic ? std::vector<std::string_view>{} : std::vector{known.name},
             known.default_value);
  }
  std::ranges::sort(entries, {}, &SettingEntry::name);
  return entries;
}

std::vector<SettingEntry> SettingsCatalog::describe_topic(const SettingLayers& layers) const {
  return describe(layers, true);
}
std::vector<SettingEntry> SettingsCatalog::describe_broker(const SettingLayers& layers) const {
  return describe(layers, false);
}

std::string SettingsCatalog::page() const {
  std::string out =
      "# Settings\n\n"
      "Generated from the source; do not edit (`UPDATE=1 make test` writes it again).\n\n"
      "A broker reads `key=value` lines from its file, as Kafka's `server.properties`; `--set key=value` overrides. "
      "Scope *broker*:\n"
      "read at start. *dynamic*: may also be changed while the broker runs. *topic*: per topic; the names in brackets "
      "set it for\n"
      "all topics. Sizes also take KiB, MiB, GiB and TiB. An unknown key is refused.\n";
  for (const auto& section : sections_) {
    out += "\n## " + section.title + "\n\n| setting | default | allowed | scope | |\n|---|---|---|---|---|\n";
    for (const auto& row : *section.rows) {
      constexpr std::string_view kScopes[] = {"broker", "dynamic", "topic"};
      auto name = fmt::format("`{}`", row.name);
      if (!row.synonyms.empty()) name += fmt::format(" (`{}`)", fmt::join(row.synonyms, "`, `"));
      auto shown = row.default_value.empty() ? std::string() : "`" + row.default_value + "`";
      out += fmt::format("| {} | {} | {} | {} | {} |\n", name, cell(shown), cell(row.range_text()),
                         kScopes[static_cast<std::size_t>(row.scope)], cell(row.text));
    }
  }
  out += "\n## Kafka's settings without effect here\n\nAccepted with a warning, so that a file made for Kafka works.\n";
  for (bool of_topic : {false, true}) {
    out += of_topic ? "\nOf a topic: " : "\nOf a broker: ";
    std::vector<std::string_view> names;
    for (const auto& known : kafka_keys(of_topic)) {
      if (find(known.name, of_topic) == nullptr) names.push_back(known.name);
    }
    out += fmt::format("`{}`.\n", fmt::join(names, "`, `"));
  }
  return out;
}

}  // namespace forelog
