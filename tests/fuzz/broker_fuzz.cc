// A whole broker on its real reactors, disk and sockets, under clients that say anything: requests that make sense,
// with fields changed or bytes damaged, half frames, frames with a wrong length, several connections at once.
//
// Held against it: a connection that its client has ended is closed soon, whatever it waited for; what is answered
// decodes, in the order of the requests; the next client is answered; it stops and starts again on what it has written.
#include "broker/all_settings.h"
#include "broker/base/log.h"
#include "broker/broker.h"
#include "broker/env/real/real_env.h"
#include "broker/env/simulated/seeded_random.h"
#include "broker/log/batch_builder.h"
#include "broker/wire/metadata.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/temporary_directory.h"
#include "tests/wire/every_message.h"
#include "tests/wire/random_message.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace forelog {
namespace {

using fuzz::Decisions;

constexpr Duration kPatience = 20s;    // with everything: beyond it the broker hangs
constexpr int kInputsOfOneLife = 400;  // then the broker stops and starts on what it has
constexpr int kLivesOfOneDisk = 4;     // then on an empty disk

class Client {
 public:
  explicit Client(int port) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(static_cast<std::uint16_t>(port));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto failed = ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0;  // NOLINT: sockets
    if (failed && errno == EINTR) failed = !wait_for(POLLOUT);                                 // it goes on by itself
    CHECK(!failed, "nobody listens");
    int on = 1;
    ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    timeval soon{0, 200'000};
    ::setsockopt(socket_, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
  }
  ~Client() { ::close(socket_); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // What the broker takes of it: a client that it has closed may write into the void.
  void send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent <= 0) return;
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  void finish_sending() { ::shutdown(socket_, SHUT_WR); }

  // Reads until `enough` bytes are there or the broker ends the connection; false when it does neither in time.
  bool read(std::size_t enough = SIZE_MAX) {
    while (got_.size() < enough) {
      if (!wait_for(POLLIN)) return false;
      char room[16384];
      auto size = ::recv(socket_, room, sizeof room, 0);
      if (size <= 0) return true;
      got_.append(room, static_cast<std::size_t>(size));
    }
    return true;
  }
  const std::string& got() const { return got_; }

 private:
  // libFuzzer looks at the time by a signal, which ends any wait.
  bool wait_for(short event) const {
    auto until = std::chrono::steady_clock::now() + kPatience;
    while (true) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
      pollfd wait{socket_, event, 0};
      auto ready = ::poll(&wait, 1, std::max(0, static_cast<int>(left.count())));
      if (ready >= 0 || errno != EINTR) return ready > 0;
    }
  }

  int socket_;
  std::string got_;
};

class Host {
 public:
  Host() { start(); }
  ~Host() { stop(); }

  int port() const { return broker_->listeners().front().port; }
  const wire::Vocabulary& vocabulary() const { return vocabulary_; }

  void count_input() {
    if (++inputs_ % kInputsOfOneLife != 0) return;
    stop();
    if (++lives_ % kLivesOfOneDisk == 0) directory_ = std::make_unique<test::TemporaryDirectory>();
    start();
  }

  // The broker answers a client that has just come.
  void expect_service() {
    Client client(port());
    client.send(as_text(ByteView(flatten(wire::encode_request(wire::MetadataRequest{}, 9, 7, "after")))));
    CHECK(client.read(8), "the broker does not answer any more");
    CHECK(client.got().size() >= 8 && client.got().substr(4, 4) == std::string("\0\0\0\7", 4), "not an answer");
  }

 private:
  void start() {
    SettingMap raw{
        {"listeners", "PLAINTEXT://127.0.0.1:0"},
        {"admin.listeners", ""},
        {"hint.listeners", ""},
        {"log.dirs", *directory_ / "data"},
        {"archive.url", "file:" + (*directory_ / "archive")},
        {"reactor.cores", "2"},
        {"num.partitions", "2"},
        {"log.segment.bytes", "20000"},
        {"log.local.retention.ms", "1"},
        {"offsets.topic.num.partitions", "2"},
        {"offsets.topic.replication.factor", "1"},
        {"group.initial.rebalance.delay.ms", "0"},
        {"group.min.session.timeout.ms", "1"},
        {"socket.request.max.bytes", "1048576"},
        {"wal.file.bytes", "1MiB"},
        {"wal.max.bytes", "8MiB"},
        {"cache.memory", "4MiB"},
        {"log.tail.memory", "8MiB"},
    };
    auto settings = read_all_settings(std::move(raw));
    CHECK(settings.has_value(), "the target's own settings");
    auto opened = env::RealEnv::open({.data_directory = *directory_ / "data",
                                      .cores = 2,
                                      .disk_threads = 2,
                                      .archive_url = "file:" + (*directory_ / "archive"),
                                      .archive_threads = 2});
    CHECK(opened.has_value());
    real_ = *std::move(opened);
    CHECK(real_->start().has_value());
    broker_ = std::make_unique<Broker>(real_->env(), *std::move(settings));
    auto started = real_->run(broker_->start());
    CHECK(started.has_value(), "the broker does not start on what it has written");
    learn_topics();
  }
  void stop() {
    real_->run(broker_->stop());
    broker_.reset();
    real_->stop();
    real_.reset();
  }

  // Two topics, made by asking for them, so that messages can name them by their ids.
  void learn_topics() {
    vocabulary_.texts = {"t0",     "t1", "t2", "g", "m", "", "0", "consumer", "range", "retention.ms", "segment.bytes",
                         "compact"};
    log::BatchBuilder plain;
    plain.add(1000, "key", std::string(3000, 'v')).add(1001, "key", "w");
    log::BatchBuilder numbered;
    numbered.add(1000, "key", "v").producer(ProducerId(1), 0, 0).codec(log::Codec::lz4);
    vocabulary_.records = {std::move(plain).build(), std::move(numbered).build(), Buffer()};
    vocabulary_.topics = {TopicId{}};
    wire::MetadataRequest request;
    request.topics.emplace();
    for (const char* name : {"t0", "t1"}) request.topics->push_back({{}, TopicName(name)});
    Client client(port());
    client.send(flatten(wire::encode_request(request, 12, 1, "target")).text());
    CHECK(client.read(4), "no metadata");
    ByteReader length(as_bytes(client.got()));
    auto size = static_cast<std::size_t>(length.u32());
    CHECK(client.read(4 + size));
    auto parsed = wire::parse_response(Buffer::copy_of(std::string_view(client.got()).substr(4)),
                                       wire::row_of(wire::ApiKey::kMetadata), 12);
    auto answer = wire::decode<wire::MetadataResponse>(parsed->body, 12);
    for (const auto& topic : answer->topics) vocabulary_.topics.push_back(topic.topic_id);
  }

  std::unique_ptr<test::TemporaryDirectory> directory_ = std::make_unique<test::TemporaryDirectory>();
  std::unique_ptr<env::RealEnv> real_;
  std::unique_ptr<Broker> broker_;
  wire::Vocabulary vocabulary_;
  int inputs_ = 0, lives_ = 0;
};

std::unique_ptr<Host> running;

Host& host() {
  if (!running) {
    std::signal(SIGPIPE, SIG_IGN);
    running = std::make_unique<Host>();
    fuzz::at_end([] { running.reset(); });
  }
  return *running;
}

// One connection, and what it has asked for.
struct Conversation {
  explicit Conversation(int port) : client(port) {}
  Client client;
  struct Asked {
    const wire::Form* form;
    std::int32_t id;
  };
  std::vector<Asked> asked;
  bool sensible = true;  // every request so far is one that the broker can parse
};

const wire::Form* response_of(const wire::Form& request) {
  for (const auto& form : wire::every_form()) {
    if (form.response == request.request && form.version == request.version) return &form;
  }
  return nullptr;
}

std::string frame_of(const wire::Form& form, std::int32_t id, ByteView body) {
  ByteWriter out;
  out.u32(0);
  wire::write_request_header(out, *form.request, form.version, id, "client-1");
  out.bytes(body);
  out.patch(0, static_cast<std::uint32_t>(out.size() - 4));
  return std::move(out).take();
}

void ask(Conversation& to, Decisions& in) {
  static const auto kRequests = [] {
    std::vector<const wire::Form*> out;
    for (const auto& form : wire::every_form()) {
      if (form.request != nullptr) out.push_back(&form);
    }
    return out;
  }();
  const auto& form = *kRequests[in.between<std::size_t>(0, kRequests.size() - 1)];
  env::SeededRandom random(in.any<std::uint32_t>());
  auto body = form.make_plausible(form, random, host().vocabulary()).bytes;
  for (auto changes = in.between<int>(0, 2); changes > 0; --changes) {
    auto changed = form.change(form, body, random);
    if (changed) body = changed->bytes;
  }
  auto id = static_cast<std::int32_t>(to.asked.size());
  auto frame = frame_of(form, id, body);
  if (in.one_in(8) && frame.size() > 4) {
    frame[in.between<std::size_t>(0, frame.size() - 1)] = static_cast<char>(in.any<std::uint8_t>());
    to.sensible = false;
  }
  if (in.one_in(16)) {
    frame.resize(in.between<std::size_t>(0, frame.size()));
    to.sensible = false;
  }
  to.asked.push_back({&form, id});
  to.client.send(frame);
}

// Answers come in the order of the requests, and are what the protocol says they are. Some requests are not answered
// (acks=0), and the broker may close at any of them.
void check_answers(const Conversation& with) {
  if (!with.sensible) return;
  ByteReader in(as_bytes(with.client.got()));
  std::size_t next = 0;
  while (in.remaining() >= 8) {
    auto size = in.i32();
    if (size < 4 || static_cast<std::size_t>(size) > in.remaining()) break;  // cut off by the end of the connection
    auto frame = Buffer::copy_of(in.bytes(size));
    auto id = ByteReader(frame).i32();
    while (next < with.asked.size() && with.asked[next].id != id) ++next;
    CHECK(next < with.asked.size(), "an answer to nothing, or out of order");
    const auto& form = *with.asked[next++].form;
    auto parsed = wire::parse_response(frame, *form.request, form.version);
    CHECK(parsed.has_value());
    const auto* response = response_of(form);
    CHECK(response != nullptr && response->recode(*response, parsed->body).has_value(),
          "an answer that does not decode");
  }
}

}  // namespace
}  // namespace forelog

FUZZ_TARGET(broker) {
  using namespace forelog;  // NOLINT: what this is about
  set_log_level(error);
  Decisions in(input);
  auto& broker = host();
  broker.count_input();
  std::deque<Conversation> conversations;
  for (auto steps = in.between<int>(1, 12); steps > 0; --steps) {
    if (conversations.empty() || (conversations.size() < 3 && in.one_in(5))) conversations.emplace_back(broker.port());
    auto& to = conversations[in.between<std::size_t>(0, conversations.size() - 1)];
    if (in.one_in(12)) {
      to.client.send(in.text(64));
      to.sensible = false;
    } else if (in.one_in(24)) {
      conversations.pop_front();  // without a word
    } else {
      ask(to, in);
    }
  }
  for (auto& with : conversations) with.client.finish_sending();
  for (auto& with : conversations) {
    CHECK(with.client.read(), "a connection stays open although its client has ended it");
    check_answers(with);
  }
  broker.expect_service();
}
