#include "broker/prefetch/plan_messages.h"

#include "broker/prefetch/access_records.h"

#include <algorithm>
#include <cstring>
#include <optional>

namespace forelog::prefetch {

namespace {

// Longer than any plan lives; so that no sum of a moment and a length overflows.
constexpr std::int64_t kLongestUs = std::chrono::duration_cast<std::chrono::microseconds>(30 * 24h).count();

Duration from_us(std::int64_t us) { return std::chrono::microseconds(std::clamp<std::int64_t>(us, -1, kLongestUs)); }
Duration from_ms_bounded(std::int64_t ms) {
  return std::chrono::milliseconds(std::clamp<std::int64_t>(ms, -1, kLongestUs / 1000));
}

// Collects the first field that is wrong, so that a conversion reads straight through.
class Conversion {
 public:
  explicit Conversion(Instant now) : now_(now) {}
  const std::optional<std::string>& wrong() const { return wrong_; }

  PlanBody body(const thrift::PlanBody& in) {
    const auto& is = in.__isset;
    if (is.warm + is.follow + is.chain + is.schedule != 1) return fail_at("body"), WarmPlan{};
    if (is.warm) return WarmPlan{hints(in.warm.hints), now_ + std::max(Duration{}, from_us(in.warm.needed_in_us))};
    if (is.follow) return follow(in.follow);
    if (is.chain) return chain(in.chain);
    return SchedulePlan{hints(in.schedule.heads), from_ms(in.schedule.expected_wall_ms),
                        std::chrono::milliseconds(in.schedule.jitter_ms), from_ms(in.schedule.keep_until_wall_ms)};
  }
  void fail_at(std::string field) {
    if (!wrong_) wrong_ = std::move(field);
  }

 private:
  PartitionKey partition(const std::string& topic_id, std::int32_t id) {
    auto topic = topic_from_thrift(topic_id);
    if (!topic) fail_at("topic_id");
    return {topic.value_or(TopicId{}), PartitionId{id}};
  }
  Hint hint(const thrift::Hint& in) {
    Hint out{partition(in.topic_id, in.partition), OffsetRange{}, in.score, in.expected_readers};
    const auto& is = in.range.__isset;
    if (is.offsets + is.times != 1) fail_at("hint.range");
    if (is.offsets) out.range = OffsetRange{Offset{in.range.offsets.from_offset}, Offset{in.range.offsets.to_offset}};
    if (is.times) out.range = TimeRange{from_ms(in.range.times.from_ms), from_ms(in.range.times.to_ms)};
    return out;
  }
  std::vector<Hint> hints(const std::vector<thrift::Hint>& in) {
    std::vector<Hint> out;
    out.reserve(in.size());
    for (const auto& one : in) out.push_back(hint(one));
    return out;
  }
  static ReaderClass reader_class(const thrift::ReaderClass& in) {
    ReaderClass out;
    if (in.__isset.principal) out.principal = in.principal;
    if (in.__isset.client_stem) out.client_stem = in.client_stem;
    if (in.__isset.group) out.group = GroupId{in.group};
    if (in.__isset.reader) out.reader = ReaderId{static_cast<std::uint64_t>(in.reader)};
    return out;
  }
  FollowPlan follow(const thrift::FollowPlan& in) {
    FollowPlan out{reader_class(in.reader), partition(in.topic_id, in.partition), in.ahead_bytes, std::nullopt};
    if (in.until_offset != -1) out.until = Offset{in.until_offset};
    out.from = Offset{in.from_offset};
    return out;
  }
  ChainPlan chain(const thrift::ChainPlan& in) {
    ChainPlan out{reader_class(in.reader),
                  partition(in.topic_id, in.partition),
                  {Offset{in.trigger.from_offset}, Offset{in.trigger.to_offset}},
                  {},
                  in.fires_max};
    out.steps.reserve(in.steps.size());
    for (const auto& step : in.steps) out.steps.push_back({hint(step.hint), from_us(step.gap_us)});
    return out;
  }

  Instant now_;
  std::optional<std::string> wrong_;
};

}  // namespace

std::variant<Plan, std::string> plan_from_thrift(const thrift::Plan& in, Instant now) {
  Conversion convert(now);
  Plan out;
  out.id = PlanId{static_cast<std::uint64_t>(in.plan_id)};
  out.body = convert.body(in.body);
  out.score = in.score;
  out.expected_readers = in.expected_readers;
  out.byte_budget = in.byte_budget;
  // A newer predictor may have reasons that this broker does not know; such a value must not be read as the
  // enumeration.
  int reason = 0;
  static_assert(sizeof reason == sizeof in.reason);
  std::memcpy(&reason, &in.reason, sizeof reason);
  out.reason = reason >= 0 && reason < kReasonCount ? static_cast<Reason>(reason) : Reason::other;
  if (is_builtin(out.reason)) convert.fail_at("reason");
  out.model_version = in.model_version;
  out.expires = now + from_ms_bounded(in.expires_in_ms);
  out.received = now;
  out.decided = from_ms(in.decided_wall_ms);
  if (convert.wrong()) return *convert.wrong();
  return out;
}

thrift::PlanAnswer to_thrift(const PlanAnswer& answer) {
  thrift::PlanAnswer out;
  out.plan_id = static_cast<std::int64_t>(answer.plan.value());
  out.status = answer.accepted() ? thrift::PlanStatus::ACCEPTED
               : answer.owner    ? thrift::PlanStatus::NOT_OWNER
                                 : thrift::PlanStatus::REFUSED;
  out.refusal = static_cast<thrift::Refusal::type>(answer.refusal);  // same order: see access_records.cc
  out.detail = answer.detail;
  if (answer.owner) {
    thrift::Owner owner;
    owner.broker_id = answer.owner->broker.value();
    owner.hint_endpoint = answer.owner->hint_endpoint;
    out.__set_owner(owner);
  }
  return out;
}

}  // namespace forelog::prefetch
