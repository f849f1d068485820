#include "broker/prefetch/hint_service.h"

#include "broker/base/log.h"
#include "broker/prefetch/access_records.h"
#include "broker/prefetch/plan_messages.h"
#include "broker/prefetch/plan_shape.h"
#include "hint_service/HintService.h"

#include <charconv>
#include <future>
#include <optional>
#include <thread>

#include <thrift/TOutput.h>
#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/server/TThreadedServer.h>
#include <thrift/transport/TBufferTransports.h>
#include <thrift/transport/TServerSocket.h>

namespace forelog::prefetch {

namespace {

namespace transport = apache::thrift::transport;
namespace protocol = apache::thrift::protocol;

constexpr std::size_t kPlansMax = 8192;  // of one call
constexpr std::int32_t kTextMax = 4096;  // no field of a plan is longer
constexpr auto kAnswerWait = std::chrono::seconds(2);
constexpr auto kStopLook = std::chrono::milliseconds(20);
constexpr auto kSendWait = std::chrono::seconds(5);

Result<env::Endpoint> parse_listener(std::string_view text) {
  auto colon = text.rfind(':');
  auto bad = [&] { return fail(ErrorCode::kInvalidSetting, "hint.listeners: not host:port: " + std::string(text)); };
  if (colon == std::string_view::npos || colon == 0) return bad();
  auto host = text.substr(0, colon), port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  env::Endpoint out{std::string(host), 0};
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), out.port);
  if (error != std::errc{} || end != port.data() + port.size()) return bad();
  return out;
}

class BoundedFrames final : public transport::TTransportFactory {
 public:
  explicit BoundedFrames(Bytes size_max) : size_max_(size_max) {}
  std::shared_ptr<transport::TTransport> getTransport(std::shared_ptr<transport::TTransport> socket) override {
    auto framed = std::make_shared<transport::TFramedTransport>(std::move(socket));
    framed->setMaxFrameSize(static_cast<std::uint32_t>(size_max_));
    return framed;
  }

 private:
  Bytes size_max_;
};

// Counts connections that end because of what they sent.
class CountingProcessor final : public apache::thrift::TProcessor {
 public:
  CountingProcessor(std::shared_ptr<TProcessor> inner, HintServiceCounts& counts)
      : inner_(std::move(inner)), counts_(counts) {}

  bool process(std::shared_ptr<protocol::TProtocol> in, std::shared_ptr<protocol::TProtocol> out,
               void* context) override {
    using Kind = transport::TTransportException;
    try {
      return inner_->process(std::move(in), std::move(out), context);
    } catch (const transport::TTransportException& e) {
      bool quiet =
          e.getType() == Kind::END_OF_FILE || e.getType() == Kind::TIMED_OUT || e.getType() == Kind::INTERRUPTED;
      if (!quiet) note_broken(e.what());
      throw;
    } catch (const std::exception& e) {
      note_broken(e.what());
      throw;
    }
  }

 private:
  void note_broken(const char* what) {
    ++counts_.connections_broken;
    log_line(warn, "hint_connection_broken", {{"why", what}});
  }
  std::shared_ptr<TProcessor> inner_;
  HintServiceCounts& counts_;
};

class StartSignal final : public apache::thrift::server::TServerEventHandler {
 public:
  explicit StartSignal(std::promise<Result<void>>& started) : started_(started) {}
  void preServe() override { started_.set_value({}); }

 private:
  std::promise<Result<void>>& started_;
};

}  // namespace

struct HintService::State final : thrift::HintServiceIf {
  State(const env::Clock& c, HintSink& s, HintServiceInfo i, const HintServiceSettings& se)
      : clock(c), sink(s), info(std::move(i)), settings(se) {}

  void describe(thrift::BrokerInfo& out) override {
    out.broker_id = info.broker.value();
    out.hint_endpoint = info.hint_endpoint;
    out.boot_id = info.boot_id;
    out.format_version = kAccessLogFormat;
    out.takes_plans = info.takes_plans;
  }

  void offer(std::vector<thrift::PlanAnswer>& out, const std::vector<thrift::Plan>& plans) override {
    std::vector<PlanAnswer> answers(plans.size());
    auto refuse_from = [&](std::size_t from, Refusal why) {
      for (auto i = from; i < plans.size(); ++i) answers[i] = {id_of(plans[i]), why, {}, std::nullopt};
    };
    auto count = static_cast<std::int64_t>(plans.size());
    bool room = plans.size() <= kPlansMax && (waiting += count) <= settings.plans_waiting_max;
    if (stopping || !room) {
      refuse_from(0, stopping ? Refusal::stopping : Refusal::overloaded);
      ++counts.calls_refused;
    } else {
      ask(plans, answers);
    }
    if (plans.size() <= kPlansMax) waiting -= count;
    out.reserve(answers.size());
    for (const auto& answer : answers) {
      ++(answer.accepted() ? counts.plans_accepted : counts.plans_refused);
      out.push_back(to_thrift(answer));
    }
  }

  static PlanId id_of(const thrift::Plan& plan) { return PlanId{static_cast<std::uint64_t>(plan.plan_id)}; }

  // Answers what is malformed, hands the rest to the cores and waits for what they say.
  void ask(const std::vector<thrift::Plan>& plans, std::vector<PlanAnswer>& answers) {
    std::vector<Plan> good;
    std::vector<std::size_t> places;
    auto now = clock.now();
    for (std::size_t i = 0; i < plans.size(); ++i) {
      auto converted = plan_from_thrift(plans[i], now);
      auto* plan = std::get_if<Plan>(&converted);
      auto wrong = plan == nullptr ? std::optional(std::get<std::string>(converted)) : malformed(*plan);
      answers[i] = {id_of(plans[i]), wrong ? Refusal::malformed : Refusal::overloaded, wrong.value_or(""),
                    std::nullopt};
      if (wrong) continue;
      good.push_back(std::move(*plan));
      places.push_back(i);
    }
    if (good.empty()) return;
    // The answers may come after nobody waits any more, so they have a place of their own.
    auto promise = std::make_shared<std::promise<std::vector<PlanAnswer>>>();
    auto arrived = promise->get_future();
    sink.offer(std::move(good), [promise](std::vector<PlanAnswer> all) { promise->set_value(std::move(all)); });
    for (auto waited = std::chrono::milliseconds(0); waited < kAnswerWait; waited += kStopLook) {
      if (arrived.wait_for(kStopLook) == std::future_status::ready) {
        auto all = arrived.get();
        for (std::size_t i = 0; i < std::min(all.size(), places.size()); ++i) answers[places[i]] = std::move(all[i]);
        return;
      }
      if (stopping) break;
    }
    for (auto place : places) answers[place].refusal = stopping ? Refusal::stopping : Refusal::overloaded;
  }

  const env::Clock& clock;
  HintSink& sink;
  HintServiceInfo info;
  HintServiceSettings settings;
  HintServiceCounts counts;
  std::atomic<bool> stopping{false};
  std::atomic<std::int64_t> waiting{0};  // plans of calls in progress
  std::shared_ptr<apache::thrift::server::TThreadedServer> server;
  std::thread thread;
};

HintService::HintService(const env::Clock& clock, HintSink& sink, HintServiceInfo info,
                         const HintServiceSettings& settings)
    : state_(std::make_unique<State>(clock, sink, std::move(info), settings)) {}

HintService::~HintService() { stop(); }

const HintServiceCounts& HintService::counts() const { return state_->counts; }

Result<env::Endpoint> HintService::start() {
  auto at = TRY(parse_listener(state_->settings.listeners));
  apache::thrift::GlobalOutput.setOutputFunction([](const char* text) { log_line(debug, "thrift", {{"text", text}}); });
  auto socket = std::make_shared<transport::TServerSocket>(at.host, at.port);
  using std::chrono::duration_cast, std::chrono::milliseconds;
  socket->setRecvTimeout(static_cast<int>(duration_cast<milliseconds>(state_->settings.idle_timeout).count()));
  socket->setSendTimeout(static_cast<int>(duration_cast<milliseconds>(kSendWait).count()));
  // Thrift wants to share its handler; the state, which owns the server, outlives it and must not be owned by it.
  std::shared_ptr<thrift::HintServiceIf> handler(std::shared_ptr<void>{}, state_.get());
  auto inner = std::make_shared<thrift::HintServiceProcessor>(std::move(handler));
  auto processor = std::make_shared<CountingProcessor>(std::move(inner), state_->counts);
  auto frames = std::make_shared<BoundedFrames>(state_->settings.frame_max);
  auto compact = std::make_shared<protocol::TCompactProtocolFactory>(kTextMax, static_cast<std::int32_t>(kPlansMax));
  state_->server = std::make_shared<apache::thrift::server::TThreadedServer>(
      std::static_pointer_cast<apache::thrift::TProcessor>(processor), socket, frames, compact);
  state_->server->setConcurrentClientLimit(state_->settings.connections_max);

  std::promise<Result<void>> started;
  state_->server->setServerEventHandler(std::make_shared<StartSignal>(started));
  auto serve = [&started, server = state_->server] {
    try {
      server->serve();
    } catch (const std::exception& e) {
      // Only listening throws; then nobody has been told yet.
      started.set_value(fail(ErrorCode::kIo, std::string("hint.listeners: ") + e.what()));
    }
  };
  state_->thread = std::thread(serve);
  auto result = started.get_future().get();
  if (!result) {
    state_->thread.join();
    return fail(std::move(result).error());
  }
  at.port = static_cast<std::uint16_t>(socket->getPort());
  log_line(info, "hint_service_started", {{"endpoint", at.text()}});
  return at;
}

void HintService::stop() {
  if (!state_->thread.joinable()) return;
  state_->stopping = true;
  state_->server->stop();
  state_->thread.join();
}

}  // namespace forelog::prefetch
