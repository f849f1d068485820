#include "broker/base/json.h"

#include <gtest/gtest.h>

namespace forelog {
namespace {

enum class Colour : std::uint8_t { red, dark_blue };
constexpr std::array<std::string_view, 2> enum_names(Colour) { return {"red", "dark-blue"}; }

struct Inner {
  std::int16_t small = 3;
  static constexpr auto fields = [](auto& m, auto&& field) { field("small", m.small); };
};
struct Record {
  std::int32_t version = 1;
  std::int64_t timestamp = 0;
  std::optional<std::string> rack;
  std::optional<std::string> host;
  std::map<PartitionId, std::vector<BrokerId>> partitions;
  TopicName name;
  TopicId id;
  Colour colour = Colour::red;
  double rate = 0;
  bool on = false;
  std::vector<Inner> inner;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("version", m.version);
    field("timestamp", m.timestamp, JsonQuoted{});
    field("rack", m.rack);
    field("host", m.host, JsonNull{});
    field("partitions", m.partitions);
    field("name", m.name);
    field("id", m.id);
    field("colour", m.colour);
    field("rate", m.rate);
    field("on", m.on);
    field("inner", m.inner);
  };
};

std::string error_of(std::string_view text) {
  auto record = from_json<Record>(text);
  return record ? "" : record.error().context;
}

TEST(Json, WritesMembersInTheirOrderCompactly) {
  Record record;
  record.timestamp = 1700000000000;
  record.partitions = {{PartitionId(0), {BrokerId(1), BrokerId(2)}}, {PartitionId(10), {}}};
  record.name = TopicName("a\"b\\c\n\x01");
  record.colour = Colour::dark_blue;
  record.rate = 0.5;
  record.inner = {Inner{7}};
  EXPECT_EQ(to_json(record),
            R"({"version":1,"timestamp":"1700000000000","host":null,"partitions":{"0":[1,2],"10":[]},)"
            R"("name":"a\"b\\c\n\u0001","id":"AAAAAAAAAAAAAAAAAAAAAA","colour":"dark-blue","rate":0.5,"on":false,)"
            R"("inner":[{"small":7}]})");
}

TEST(Json, ReadsBackWhatItWrote) {
  Record record;
  record.rack = "zone-1";
  record.partitions[PartitionId(3)] = {BrokerId(9)};
  record.name = TopicName("orders \xc3\xa9\x1f");
  record.id = TopicId{{1, 2, 3}};
  record.rate = 0.1;
  auto read = from_json<Record>(to_json(record));
  ASSERT_TRUE(read) << read.error().text();
  EXPECT_EQ(to_json(*read), to_json(record));
}

TEST(Json, MissingAndNullMembersKeepDefaultsAndUnknownOnesAreIgnored) {
  auto record = from_json<Record>(R"( { "later" : {"x":[1]}, "colour":null, "rack":null, "inner":[{}] } )");
  ASSERT_TRUE(record) << record.error().text();
  EXPECT_EQ(record->version, 1);
  EXPECT_FALSE(record->rack);
  EXPECT_EQ(record->inner.at(0).small, 3);
}

TEST(Json, NumbersAreReadWithAndWithoutQuotes) {
  auto record = from_json<Record>(R"({"timestamp":5,"version":"6"})");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->timestamp, 5);
  EXPECT_EQ(record->version, 6);
}

TEST(Json, AValueOfAnotherTypeIsNamedByItsPath) {
  EXPECT_EQ(error_of(R"({"version":"x"})"), "version: not a whole number");
  EXPECT_EQ(error_of(R"({"version":3000000000})"), "version: out of range");
  EXPECT_EQ(error_of(R"({"version":1.5})"), "version: not a whole number");
  EXPECT_EQ(error_of(R"({"partitions":{"0":[1,true]}})"), "partitions.0[1]: not a whole number");
  EXPECT_EQ(error_of(R"({"partitions":{"x":[]}})"), "partitions.x: not a key allowed here");
  EXPECT_EQ(error_of(R"({"inner":[{"small":70000}]})"), "inner[0].small: out of range");
  EXPECT_EQ(error_of(R"({"colour":"green"})"), "colour: not one of the names allowed");
  EXPECT_EQ(error_of(R"({"id":"short"})"), "id: not a topic id");
  EXPECT_EQ(error_of("[]"), ": not an object");
}

TEST(Json, HostileTextIsRefused) {
  EXPECT_NE(error_of(std::string(100, '[')), "");
  EXPECT_NE(error_of(R"({"later":)" + std::string(40, '[') + std::string(40, ']') + "}"), "");
  EXPECT_NE(error_of(std::string(kJsonTextMax + 1, ' ')), "");
  EXPECT_NE(error_of("{} x"), "");
  EXPECT_NE(error_of("{\"name\":\"\xff\"}"), "");
  EXPECT_NE(error_of(""), "");
}

}  // namespace
}  // namespace forelog
