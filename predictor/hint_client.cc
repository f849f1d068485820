#include "predictor/hint_client.h"

#include "broker/base/log.h"
#include "hint_service/HintService.h"
#include "predictor/plan_codec.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <ranges>
#include <stdexcept>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TSocket.h>

namespace forelog::predictor {
namespace {

using apache::thrift::protocol::TCompactProtocol;
using apache::thrift::transport::TFramedTransport;
using apache::thrift::transport::TSocket;

// "host:port"; an address in brackets may contain colons.
bool split_endpoint(const std::string& endpoint, std::string& host, int& port) {
  auto colon = endpoint.rfind(':');
  if (colon == std::string::npos || colon == 0) return false;
  host = endpoint.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  auto text = endpoint.substr(colon + 1);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && end == text.data() + text.size() && port > 0 && port < 65536;
}

}  // namespace

// One broker: its queue, its connection, its thread.
class HintClient::Sender {
 public:
  Sender(HintClient& client, std::string endpoint)
      : client_(client),
        endpoint_(std::move(endpoint)),
        pause_(client.settings_.retry_min),
        thread_([this] { run(); }) {}
  ~Sender() {
    {
      std::scoped_lock lock(mutex_);
      stopping_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  void put(std::vector<Waiting> plans) {
    std::scoped_lock lock(mutex_);
    for (auto& plan : plans) queue_.push_back(std::move(plan));
    while (queue_.size() > client_.settings_.waiting_max) {
      queue_.pop_front();
      ++client_.counts_.dropped;
    }
    changed_.notify_all();
  }

 private:
  void run() {
    for (;;) {
      auto batch = take();
      if (batch.empty()) return;
      if (!send(batch) && !rest(batch)) return;
    }
  }

  // The next plans still in time; waits for some. Empty: stop.
  std::vector<Waiting> take() {
    std::unique_lock lock(mutex_);
    std::vector<Waiting> out;
    while (out.empty()) {
      changed_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (stopping_) return {};
      auto now = client_.now_();
      while (!queue_.empty() && out.size() < client_.settings_.batch_max) {
        if (queue_.front().plan.expires > now) {
          out.push_back(std::move(queue_.front()));
        } else {
          ++client_.counts_.dropped;
        }
        queue_.pop_front();
      }
    }
    return out;
  }

  // After a failure: puts the batch back and waits a little. False: stop.
  bool rest(std::vector<Waiting>& batch) {
    std::unique_lock lock(mutex_);
    for (auto& plan : batch | std::views::reverse) queue_.push_front(std::move(plan));
    changed_.wait_for(lock, pause_, [this] { return stopping_; });
    pause_ = std::min(pause_ * 2, client_.settings_.retry_max);
    return !stopping_;
  }

  bool send(const std::vector<Waiting>& batch) {
    std::vector<thrift::PlanAnswer> answers;
    // A broker closes a connection on which nothing came for a while, which shows only now.
    bool was_connected = stub_ != nullptr;
    auto error = call(batch, answers);
    if (error && was_connected) error = call(batch, answers);
    if (error) {
      ++client_.counts_.failures;
      if (!failing_) log_line(warn, "hint_service_unreachable", {{"endpoint", endpoint_}, {"error", *error}});
      failing_ = true;
      return false;
    }
    if (failing_) log_line(info, "hint_service_reached", {{"endpoint", endpoint_}});
    failing_ = false;
    pause_ = client_.settings_.retry_min;
    return handle(batch, answers);
  }

  // Yields what went wrong; the connection is over then.
  std::optional<std::string> call(const std::vector<Waiting>& batch, std::vector<thrift::PlanAnswer>& answers) {
    try {
      connect();
      std::vector<thrift::Plan> plans;
      auto now = client_.now_();
      for (const auto& waiting : batch) plans.push_back(to_thrift(waiting.plan, now));
      answers.clear();
      stub_->offer(answers, plans);
      return std::nullopt;
    } catch (const std::exception& e) {  // Thrift's own, and what its sockets throw
      stub_.reset();
      return e.what();
    }
  }

  void connect() {
    if (stub_) return;
    std::string host;
    int port = 0;
    if (!split_endpoint(endpoint_, host, port)) throw std::runtime_error("not host:port");
    auto socket = std::make_shared<TSocket>(host, port);
    auto timeout = static_cast<int>(to_ms(client_.settings_.call_timeout));
    socket->setConnTimeout(timeout), socket->setRecvTimeout(timeout), socket->setSendTimeout(timeout);
    socket->setNoDelay(true);
    auto transport = std::make_shared<TFramedTransport>(socket);
    transport->open();
    stub_ = std::make_unique<thrift::HintServiceClient>(std::make_shared<TCompactProtocol>(transport));
  }

  bool handle(const std::vector<Waiting>& batch, const std::vector<thrift::PlanAnswer>& answers) {
    std::map<std::string, std::vector<Waiting>> elsewhere;
    bool overloaded = false;
    for (std::size_t i = 0; i < batch.size() && i < answers.size(); ++i) {
      const auto& answer = answers[i];
      if (answer.status == thrift::PlanStatus::ACCEPTED) {
        ++client_.counts_.accepted;
        continue;
      }
      bool movable = answer.status == thrift::PlanStatus::NOT_OWNER && answer.__isset.owner && !batch[i].redirected &&
                     !answer.owner.hint_endpoint.empty() && answer.owner.hint_endpoint != endpoint_;
      if (movable) {
        ++client_.counts_.redirected;
        elsewhere[answer.owner.hint_endpoint].push_back({batch[i].plan, true});
        continue;
      }
      ++client_.counts_.refused;
      overloaded = overloaded || answer.refusal == thrift::Refusal::OVERLOADED;
      log_line(debug, "plan_refused",
               {{"plan", answer.plan_id}, {"refusal", static_cast<int>(answer.refusal)}, {"detail", answer.detail}});
    }
    for (auto& [endpoint, plans] : elsewhere) client_.put(endpoint, std::move(plans));
    if (overloaded) {
      // These plans are refused for good; the next ones give the broker a moment.
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, client_.settings_.retry_min, [this] { return stopping_; });
    }
    return true;
  }

  HintClient& client_;
  std::string endpoint_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Waiting> queue_;
  bool stopping_ = false;
  bool failing_ = false;  // the sender's thread only, as what follows
  Duration pause_;
  std::unique_ptr<thrift::HintServiceClient> stub_;
  std::thread thread_;  // last: it uses all the others
};

HintClient::HintClient(HintClientSettings settings, std::function<Instant()> now)
    : settings_(settings), now_(std::move(now)) {}

HintClient::~HintClient() {
  std::map<std::string, std::unique_ptr<Sender>> senders;
  {
    std::scoped_lock lock(mutex_);
    stopping_ = true;
    senders.swap(senders_);
  }
  // Their threads may still call `put`, which finds `stopping_`.
  senders.clear();
}

void HintClient::put(const std::string& endpoint, std::vector<Waiting> plans) {
  std::scoped_lock lock(mutex_);
  auto at = senders_.find(endpoint);
  bool impossible = stopping_ || endpoint.empty() || (at == senders_.end() && senders_.size() >= settings_.brokers_max);
  if (impossible) {
    counts_.dropped += static_cast<std::int64_t>(plans.size());
    return;
  }
  if (at == senders_.end()) at = senders_.emplace(endpoint, std::make_unique<Sender>(*this, endpoint)).first;
  at->second->put(std::move(plans));
}

void HintClient::offer(std::vector<Outgoing> plans) {
  std::map<std::string, std::vector<Waiting>> by_endpoint;
  for (auto& outgoing : plans) by_endpoint[outgoing.endpoint].push_back({std::move(outgoing.plan), false});
  for (auto& [endpoint, list] : by_endpoint) put(endpoint, std::move(list));
}

}  // namespace forelog::predictor
