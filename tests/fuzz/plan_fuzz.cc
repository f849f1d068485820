// Plans: any bytes as Thrift's compact protocol; plans with drawn fields; and what the runner makes of them while
// readers read, groups report and time passes.
//
// Held against it: never more plans than allowed; what a plan is charged never exceeds its budget by more than one
// load; a follow names each offset once for one reader; nothing is loaded for a plan that has gone.
#include "broker/prefetch/plan_messages.h"
#include "broker/prefetch/plan_runner.h"
#include "broker/prefetch/plan_shape.h"
#include "tests/fuzz/fuzz.h"

#include <map>

#include <thrift/protocol/TCompactProtocol.h>
#include <thrift/transport/TBufferTransports.h>

namespace forelog::prefetch {
namespace {

using fuzz::Decisions;

constexpr std::int32_t kTextMax = 4096;  // as the hint service has it
constexpr std::int32_t kListMax = 8192;
constexpr std::size_t kPlansMax = 6;

std::optional<thrift::Plan> decode(ByteView bytes) {
  using apache::thrift::transport::TMemoryBuffer;
  std::string copy(as_text(bytes));
  auto buffer = std::make_shared<TMemoryBuffer>(reinterpret_cast<std::uint8_t*>(copy.data()),  // NOLINT: Thrift's
                                                static_cast<std::uint32_t>(copy.size()));
  apache::thrift::protocol::TCompactProtocolT<TMemoryBuffer> protocol(buffer, kTextMax, kListMax);
  try {
    thrift::Plan plan;
    plan.read(&protocol);
    return plan;
  } catch (const std::exception&) {
    return std::nullopt;
  }
}

std::string topic_bytes(Decisions& in) { return in.one_in(8) ? in.text(20) : std::string("sixteen bytes id"); }

// Mostly sensible, now and then anything.
std::int64_t number(Decisions& in, std::int64_t max) {
  return in.one_in(6) ? in.any<std::int64_t>() : in.between<std::int64_t>(0, max);
}

thrift::Hint draw_hint(Decisions& in) {
  thrift::Hint hint;
  hint.topic_id = topic_bytes(in);
  hint.partition = static_cast<std::int32_t>(number(in, 1));
  if (in.any<bool>()) {
    thrift::TimeRange range;
    range.from_ms = number(in, 1000);
    range.to_ms = range.from_ms < INT64_MAX - 1000 ? range.from_ms + in.between<std::int64_t>(0, 100) : 0;
    hint.range.__set_times(range);
  } else {
    thrift::OffsetRange range;
    range.from_offset = number(in, 1000);
    range.to_offset = range.from_offset < INT64_MAX - 1000 ? range.from_offset + in.between<std::int64_t>(0, 100) : 0;
    hint.range.__set_offsets(range);
  }
  hint.score = in.one_in(8) ? in.ConsumeFloatingPoint<double>() : in.ConsumeProbability<double>();
  hint.expected_readers = static_cast<std::int32_t>(number(in, 3));
  return hint;
}

thrift::ReaderClass draw_reader(Decisions& in) {
  thrift::ReaderClass reader;
  if (in.one_in(3)) reader.__set_client_stem("job");
  if (in.one_in(3)) reader.__set_group("group");
  if (in.one_in(3)) reader.__set_reader(in.between<std::int64_t>(0, 3));
  return reader;
}

thrift::Plan draw_plan(Decisions& in) {
  thrift::Plan plan;
  plan.plan_id = number(in, 20);
  plan.score = in.ConsumeProbability<double>();
  plan.byte_budget = number(in, 1 << 20);
  plan.reason = static_cast<thrift::Reason::type>(in.between<int>(0, 12));
  plan.expires_in_ms = number(in, 60'000);
  plan.decided_wall_ms = in.any<std::int64_t>();
  switch (in.between<int>(0, 3)) {
    case 0: {
      thrift::WarmPlan warm;
      for (auto count = in.between<int>(0, 4); count > 0; --count) warm.hints.push_back(draw_hint(in));
      warm.needed_in_us = number(in, 10'000'000);
      plan.body.__set_warm(warm);
      break;
    }
    case 1: {
      thrift::FollowPlan follow;
      follow.reader = draw_reader(in);
      follow.topic_id = topic_bytes(in);
      follow.ahead_bytes = number(in, 1 << 20);
      follow.until_offset = in.any<bool>() ? -1 : number(in, 1000);
      follow.from_offset = number(in, 100);
      plan.body.__set_follow(follow);
      break;
    }
    case 2: {
      thrift::ChainPlan chain;
      chain.reader = draw_reader(in);
      chain.topic_id = topic_bytes(in);
      chain.trigger.from_offset = number(in, 1000);
      chain.trigger.to_offset = number(in, 1000);
      chain.fires_max = static_cast<std::int32_t>(number(in, 3));
      for (auto count = in.between<int>(0, 3); count > 0; --count) {
        thrift::ChainStep step;
        step.hint = draw_hint(in);
        step.gap_us = number(in, 1'000'000);
        chain.steps.push_back(step);
      }
      plan.body.__set_chain(chain);
      break;
    }
    default: {
      thrift::SchedulePlan schedule;
      for (auto count = in.between<int>(0, 3); count > 0; --count) schedule.heads.push_back(draw_hint(in));
      schedule.expected_wall_ms = number(in, 100'000);
      schedule.jitter_ms = number(in, 1000);
      schedule.keep_until_wall_ms = number(in, 200'000);
      plan.body.__set_schedule(schedule);
    }
  }
  return plan;
}

class Session {
 public:
  explicit Session(Decisions& in) : in_(in), runner_(settings()) {}

  void run() {
    for (auto steps = in_.between<int>(0, 40); steps > 0; --steps) {
      switch (in_.between<int>(0, 5)) {
        case 0:
        case 1:
          offer(draw_plan(in_));
          break;
        case 2:
          read();
          break;
        case 3:
          report();
          break;
        case 4:
          pass_time();
          break;
        default:
          close(ReaderId(in_.between<std::uint64_t>(0, 3)));
      }
      CHECK(runner_.plans() <= kPlansMax);
    }
    // However long nothing is heard, nothing stays.
    now_ += 8 * 24h;
    wall_ += 8 * 24h;
    take(runner_.tick(now_, wall_));
    now_ += 8 * 24h;
    wall_ += 8 * 24h;
    take(runner_.tick(now_, wall_));
    CHECK(runner_.plans() == 0, "a plan outlives its time");
  }

 private:
  static PlanRunnerSettings settings() {
    PlanRunnerSettings out;
    out.plans_max = kPlansMax;
    return out;
  }

  void offer(const thrift::Plan& wanted) {
    auto converted = plan_from_thrift(wanted, now_);
    auto* plan = std::get_if<Plan>(&converted);
    if (plan == nullptr) return;
    static_cast<void>(homes_of(*plan));
    auto part = part_for(*plan, [](const PartitionKey& key) { return key.partition.value() == 0; });
    CHECK(part.byte_budget <= std::max<Bytes>(plan->byte_budget, 0) || malformed(*plan));
    auto wrong = malformed(*plan);
    auto budget = plan->byte_budget;
    auto id = plan->id;
    auto is_follow = std::holds_alternative<FollowPlan>(plan->body);
    auto answer = runner_.offer(std::move(*plan), now_, wall_);
    CHECK(answer.plan == id && (!wrong || answer.refusal == Refusal::malformed));
    static_cast<void>(to_thrift(answer));
    if (!answer.accepted()) return;
    budgets_[id] = budget;
    follows_.erase(id);
    if (is_follow) follows_.insert(id);
    std::erase_if(named_, [id](const auto& entry) { return entry.first.first == id; });
  }

  void read() {
    static const std::vector<GroupCandidate> kGroups{{GroupId("group"), 0.9, Evidence::commits}};
    ReaderStep step;
    step.reader = ReaderId(in_.between<std::uint64_t>(0, 3));
    step.principal = "User:ann";
    step.client_stem = "job";
    step.groups = in_.any<bool>() ? &kGroups : nullptr;
    step.partition = partition();
    step.touched.from =
        Offset(in_.one_in(10) ? in_.between<std::int64_t>(0, INT64_MAX - 2000) : in_.between<std::int64_t>(0, 1000));
    step.touched.to = step.touched.from + in_.between<std::int64_t>(0, 50);
    step.bytes = in_.between<Bytes>(0, 1 << 20);
    auto loads = runner_.on_reader(step, now_);
    for (const auto& load : loads) {
      if (!follows_.contains(load.cause.plan)) continue;
      const auto& range = std::get<OffsetRange>(load.range);
      auto& named = named_.try_emplace({load.cause.plan, step.reader}, Offset(0)).first->second;
      CHECK(load.reader == step.reader && range.from >= named, "a follow names an offset twice");
      named = range.to;
    }
    take(loads);
    static_cast<void>(runner_.end_of(step));
  }

  void close(ReaderId reader) {
    runner_.on_reader_closed(reader);
    std::erase_if(named_, [reader](const auto& entry) { return entry.first.second == reader; });
  }

  void report() {
    GroupEvent event;
    event.kind = static_cast<GroupEventKind>(in_.between<int>(0, 7));
    event.group = GroupId("group");
    for (auto count = in_.between<int>(0, 3); count > 0; --count)
      event.offsets.push_back({partition(), Offset(in_.any<std::int64_t>()), in_.any<std::int64_t>()});
    take(runner_.on_group(event, now_));
  }

  void pass_time() {
    auto due = runner_.next_due(now_, wall_);
    auto by = std::chrono::milliseconds(in_.between<int>(0, 20'000));
    if (due && in_.any<bool>() && *due > now_ && *due - now_ < 48h)
      by = std::chrono::duration_cast<std::chrono::milliseconds>(*due - now_) + 1ms;
    now_ += by;
    wall_ += by;
    take(runner_.tick(now_, wall_));
  }

  void take(const std::vector<LoadRequest>& loads) {
    for (const auto& load : loads) {
      if (const auto* range = std::get_if<OffsetRange>(&load.range)) CHECK(range->from < range->to);
      if (load.cause.plan == kNoPlan) continue;
      CHECK(budgets_.contains(load.cause.plan), "a load for a plan that nobody sent");
      CHECK(load.bytes_max >= 0 && load.bytes_max <= budgets_.at(load.cause.plan), "more than the plan's budget");
      CHECK(runner_.remaining(load.cause.plan) <= budgets_.at(load.cause.plan));
      if (in_.any<bool>() && !load.prepaid)
        runner_.charge(load.cause.plan, in_.between<Bytes>(0, std::max<Bytes>(load.bytes_max, 0)));
      CHECK(runner_.remaining(load.cause.plan) >= 0);
    }
  }

  PartitionKey partition() {
    TopicId topic;
    std::memcpy(topic.bytes.data(), "sixteen bytes id", 16);
    return {topic, PartitionId(in_.between(0, 1))};
  }

  Decisions& in_;
  PlanRunner runner_;
  Instant now_{1000s};
  WallTime wall_ = from_ms(50'000);
  std::map<PlanId, Bytes> budgets_;
  std::set<PlanId> follows_;
  std::map<std::pair<PlanId, ReaderId>, Offset> named_;  // by a follow, for a reader: up to here
};

}  // namespace
}  // namespace forelog::prefetch

FUZZ_TARGET(plan) {
  using namespace forelog;            // NOLINT: what this is about
  using namespace forelog::prefetch;  // NOLINT: what this is about
  Decisions in(input);
  if (in.one_in(3)) {
    auto bytes = in.rest();
    const AllocationMeter meter;
    auto plan = decode(bytes);
    meter.expect_bounded(input.size() + 4096);
    if (!plan) return;
    auto converted = plan_from_thrift(*plan, Instant(1000s));
    if (auto* good = std::get_if<Plan>(&converted); good != nullptr && !malformed(*good)) {
      PlanRunner runner{{}};
      static_cast<void>(runner.offer(*good, Instant(1000s), from_ms(50'000)));
      static_cast<void>(runner.tick(Instant(1001s), from_ms(51'000)));
    }
    return;
  }
  Session(in).run();
}
