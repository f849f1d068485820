#include "broker/env/task_group.h"
#include "tests/support/run_task.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace forelog::env {
namespace {

using test::run;

Task<void> note_after(SimulatedMachine& machine, Duration delay, std::string name, std::string& seen) {
  co_await sleep_until(machine.env().clock, machine.env().clock.now() + delay);
  seen += name;
}

TEST(SimulatedClock, WakesInTheOrderOfTime) {
  SimulatedWorld world(1);
  auto& machine = world.machine();
  std::string seen;
  machine.cores().spawn(CoreId{0}, note_after(machine, 3s, "c", seen));
  machine.cores().spawn(CoreId{0}, note_after(machine, 1s, "a", seen));
  machine.cores().spawn(CoreId{0}, note_after(machine, 2s, "b", seen));
  auto begun = world.now();
  EXPECT_TRUE(world.run_until([&] { return seen.size() == 3; }, 1min));
  EXPECT_EQ(seen, "abc");
  EXPECT_EQ(world.now() - begun, 3s);
}

Task<bool> wait_until(Event& event, Deadline deadline) { co_return co_await event.wait(deadline); }
Task<void> notify_after(SimulatedMachine& machine, Event& event, Duration delay) {
  co_await sleep_until(machine.env().clock, machine.env().clock.now() + delay);
  event.notify();
}

TEST(Event, SaysWhetherNotificationOrDeadlineCame) {
  SimulatedWorld world(1);
  auto& machine = world.machine();
  Event event(machine.env().clock);
  EXPECT_FALSE(run(world, machine, wait_until(event, world.now() + 1s)));
  EXPECT_FALSE(event.has_waiters());
  machine.cores().spawn(CoreId{0}, notify_after(machine, event, 1s));
  EXPECT_TRUE(run(world, machine, wait_until(event, kForever)));
  machine.cores().spawn(CoreId{0}, notify_after(machine, event, 1s));
  EXPECT_TRUE(run(world, machine, wait_until(event, world.now() + 2s)));
  EXPECT_FALSE(run(world, machine, wait_until(event, world.now())));
}

Task<int> join_three(SimulatedMachine& machine) {
  TaskGroup group(machine.env().cores);
  std::string seen;
  for (auto delay : {3s, 1s, 2s}) group.spawn(note_after(machine, delay, "x", seen));
  auto running = static_cast<int>(group.running());
  co_await group.join();
  co_return running * 10 + static_cast<int>(seen.size());
}

TEST(TaskGroup, JoinResumesAfterTheLastTask) {
  SimulatedWorld world(1);
  auto& machine = world.machine();
  EXPECT_EQ(run(world, machine, join_three(machine)), 33);
}

Task<int> core_here(Cores& cores) { co_return cores.current().value(); }
Task<std::vector<int>> visit(Cores& cores) {
  std::vector<int> seen;
  for (int core : {2, 0, 1, 2}) {
    auto there = core_here(cores);
    seen.push_back(co_await cores.on(CoreId{core}, std::move(there)));
    seen.push_back(cores.current().value());
  }
  co_return seen;
}

TEST(Cores, OnRunsThereAndResumesHere) {
  SimulatedWorld world(7);
  auto& machine = world.machine(3);
  auto seen = run(world, machine, visit(machine.cores()), CoreId{1});
  EXPECT_EQ(seen, (std::vector<int>{2, 1, 0, 1, 1, 1, 2, 1}));
}

Task<void> note_now(std::string name, std::string& seen) {
  seen += name;
  co_return;
}
Task<void> spawn_here_and_there(Cores& cores, std::string& seen) {
  cores.spawn(CoreId{1}, note_now("there", seen));
  cores.spawn(CoreId{0}, note_now("here ", seen));
  seen += "then ";
  co_return;
}

TEST(Cores, SpawningStartsHereAtOnceAndElsewhereLater) {
  SimulatedWorld world(7);
  auto& machine = world.machine(2);
  std::string seen;
  run(world, machine, spawn_here_and_there(machine.cores(), seen));
  world.run_for(1ms);
  EXPECT_EQ(seen, "here then there");
}

TEST(Cores, PostsToOneCoreKeepTheirOrder) {
  SimulatedWorld world(7);
  auto& machine = world.machine(2);
  std::string seen;
  for (char c : std::string("abcdef")) machine.cores().post(CoreId{1}, [&seen, c] { seen += c; });
  world.run_for(1ms);
  EXPECT_EQ(seen, "abcdef");
}

Task<void> chatter(SimulatedMachine& machine, char name, std::string& seen) {
  for (int i = 0; i < 10; ++i) {
    seen += name;
    auto file = co_await machine.env().files.open(std::string(1, name), OpenMode::create);
    if (!file) co_return;
    Slices slices{Buffer::copy_of(seen)};
    (void)co_await (*file)->write_at(0, std::move(slices));
  }
}

std::pair<std::string, std::uint64_t> interleaving(std::uint64_t seed) {
  SimulatedWorld world(seed);
  auto& machine = world.machine(3);
  std::string seen;
  for (int core = 0; core < 3; ++core)
    machine.cores().spawn(CoreId{core}, chatter(machine, static_cast<char>('a' + core), seen));
  world.run_for(1s);
  return {seen, world.trace_hash()};
}

TEST(SimulatedWorld, OneSeedGivesOneTrace) {
  EXPECT_EQ(interleaving(5), interleaving(5));
  EXPECT_NE(interleaving(5).first, interleaving(6).first);
  EXPECT_NE(interleaving(5).second, interleaving(6).second);
}

struct Counter {
  explicit Counter(Clock& clock) : never(clock) {}
  Event never;
  int steps = 0;
};
Task<void> count(SimulatedMachine& machine, std::shared_ptr<Counter> counter) {
  while (true) {
    ++counter->steps;
    co_await counter->never.wait(machine.env().clock.now() + 1ms);
  }
}

TEST(SimulatedWorld, NothingOfACrashedMachineRunsAgain) {
  SimulatedWorld world(1);
  auto& machine = world.machine(2);
  auto counter = std::make_shared<Counter>(machine.env().clock);
  machine.cores().spawn(CoreId{0}, count(machine, counter));
  machine.cores().spawn(CoreId{1}, count(machine, counter));
  world.run_for(10ms);
  world.crash(machine);
  auto steps = counter->steps;
  EXPECT_GT(steps, 15);
  world.run_for(1s);
  world.restart(machine);
  world.run_for(1s);
  EXPECT_EQ(counter->steps, steps);
  EXPECT_EQ(run(world, machine, core_here(machine.cores()), CoreId{1}), 1);
}

TEST(SimulatedWorld, WallTimeJumpsAloneAndOnOneMachine) {
  SimulatedWorld world(1);
  auto& jumper = world.machine();
  auto& other = world.machine();
  auto now = world.now();
  auto wall = jumper.env().clock.wall();
  EXPECT_EQ(other.env().clock.wall(), wall);
  jumper.jump_wall(-1h);
  EXPECT_EQ(to_ms(jumper.env().clock.wall()), to_ms(wall) - 3600000);
  EXPECT_EQ(other.env().clock.wall(), wall);
  EXPECT_EQ(jumper.env().clock.now(), now);
}

}  // namespace
}  // namespace forelog::env
