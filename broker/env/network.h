// network.h: byte streams between processes. A connection belongs to one core; only `close` may come while another
// task of that core reads or writes, and makes both fail with ConnectionClosed.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/ids.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/task.h"

#include <cstdint>
#include <memory>
#include <string>

namespace forelog::env {

struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  std::string text() const { return host + ":" + std::to_string(port); }
  friend auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

class Connection {
 public:
  virtual ~Connection() = default;

  // At least one byte into `into`, or 0 when the other side has finished. Fails Timeout at `deadline`.
  virtual Task<Result<std::size_t>> read(MutableByteView into, Deadline deadline) = 0;
  // All slices, in order, those that lie in files too; what changes the bytes on their way (encryption) reads those
  // first. Fails Timeout at `deadline`, CorruptFile when a file has become shorter than what is to be sent of it: then
  // part of the slices may have gone out, so close.
  virtual Task<Result<void>> write(Slices slices, Deadline deadline) = 0;
  virtual void close() = 0;
  // The other side has finished or is gone, though bytes of it may still be unread: for who does not read at the
  // moment.
  virtual bool has_ended() const = 0;
  virtual Endpoint peer() const = 0;
};
using ConnectionPtr = std::shared_ptr<Connection>;

class Listener {
 public:
  virtual ~Listener() = default;
  // The next connection, made to live on `owner`: the caller hands it there untouched.
  virtual Task<Result<ConnectionPtr>> accept(CoreId owner) = 0;
  virtual Endpoint local() const = 0;  // with the port chosen when 0 was asked for
  virtual void close() = 0;            // a waiting accept fails with ConnectionClosed
};
using ListenerPtr = std::shared_ptr<Listener>;

class Network {
 public:
  virtual ~Network() = default;
  virtual Task<Result<ConnectionPtr>> connect(Endpoint to, Deadline deadline) = 0;
  virtual Task<Result<ListenerPtr>> listen(Endpoint at) = 0;
};

}  // namespace forelog::env
