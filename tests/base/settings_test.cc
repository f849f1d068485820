#include "broker/base/settings.h"

#include "broker/base/ids.h"
#include "broker/base/settings_catalog.h"

#include <algorithm>
#include <random>

#include <gtest/gtest.h>

namespace forelog {
namespace {

enum class Mode : std::uint8_t { off, read_ahead };
constexpr std::array<std::string_view, 2> enum_names(Mode) { return {"off", "read-ahead"}; }

struct Broker {
  BrokerId id{1};
  Bytes memory = 64_MiB;
  Duration timeout = 2s;
  std::int16_t factor = 1;
  bool enabled = true;
  double ratio = 0.5;
  std::string secret;
  std::vector<std::string> listeners = {"a:1", "b:2"};
  std::vector<std::string> dirs = {"/tmp"};
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("broker.id", s.id, Range<std::int32_t>{0, 1000}, "Its number.");
    field("cache.memory", s.memory, Range<Bytes>{1_MiB, 1_TiB}, Scope::dynamic, "Memory.");
    field("cache.timeout.ms", s.timeout, Range<Duration>{1ms, 60s}, "Longest wait.");
    field("some.factor", s.factor, "A factor.");
    field("some.enable", s.enabled, "Whether.");
    field("some.ratio", s.ratio, Range<double>{0, 1}, "A ratio.");
    field("some.secret", s.secret, Sensitive{}, "Hidden | here.");
    field("listeners", s.listeners, "Where.");
    field("log.dirs", s.dirs, Synonym{"log.dir"}, "Data.");
  };
};

struct Topic {
  Duration retention = 168h;
  Duration flush = Duration::max();
  std::vector<std::string> policy = {"delete"};
  Mode mode = Mode::off;
  Bytes size = 1_GiB;
  static constexpr auto fields = [](auto& s, auto&& field) {
    field("retention.ms", s.retention, Range<Duration>{-1ms, Duration::max()}, Scope::topic,
          Synonym{"log.retention.ms"}, Synonym{"log.retention.minutes"}, Synonym{"log.retention.hours"},
          "How long records are kept.");
    field("flush.ms", s.flush, Range<Duration>{0ms, Duration::max()}, Scope::topic, Synonym{"log.flush.interval.ms"},
          "Flush.");
    field("cleanup.policy", s.policy, Scope::topic, OneOf{{"delete", "compact"}}, Synonym{"log.cleanup.policy"},
          "Policy.");
    field("prefetch.mode", s.mode, Scope::topic, Synonym{"prefetch.mode"}, "Who decides.");
    field("segment.bytes", s.size, Range<Bytes>{14, 2_GiB - 1}, Scope::topic, Synonym{"log.segment.bytes"}, "Size.");
  };
};

SettingsCatalog catalog() {
  SettingsCatalog out;
  out.add<Broker>("Broker");
  out.add<Topic>("Topics");
  return out;
}

template <class T>
T read(const SettingMap& settings, T start = {}) {
  auto out = read_settings<T>(settings, start);
  EXPECT_TRUE(out) << out.error().text();
  return out.value_or(T{});
}
template <class T>
std::string error_of(const SettingMap& settings) {
  auto out = read_settings<T>(settings);
  return out ? "" : out.error().context;
}
std::string refusal(const SettingMap& settings, bool of_topic = false) {
  auto checked = of_topic ? catalog().check_topic(settings) : catalog().check_broker(settings);
  return checked ? "" : checked.error().context;
}

TEST(Properties, FollowJavasSyntax) {
  auto settings = parse_properties(
      "# comment\n! comment\n\n  a=1\nb : 2 \r\nc 3\\\n   4\\t\\u00e9\nd=x\\\\\ne\\=f=g=h\nempty\n a = later\n# "
      "trailing \\\nlast=\\");
  ASSERT_TRUE(settings) << settings.error().text();
  EXPECT_EQ(*settings, (SettingMap{{"a", "later"},
                                   {"b", "2"},
                                   {"c", "34\t\xc3\xa9"},
                                   {"d", "x\\"},
                                   {"e=f", "g=h"},
                                   {"empty", ""},
                                   {"last", ""}}));
}

TEST(Properties, ReadBackWhatIsWritten) {
  SettingMap settings = {{"a b", " x\\y\n"}, {"#k:=", "!v=:"}, {"\xc3\xa9", "\t"},
                         {"end", "x "},      {"ends", "\\ "},  {" ", " "}};
  EXPECT_EQ(parse_properties(properties_text(settings)), settings);
}

TEST(Properties, RefuseBrokenEscapesAndHugeFiles) {
  EXPECT_FALSE(parse_properties("a=\\u12"));
  EXPECT_FALSE(parse_properties("a=\\uzzzz"));
  EXPECT_FALSE(parse_properties(std::string(kSettingsTextMax + 1, 'a')));
}

TEST(Settings, ReadEveryTypeInTheUnitOfItsName) {
  auto broker = read<Broker>({{"broker.id", "7"},
                              {"cache.memory", " 2 GiB"},
                              {"cache.timeout.ms", "1500"},
                              {"some.factor", "3"},
                              {"some.enable", "FALSE"},
                              {"some.ratio", "0.25"},
                              {"listeners", " x:1 , y:2,"},
                              {"log.dir", "/data"}});
  EXPECT_EQ(broker.id, BrokerId(7));
  EXPECT_EQ(broker.memory, 2_GiB);
  EXPECT_EQ(broker.timeout, 1500ms);
  EXPECT_EQ(broker.factor, 3);
  EXPECT_FALSE(broker.enabled);
  EXPECT_EQ(broker.ratio, 0.25);
  EXPECT_EQ(broker.listeners, (std::vector<std::string>{"x:1", "y:2"}));
  EXPECT_EQ(broker.dirs, std::vector<std::string>{"/data"});
}

TEST(Settings, TheFirstSynonymPresentWins) {
  EXPECT_EQ(read<Topic>({{"log.retention.hours", "1"}, {"log.retention.minutes", "5"}}).retention, 5min);
  EXPECT_EQ(read<Topic>({{"log.retention.ms", "9"}, {"log.retention.minutes", "5"}}).retention, 9ms);
  EXPECT_EQ(read<Topic>({{"log.retention.hours", "-1"}}).retention, -1ms);
  auto broker_wide = read<Topic>({{"log.retention.ms", "9"}, {"log.segment.bytes", "100"}});
  auto of_topic = read<Topic>({{"retention.ms", "11"}}, broker_wide);
  EXPECT_EQ(of_topic.retention, 11ms);
  EXPECT_EQ(of_topic.size, 100);
}

TEST(Settings, ForEverIsWrittenAsKafkaDoes) {
  EXPECT_EQ(write_settings(Topic{}).at("flush.ms"), "9223372036854775807");
  EXPECT_EQ(read<Topic>({{"flush.ms", "9223372036854775807"}}).flush, Duration::max());
  EXPECT_EQ(read<Topic>({{"flush.ms", "9223372036854"}}).flush, Duration(9223372036854000000));
  EXPECT_EQ(read<Topic>({{"flush.ms", "9223372036855"}}).flush, Duration::max());
}

TEST(Settings, AnIllegalValueIsNamedWithItsKeyAndRange) {
  EXPECT_EQ(error_of<Broker>({{"cache.memory", "5"}}),
            "cache.memory=5: out of range; allowed: 1048576 to 1099511627776");
  EXPECT_EQ(error_of<Broker>({{"cache.timeout.ms", "60001"}}),
            "cache.timeout.ms=60001: out of range; allowed: 1 to 60000");
  EXPECT_EQ(error_of<Broker>({{"some.factor", "40000"}}), "some.factor=40000: out of range; allowed: -32768 to 32767");
  EXPECT_EQ(error_of<Broker>({{"some.enable", "yes"}}),
            "some.enable=yes: neither true nor false; allowed: true, false");
  EXPECT_EQ(error_of<Broker>({{"some.ratio", "nan"}}), "some.ratio=nan: not a number; allowed: 0 to 1");
  EXPECT_EQ(error_of<Broker>({{"cache.memory", "99999999999TiB"}}).substr(0, 12), "cache.memory");
  EXPECT_EQ(error_of<Topic>({{"prefetch.mode", "on"}}),
            "prefetch.mode=on: not a value allowed here; allowed: off, read-ahead");
  EXPECT_EQ(error_of<Topic>({{"cleanup.policy", "delete,shred"}}),
            "cleanup.policy=delete,shred: 'shred' is not allowed here; allowed: delete, compact");
  EXPECT_EQ(error_of<Topic>({{"log.retention.hours", "x"}}),
            "log.retention.hours=x: not a whole number; allowed: at least -1");
  EXPECT_EQ(error_of<Topic>({{"retention.ms", "-2"}}), "retention.ms=-2: out of range; allowed: at least -1");
}

TEST(Settings, RandomValuesAreLegalAndReadBack) {
  std::mt19937_64 random(7);
  bool reached_min = false;
  for (int i = 0; i < 500; ++i) {
    auto broker = random_settings<Broker>([&] { return random(); });
    EXPECT_EQ(write_settings(read<Broker>(write_settings(broker))), write_settings(broker));
    auto topic = random_settings<Topic>([&] { return random(); });
    EXPECT_EQ(write_settings(read<Topic>(write_settings(topic))), write_settings(topic));
    reached_min |= broker.memory == 1_MiB;
  }
  EXPECT_TRUE(reached_min);
}

TEST(Settings, AnOverrideOfTheCommandLineIsLaidOver) {
  SettingMap settings = {{"a", "1"}};
  EXPECT_TRUE(apply_override(settings, "a=b=c"));
  EXPECT_EQ(settings.at("a"), "b=c");
  EXPECT_FALSE(apply_override(settings, "a"));
  EXPECT_FALSE(apply_override(settings, "=a"));
}

TEST(SettingsCatalog, AnUnknownKeyIsRefusedWithTheNearestKnownOne) {
  EXPECT_EQ(refusal({{"num.partition", "1"}}), "num.partition: no such setting; did you mean num.partitions?");
  EXPECT_EQ(refusal({{"cache.memroy", "1"}}), "cache.memroy: no such setting; did you mean cache.memory?");
  EXPECT_EQ(refusal({{"zzzzzz", "1"}}), "zzzzzz: no such setting");
  EXPECT_EQ(refusal({{"retention.mss", "1"}}, true), "retention.mss: no such setting; did you mean retention.ms?");
  EXPECT_EQ(refusal({{"cache.memory", "1"}}, true).substr(0, 29), "cache.memory: no such setting");
  EXPECT_EQ(refusal({{"retention.ms", "1"}}),
            "retention.ms: a setting of a topic, not of a broker; for all topics there is log.retention.ms");
}

TEST(SettingsCatalog, KafkasSettingsWithoutEffectAreAcceptedWithAWarning) {
  auto checked = catalog().check_broker({{"num.io.threads", "8"},
                                         {"broker.id", "1"},
                                         {"listener.name.internal.plain.sasl.jaas.config", "x"},
                                         {"listener.name.internal.ssl.keystore.location", "x"},
                                         {"rsm.config.any", "y"}});
  ASSERT_TRUE(checked) << checked.error().text();
  EXPECT_EQ(checked->warnings.size(), 4U);
  EXPECT_EQ(checked->warnings.back(), "rsm.config.any is a setting of Kafka that has no effect here");
  EXPECT_EQ(refusal({{"num.io.threads", "many"}}), "num.io.threads=many: not a value of type int");
  EXPECT_NE(refusal({{"listener.name.internal.nonsense", "x"}}), "");
  EXPECT_EQ(refusal({{"segment.jitter.ms", "0"}}, true), "");
}

TEST(SettingsCatalog, ATopicIsDescribedWithItsSynonyms) {
  SettingMap topic = {{"retention.ms", "5"}}, file = {{"log.retention.hours", "2"}, {"log.segment.bytes", "100"}}, none;
  auto entries = catalog().describe_topic({topic, none, none, file});
  auto find = [&](std::string_view name) { return *std::ranges::find(entries, name, &SettingEntry::name); };
  auto retention = find("retention.ms");
  EXPECT_EQ(retention.value, "5");
  EXPECT_EQ(retention.source, SettingSource::topic);
  EXPECT_FALSE(retention.is_default || retention.read_only);
  ASSERT_EQ(retention.synonyms.size(), 3U);
  EXPECT_EQ(retention.synonyms[1].name, "log.retention.hours");
  EXPECT_EQ(retention.synonyms[2].value, "604800000");
  EXPECT_EQ(find("segment.bytes").value, "100");
  EXPECT_EQ(find("segment.bytes").source, SettingSource::static_broker);
  EXPECT_EQ(find("segment.bytes").type, SettingType::int32);
  EXPECT_TRUE(find("segment.jitter.ms").is_default);
  EXPECT_TRUE(std::ranges::is_sorted(entries, {}, &SettingEntry::name));
}

TEST(SettingsCatalog, ABrokerIsDescribedWithoutItsSecrets) {
  SettingMap none, dynamic = {{"cache.memory", "2097152"}},
                   file = {{"some.secret", "hush"}, {"cache.memory", "1048576"}, {"ssl.key.password", "p"}};
  auto entries = catalog().describe_broker({none, dynamic, none, file});
  auto find = [&](std::string_view name) { return *std::ranges::find(entries, name, &SettingEntry::name); };
  EXPECT_EQ(find("some.secret").value, std::nullopt);
  EXPECT_EQ(find("some.secret").synonyms.at(0).value, std::nullopt);
  EXPECT_EQ(find("ssl.key.password").value, std::nullopt);
  EXPECT_EQ(find("cache.memory").value, "2097152");
  EXPECT_EQ(find("cache.memory").source, SettingSource::dynamic_broker);
  EXPECT_FALSE(find("cache.memory").read_only);
  EXPECT_TRUE(find("broker.id").read_only);
  EXPECT_EQ(find("log.retention.ms").value, "");
  EXPECT_EQ(find("num.io.threads").value, "8");
  for (std::size_t i = 1; i < entries.size(); ++i) EXPECT_NE(entries[i - 1].name, entries[i].name);
}

TEST(SettingsCatalog, ThePageNamesEverySetting) {
  auto page = catalog().page();
  EXPECT_NE(page.find("| `retention.ms` (`log.retention.ms`, `log.retention.minutes`, `log.retention.hours`) | "
                      "`604800000` | at least -1 | topic |"),
            std::string::npos);
  EXPECT_NE(page.find("Hidden \\| here."), std::string::npos);
  EXPECT_NE(page.find("`num.io.threads`"), std::string::npos);
}

}  // namespace
}  // namespace forelog
