// A broker whose start fails, at whatever step, stops as any other.
#include "broker/broker.h"
#include "tests/simulation/lone_broker.h"
#include "tests/support/run_task.h"

#include <string>

#include <gtest/gtest.h>

namespace forelog::simulation {
namespace {

Task<std::string> start_and_stop(env::Env& env) {
  Broker broker(env, lone_broker_settings());
  auto started = co_await broker.start();
  co_await broker.stop();
  co_return started ? "" : started.error().text();
}

TEST(FailedStart, StopsWhateverHasBegunWhenTheMetadataStoreIsTooSlow) {
  std::string failures;
  for (auto latency : {1s, 2s, 3s, 4s, 6s, 10s, 20s}) {
    env::SimulatedWorld world(11);
    auto& machine = world.machine(1);
    machine.faults().metadata = {latency, latency + 100ms};
    failures += test::run(world, machine, start_and_stop(machine.env())) + "\n";
  }
  EXPECT_NE(failures.find("no controller was elected"), std::string::npos) << failures;
}

}  // namespace
}  // namespace forelog::simulation
