#include "broker/env/real/http_transfers.h"

#include "broker/env/real/http_transfer.h"
#include "broker/env/real/scheduling.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <unordered_map>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace forelog::env {
namespace {

constexpr Duration kGrace = 200ms;           // from a deadline until the core stops waiting for the thread
constexpr Duration kRounding = 20ms;         // libcurl counts milliseconds
constexpr int kLookAroundMs = 50;            // how often deadlines of waiting requests are looked at
constexpr std::size_t kIdleHandlesMax = 64;  // kept, so that their memory is used again

std::int64_t steady_ms() {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

// libcurl wants it once in a process, before the first thread that uses it.
void init_curl_once() {
  static const CURLcode done = curl_global_init(CURL_GLOBAL_DEFAULT);
  CHECK(done == CURLE_OK);
}

}  // namespace

// The thread: libcurl says which sockets it waits for and until when; epoll waits.
class HttpTransfers::Loop {
 public:
  Loop(HttpTransfers& owner, const QuickClients& quick, Options options)
      : owner_(owner),
        rests_(quick),
        options_(std::move(options)),
        slots_(options_.requests_max),
        epoll_(epoll_create1(EPOLL_CLOEXEC)),
        wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
        multi_(curl_multi_init()) {
    CHECK(epoll_ >= 0 && wake_ >= 0 && multi_ != nullptr);
    watch(wake_, EPOLL_CTL_ADD, EPOLLIN);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETFUNCTION, &Loop::on_socket);
    curl_multi_setopt(multi_, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_TIMERFUNCTION, &Loop::on_timer);
    curl_multi_setopt(multi_, CURLMOPT_TIMERDATA, this);
    curl_multi_setopt(multi_, CURLMOPT_MAXCONNECTS, static_cast<long>(options_.requests_max));
  }
  ~Loop() {
    for (auto& [handle, transfer] : active_) curl_multi_remove_handle(multi_, handle);
    active_.clear();
    idle_.clear();
    curl_multi_cleanup(multi_);
    ::close(wake_);
    ::close(epoll_);
  }

  // From any thread.
  void submit(std::shared_ptr<Transfer> transfer) {
    {
      std::lock_guard lock(mutex_);
      if (!stopping_) {
        incoming_.push_back(std::move(transfer));
        transfer = nullptr;
      }
    }
    if (transfer != nullptr) return give_up(std::move(transfer), s3::Transport::stopping);
    wake();
  }
  void ask_to_stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake();
  }

  void run() {
    while (true) {
      wait();
      bool stopping = take_incoming();
      if (stopping) break;
      drop_late();
      start_waiting();
      collect_ended();
      start_waiting();  // into the slots of those that ended
      note_counts();
    }
    end_all();
  }

 private:
  void wake() {
    std::uint64_t one = 1;
    [[maybe_unused]] auto written = ::write(wake_, &one, sizeof(one));
  }

  void watch(int fd, int operation, std::uint32_t events) {
    epoll_event event{};
    event.events = events;
    event.data.fd = fd;
    if (epoll_ctl(epoll_, operation, fd, &event) == 0) return;
    // A descriptor that was closed has left by itself, and one that is used again may still be known.
    if (operation == EPOLL_CTL_MOD && errno == ENOENT) epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
    if (operation == EPOLL_CTL_ADD && errno == EEXIST) epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* self, void* known) {
    auto& loop = *static_cast<Loop*>(self);
    if (what == CURL_POLL_REMOVE) {
      loop.watch(fd, EPOLL_CTL_DEL, 0);
      return 0;
    }
    std::uint32_t events = 0;
    if ((what & CURL_POLL_IN) != 0) events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) events |= EPOLLOUT;
    loop.watch(fd, known == nullptr ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, events);
    curl_multi_assign(loop.multi_, fd, self);
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* self) {
    static_cast<Loop*>(self)->timer_at_ = timeout_ms < 0 ? -1 : steady_ms() + timeout_ms;
    return 0;
  }

  void wait() {
    std::array<epoll_event, 64> events{};
    int timeout = slots_.waiting() > 0 ? kLookAroundMs : -1;
    if (timer_at_ >= 0) {
      auto left = static_cast<int>(std::clamp<std::int64_t>(timer_at_ - steady_ms(), 0, 1000));
      timeout = timeout < 0 ? left : std::min(timeout, left);
    }
    int ready = epoll_wait(epoll_, events.data(), static_cast<int>(events.size()), timeout);
    int running = 0;
    for (int i = 0; i < ready; ++i) {
      const auto& event = events[static_cast<std::size_t>(i)];
      if (event.data.fd == wake_) {
        std::uint64_t count = 0;
        [[maybe_unused]] auto read = ::read(wake_, &count, sizeof(count));
        continue;
      }
      int mask = 0;
      if ((event.events & EPOLLIN) != 0) mask |= CURL_CSELECT_IN;
      if ((event.events & EPOLLOUT) != 0) mask |= CURL_CSELECT_OUT;
      if ((event.events & (EPOLLERR | EPOLLHUP)) != 0) mask |= CURL_CSELECT_ERR;
      curl_multi_socket_action(multi_, event.data.fd, mask, &running);
      rests_.after(std::exchange(moved_, 0));
    }
    if (timer_at_ >= 0 && steady_ms() >= timer_at_) {
      timer_at_ = -1;  // libcurl sets the next one inside
      curl_multi_socket_action(multi_, CURL_SOCKET_TIMEOUT, 0, &running);
    }
  }

  void note_counts() {
    owner_.in_flight_.store(static_cast<std::int64_t>(slots_.in_flight()), std::memory_order_relaxed);
    owner_.waiting_.store(static_cast<std::int64_t>(slots_.waiting()), std::memory_order_relaxed);
  }

  bool take_incoming() {
    std::vector<std::shared_ptr<Transfer>> taken;
    bool stopping = false;
    {
      std::lock_guard lock(mutex_);
      taken.swap(incoming_);
      stopping = stopping_;
    }
    for (auto& transfer : taken) {
      auto traffic = transfer->request.traffic;
      slots_.wait(traffic, std::move(transfer));
    }
    return stopping;
  }

  void drop_late() {
    if (slots_.waiting() == 0) return;
    auto now = owner_.clock_.now();
    slots_.remove_if([&](const auto& transfer) { return transfer->abandoned || transfer->deadline <= now; },
                     [&](auto transfer) { give_up(std::move(transfer), s3::Transport::deadline); });
  }

  void start_waiting() {
    while (auto next = slots_.start_next()) {
      auto transfer = *std::move(next);
      if (!idle_.empty()) {
        transfer->handle = std::move(idle_.back());
        idle_.pop_back();
      }
      transfer->cores_ = &owner_.cores_;
      transfer->moved_ = &moved_;
      transfer->prepare(options_, transfer->deadline - owner_.clock_.now());
      auto* handle = transfer->handle.get();
      active_.emplace(handle, std::move(transfer));
      CHECK(curl_multi_add_handle(multi_, handle) == CURLM_OK);
    }
  }

  void collect_ended() {
    int left = 0;
    while (auto* message = curl_multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      auto* handle = message->easy_handle;
      auto result = message->data.result;
      auto at = active_.find(handle);
      CHECK(at != active_.end());
      auto transfer = std::move(at->second);
      active_.erase(at);
      curl_multi_remove_handle(multi_, handle);
      transfer->conclude(result);
      if (transfer->answer.transport == s3::Transport::stalled && transfer->deadline <= owner_.clock_.now() + kRounding)
        transfer->answer.transport = s3::Transport::deadline;
      long opened = 0;
      curl_easy_getinfo(handle, CURLINFO_NUM_CONNECTS, &opened);
      owner_.connections_opened_.fetch_add(opened, std::memory_order_relaxed);
      slots_.end(transfer->request.traffic);
      note_counts();
      curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, nullptr);  // which goes with the transfer
      if (idle_.size() < kIdleHandlesMax) idle_.push_back(std::move(transfer->handle));
      deliver(std::move(transfer));
    }
  }

  void give_up(std::shared_ptr<Transfer> transfer, s3::Transport why) {
    transfer->filled = 0;  // a piece whose answer has no head any more would be taken for another's
    transfer->answer = {.transport = why};
    deliver(std::move(transfer));
  }

  void deliver(std::shared_ptr<Transfer> transfer) {
    transfer->flush(owner_.cores_);
    auto done = [reply = std::move(transfer->reply), answer = std::move(transfer->answer)]() mutable {
      reply->answer = std::move(answer);
      reply->done = true;
      reply->changed.notify();
    };
    owner_.cores_.post(transfer->home, std::move(done));
  }

  void end_all() {
    slots_.remove_if([](const auto&) { return true; },
                     [&](auto transfer) { give_up(std::move(transfer), s3::Transport::stopping); });
    for (auto& [handle, transfer] : active_) {
      curl_multi_remove_handle(multi_, handle);
      give_up(std::move(transfer), s3::Transport::stopping);
    }
    active_.clear();
  }

  HttpTransfers& owner_;
  Rests rests_;
  std::size_t moved_ = 0;  // bytes of bodies, since the last look
  const Options options_;
  s3::RequestSlots<std::shared_ptr<Transfer>> slots_;
  int epoll_;
  int wake_;
  CURLM* multi_;
  std::int64_t timer_at_ = -1;  // steady_ms; -1: none
  std::unordered_map<CURL*, std::shared_ptr<Transfer>> active_;
  std::vector<CurlHandle> idle_;

  std::mutex mutex_;
  std::vector<std::shared_ptr<Transfer>> incoming_;
  bool stopping_ = false;
};

HttpTransfers::HttpTransfers(Cores& cores, Clock& clock, const QuickClients& quick, Options options)
    : cores_(cores), clock_(clock) {
  init_curl_once();
  loop_ = std::make_unique<Loop>(*this, quick, std::move(options));
  thread_ = std::thread([this] {
    make_way();
    loop_->run();
  });
}

HttpTransfers::~HttpTransfers() { stop(); }

void HttpTransfers::interrupt() { loop_->ask_to_stop(); }

void HttpTransfers::stop() {
  std::call_once(stopped_, [this] {
    loop_->ask_to_stop();
    thread_.join();
  });
}

Task<s3::Answer> HttpTransfers::send(HttpRequest request, OnBody on_body, Deadline deadline) {
  if (clock_.now() >= deadline) co_return s3::Answer{.transport = s3::Transport::deadline};
  auto reply = std::make_shared<Reply>(clock_);
  auto transfer = std::make_shared<Transfer>();
  transfer->request = std::move(request);
  transfer->deadline = deadline;
  transfer->streams = static_cast<bool>(on_body);
  transfer->home = cores_.current();
  transfer->reply = reply;
  reply->on_body = std::move(on_body);
  loop_->submit(transfer);
  // The thread keeps the deadline; should it be late, nobody waits for it, and nothing is handed out any more.
  auto patience = deadline > kForever - kGrace ? kForever : deadline + kGrace;
  while (!reply->done && !reply->unwanted && clock_.now() < patience) co_await reply->changed.wait(patience);
  reply->on_body = nullptr;
  if (reply->done) co_return std::move(reply->answer);
  transfer->abandoned = true;
  if (reply->unwanted) co_return std::move(reply->answer);
  co_return s3::Answer{.transport = s3::Transport::deadline};
}

}  // namespace forelog::env
