#include "broker/base/fields.h"

#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog {
namespace {

struct Complete {
  int a = 1;
  std::optional<int> b;
  std::vector<std::string> c;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("a", m.a);
    field("b", m.b, 7);
    field("c", m.c);
  };
};
struct LeavesOneOut {
  int a = 0;
  bool b = false;
  bool c = false;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("a", m.a);
    field("b", m.b);
  };
};
struct NamesOneTwice {
  int a = 0;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("a", m.a);
    field("a", m.a);
  };
};

static_assert(fields_are_complete<Complete>());
static_assert(!fields_are_complete<LeavesOneOut>());
static_assert(!fields_are_complete<NamesOneTwice>());

TEST(Fields, VisitsMembersInOrderWithTheirExtras) {
  Complete value;
  std::string seen;
  for_each_field(value, [&](const char* name, auto&, auto... extras) {
    seen += name + std::to_string(sizeof...(extras)) + std::to_string(extra_or(0, extras...)) + " ";
  });
  EXPECT_EQ(seen, "a00 b17 c00 ");
}

}  // namespace
}  // namespace forelog
