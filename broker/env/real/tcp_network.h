// tcp_network.h: Network over TCP, through Asio.
#pragma once

#include "broker/env/network.h"
#include "broker/env/real/reactors.h"

namespace forelog::env {

class TcpNetwork final : public Network {
 public:
  explicit TcpNetwork(Reactors& reactors) : reactors_(reactors) {}

  // Tries the addresses of the host in turn. Unavailable when none answers or the name is unknown.
  Task<Result<ConnectionPtr>> connect(Endpoint to, Deadline deadline) override;
  // AlreadyExists when the address is in use.
  Task<Result<ListenerPtr>> listen(Endpoint at) override;

 private:
  Reactors& reactors_;
};

}  // namespace forelog::env
