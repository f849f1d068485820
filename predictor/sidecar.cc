#include "predictor/sidecar.h"

#include "broker/base/log.h"

#include <algorithm>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace forelog::predictor {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr Duration kStale = 10s;  // an event this old asks for nothing any more: it is only learnt from

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};

// Thrift throws on what is not a record.
bool decode(std::string_view bytes, thrift::AccessLogRecord& out) {
  using apache::thrift::transport::TMemoryBuffer;
  try {
    auto* data = reinterpret_cast<std::uint8_t*>(const_cast<char*>(bytes.data()));  // NOLINT: only observed
    auto buffer =
        std::make_shared<TMemoryBuffer>(data, static_cast<std::uint32_t>(bytes.size()), TMemoryBuffer::OBSERVE);
    // A string or list cannot be longer than what holds it, whatever it claims.
    auto limit = static_cast<std::int32_t>(std::min<std::size_t>(bytes.size(), INT32_MAX));
    apache::thrift::protocol::TCompactProtocolT<TMemoryBuffer> protocol(buffer, limit, limit);
    out.read(&protocol);
    return true;
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

ModelSettings model_settings(const PredictorSettings& s) {
  ModelSettings out;
  out.lead = s.lead;
  out.tracked_blocks = static_cast<std::size_t>(s.tracked_blocks);
  out.gate.window = s.window;
  out.session_idle = s.session_idle;
  out.budget.waste_share = s.waste_share;
  out.budget.threshold_min = s.threshold_min;
  out.budget.bytes_per_second = s.bytes_per_second;
  out.budget.requests_per_second = s.requests_per_second;
  return out;
}

Sidecar::Sidecar(const PredictorSettings& settings, WallTime wall)
    : settings_(settings),
      observer_(ObserverSettings{.holdout_share = settings.holdout_share}),
      model_(model_settings(settings)),
      // 41 bits of milliseconds and a million plans in each, two bits for the generator.
      planner_({}, static_cast<std::uint64_t>(std::max<std::int64_t>(1, to_ms(wall))) << 20) {}

void Sidecar::take(std::string_view record, WallTime now, std::vector<Outgoing>& out) {
  ++insight_.records;
  thrift::AccessLogRecord decoded;
  if (!decode(record, decoded)) {
    ++insight_.malformed;
    return;
  }
  auto written_ms = std::max<std::int64_t>(0, decoded.header.wall_ms);
  insight_.lag = std::chrono::milliseconds(std::max<std::int64_t>(0, to_ms(now) - written_ms));
  seen_.clear();
  observer_.observe(decoded, seen_);
  if (seen_.empty()) return;  // also where the header's times are none
  auto happened = instant(from_ms(decoded.header.wall_ms));
  for (const auto& seen : seen_) see(seen, happened, now, out);
}

void Sidecar::see(const Seen& seen, Instant happened, WallTime wall, std::vector<Outgoing>& out) {
  accepted_.clear();
  bool held_out = false;
  Instant at;
  auto on_read = [&](const ReadSeen& read) {
    ++insight_.reads;
    at = read.event.at;
    held_out = read.held_out;
    model_.observe(read.event, accepted_);
  };
  auto on_announcement = [&](const Announcement& announcement) {
    ++insight_.announcements;
    at = announcement.at;
    model_.announce(announcement, accepted_);
  };
  auto on_outcome = [&](const OutcomeSeen& outcome) {
    ++insight_.outcomes;
    // The broker's own prefetches are reads of the archive too, and no guess of ours.
    if (outcome.plan_id == 0) return model_.on_demand(outcome.used + outcome.unused, outcome.at);
    auto generator = Planner::generator_of(prefetch::PlanId(static_cast<std::uint64_t>(outcome.plan_id)));
    model_.on_outcome(generator, outcome.used, outcome.unused, outcome.at);
  };
  std::visit(Overloaded{on_read, on_announcement, on_outcome}, seen);
  if (accepted_.empty()) return;
  if (held_out) {
    ++insight_.held_out;
    return;
  }
  auto now = instant(wall);
  if (now - happened > kStale) {
    ++insight_.late;
    return;
  }
  // What is wanted some time after an event is wanted so long after it happened, whatever time the event was given.
  for (auto& accepted : accepted_) accepted.candidate.needed_by += happened - at;
  auto plans = planner_.plan(accepted_, observer_.blocks(), observer_.jobs(), now, wall);
  insight_.plans += static_cast<std::int64_t>(plans.size());
  for (auto& plan : plans) {
    if (!settings_.hint_endpoint.empty()) plan.endpoint = settings_.hint_endpoint;
    out.push_back(std::move(plan));
  }
}

Insight Sidecar::insight() const {
  auto out = insight_;
  out.ignored = observer_.ignored();
  out.memory_bytes = model_.memory_bytes();
  return out;
}

void Sidecar::log_insight() {
  if (std::exchange(told_records_, insight_.records) == insight_.records) return;
  auto i = insight();
  log_line(info, "insight",
           {{"records", i.records},
            {"malformed", i.malformed},
            {"reads", i.reads},
            {"announcements", i.announcements},
            {"outcomes", i.outcomes},
            {"plans", i.plans},
            {"held_out", i.held_out},
            {"late", i.late},
            {"lag_ms", to_ms(i.lag)},
            {"waste", model_.budget().waste()},
            {"memory_bytes", i.memory_bytes}});
  for (int g = 0; g < kGenerators; ++g) {
    auto id = static_cast<GeneratorId>(g);
    const auto& counts = model_.counts(id);
    if (counts.proposed == 0) continue;
    log_line(info, "generator",
             {{"name", name_of(id)},
              {"proposed", counts.proposed},
              {"accepted", counts.accepted},
              {"threshold", model_.budget().threshold(id)},
              {"precision", model_.budget().precision(id)}});
  }
  auto waited = [](const Observer::Arm& arm) {
    return arm.reads == 0 ? 0.0 : static_cast<double>(arm.waited) / static_cast<double>(arm.reads);
  };
  if (observer_.untreated().reads == 0) return;
  log_line(info, "holdout",
           {{"treated_reads", observer_.treated().reads},
            {"treated_waited", waited(observer_.treated())},
            {"untreated_reads", observer_.untreated().reads},
            {"untreated_waited", waited(observer_.untreated())}});
}

std::string Sidecar::save() const {
  ByteWriter observer, model, out;
  observer_.save(observer);
  model_.save(model);
  out.u32(kFormat);
  out.u64(observer.size()), out.bytes(observer.view());
  out.u64(model.size()), out.bytes(model.view());
  return std::move(out).take();
}

bool Sidecar::load(std::string_view snapshot) {
  ByteReader in(as_bytes(snapshot));
  bool known = in.u32() == kFormat;
  ByteReader observer(in.bytes(static_cast<std::int64_t>(in.u64())));
  ByteReader model(in.bytes(static_cast<std::int64_t>(in.u64())));
  // The model's numbers mean what the observer's tables say: one without the other is nothing.
  if (!known || !in.ok() || !observer_.load(observer)) return false;
  return model_.load(model);
}

}  // namespace forelog::predictor
