#include "broker/env/real/tcp_network.h"

#include "broker/base/log.h"
#include "broker/env/event.h"
#include "broker/env/real/tcp_connection.h"

#include <optional>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace forelog::env {
namespace {

using boost::asio::ip::tcp;
using boost::system::error_code;
using Acceptor = boost::asio::basic_socket_acceptor<tcp, boost::asio::io_context::executor_type>;

constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);
constexpr int kBacklog = 4096;
constexpr Duration kAcceptRetry = 100ms;

class TcpListener final : public Listener {
 public:
  TcpListener(Reactors& reactors, BlockingPool& disk, Acceptor acceptor)
      : state_(std::make_shared<State>(reactors, disk, std::move(acceptor))) {}
  ~TcpListener() override { close(); }

  Task<Result<ConnectionPtr>> accept(CoreId owner) override { return accept_next(state_, owner); }
  Endpoint local() const override { return state_->local; }
  void close() override {
    error_code ignored;
    state_->acceptor.close(ignored);
  }

 private:
  struct State {
    State(Reactors& on, BlockingPool& pool, Acceptor listening)
        : reactors(on), disk(pool), acceptor(std::move(listening)) {
      error_code ignored;
      local = endpoint_of(acceptor.local_endpoint(ignored));
    }
    Reactors& reactors;
    BlockingPool& disk;
    Acceptor acceptor;
    Endpoint local;
  };

  static Task<Result<ConnectionPtr>> accept_next(std::shared_ptr<State> state, CoreId owner) {
    while (state->acceptor.is_open()) {
      TcpSocket socket(state->reactors.io(owner).get_executor());
      auto [error] = co_await state->acceptor.async_accept(socket, kAwait);
      if (!error)
        co_return std::make_shared<TcpConnection>(std::move(socket), state->reactors.clock(),
                                                  state->reactors.pace(owner), state->disk);
      if (error == boost::asio::error::operation_aborted) break;
      // Out of descriptors or memory, or a client that left: listening goes on, without spinning.
      log_line(warn, "accept_failed", {{"listener", state->local}, {"error", error.message()}});
      co_await sleep_until(state->reactors.clock(), state->reactors.clock().now() + kAcceptRetry);
    }
    co_return fail(ErrorCode::kConnectionClosed, "listening at " + state->local.text());
  }

  std::shared_ptr<State> state_;
};

// A look-up in progress. Nobody can end one in time, so who asked leaves it behind when its deadline passes.
struct Lookup {
  Lookup(boost::asio::io_context& io, Clock& clock) : resolver(io), done(clock) {}
  tcp::resolver resolver;
  Event done;
  bool is_done = false;
  error_code error;
  std::vector<tcp::endpoint> found;
};

Task<void> look_up(std::shared_ptr<Lookup> lookup, Endpoint endpoint) {
  auto [error, entries] = co_await lookup->resolver.async_resolve(endpoint.host, std::to_string(endpoint.port), kAwait);
  lookup->error = error;
  for (const auto& entry : entries) lookup->found.push_back(entry.endpoint());
  lookup->is_done = true;
  lookup->done.notify();
}

Task<Result<std::vector<tcp::endpoint>>> resolve(Reactors& reactors, Endpoint endpoint, Deadline deadline) {
  error_code not_numeric;
  auto address = boost::asio::ip::make_address(endpoint.host.empty() ? "0.0.0.0" : endpoint.host, not_numeric);
  if (!not_numeric) co_return std::vector{tcp::endpoint(address, endpoint.port)};

  auto lookup = std::make_shared<Lookup>(reactors.here(), reactors.clock());
  reactors.spawn(reactors.current(), look_up(lookup, endpoint));
  while (!lookup->is_done)
    if (!co_await lookup->done.wait(deadline)) co_return fail(ErrorCode::kTimeout, "looking up " + endpoint.host);
  if (lookup->found.empty())
    co_return fail(ErrorCode::kUnavailable, "looking up " + endpoint.host + ": " + lookup->error.message());
  co_return std::move(lookup->found);
}

// Closes a socket that connects, when its deadline passes.
class ConnectDeadline final : public Waiter {
 public:
  explicit ConnectDeadline(TcpSocket& socket) : socket_(&socket) {}
  void wake() override {
    if (socket_ == nullptr) return;
    error_code ignored;
    socket_->close(ignored);
    expired_ = true;
  }
  void end() { socket_ = nullptr; }
  bool expired() const { return expired_; }

 private:
  TcpSocket* socket_;
  bool expired_ = false;
};

Task<error_code> connect_to(Reactors& reactors, TcpSocket& socket, tcp::endpoint endpoint, Deadline deadline) {
  auto& clock = reactors.clock();
  if (deadline <= clock.now()) co_return boost::asio::error::timed_out;
  auto watch = std::make_shared<ConnectDeadline>(socket);
  Clock::TimerId timer = 0;
  if (deadline != kForever) timer = clock.wake_at(deadline, watch);
  auto [error] = co_await socket.async_connect(endpoint, kAwait);
  watch->end();
  if (deadline != kForever) clock.cancel(timer);
  co_return watch->expired() ? boost::asio::error::timed_out : error;
}

Result<Acceptor> open_acceptor(boost::asio::io_context& io, const tcp::endpoint& endpoint, const std::string& name) {
  Acceptor acceptor(io.get_executor());
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error == boost::asio::error::address_in_use)
    return fail(ErrorCode::kAlreadyExists, name + ": " + error.message());
  if (error) return fail(ErrorCode::kUnavailable, "listening at " + name + ": " + error.message());
  return acceptor;
}

}  // namespace

Task<Result<ConnectionPtr>> TcpNetwork::connect(Endpoint to, Deadline deadline) {
  auto endpoints = CO_TRY(co_await resolve(reactors_, to, deadline));
  error_code error;
  for (const auto& endpoint : endpoints) {
    TcpSocket socket(reactors_.here().get_executor());
    error = co_await connect_to(reactors_, socket, endpoint, deadline);
    if (!error)
      co_return std::make_shared<TcpConnection>(std::move(socket), reactors_.clock(),
                                                reactors_.pace(reactors_.current()), disk_);
    if (error == boost::asio::error::timed_out && deadline <= reactors_.clock().now())
      co_return fail(ErrorCode::kTimeout, "connecting to " + to.text());
  }
  co_return fail(ErrorCode::kUnavailable, "connecting to " + to.text() + ": " + error.message());
}

Task<Result<ListenerPtr>> TcpNetwork::listen(Endpoint at) {
  auto endpoints = CO_TRY(co_await resolve(reactors_, at, kForever));
  auto acceptor = CO_TRY(open_acceptor(reactors_.here(), endpoints.front(), at.text()));
  co_return std::make_shared<TcpListener>(reactors_, disk_, std::move(acceptor));
}

}  // namespace forelog::env
