#include "broker/all_settings.h"

#include <cstdlib>
#include <fstream>
#include <sstream>

#include <gtest/gtest.h>

namespace forelog {
namespace {

// Tests run from the source's root. UPDATE=1 writes the page instead of comparing it.
TEST(SettingsPage, IsInStepWithTheSettings) {
  constexpr const char* kPage = "docs/settings.md";
  auto now = settings_catalog().page();
  if (std::getenv("UPDATE") != nullptr) std::ofstream(kPage) << now;
  std::stringstream written;
  written << std::ifstream(kPage).rdbuf();
  EXPECT_EQ(written.str() == now, true) << kPage << " is stale: run UPDATE=1 make test, and review the difference";
}

TEST(SettingsPage, SettingsOfEveryLayerStandInIt) {
  auto page = settings_catalog().page();
  for (auto name :
       {"listeners", "num.partitions", "archive.url", "cache.memory", "prefetch.mode", "hint.listeners",
        "admin.listeners", "durability", "retention.ms", "offsets.retention.minutes", "access.log.enable"}) {
    EXPECT_NE(page.find("| `" + std::string(name) + "`"), std::string::npos) << name;
  }
}

}  // namespace
}  // namespace forelog
