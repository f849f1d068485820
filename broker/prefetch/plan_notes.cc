#include "broker/prefetch/plan_notes.h"

#include "broker/base/json.h"
#include "broker/prefetch/plan_shape.h"

#include <fmt/format.h>

namespace forelog::prefetch {

namespace {

struct OfferLine {
  std::int64_t sequence = 0;
  std::int64_t wall_ms = 0;
  std::int32_t core = 0;
  std::string event;
  std::string plan;
  std::string kind;
  std::string reason;
  double score = 0;
  std::int64_t byte_budget = 0;
  std::string model;
  std::vector<std::string> partitions;
  std::optional<std::string> refusal;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("sequence", m.sequence);
    field("wall_ms", m.wall_ms);
    field("core", m.core);
    field("event", m.event);
    field("plan", m.plan);
    field("kind", m.kind);
    field("reason", m.reason);
    field("score", m.score);
    field("byte_budget", m.byte_budget);
    field("model", m.model);
    field("partitions", m.partitions);
    field("refusal", m.refusal);
  };
};

struct OutcomeLine {
  std::int64_t sequence = 0;
  std::int64_t wall_ms = 0;
  std::int32_t core = 0;
  std::string event;
  std::optional<std::string> plan;
  std::string reason;
  double score = 0;
  std::string shard;
  std::uint32_t first_block = 0;
  std::uint32_t blocks = 0;
  std::int64_t bytes = 0;
  std::int64_t used_bytes = 0;
  std::optional<std::int64_t> late_us;
  std::optional<std::string> refusal;
  static constexpr auto fields = [](auto& m, auto&& field) {
    field("sequence", m.sequence);
    field("wall_ms", m.wall_ms);
    field("core", m.core);
    field("event", m.event);
    field("plan", m.plan);
    field("reason", m.reason);
    field("score", m.score);
    field("shard", m.shard);
    field("first_block", m.first_block);
    field("blocks", m.blocks);
    field("bytes", m.bytes);
    field("used_bytes", m.used_bytes);
    field("late_us", m.late_us);
    field("refusal", m.refusal);
  };
};

constexpr std::size_t kPartitionsNamed = 16;
constexpr std::string_view kKinds[] = {"warm", "follow", "chain", "schedule"};

std::string text_of(PlanId plan) { return fmt::format("{:016x}", plan.value()); }

}  // namespace

void PlanNotes::offered(const Plan& plan, const PlanAnswer& answer, WallTime wall) {
  OfferLine line;
  line.sequence = sequence_ + 1;
  line.wall_ms = to_ms(wall);
  line.core = core_.value();
  line.event = answer.accepted() ? "accepted" : "refused";
  line.plan = text_of(plan.id);
  line.kind = kKinds[plan.body.index()];
  line.reason = name_of(plan.reason);
  line.score = plan.score;
  line.byte_budget = plan.byte_budget;
  line.model = plan.model_version;
  for (const auto& home : homes_of(plan)) {
    if (line.partitions.size() < kPartitionsNamed) line.partitions.push_back(home.text());
  }
  if (answer.refusal != Refusal::none) line.refusal = std::string(name_of(answer.refusal));
  add(to_json(line));
}

void PlanNotes::ended(const OutcomeEvent& event, WallTime wall) {
  OutcomeLine line;
  line.sequence = sequence_ + 1;
  line.wall_ms = to_ms(wall);
  line.core = core_.value();
  line.event = name_of(event.outcome);
  if (event.cause.plan != kNoPlan) line.plan = text_of(event.cause.plan);
  line.reason = name_of(event.cause.reason);
  line.score = event.cause.score;
  line.shard = event.extent.shard.text();
  line.first_block = event.extent.first;
  line.blocks = event.extent.count;
  line.bytes = event.bytes;
  line.used_bytes = event.used_bytes;
  if (event.outcome == OutcomeKind::late) line.late_us = to_us(event.late);
  if (event.refusal != Refusal::none) line.refusal = std::string(name_of(event.refusal));
  add(to_json(line));
}

void PlanNotes::add(std::string json) {
  notes_.push_back({++sequence_, std::move(json)});
  if (notes_.size() > notes_max_) notes_.pop_front();
}

std::vector<PlanNote> PlanNotes::since(std::int64_t sequence) const {
  std::vector<PlanNote> out;
  for (const auto& note : notes_) {
    if (note.sequence > sequence || sequence > sequence_) out.push_back(note);
  }
  return out;
}

}  // namespace forelog::prefetch
