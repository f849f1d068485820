// connection.h: one client connection: frames in, answers out in the order of their requests.
//
// Lives on one core. Requests start in the order they came, and may overlap: a Produce need not wait for the disk
// before the next one is appended. What a client can make us hold is bounded: by the frame size, by the number of
// requests in flight, and by the bytes of answers that it has not read yet; and what all together can, by the
// handler's RequestMemory. How long it can make us wait is, too: while nothing comes, for the rest of a request that it
// has begun, and for it to take what it is sent. Others who wait for the memory that it holds make that shorter.
#pragma once

#include "broker/api/client_info.h"
#include "broker/api/dispatch.h"
#include "broker/base/bytes.h"
#include "broker/env/env.h"
#include "broker/env/task_group.h"

#include <deque>
#include <memory>

namespace forelog::api {

struct ConnectionLimits {
  Bytes frame_size_max = 100_MiB;
  Duration idle_max = 10min;       // without a byte from the client
  Duration frame_max = 2min;       // from the first byte of a request to its last, and …
  Bytes frame_speed_min = 16_KiB;  // … a second more for each so many bytes of it
  int requests_in_flight_max = 64;
  Bytes unsent_answers_max = 1_MiB;  // no new request is read while more waits to be sent
  Duration send_turn_max = 60s;      // a client that takes no 256 KiB within this is gone
  // While others wait for the memory that it holds:
  Duration frame_quiet_max = 2s;      // a request may take this long, and nothing of it come for as long, and …
  Bytes frame_speed_short = 256_KiB;  // … a second more for each so many bytes that have come, …
  Duration frame_max_short = 20s;     // … but no longer than this
  Duration send_turn_short = 5s;      // as `send_turn_max`
  Duration send_max_short = 20s;      // what goes out together is taken by then
};

class Connection final : private MemoryHolder {
 public:
  Connection(env::Env& env, RequestHandler& handler, env::ConnectionPtr socket, ClientInfo client,
             ConnectionLimits limits);
  ~Connection() override;

  Task<void> run();    // until either side closes
  Task<void> drain();  // after `run`: until its requests have ended, some of which may wait for minutes
  void close();        // makes `run` end soon

 private:
  struct Answer;  // the place of one request in the order of answers
  static Task<void> answer(Connection& self, std::shared_ptr<Answer> place, Request request);
  static Task<void> send_answers(Connection& self);
  Task<Result<Buffer>> read_frame();
  Task<Result<bool>> fill(std::size_t size, Deadline deadline);
  Task<Result<void>> set_memory_aside(Bytes size);
  bool may_read_more() const;
  void drop_answers();
  Duration overdue(MemoryUse use, Instant now) const override;
  void give_up() override;

  env::Env& env_;
  RequestHandler& handler_;
  env::ConnectionPtr socket_;
  std::shared_ptr<ClientInfo> client_;
  ConnectionLimits limits_;
  TaskGroup tasks_;
  std::deque<std::shared_ptr<Answer>> answers_;  // oldest first
  Bytes unsent_ = 0;
  Event changed_;  // an answer is ready or was sent, or the connection closes
  bool closing_ = false;
  bool frame_begun_ = false;  // a request has begun to arrive
  // Of the frame that is being read: what is set aside for it, since when, and how much of it has come.
  env::Reservation frame_memory_;
  Instant frame_since_{}, frame_news_at_{};
  std::size_t frame_have_ = 0;
  // Of answers that are ready: since when the oldest is, and when the client last took something.
  Instant unsent_since_{};
  Instant taken_at_{};
  // Small frames are cut out of this; large ones are read straight into their own memory.
  MutableBuffer input_;
  std::size_t input_from_ = 0;
  std::size_t input_to_ = 0;
};

}  // namespace forelog::api
