// What the first release's embedded metadata store wrote stays readable, byte for byte.
#include "tests/support/golden.h"

#include "broker/env/real/embedded_metadata_store.h"
#include "broker/env/simulated/simulated_world.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using forelog::test::golden;
using forelog::test::run;

std::string text_of(const LocalStore::Entries& entries) {
  std::string out;
  for (const auto& [key, value] : entries) out += key + "\n" + value + "\n";
  return out;
}

TEST(Golden, ZnodesOfVersion1) {
  SimulatedWorld world(1);
  auto& machine = world.machine();
  auto& env = machine.env();
  EmbeddedMetadataStore store(env.cores, env.local);
  ASSERT_TRUE(run(world, machine, store.begin_session()));
  std::vector<MetadataOp> ops{MetadataOp::create("/brokers", ""),
                              MetadataOp::create("/brokers/topics", R"({"version":3})")};
  ASSERT_TRUE(run(world, machine, store.commit(ops)));
  std::vector<MetadataOp> change{MetadataOp::set("/brokers/topics", R"({"version":3,"partitions":{}})", 0)};
  ASSERT_TRUE(run(world, machine, store.commit(change)));
  auto written = text_of(*run(world, machine, env.local.scan("", "~", 100)));
  auto stored = golden("znodes_v1", written);
  EXPECT_EQ(stored, written);

  // The store of another broker, with nothing in it but what the file says, and then of a newer release.
  auto& other = world.machine();
  for (bool newer : {false, true}) {
    StoreBatch batch;
    for (std::size_t at = 0; at < stored.size();) {
      auto key_end = stored.find('\n', at);
      auto value_end = stored.find('\n', key_end + 1);
      auto value = stored.substr(key_end + 1, value_end - key_end - 1);
      if (newer) value[0] = 2;
      batch.put(stored.substr(at, key_end - at), value);
      at = value_end + 1;
    }
    ASSERT_TRUE(run(world, other, other.env().local.commit(std::move(batch), Durability::synced)));
    EmbeddedMetadataStore again(other.env().cores, other.env().local);
    auto read = run(world, other, again.get("/brokers/topics"));
    ASSERT_EQ(read.has_value(), !newer);
    if (newer) {
      EXPECT_NE(read.error().text().find("start the release that wrote it, or a newer one"), std::string::npos)
          << read.error().text();
    } else {
      EXPECT_EQ(read->data, R"({"version":3,"partitions":{}})");
      EXPECT_EQ(read->version, 1);
    }
  }
}

}  // namespace
}  // namespace forelog::env
