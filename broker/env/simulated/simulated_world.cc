#include "broker/env/simulated/simulated_world.h"

namespace forelog::env {
namespace {

constexpr Duration kSessionTimeout = 6s;

}  // namespace

SimulatedMachine::SimulatedMachine(SimulatedWorld& world, int cores, std::string host)
    : host_(std::move(host)),
      random_(world.scheduler_.random().next()),
      cores_(world.scheduler_, cores),
      files_(world.scheduler_, cores_, faults_, disk_),
      cache_files_(world.scheduler_, cores_, cache_faults_, cache_disk_),
      network_(world.scheduler_, cores_, faults_, world.wire_, host_),
      local_(world.scheduler_, cores_, faults_, files_),
      metadata_(world.scheduler_, cores_, faults_, world.tree_),
      archive_(world.scheduler_, cores_, faults_, world.objects_),
      env_{cores_, cores_.clock(), random_, files_, network_, local_, metadata_, &archive_, cache_files_} {}

SimulatedWorld::SimulatedWorld(std::uint64_t seed) : scheduler_(seed) {}

SimulatedWorld::~SimulatedWorld() {
  // What tests left running is cut short, as by a crash.
  for (auto& machine : machines_)
    if (machine->cores_.running()) machine->cores_.crash();
}

SimulatedMachine& SimulatedWorld::machine(int cores, std::string host) {
  if (host.empty()) host = "m" + std::to_string(machines_.size());
  machines_.push_back(std::unique_ptr<SimulatedMachine>(new SimulatedMachine(*this, cores, std::move(host))));
  return *machines_.back();
}

void SimulatedWorld::crash(SimulatedMachine& machine, Loss loss) {
  machine.cores_.crash();
  machine.network_.crash();
  machine.metadata_.crash();
  machine.files_.crash();
  machine.cache_files_.crash();
  machine.disk_.crash(scheduler_.random(), loss == Loss::all);
  machine.cache_disk_.crash(scheduler_.random(), loss == Loss::all);
  machine.local_.crash(loss == Loss::all);
  // A machine that restarts sooner has a new session, and the old one still holds its znodes until then.
  auto expire = [&machine, old = machine.metadata_.end_session()] { machine.metadata_.expire(old); };
  scheduler_.after(kSessionTimeout, std::move(expire));
}

void SimulatedWorld::restart(SimulatedMachine& machine) { machine.cores_.restart(); }

bool SimulatedWorld::run_until(const std::function<bool()>& done, Duration limit) {
  return scheduler_.run_until(done, scheduler_.now() + limit);
}

void SimulatedWorld::run_for(Duration time) {
  run_until([] { return false; }, time);
}

}  // namespace forelog::env
