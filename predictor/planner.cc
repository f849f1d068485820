#include "predictor/planner.h"

#include <algorithm>
#include <map>
#include <tuple>

namespace forelog::predictor {
namespace {

constexpr std::uint64_t kIdsPerGenerator = 4;  // the lowest bits of an id tell the generator
static_assert(kGenerators <= kIdsPerGenerator);
constexpr std::size_t kHintsMax = 256;  // of one plan
constexpr Duration kMoment = 100ms;     // what is wanted within this goes into one plan

prefetch::Reason reason_of(GeneratorId generator) {
  switch (generator) {
    case GeneratorId::strided_runs:
      return prefetch::Reason::run;
    case GeneratorId::temporal_streams:
      return prefetch::Reason::stream;
    case GeneratorId::sessions:
      return prefetch::Reason::stream;
  }
  return prefetch::Reason::other;
}

prefetch::ReaderClass class_of(JobId job, const Names& jobs) {
  prefetch::ReaderClass out;
  if (job == 0) return out;
  auto signature = JobSignature::parse(jobs.name_of(job));
  out.principal = signature.principal;
  out.client_stem = signature.client_stem;
  if (!signature.group.empty()) out.group = GroupId{signature.group};
  return out;
}

}  // namespace

GeneratorId Planner::generator_of(prefetch::PlanId plan) {
  auto low = plan.value() % kIdsPerGenerator;
  return low < kGenerators ? static_cast<GeneratorId>(low) : GeneratorId::strided_runs;
}

prefetch::Plan Planner::begin(const Accepted& accepted, Instant now, WallTime wall, Instant expires) {
  prefetch::Plan plan;
  auto id = next_id_++ * kIdsPerGenerator + static_cast<std::uint64_t>(accepted.candidate.generator);
  plan.id = prefetch::PlanId(id & (~std::uint64_t{0} >> 1));
  plan.score = accepted.probability;
  plan.reason = reason_of(accepted.candidate.generator);
  plan.model_version = settings_.model_version;
  plan.expires = expires;
  plan.received = now;
  plan.decided = wall;
  return plan;
}

std::optional<prefetch::Hint> Planner::hint(const Accepted& accepted, const BlockMap& blocks) const {
  auto span = blocks.span_of(accepted.candidate.place, accepted.candidate.blocks);
  if (!span) return std::nullopt;
  return prefetch::Hint{span->partition, span->offsets, accepted.probability, 1};
}

std::vector<Outgoing> Planner::plan(const std::vector<Accepted>& accepted, const BlockMap& blocks, const Names& jobs,
                                    Instant now, WallTime wall) {
  std::vector<Outgoing> out;
  std::map<std::tuple<GeneratorId, std::string, std::int64_t>, std::size_t> warm;  // → index of `out`
  std::map<std::pair<JobId, Place>, std::size_t> chains;
  for (const auto& a : accepted) {
    const auto& c = a.candidate;
    auto wanted = hint(a, blocks);
    if (!wanted) continue;
    auto size = c.blocks * kBlockSize;
    if (c.trigger) {
      auto trigger = blocks.span_of(*c.trigger);
      if (!trigger) continue;
      auto [at, is_new] = chains.try_emplace({c.job, *c.trigger}, out.size());
      if (is_new) {
        auto plan = begin(a, now, wall, now + settings_.chain_life);
        plan.body = prefetch::ChainPlan{.reader = class_of(c.job, jobs),
                                        .partition = trigger->partition,
                                        .trigger = trigger->offsets,
                                        .steps = {},
                                        .fires_max = settings_.chain_fires_max};
        // The chain runs where its trigger is read.
        out.push_back({blocks.endpoint_of(c.trigger->stream), std::move(plan)});
      }
      auto& plan = out[at->second].plan;
      std::get<prefetch::ChainPlan>(plan.body).steps.push_back({*wanted, c.needed_after});
      plan.byte_budget += 2 * size * settings_.chain_fires_max;
      plan.score = std::max(plan.score, a.probability);
    } else if (c.until) {
      auto whole = blocks.span_of(c.place, std::max<std::int64_t>(1, *c.until - c.place.block + 1));
      if (!whole) continue;
      auto plan = begin(a, now, wall, now + settings_.follow_life);
      plan.byte_budget = std::min(2 * std::max<Bytes>(size, (*c.until - c.place.block + 1) * kBlockSize),
                                  prefetch::kPlanBytesMax);  // what is refused warms nothing
      plan.body = prefetch::FollowPlan{.reader = class_of(c.job, jobs),
                                       .partition = whole->partition,
                                       .ahead = size,
                                       .until = whole->offsets.to,
                                       .from = whole->offsets.from};
      out.push_back({blocks.endpoint_of(c.place.stream), std::move(plan)});
    } else {
      if (c.needed_by + settings_.late_max < now) continue;
      const auto& endpoint = blocks.endpoint_of(c.place.stream);
      auto moment = std::max<Duration>(0s, c.needed_by - now) / kMoment;
      auto [at, is_new] = warm.try_emplace({c.generator, endpoint, moment}, out.size());
      bool full = !is_new && std::get<prefetch::WarmPlan>(out[at->second].plan.body).hints.size() >= kHintsMax;
      if (is_new || full) {
        at->second = out.size();
        auto plan = begin(a, now, wall, c.needed_by + settings_.warm_life);
        plan.body = prefetch::WarmPlan{.hints = {}, .needed_by = c.needed_by};
        out.push_back({endpoint, std::move(plan)});
      }
      auto& plan = out[at->second].plan;
      auto& body = std::get<prefetch::WarmPlan>(plan.body);
      // Neighbours become one range: one request to the archive.
      auto* last = body.hints.empty() ? nullptr : &body.hints.back();
      auto offsets = std::get<prefetch::OffsetRange>(wanted->range);
      if (last != nullptr && last->partition == wanted->partition &&
          std::get<prefetch::OffsetRange>(last->range).to == offsets.from) {
        std::get<prefetch::OffsetRange>(last->range).to = offsets.to;
        last->score = std::min(last->score, wanted->score);
      } else {
        body.hints.push_back(*wanted);
      }
      body.needed_by = std::min(body.needed_by, c.needed_by);
      plan.expires = std::max(plan.expires, c.needed_by + settings_.warm_life);
      plan.byte_budget += 2 * size;  // buckets of offsets and blocks do not meet exactly
      plan.score = std::max(plan.score, a.probability);
    }
  }
  return out;
}

}  // namespace forelog::predictor
