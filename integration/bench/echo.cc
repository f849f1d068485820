// The machine's own latency: one thread asks over loopback, another answers at once, and nothing is done between. What
// a broker's tail latency grows by under load beyond this is the broker's.
#include "integration/bench/load_client.h"

#include <array>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace load {
namespace {

using Message = std::array<char, 1024>;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {
    int on = 1;
    if (fd < 0 || ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0) die("no socket");
  }
  ~Socket() { ::close(fd_); }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  bool receive(Message& into) const {
    return ::recv(fd_, into.data(), into.size(), MSG_WAITALL) == static_cast<ssize_t>(into.size());
  }
  bool send(const Message& message) const {
    return ::send(fd_, message.data(), message.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(message.size());
  }

 private:
  int fd_;
};

void answer(const Socket& listener) {
  Socket peer(::accept(listener.fd(), nullptr, nullptr));
  Message message{};
  while (peer.receive(message) && peer.send(message)) {
  }
}

}  // namespace

void echo(const Options& options) {
  Socket listener(::socket(AF_INET, SOCK_STREAM, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* plain = reinterpret_cast<sockaddr*>(&address);  // NOLINT: sockets API
  if (::bind(listener.fd(), plain, size) != 0 || ::listen(listener.fd(), 1) != 0) die("nowhere to listen");
  ::getsockname(listener.fd(), plain, &size);
  std::thread peer([&listener] { answer(listener); });

  Latencies latencies;
  {
    Socket asker(::socket(AF_INET, SOCK_STREAM, 0));
    if (::connect(asker.fd(), plain, size) != 0) die("nobody listens");
    auto rate = options.number("records-per-second", 1000);
    auto count = rate * options.number("seconds", 5);
    auto began = Clock::now();
    Message message{};
    for (long i = 0; i < count; ++i) {
      auto due = began + std::chrono::nanoseconds(i * 1'000'000'000 / rate);
      std::this_thread::sleep_until(due);
      if (!asker.send(message) || !asker.receive(message)) die("the echo broke off");
      latencies.add(seconds_between(due, Clock::now()) * 1000);
    }
  }
  peer.join();
  Figures figures;
  figures.text("mode", "echo");
  figures.latencies(latencies);
  figures.print();
}

}  // namespace load
