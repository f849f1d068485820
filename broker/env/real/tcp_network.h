// tcp_network.h: Network over TCP, through Asio.
#pragma once

#include "broker/env/network.h"
#include "broker/env/real/blocking_pool.h"
#include "broker/env/real/reactors.h"

namespace forelog::env {

class TcpNetwork final : public Network {
 public:
  // What is to be sent from a file and is not in the page cache any more is read by `disk`.
  TcpNetwork(Reactors& reactors, BlockingPool& disk) : reactors_(reactors), disk_(disk) {}

  // Tries the addresses of the host in turn. Unavailable when none answers or the name is unknown.
  Task<Result<ConnectionPtr>> connect(Endpoint to, Deadline deadline) override;
  // AlreadyExists when the address is in use.
  Task<Result<ListenerPtr>> listen(Endpoint at) override;

 private:
  Reactors& reactors_;
  BlockingPool& disk_;
};

}  // namespace forelog::env
