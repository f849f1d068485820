#include "broker/api/connection.h"

#include "broker/base/byte_reader.h"
#include "broker/base/limits.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace forelog::api {
namespace {

constexpr std::size_t kInputSize = 4096;
constexpr std::size_t kLengthSize = 4;
constexpr std::int64_t kFrameSizeMin = 8;  // a request header without client id

// The next pieces of `slices` that make up one turn of sending; `at` moves along.
Slices take_turn(Slices& slices, std::size_t& at) {
  Slices turn;
  Bytes size = 0;
  while (at < slices.size() && size < kSendTurnSize) {
    auto room = static_cast<std::size_t>(kSendTurnSize - size);
    auto& slice = slices[at];
    if (slice.size() <= room) {
      size += static_cast<Bytes>(slice.size());
      turn.push_back(std::move(slice));
      ++at;
    } else {
      turn.push_back(slice.slice(0, room));
      slice = slice.slice(room);
      size = kSendTurnSize;
    }
  }
  return turn;
}

}  // namespace

struct Connection::Answer {
  bool ready = false;
  bool ends_connection = false;
  Slices slices;
};

Connection::Connection(env::Env& env, RequestHandler& handler, env::ConnectionPtr socket, ClientInfo client,
                       ConnectionLimits limits)
    : env_(env),
      handler_(handler),
      socket_(std::move(socket)),
      client_(std::make_shared<ClientInfo>(std::move(client))),
      limits_(limits),
      tasks_(env.cores),
      changed_(env.clock) {}

Connection::~Connection() = default;

void Connection::close() {
  closing_ = true;
  client_->closed = true;
  socket_->close();
  changed_.notify();
}

bool Connection::may_read_more() const {
  return answers_.size() < static_cast<std::size_t>(limits_.requests_in_flight_max) &&
         unsent_ <= limits_.unsent_answers_max;
}

// Makes at least `size` unread bytes stand in `input_` (they fit); false when the other side has finished.
Task<Result<bool>> Connection::fill(std::size_t size, Deadline deadline) {
  if (input_.size() == 0) input_ = MutableBuffer(kInputSize);
  if (input_.size() - input_from_ < size) {
    std::memmove(input_.data(), input_.data() + input_from_, input_to_ - input_from_);
    input_to_ -= input_from_;
    input_from_ = 0;
  }
  while (input_to_ - input_from_ < size) {
    auto room = input_.view().subspan(input_to_);
    auto got = CO_TRY(co_await socket_->read(room, deadline));
    if (got == 0) co_return false;
    input_to_ += got;
  }
  co_return true;
}

// The next frame without its length; empty when the other side has finished.
Task<Result<Buffer>> Connection::read_frame() {
  // One byte may be long in coming; whoever has sent it is expected to send the rest.
  auto now = env_.clock.now();
  auto quiet_until = limits_.idle_max < kForever - now ? now + limits_.idle_max : kForever;
  if (!CO_TRY(co_await fill(1, quiet_until))) co_return Buffer{};
  frame_begun_ = true;
  auto deadline = env_.clock.now() + limits_.frame_max;
  if (!CO_TRY(co_await fill(kLengthSize, deadline))) co_return Buffer{};
  ByteReader length(ByteView(input_.data() + input_from_, kLengthSize));
  std::int64_t size = length.i32();
  if (size < kFrameSizeMin || size > limits_.frame_size_max) {
    co_return fail(ErrorCode::kMalformed, "a frame of " + std::to_string(size) + " bytes; allowed are 8 to " +
                                              std::to_string(limits_.frame_size_max) + " (socket.request.max.bytes)");
  }
  input_from_ += kLengthSize;
  deadline += std::chrono::seconds(size / limits_.frame_speed_min);
  auto wanted = static_cast<std::size_t>(size);
  if (wanted <= kInputSize) {
    if (!CO_TRY(co_await fill(wanted, deadline))) co_return Buffer{};
    auto frame = Buffer::copy_of(ByteView(input_.data() + input_from_, wanted));
    input_from_ += wanted;
    co_return frame;
  }
  // Memory grows with what arrives, not with what was announced: 100 MiB are held only by who sends them.
  MutableBuffer body(std::min<std::size_t>(wanted, 1 << 20));
  std::size_t have = std::min(wanted, input_to_ - input_from_);
  std::memcpy(body.data(), input_.data() + input_from_, have);
  input_from_ += have;
  while (have < wanted) {
    if (have == body.size()) {
      MutableBuffer larger(std::min(wanted, body.size() * 4));
      std::memcpy(larger.data(), body.data(), have);
      body = std::move(larger);
    }
    auto room = body.view().subspan(have);
    auto got = CO_TRY(co_await socket_->read(room, deadline));
    if (got == 0) co_return Buffer{};
    have += got;
  }
  co_return std::move(body).freeze();
}

Task<void> Connection::answer(Connection& self, std::shared_ptr<Answer> place, Request request) {
  auto reply = co_await self.handler_.handle(std::move(request));
  place->ends_connection = reply.close;
  place->slices = std::move(reply.slices);
  place->ready = true;
  self.unsent_ += total_size(place->slices);
  self.changed_.notify();
}

Task<void> Connection::send_answers(Connection& self) {
  while (true) {
    while (!self.closing_ && (self.answers_.empty() || !self.answers_.front()->ready))
      co_await self.changed_.wait(kForever);
    if (self.closing_) co_return;
    // What is ready goes out together: one write for a burst of small answers.
    Slices slices;
    Bytes size = 0;
    bool last = false;
    while (!self.answers_.empty() && self.answers_.front()->ready && !last && size < kSendTurnSize) {
      auto& answer = *self.answers_.front();
      last = answer.ends_connection;
      size += total_size(answer.slices);
      std::move(answer.slices.begin(), answer.slices.end(), std::back_inserter(slices));
      self.answers_.pop_front();
    }
    for (std::size_t at = 0; at < slices.size();) {
      auto turn = take_turn(slices, at);
      auto deadline = self.env_.clock.now() + self.limits_.send_turn_max;
      auto sent = co_await self.socket_->write(std::move(turn), deadline);
      if (!sent) {
        if (sent.error().code == ErrorCode::kTimeout) self.handler_.refused(*self.client_, sent.error());
        last = true;
        at = slices.size();
      }
    }
    self.unsent_ -= size;
    if (last) {
      self.close();
      co_return;
    }
    self.changed_.notify();
  }
}

Task<void> Connection::run() {
  tasks_.spawn(send_answers(*this));
  while (!closing_) {
    if (!may_read_more()) {
      co_await changed_.wait(kForever);
      continue;
    }
    auto frame = co_await read_frame();
    // Silence between requests is nothing to tell of; half a request is.
    bool is_refused = !frame && (frame.error().code == ErrorCode::kMalformed ||
                                 (frame.error().code == ErrorCode::kTimeout && frame_begun_));
    if (is_refused) handler_.refused(*client_, frame.error());
    if (!frame || frame->empty()) break;
    frame_begun_ = false;
    auto place = std::make_shared<Answer>();
    answers_.push_back(place);
    Request request{*std::move(frame), client_, env_.clock.now()};
    tasks_.spawn(answer(*this, std::move(place), std::move(request)));
  }
  close();
  co_await tasks_.join();
}

}  // namespace forelog::api
