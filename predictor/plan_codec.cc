#include "predictor/plan_codec.h"

#include <algorithm>

namespace forelog::predictor {
namespace {

std::string topic_bytes(const TopicId& id) { return {id.bytes.begin(), id.bytes.end()}; }

thrift::Range range(const prefetch::HintRange& r) {
  thrift::Range out;
  if (const auto* offsets = std::get_if<prefetch::OffsetRange>(&r)) {
    thrift::OffsetRange value;
    value.from_offset = offsets->from.value();
    value.to_offset = offsets->to.value();
    out.__set_offsets(value);
  } else {
    const auto& times = std::get<prefetch::TimeRange>(r);
    thrift::TimeRange value;
    value.from_ms = to_ms(times.from);
    value.to_ms = to_ms(times.to);
    out.__set_times(value);
  }
  return out;
}

thrift::Hint hint(const prefetch::Hint& h) {
  thrift::Hint out;
  out.topic_id = topic_bytes(h.partition.topic);
  out.partition = h.partition.partition.value();
  out.range = range(h.range);
  out.score = h.score;
  out.expected_readers = h.expected_readers;
  return out;
}

std::vector<thrift::Hint> hints(const std::vector<prefetch::Hint>& list) {
  std::vector<thrift::Hint> out;
  for (const auto& h : list) out.push_back(hint(h));
  return out;
}

thrift::ReaderClass reader_class(const prefetch::ReaderClass& c) {
  thrift::ReaderClass out;
  if (c.principal) out.__set_principal(*c.principal);
  if (c.client_stem) out.__set_client_stem(*c.client_stem);
  if (c.group) out.__set_group(c.group->value());
  if (c.reader) out.__set_reader(static_cast<std::int64_t>(c.reader->value()));
  return out;
}

struct Body {
  Instant now;
  thrift::PlanBody& out;

  void operator()(const prefetch::WarmPlan& plan) const {
    thrift::WarmPlan value;
    value.hints = hints(plan.hints);
    value.needed_in_us = std::max<std::int64_t>(0, to_us(plan.needed_by - now));
    out.__set_warm(value);
  }
  void operator()(const prefetch::FollowPlan& plan) const {
    thrift::FollowPlan value;
    value.reader = reader_class(plan.reader);
    value.topic_id = topic_bytes(plan.partition.topic);
    value.partition = plan.partition.partition.value();
    value.ahead_bytes = plan.ahead;
    value.until_offset = plan.until ? plan.until->value() : -1;
    value.from_offset = plan.from.value();
    out.__set_follow(value);
  }
  void operator()(const prefetch::ChainPlan& plan) const {
    thrift::ChainPlan value;
    value.reader = reader_class(plan.reader);
    value.topic_id = topic_bytes(plan.partition.topic);
    value.partition = plan.partition.partition.value();
    value.trigger.from_offset = plan.trigger.from.value();
    value.trigger.to_offset = plan.trigger.to.value();
    for (const auto& step : plan.steps) {
      thrift::ChainStep next;
      next.hint = hint(step.hint);
      next.gap_us = std::max<std::int64_t>(0, to_us(step.gap));
      value.steps.push_back(next);
    }
    value.fires_max = plan.fires_max;
    out.__set_chain(value);
  }
  void operator()(const prefetch::SchedulePlan& plan) const {
    thrift::SchedulePlan value;
    value.heads = hints(plan.heads);
    value.expected_wall_ms = to_ms(plan.expected);
    value.jitter_ms = plan.jitter.count();
    value.keep_until_wall_ms = to_ms(plan.keep_until);
    out.__set_schedule(value);
  }
};

}  // namespace

thrift::Plan to_thrift(const prefetch::Plan& plan, Instant now) {
  thrift::Plan out;
  out.plan_id = static_cast<std::int64_t>(plan.id.value());
  std::visit(Body{now, out.body}, plan.body);
  out.score = plan.score;
  out.expected_readers = plan.expected_readers;
  out.byte_budget = plan.byte_budget;
  out.reason = static_cast<thrift::Reason::type>(plan.reason);
  out.model_version = plan.model_version;
  out.expires_in_ms = std::max<std::int64_t>(0, to_ms(plan.expires - now));
  out.decided_wall_ms = to_ms(plan.decided);
  return out;
}

}  // namespace forelog::predictor
