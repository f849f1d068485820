#include "predictor/model.h"

#include "broker/base/limits.h"
#include "predictor/generators/sessions.h"
#include "predictor/generators/strided_runs.h"
#include "predictor/generators/temporal_streams.h"

#include <algorithm>

namespace forelog::predictor {
namespace {

constexpr std::uint32_t kFormat = 1;
constexpr std::size_t kPlannedMax = 100'000;
constexpr std::size_t kChainsMax = 20'000;

std::uint64_t chain_key(const Candidate& c) { return mix(hash_of(*c.trigger, c.job) * 31 + hash_of(c.place)); }
std::uint64_t follow_key(const Candidate& c) { return hash_of(c.place, 0x666f6c6c6f77ULL + c.job); }

}  // namespace

Model::Model(ModelSettings settings)
    : settings_(settings),
      gate_(settings.gate),
      budget_(settings.budget),
      planned_(kPlannedMax),
      chains_(kChainsMax),
      follows_(kChainsMax) {
  if (settings.strided_runs) {
    StridedRunsSettings s;
    s.lead = settings.lead;
    generators_.push_back(std::make_unique<StridedRuns>(s));
  }
  if (settings.temporal_streams) {
    TemporalStreamsSettings s;
    s.reads_max = settings.tracked_blocks;
    s.horizon = settings.lead * settings.horizon_leads;
    generators_.push_back(std::make_unique<TemporalStreams>(s));
  }
  if (settings.sessions) {
    SessionsSettings s;
    s.idle = settings.session_idle;
    s.lead = settings.lead;
    auto sessions = std::make_unique<Sessions>(s);
    sessions_ = sessions.get();
    generators_.push_back(std::move(sessions));
  }
  for (const auto& generator : generators_) gate_.introduce(*generator);
}

// Whether the broker has been told of this already. What a session proposes for later it proposes once, at each start.
bool Model::known(const Candidate& candidate, Instant now) {
  if (candidate.generator == GeneratorId::sessions && (candidate.trigger || candidate.until)) return false;
  const Instant* until = candidate.trigger ? chains_.find(chain_key(candidate))
                         : candidate.until ? follows_.find(follow_key(candidate))
                                           : planned_.find(candidate.place);
  return until != nullptr && *until > now;
}

void Model::filter(Instant now, std::vector<Accepted>& out) {
  for (const auto& candidate : candidates_) {
    auto& counts = counts_[static_cast<std::size_t>(candidate.generator)];
    ++counts.proposed;
    // A job that does what it did twice before is served by its session alone: others would reach past its ends, or so
    // far ahead that what is wanted next finds no room.
    bool of_session = candidate.generator == GeneratorId::sessions;
    bool served =
        !of_session && sessions_ != nullptr && sessions_->knows_the_way(candidate.job, candidate.place.stream);
    if (served) continue;
    // What is fetched already says nothing of what the next one would be worth.
    if (known(candidate, now)) continue;
    // A chain is judged by the same reads as what is proposed at once; watching it twice would count them twice.
    auto p = candidate.trigger ? gate_.estimate(candidate) : gate_.judge(candidate, now);
    auto bytes = candidate.trigger ? Bytes{0} : candidate.blocks * kBlockSize;
    if (!budget_.take(candidate.generator, p, bytes, now)) continue;
    if (candidate.trigger) {
      if (!of_session) chains_.touch(chain_key(candidate)) = now + settings_.chain_life;
    } else if (candidate.until) {
      follows_.touch(follow_key(candidate)) = now + settings_.gate.window;
    } else {
      planned_.touch(candidate.place) = now + settings_.gate.window;
    }
    ++counts.accepted;
    out.push_back({candidate, p});
  }
  candidates_.clear();
}

void Model::observe(const ReadEvent& event, std::vector<Accepted>& out) {
  gate_.on_read(event);
  if (event.answer == Answer::miss) budget_.on_demand(event.blocks * kBlockSize, event.at);
  // What has been read may leave the cache and be wanted again.
  for (std::int32_t i = 0; i < event.blocks; ++i) planned_.erase({event.place.stream, event.place.block + i});
  for (const auto& generator : generators_) generator->observe(event, candidates_);
  filter(event.at, out);
}

void Model::announce(const Announcement& announcement, std::vector<Accepted>& out) {
  for (const auto& generator : generators_) generator->announce(announcement, candidates_);
  filter(announcement.at, out);
}

std::size_t Model::memory_bytes() const {
  auto bytes = gate_.memory_bytes() + planned_.memory_bytes() + chains_.memory_bytes() + follows_.memory_bytes();
  for (const auto& generator : generators_) bytes += generator->memory_bytes();
  return bytes;
}

void Model::save(ByteWriter& out) const {
  auto part = [&out](std::string_view name, auto&& write) {
    ByteWriter body;
    write(body);
    out.u32(static_cast<std::uint32_t>(name.size())), out.text(name);
    out.u64(body.size()), out.bytes(body.view());
  };
  out.u32(kFormat), out.u32(static_cast<std::uint32_t>(generators_.size() + 2));
  part("gate", [&](ByteWriter& body) { gate_.save(body); });
  part("budget", [&](ByteWriter& body) { budget_.save(body); });
  for (const auto& generator : generators_)
    part(name_of(generator->id()), [&](ByteWriter& body) { generator->save(body); });
}

bool Model::load(ByteReader& in) {
  if (in.u32() != kFormat) return false;
  auto parts = in.u32();
  for (std::uint32_t i = 0; i < parts && in.ok(); ++i) {
    auto name = in.text(in.u32());
    ByteReader body(in.bytes(static_cast<std::int64_t>(in.u64())));
    if (!in.ok()) break;
    if (name == "gate") (void)gate_.load(body);
    if (name == "budget") (void)budget_.load(body);
    for (const auto& generator : generators_)
      if (name == name_of(generator->id())) (void)generator->load(body);
  }
  return in.ok();
}

}  // namespace forelog::predictor
