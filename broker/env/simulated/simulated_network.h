// simulated_network.h: byte streams between the machines of one world.
//
// A machine is reached by its host name; "localhost", "127.0.0.1" and "0.0.0.0" are the machine itself. Bytes arrive in
// order, after a drawn delay, cut anywhere; at most a window of them is on its way or unread, then writers wait.
#pragma once

#include "broker/env/network.h"
#include "broker/env/simulated/faults.h"
#include "broker/env/simulated/simulated_cores.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace forelog::env {

class SimulatedNetwork;

// What listens where, in the whole world.
class SimulatedWire {
 public:
  class Port;
  class Link;

 private:
  friend class SimulatedNetwork;
  std::map<Endpoint, Port*> ports_;
};

class SimulatedNetwork final : public Network {
 public:
  SimulatedNetwork(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults, SimulatedWire& wire,
                   std::string host);
  ~SimulatedNetwork() override;

  Task<Result<ConnectionPtr>> connect(Endpoint to, Deadline deadline) override;
  Task<Result<ListenerPtr>> listen(Endpoint at) override;

  // Breaks every connection and stops listening.
  void crash();

 private:
  friend class SimulatedWire::Port;
  friend class SimulatedWire::Link;
  Endpoint resolve(Endpoint endpoint) const;

  Scheduler& scheduler_;
  SimulatedCores& cores_;
  const Faults& faults_;
  SimulatedWire& wire_;
  std::string host_;
  std::uint16_t last_port_ = 32767;
  std::vector<std::weak_ptr<SimulatedWire::Link>> links_;
  std::vector<std::weak_ptr<SimulatedWire::Port>> listening_;
};

}  // namespace forelog::env
