// connection.h: one client connection: frames in, answers out in the order of their requests.
//
// Lives on one core. Requests start in the order they came, and may overlap: a Produce need not wait for the disk
// before the next one is appended. What a client can make us hold is bounded: by the frame size, by the number of
// requests in flight, and by the bytes of answers that it has not read yet. How long it can make us wait is, too: while
// nothing comes, for the rest of a request that it has begun, and for it to take what it is sent.
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
};

class Connection {
 public:
  Connection(env::Env& env, RequestHandler& handler, env::ConnectionPtr socket, ClientInfo client,
             ConnectionLimits limits);
  ~Connection();

  Task<void> run();  // until either side closes
  void close();      // makes `run` end soon

 private:
  struct Answer;  // the place of one request in the order of answers
  static Task<void> answer(Connection& self, std::shared_ptr<Answer> place, Request request);
  static Task<void> send_answers(Connection& self);
  Task<Result<Buffer>> read_frame();
  Task<Result<bool>> fill(std::size_t size, Deadline deadline);
  bool may_read_more() const;

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
  // Small frames are cut out of this; large ones are read straight into their own memory.
  MutableBuffer input_;
  std::size_t input_from_ = 0;
  std::size_t input_to_ = 0;
};

}  // namespace forelog::api
