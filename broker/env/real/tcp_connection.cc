#include "broker/env/real/tcp_connection.h"

#include "broker/env/event.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <poll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

namespace forelog::env {
namespace {

using boost::system::error_code;

// Bytes in a file are not copied and cost half: of a step they take half.
constexpr std::size_t kFileBytesPerByte = 2;

const error_code kCutOff = boost::asio::error::eof;  // a file has less than what is to be sent of it

// Ends an operation of one direction when its deadline passes.
//
// The timer is not cancelled when an operation ends in time: it stays, finds the next operation's deadline when it
// fires, and moves on to that. Only an operation with an earlier deadline than the timer's sets it anew.
class DeadlineWatch final : public Waiter, public std::enable_shared_from_this<DeadlineWatch> {
 public:
  explicit DeadlineWatch(Clock& clock) : clock_(clock) {}

  void begin(Deadline deadline) {
    deadline_ = deadline;
    active_ = true;
    expired_ = false;
    arm();
  }
  void end() { active_ = false; }
  bool expired() const { return expired_; }
  bool active() const { return active_; }
  boost::asio::cancellation_slot slot() { return cancel_.slot(); }

  void wake() override {
    timer_at_ = kForever;
    if (!active_) return;
    if (clock_.now() < deadline_) return arm();
    expired_ = true;
    cancel_.emit(boost::asio::cancellation_type::terminal);
  }
  // Drops the timer, which would keep this alive until it fires.
  void stop() {
    if (timer_at_ != kForever) clock_.cancel(timer_);
    timer_at_ = kForever;
  }

 private:
  void arm() {
    if (deadline_ >= timer_at_) return;
    stop();
    timer_ = clock_.wake_at(deadline_, shared_from_this());
    timer_at_ = deadline_;
  }

  Clock& clock_;
  boost::asio::cancellation_signal cancel_;
  Clock::TimerId timer_ = 0;
  Instant timer_at_ = kForever;
  Deadline deadline_ = kForever;
  bool active_ = false;
  bool expired_ = false;
};

// What is still to be written. Slices in memory are gathered, as many as one call takes; one that lies in a file is
// sent by itself.
class GatherBuffers {
 public:
  explicit GatherBuffers(Slices slices) : slices_(std::move(slices)) { skip_sent(); }

  using value_type = boost::asio::const_buffer;
  using const_iterator = const value_type*;
  const_iterator begin() const { return buffers_.data(); }
  const_iterator end() const { return buffers_.data() + used_; }
  bool done() const { return index_ == slices_.size(); }
  bool any_in_file() const {
    return std::ranges::any_of(slices_, [](const Buffer& slice) { return slice.file() != nullptr; });
  }
  bool is_last() const { return gathered_to_ == slices_.size(); }  // what is gathered ends the write
  // What is next, if it lies in a file.
  std::optional<Buffer> in_file() const {
    if (done() || slices_[index_].file() == nullptr) return std::nullopt;
    return slices_[index_].slice(within_);
  }
  // The same bytes, in memory.
  void replace(Buffer loaded) {
    slices_[index_] = std::move(loaded);
    within_ = 0;
  }

  void advance(std::size_t written) {
    within_ += written;
    skip_sent();
  }

  // Up to `room` bytes, of what lies in memory.
  void gather(std::size_t room) {
    used_ = 0;
    auto within = within_;
    auto i = index_;
    for (; i < slices_.size() && used_ < buffers_.size() && slices_[i].file() == nullptr; ++i) {
      auto size = std::min(slices_[i].size() - within, room);
      if (size > 0) buffers_[used_++] = {slices_[i].data() + within, size};
      room -= size;
      if (within + size < slices_[i].size()) break;
      within = 0;
    }
    gathered_to_ = i;
  }

 private:
  void skip_sent() {
    for (; index_ < slices_.size() && within_ >= slices_[index_].size(); ++index_) within_ -= slices_[index_].size();
  }

  Slices slices_;
  std::size_t index_ = 0;
  std::size_t within_ = 0;
  std::size_t gathered_to_ = 0;
  std::array<value_type, 64> buffers_;  // Asio passes no more to the kernel
  std::size_t used_ = 0;
};

// Asio copies a sequence of buffers; this is the one that it may.
struct GatherView {
  const GatherBuffers* of;
  using value_type = GatherBuffers::value_type;
  using const_iterator = GatherBuffers::const_iterator;
  const_iterator begin() const { return of->begin(); }
  const_iterator end() const { return of->end(); }
};

// How much of what has been written is not on its way yet when the socket takes more.
using UnsentBytes = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_NOTSENT_LOWAT>;

}  // namespace

struct TcpConnection::State {
  State(TcpSocket connected, Clock& its_clock, SendPace& its_pace, BlockingPool& pool)
      : socket(std::move(connected)),
        clock(its_clock),
        pace(its_pace),
        turn(its_pace),
        disk(pool),
        reading(std::make_shared<DeadlineWatch>(its_clock)),
        writing(std::make_shared<DeadlineWatch>(its_clock)) {
    error_code ignored;
    peer = endpoint_of(socket.remote_endpoint(ignored));
    socket.set_option(boost::asio::ip::tcp::no_delay(true), ignored);
    socket.non_blocking(true, ignored);
    set_unsent_max(turn.step().unsent_max);
  }

  void begin(bool in_files) {
    turn.begin(clock.now());
    set_unsent_max(in_files ? turn.step().unsent_files_max : turn.step().unsent_max);
  }
  void end() {
    turn.end(clock.now());
    if (!turn.wants_round() || !pace.ask_for_round()) return;
    boost::asio::post(socket.get_executor(), [&of = pace] { of.come_round(); });
  }
  void set_unsent_max(int bytes) {
    if (std::exchange(unsent_max, bytes) == bytes) return;
    error_code ignored;
    socket.set_option(UnsentBytes(bytes), ignored);
  }

  Error error_of(const char* doing, error_code error, const DeadlineWatch& watch) const {
    auto context = std::string(doing) + " " + peer.text();
    if (watch.expired() && error == boost::asio::error::operation_aborted) return {ErrorCode::kTimeout, context};
    if (error == kCutOff) return {ErrorCode::kCorruptFile, context + ": the file has become shorter, or unreadable"};
    return {ErrorCode::kConnectionClosed, context + ": " + error.message()};
  }

  // One call's worth, without waiting. Neither sent nor an error: it must be loaded from its file first.
  std::size_t write_once(GatherBuffers& left, error_code& error) {
    auto bytes = left.in_file();
    if (!bytes) {
      left.gather(turn.left());
      // More follows at once: the kernel need not send a packet of its own for a header.
      return socket.send(GatherView{&left}, left.is_last() ? 0 : MSG_MORE, error);
    }
    const auto& file = *bytes->file();
    auto size = std::min(bytes->size(), turn.left() * kFileBytesPerByte);
    error = {};
    if (!file.is_resident(bytes->file_offset(), static_cast<Bytes>(size))) return 0;
    off_t offset = bytes->file_offset();
    auto count = ::sendfile(socket.native_handle(), file.descriptor(), &offset, size);
    if (count > 0) return static_cast<std::size_t>(count);
    // The file is shorter than what was promised: nothing that follows would be understood.
    error = count == 0 || errno == EIO ? kCutOff : error_code(errno, boost::system::system_category());
    return 0;
  }

  // As much as goes without waiting, and as this turn has room for. Whether it is the turn that is over.
  bool write_some(GatherBuffers& left, error_code& error) {
    error = {};
    while (!turn.is_over() && !left.done()) {
      bool in_file = left.in_file().has_value();
      auto sent = write_once(left, error);
      if (sent == 0 || error) return false;
      left.advance(sent);
      turn.note_sent(sent, in_file ? sent / kFileBytesPerByte : sent);
    }
    return !left.done();
  }

  TcpSocket socket;
  Clock& clock;
  SendPace& pace;
  SendTurn turn;
  int unsent_max = 0;
  BlockingPool& disk;
  std::shared_ptr<DeadlineWatch> reading, writing;
  Endpoint peer;
};

Endpoint endpoint_of(const boost::asio::ip::tcp::endpoint& endpoint) {
  return {endpoint.address().to_string(), endpoint.port()};
}

TcpConnection::TcpConnection(TcpSocket socket, Clock& clock, SendPace& pace, BlockingPool& disk)
    : state_(std::make_shared<State>(std::move(socket), clock, pace, disk)) {}

TcpConnection::~TcpConnection() { close(); }

void TcpConnection::close() {
  if (!state_->socket.is_open()) return;
  error_code ignored;
  state_->socket.close(ignored);
  state_->reading->stop();
  state_->writing->stop();
}

bool TcpConnection::has_ended() const {
  if (!state_->socket.is_open()) return true;
  pollfd look{state_->socket.native_handle(), POLLRDHUP, 0};
  return ::poll(&look, 1, 0) > 0;
}

Endpoint TcpConnection::peer() const { return state_->peer; }

Task<Result<std::size_t>> TcpConnection::read(MutableByteView into, Deadline deadline) {
  return read_some(state_, into, deadline);
}

Task<Result<void>> TcpConnection::write(Slices slices, Deadline deadline) {
  return write_all(state_, std::move(slices), deadline);
}

Task<Result<std::size_t>> TcpConnection::read_some(std::shared_ptr<State> state, MutableByteView into,
                                                   Deadline deadline) {
  auto& watch = *state->reading;
  CHECK(!into.empty() && !watch.active(), "one read at a time, of at least one byte");
  watch.begin(deadline);
  auto buffer = boost::asio::buffer(into.data(), into.size());
  auto token = boost::asio::bind_cancellation_slot(watch.slot(), boost::asio::as_tuple(boost::asio::use_awaitable));
  auto [error, size] = co_await state->socket.async_read_some(buffer, token);
  watch.end();
  if (error == boost::asio::error::eof) co_return 0;
  if (error) co_return fail(state->error_of("reading from", error, watch));
  state->turn.note_read(state->clock.now());
  co_return size;
}

Task<void> TcpConnection::let_others(State& state) {
  auto pause = state.turn.step().pause;
  if (pause > Duration::zero()) co_return co_await sleep_until(state.clock, state.clock.now() + pause);
  co_await boost::asio::post(state.socket.get_executor(), boost::asio::use_awaitable);
}

Task<Result<void>> TcpConnection::write_all(std::shared_ptr<State> state, Slices slices, Deadline deadline) {
  auto& watch = *state->writing;
  CHECK(!watch.active(), "one write at a time");
  GatherBuffers left(std::move(slices));
  bool in_files = left.any_in_file();
  state->begin(in_files);
  error_code error;
  bool more = state->write_some(left, error);
  if (left.done()) {
    state->end();
    co_return Result<void>{};
  }
  watch.begin(deadline);
  while (!left.done()) {
    if (more) {
      co_await let_others(*state);
    } else if (!error) {
      auto bytes = left.in_file();
      CHECK(bytes, "what lies in memory is sent, or fails");
      auto loaded = co_await state->disk.run([bytes = *bytes] { return bytes.loaded(); });
      if (loaded.size() < bytes->size()) error = kCutOff;
      if (!error) left.replace(std::move(loaded));
    } else if (error == boost::asio::error::would_block || error == boost::asio::error::interrupted) {
      auto token = boost::asio::bind_cancellation_slot(watch.slot(), boost::asio::as_tuple(boost::asio::use_awaitable));
      auto [failed] = co_await state->socket.async_wait(TcpSocket::wait_write, token);
      error = failed;
    }
    state->turn.next(state->clock.now());
    state->set_unsent_max(in_files ? state->turn.step().unsent_files_max : state->turn.step().unsent_max);
    // The deadline may pass between two steps that both succeed.
    if (!error && watch.expired()) error = boost::asio::error::operation_aborted;
    if (error) break;
    more = state->write_some(left, error);
  }
  watch.end();
  state->end();
  if (error) co_return fail(state->error_of("writing to", error, watch));
  co_return Result<void>{};
}

}  // namespace forelog::env
