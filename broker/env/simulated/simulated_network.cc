#include "broker/env/simulated/simulated_network.h"

#include "broker/base/check.h"

#include <array>
#include <deque>

namespace forelog::env {
namespace {

constexpr Bytes kWindow = 256_KiB;
constexpr Duration kConnectPatience = 120s;  // as a kernel gives up on a silent host
constexpr Duration kRetransmit = 100ms;

}  // namespace

// Both directions of one connection, shared by its two ends.
class SimulatedWire::Link : public std::enable_shared_from_this<Link> {
 public:
  Link(SimulatedNetwork& caller, Endpoint caller_name, SimulatedNetwork& callee, Endpoint callee_name)
      : ends_{End(caller, std::move(caller_name)), End(callee, std::move(callee_name))} {}

  Task<Result<std::size_t>> read(int side, MutableByteView into, Deadline deadline) {
    auto self = shared_from_this();
    auto& end = ends_[side];
    while (end.unread.empty()) {
      CO_TRY(check(side));
      if (end.finished) co_return 0;
      if (!co_await end.changed->wait(deadline))
        co_return fail(ErrorCode::kTimeout, "reading from " + peer(side).text());
    }
    CO_TRY(check(side));
    co_return take(side, into);
  }

  Task<Result<void>> write(int side, Slices slices, Deadline deadline) {
    auto self = shared_from_this();
    auto& end = ends_[side];
    auto& random = end.network->scheduler_.random();
    bool breaks = random.chance(end.network->faults_.network_reset_rate);
    auto left = breaks ? static_cast<Bytes>(random.below(static_cast<std::uint64_t>(total_size(slices)) + 1))
                       : total_size(slices);
    CO_TRY(check(side));
    for (auto& slice : slices) {
      if (slice.file() != nullptr) {
        auto size = slice.size();
        slice = slice.loaded();
        if (slice.size() != size) {
          send(side, {Parcel::Kind::reset, {}});
          break_end(side);
          co_return fail(ErrorCode::kCorruptFile, peer(side).text() + ": the file has become shorter");
        }
        CO_TRY(check(side));
      }
      for (std::size_t at = 0; at < slice.size() && left > 0;) {
        while (end.outstanding >= kWindow) {
          if (!co_await end.changed->wait(deadline))
            co_return fail(ErrorCode::kTimeout, "writing to " + peer(side).text());
          CO_TRY(check(side));
        }
        auto size = std::min({static_cast<Bytes>(slice.size() - at), kWindow - end.outstanding, left});
        send(side, {Parcel::Kind::bytes, slice.slice(at, static_cast<std::size_t>(size))});
        at += static_cast<std::size_t>(size);
        left -= size;
      }
    }
    if (breaks) {
      send(side, {Parcel::Kind::reset, {}});
      break_end(side);
      co_return fail(ErrorCode::kConnectionClosed, peer(side).text() + ": drawn");
    }
    co_return Result<void>{};
  }

  void close(int side) {
    auto& end = ends_[side];
    if (std::exchange(end.closed, true)) return;
    end.unread.clear();
    send(side, {Parcel::Kind::finish, {}});
    end.changed->notify();
  }

  // The machine of `side` is dead.
  void abort(int side) {
    auto& end = ends_[side];
    if (!std::exchange(end.closed, true) && !end.broken) send(side, {Parcel::Kind::reset, {}});
    end.broken = true;
  }

  bool has_ended(int side) const { return ends_[side].finished || ends_[side].broken; }
  Endpoint peer(int side) const { return ends_[1 - side].name; }
  bool belongs_to(int side, const SimulatedNetwork& network) const { return ends_[side].network == &network; }

 private:
  struct Parcel {
    enum class Kind : std::uint8_t { bytes, finish, reset };
    Kind kind = Kind::bytes;
    Buffer bytes;
  };

  struct End {
    End(SimulatedNetwork& of, Endpoint named)
        : network(&of), name(std::move(named)), changed(std::make_unique<Event>(of.cores_.clock())) {}
    SimulatedNetwork* network;
    Endpoint name;
    std::unique_ptr<Event> changed;
    std::deque<Buffer> unread;
    bool finished = false;  // the other end will send no more
    bool closed = false;    // by its owner
    bool broken = false;
    // What this end has sent: on its way, and that plus what the other end has not read.
    std::deque<Parcel> in_flight;
    Bytes outstanding = 0;
    Instant last_arrival{};
  };

  Result<void> check(int side) const {
    if (!ends_[side].closed && !ends_[side].broken) return {};
    return fail(ErrorCode::kConnectionClosed, peer(side).text());
  }

  std::size_t take(int side, MutableByteView into) {
    auto& end = ends_[side];
    auto& random = end.network->scheduler_.random();
    auto most = into.size();
    if (end.network->faults_.network_partial_reads && most > 1 && random.chance(0.3)) most = 1 + random.below(most - 1);
    std::size_t taken = 0;
    while (taken < most && !end.unread.empty()) {
      auto& front = end.unread.front();
      auto size = std::min(most - taken, front.size());
      std::copy_n(front.data(), size, into.data() + taken);
      taken += size;
      if (size == front.size())
        end.unread.pop_front();
      else
        front = front.slice(size);
    }
    auto& sender = ends_[1 - side];
    sender.outstanding -= static_cast<Bytes>(taken);
    sender.changed->notify();
    return taken;
  }

  void send(int side, Parcel parcel) {
    auto& end = ends_[side];
    auto& scheduler = end.network->scheduler_;
    end.outstanding += static_cast<Bytes>(parcel.bytes.size());
    end.in_flight.push_back(std::move(parcel));
    auto delay = scheduler.random().between(end.network->faults_.network);
    end.last_arrival = std::max(end.last_arrival + Duration(1), scheduler.now() + delay);
    scheduler.at(end.last_arrival, Scheduler::kWorld, [self = shared_from_this(), side] { self->arrive(side); });
  }

  // The oldest parcel that `side` has sent reaches the other end.
  void arrive(int side) {
    auto& sender = ends_[side];
    auto& receiver = ends_[1 - side];
    auto& scheduler = sender.network->scheduler_;
    if (sender.network->faults_.network_unreachable || receiver.network->faults_.network_unreachable) {
      auto again = [self = shared_from_this(), side] { self->arrive(side); };
      scheduler.at(scheduler.now() + kRetransmit, Scheduler::kWorld, std::move(again));
      return;
    }
    auto parcel = std::move(sender.in_flight.front());
    sender.in_flight.pop_front();
    if (receiver.broken) return;
    switch (parcel.kind) {
      case Parcel::Kind::finish:
        receiver.finished = true;
        break;
      case Parcel::Kind::reset:
        return break_end(1 - side);
      case Parcel::Kind::bytes:
        if (receiver.closed) {  // nobody will read this, so the kernel says so
          receiver.broken = true;
          return send(1 - side, {Parcel::Kind::reset, {}});
        }
        receiver.unread.push_back(std::move(parcel.bytes));
    }
    receiver.changed->notify();
  }

  void break_end(int side) {
    auto& end = ends_[side];
    end.broken = true;
    end.unread.clear();
    end.changed->notify();
  }

  std::array<End, 2> ends_;
};

namespace {

class SimulatedConnection final : public Connection {
 public:
  SimulatedConnection(std::shared_ptr<SimulatedWire::Link> link, int side) : link_(std::move(link)), side_(side) {}
  ~SimulatedConnection() override { link_->close(side_); }
  Task<Result<std::size_t>> read(MutableByteView into, Deadline deadline) override {
    CHECK(!into.empty());
    return link_->read(side_, into, deadline);
  }
  Task<Result<void>> write(Slices slices, Deadline deadline) override {
    return link_->write(side_, std::move(slices), deadline);
  }
  void close() override { link_->close(side_); }
  bool has_ended() const override { return link_->has_ended(side_); }
  Endpoint peer() const override { return link_->peer(side_); }

 private:
  std::shared_ptr<SimulatedWire::Link> link_;
  int side_;
};

}  // namespace

class SimulatedWire::Port final : public Listener {
 public:
  Port(SimulatedNetwork& network, Endpoint at)
      : network_(network), at_(std::move(at)), changed_(network.cores_.clock()) {
    network_.wire_.ports_[at_] = this;
  }
  ~Port() override { close(); }

  Task<Result<ConnectionPtr>> accept(CoreId) override {
    while (waiting_.empty() && open_) co_await changed_.wait(kForever);
    if (!open_) co_return fail(ErrorCode::kConnectionClosed, "listening at " + at_.text());
    auto connection = std::move(waiting_.front());
    waiting_.pop_front();
    co_return connection;
  }
  Endpoint local() const override { return at_; }
  void close() override {
    if (!std::exchange(open_, false)) return;
    network_.wire_.ports_.erase(at_);
    waiting_.clear();
    changed_.notify();
  }

  SimulatedNetwork& network() { return network_; }
  void offer(ConnectionPtr connection) {
    waiting_.push_back(std::move(connection));
    changed_.notify();
  }

 private:
  SimulatedNetwork& network_;
  Endpoint at_;
  Event changed_;
  std::deque<ConnectionPtr> waiting_;
  bool open_ = true;
};

SimulatedNetwork::SimulatedNetwork(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults,
                                   SimulatedWire& wire, std::string host)
    : scheduler_(scheduler), cores_(cores), faults_(faults), wire_(wire), host_(std::move(host)) {}

SimulatedNetwork::~SimulatedNetwork() { crash(); }

Endpoint SimulatedNetwork::resolve(Endpoint endpoint) const {
  if (endpoint.host.empty() || endpoint.host == "localhost" || endpoint.host == "127.0.0.1" ||
      endpoint.host == "0.0.0.0")
    endpoint.host = host_;
  return endpoint;
}

Task<Result<ConnectionPtr>> SimulatedNetwork::connect(Endpoint to, Deadline deadline) {
  auto text = to.text();
  to = resolve(std::move(to));
  auto answered = scheduler_.now() + std::max(scheduler_.random().between(faults_.network), Duration(1));
  co_await sleep_until(cores_.clock(), std::min(answered, deadline));
  auto found = wire_.ports_.find(to);
  bool silent = faults_.network_unreachable ||
                (found != wire_.ports_.end() && found->second->network().faults_.network_unreachable);
  if (silent) co_await sleep_until(cores_.clock(), std::min(deadline, scheduler_.now() + kConnectPatience));
  if (silent || scheduler_.now() >= deadline) co_return fail(ErrorCode::kTimeout, "connecting to " + text);
  if (found == wire_.ports_.end()) co_return fail(ErrorCode::kUnavailable, "nobody listens at " + text);

  auto& port = *found->second;
  Endpoint here{host_, ++last_port_};
  auto link = std::make_shared<SimulatedWire::Link>(*this, here, port.network(), to);
  std::erase_if(links_, [](const auto& old) { return old.expired(); });
  links_.push_back(link);
  if (&port.network() != this) port.network().links_.push_back(link);
  port.offer(std::make_shared<SimulatedConnection>(link, 1));
  co_return std::make_shared<SimulatedConnection>(link, 0);
}

Task<Result<ListenerPtr>> SimulatedNetwork::listen(Endpoint at) {
  at = resolve(std::move(at));
  if (at.host != host_) co_return fail(ErrorCode::kUnavailable, at.text() + " is not an address of " + host_);
  if (at.port == 0) at.port = ++last_port_;
  if (wire_.ports_.contains(at)) co_return fail(ErrorCode::kAlreadyExists, "somebody listens at " + at.text());
  auto port = std::make_shared<SimulatedWire::Port>(*this, at);
  listening_.push_back(port);
  co_return port;
}

void SimulatedNetwork::crash() {
  for (auto& weak : std::exchange(listening_, {})) {
    if (auto port = weak.lock()) {
      port->close();
      abandon(port);
    }
  }
  for (auto& weak : std::exchange(links_, {})) {
    auto link = weak.lock();
    if (!link) continue;
    for (int side : {0, 1})
      if (link->belongs_to(side, *this)) link->abort(side);
    abandon(link);
  }
}

}  // namespace forelog::env
