// tcp_connection.h: one TCP connection.
//
// The hot path of the broker: a write that the kernel takes at once does not suspend, slices go out without being
// copied, bytes that lie in a file go out of the page cache (sendfile), and a deadline costs nothing while operations
// end in time: one timer a direction stays set across them. Sending never waits for the disk: what has left the page
// cache, because the other side is slow, is read by the pool.
#pragma once

#include "broker/env/clock.h"
#include "broker/env/network.h"
#include "broker/env/real/blocking_pool.h"
#include "broker/env/real/send_pace.h"

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace forelog::env {

using TcpSocket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

Endpoint endpoint_of(const boost::asio::ip::tcp::endpoint& endpoint);

class TcpConnection final : public Connection {
 public:
  // Takes a connected socket. May be made on another core than the one it will live on, whose `pace` this is.
  TcpConnection(TcpSocket socket, Clock& clock, SendPace& pace, BlockingPool& disk);
  ~TcpConnection() override;

  Task<Result<std::size_t>> read(MutableByteView into, Deadline deadline) override;
  Task<Result<void>> write(Slices slices, Deadline deadline) override;
  void close() override;
  bool has_ended() const override;
  Endpoint peer() const override;

 private:
  struct State;
  static Task<Result<std::size_t>> read_some(std::shared_ptr<State> state, MutableByteView into, Deadline deadline);
  static Task<void> let_others(State& state);
  static Task<Result<void>> write_all(std::shared_ptr<State> state, Slices slices, Deadline deadline);

  std::shared_ptr<State> state_;  // shared with the operations under way
};

}  // namespace forelog::env
