// Settings: any text as a .properties file; files made of real keys with drawn values; topics' overrides; listeners.
//
// What is accepted must be written as text that reads back the same; what is refused must say which key it is about.
#include "broker/all_settings.h"
#include "broker/cluster/topic_rules.h"
#include "tests/fuzz/fuzz.h"

namespace forelog {
namespace {

using fuzz::Decisions;

// Reading what was written is the identity, for whatever struct.
template <Described T>
void check_struct(const SettingMap& raw) {
  auto read = read_settings<T>(raw);
  if (!read) return;
  auto written = write_settings(*read);
  auto again = read_settings<T>(written);
  CHECK(again.has_value(), "what we write must be legal");
  CHECK(write_settings(*again) == written);
}

void check_map(const SettingMap& raw) {
  auto text = properties_text(raw);
  if (text.size() <= kSettingsTextMax) CHECK(*parse_properties(text) == raw, "as text and back");
  auto all = read_all_settings(raw);
  if (!all) CHECK(!all.error().context.empty(), "an error says what it is about");
  check_struct<cluster::BrokerSettings>(raw);
  check_struct<cluster::ServiceSettings>(raw);
  check_struct<groups::GroupSettings>(raw);
  check_struct<LogSettings>(raw);
  check_struct<cache::CacheSettings>(raw);
  check_struct<archive::ArchiveSettings>(raw);
  check_struct<prefetch::PrefetchSettings>(raw);
  check_struct<prefetch::HintServiceSettings>(raw);
  check_struct<prefetch::AccessLogSettings>(raw);
  check_struct<log::TopicSettings>(raw);
  const auto& catalog = settings_catalog();
  static_cast<void>(catalog.check_topic(raw));
  const SettingMap none;
  if (all) CHECK(!catalog.describe_broker({none, none, none, raw}).empty());
  static_cast<void>(catalog.describe_topic({raw, none, none, none}));
  static_cast<void>(cluster::check_topic_settings(raw, none));
}

std::string draw_value(const SettingRow& row, Decisions& in) {
  auto kind = in.between<int>(0, 5);
  auto digits = [&] { return std::to_string(in.any<std::int64_t>()); };
  if (kind == 0) return in.text(40);
  if (kind == 1) return digits();
  if (kind == 2)
    return std::to_string(in.between<int>(-2, 4000)) + in.PickValueInArray({"", "KiB", " MiB", "GiB", "TiB", "e9"});
  if (kind == 3) return std::to_string(in.any<bool>() ? row.min : row.max);
  auto legal = row.random([&] { return in.any<std::uint64_t>(); });
  CHECK(row.check(row.name, legal).has_value(), "a random legal value is legal");
  return legal;
}

SettingMap draw_map(Decisions& in) {
  SettingMap out;
  auto add = [&]<Described T>(const T&) {
    const auto& rows = setting_rows<T>();
    const auto& row = rows[in.between<std::size_t>(0, rows.size() - 1)];
    auto key = row.name;
    if (!row.synonyms.empty() && in.one_in(3)) key = row.synonyms[in.between<std::size_t>(0, row.synonyms.size() - 1)];
    out[std::string(key)] = draw_value(row, in);
  };
  for (auto count = in.between<int>(1, 8); count > 0; --count) {
    switch (in.between<int>(0, 10)) {
      case 0:
        add(cluster::BrokerSettings{});
        break;
      case 1:
        add(cluster::ServiceSettings{});
        break;
      case 2:
        add(groups::GroupSettings{});
        break;
      case 3:
        add(LogSettings{});
        break;
      case 4:
        add(cache::CacheSettings{});
        break;
      case 5:
        add(archive::ArchiveSettings{});
        break;
      case 6:
        add(prefetch::PrefetchSettings{});
        break;
      case 7:
        add(prefetch::HintServiceSettings{});
        break;
      case 8:
        add(prefetch::AccessLogSettings{});
        break;
      case 9:
        add(log::TopicSettings{});
        break;
      default:
        out[in.text(30)] = in.text(30);
    }
  }
  return out;
}

void check_changes(Decisions& in) {
  auto overrides = draw_map(in);
  std::vector<cluster::ConfigChange> changes;
  for (auto& [key, value] : draw_map(in)) {
    auto op = static_cast<cluster::ConfigOp>(in.between<int>(0, 3));
    changes.push_back({op, in.one_in(3) ? in.text(10) : key, value});
  }
  auto kind = in.any<bool>() ? cluster::ConfigResource::Kind::topic : cluster::ConfigResource::Kind::broker;
  auto changed = cluster::changed_configs(overrides, changes, settings_catalog(), {}, kind);
  if (changed) static_cast<void>(properties_text(*changed));
}

}  // namespace
}  // namespace forelog

FUZZ_TARGET(settings) {
  using namespace forelog;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  const AllocationMeter meter;
  if (kind == 0) {
    if (auto map = parse_properties(as_text(in.rest()))) check_map(*map);
  } else if (kind == 1) {
    check_map(draw_map(in));
  } else if (kind == 2) {
    check_changes(in);
  } else {
    std::vector<std::string> entries;
    for (auto count = in.between<int>(0, 3); count > 0; --count) entries.push_back(in.text(60));
    auto parsed = cluster::parse_listeners(entries, in.text(60));
    if (parsed) {
      for (const auto& one : *parsed) CHECK(one.port >= 0 && one.port <= 65535 && !one.name.empty());
    }
  }
  meter.expect_bounded(input.size());
}
