#include "broker/api/connection.h"

#include "broker/base/byte_reader.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace forelog::api {
namespace {

constexpr std::size_t kInputSize = 4096;
constexpr std::size_t kLengthSize = 4;
constexpr std::int64_t kFrameSizeMin = 8;  // a request header without client id
constexpr Duration kLookForEnd = 1s;       // while nothing is read

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
  env::Reservation memory;
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
  drop_answers();
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

// Room for a frame. While there is none nothing more is read from the client.
Task<Result<void>> Connection::set_memory_aside(Bytes size) {
  frame_have_ = 0;
  auto* memory = handler_.memory();
  if (memory == nullptr) co_return Result<void>{};
  if (auto room = memory->try_request(size)) {
    frame_memory_ = *std::move(room);
  } else {
    frame_memory_ = CO_TRY(co_await memory->for_request(size));
  }
  frame_since_ = frame_news_at_ = env_.clock.now();
  co_return Result<void>{};
}

Duration Connection::overdue(MemoryUse use, Instant now) const {
  if (closing_) return Duration::zero();  // it is being given back
  if (use == MemoryUse::request) {
    if (frame_memory_.bytes() == 0) return Duration::zero();
    auto earned = std::chrono::seconds(static_cast<Bytes>(frame_have_) / limits_.frame_speed_short);
    auto allowed = std::min<Duration>(limits_.frame_quiet_max + earned, limits_.frame_max_short);
    auto late = std::max(now - frame_news_at_ - limits_.frame_quiet_max, now - frame_since_ - allowed);
    return std::max(Duration::zero(), late);
  }
  if (unsent_ == 0) return Duration::zero();
  auto late = std::max(now - taken_at_ - limits_.send_turn_short, now - unsent_since_ - limits_.send_max_short);
  return std::max(Duration::zero(), late);
}

void Connection::give_up() {
  handler_.refused(*client_, Error{ErrorCode::kTimeout, "too slow while others wait for the memory that it holds"});
  close();
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
  CO_TRY(co_await set_memory_aside(size));
  deadline = env_.clock.now() + limits_.frame_max + std::chrono::seconds(size / limits_.frame_speed_min);
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
    frame_have_ = have;
    frame_news_at_ = env_.clock.now();
  }
  co_return std::move(body).freeze();
}

Task<void> Connection::answer(Connection& self, std::shared_ptr<Answer> place, Request request) {
  auto reply = co_await self.handler_.handle(std::move(request));
  place->ends_connection = reply.close;
  place->slices = std::move(reply.slices);
  place->memory = std::move(reply.memory);
  place->ready = true;
  if (self.unsent_ == 0) self.unsent_since_ = self.taken_at_ = self.env_.clock.now();
  self.unsent_ += total_size(place->slices);
  if (self.closing_) self.drop_answers();
  self.changed_.notify();
}

// Nobody will send them; who waits for their memory gets it now, not when the last request has ended.
void Connection::drop_answers() {
  for (auto& answer : answers_) {
    answer->slices.clear();
    answer->memory.release();
  }
  if (auto* memory = handler_.memory()) memory->note_change();
}

Task<void> Connection::send_answers(Connection& self) {
  while (true) {
    while (!self.closing_ && (self.answers_.empty() || !self.answers_.front()->ready))
      co_await self.changed_.wait(kForever);
    if (self.closing_) co_return;
    // What is ready goes out together: one write for a burst of small answers.
    Slices slices;
    std::vector<env::Reservation> held;
    Bytes size = 0;
    bool last = false;
    self.unsent_since_ = self.taken_at_ = self.env_.clock.now();
    while (!self.answers_.empty() && self.answers_.front()->ready && !last && size < kSendTurnSize) {
      auto& answer = *self.answers_.front();
      last = answer.ends_connection;
      size += total_size(answer.slices);
      std::move(answer.slices.begin(), answer.slices.end(), std::back_inserter(slices));
      if (answer.memory.bytes() > 0) held.push_back(std::move(answer.memory));
      self.answers_.pop_front();
    }
    for (std::size_t at = 0; at < slices.size();) {
      auto turn = take_turn(slices, at);
      auto deadline = self.env_.clock.now() + self.limits_.send_turn_max;
      auto sent = co_await self.socket_->write(std::move(turn), deadline);
      if (!sent) {
        if (sent.error().code == ErrorCode::kTimeout) self.handler_.refused(*self.client_, sent.error());
        if (sent.error().code == ErrorCode::kCorruptFile) log_line(warn, "answer_cut_off", {{"error", sent.error()}});
        last = true;
        at = slices.size();
      }
      self.taken_at_ = self.env_.clock.now();
    }
    self.unsent_ -= size;
    if (!held.empty()) {
      slices.clear();
      held.clear();
      self.handler_.memory()->note_change();
    }
    if (last) {
      self.close();
      co_return;
    }
    self.changed_.notify();
  }
}

Task<void> Connection::run() {
  auto* memory = handler_.memory();
  if (memory != nullptr) memory->add(*this);
  tasks_.spawn(send_answers(*this));
  while (!closing_) {
    if (!may_read_more()) {
      // Who does not read does not meet the end either, and an answer may be minutes away.
      bool changed = co_await changed_.wait(env_.clock.now() + kLookForEnd);
      if (!changed && socket_->has_ended()) break;
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
    Request request{*std::move(frame), client_, env_.clock.now(), std::move(frame_memory_)};
    tasks_.spawn(answer(*this, std::move(place), std::move(request)));
  }
  close();
  if (memory != nullptr) memory->remove(*this);
  frame_memory_.release();
}

Task<void> Connection::drain() { co_await tasks_.join(); }

}  // namespace forelog::api
