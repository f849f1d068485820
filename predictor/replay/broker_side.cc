#include "predictor/replay/broker_side.h"

#include "broker/base/limits.h"
#include "predictor/observer.h"

#include <algorithm>
#include <cstring>
#include <string>

namespace forelog::predictor::replay {
namespace {

constexpr std::size_t kStreamsMax = 20'000'000;  // opaque keys are a stream each
constexpr std::size_t kClientsMax = 1'000'000;

WallTime wall_of(Instant now) {
  return WallTime(std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()));
}

PartitionKey partition_of(StreamId stream) {
  PartitionKey key;
  key.topic.bytes[0] = 1;
  std::memcpy(key.topic.bytes.data() + 4, &stream, sizeof(stream));
  return key;
}
StreamId stream_of(const PartitionKey& key) {
  StreamId stream = 0;
  std::memcpy(&stream, key.topic.bytes.data() + 4, sizeof(stream));
  return stream;
}
std::string stem_of(JobId client) { return "client" + std::to_string(client); }

}  // namespace

BrokerSide::BrokerSide() : blocks_(kStreamsMax), jobs_(kClientsMax), planner_({}, 1), runner_({}) {}

std::optional<ReadEvent> BrokerSide::as_seen(const ReadEvent& read) {
  auto key = partition_of(read.place.stream);
  Offset block(read.place.block);
  if (!blocks_.learn(key, block, block, kBlockSize)) return std::nullopt;
  auto place = blocks_.place_of(key, block);
  if (!place) return std::nullopt;
  auto out = read;
  out.place = *place;
  out.job = jobs_.id_of(JobSignature{{}, stem_of(read.job), {}}.text());
  return out;
}

std::vector<prefetch::Plan> BrokerSide::plans(const std::vector<Accepted>& accepted, Instant now) {
  std::vector<prefetch::Plan> out;
  for (auto& outgoing : planner_.plan(accepted, blocks_, jobs_, now, wall_of(now)))
    out.push_back(std::move(outgoing.plan));
  return out;
}

void BrokerSide::offer(prefetch::Plan plan, Instant now) { (void)runner_.offer(std::move(plan), now, wall_of(now)); }

void BrokerSide::on_read(const ReadEvent& read, WantedList& out) {
  auto stem = stem_of(read.job);
  Offset from(read.place.block);
  prefetch::ReaderStep step;
  step.reader = prefetch::ReaderId(std::uint64_t{read.reader} + 1);
  step.client_stem = stem;
  step.partition = partition_of(read.place.stream);
  step.touched = {from, from + read.blocks};
  step.bytes = read.blocks * kBlockSize;
  for (const auto& load : runner_.on_reader(step, read.at)) take(load, out);
}

void BrokerSide::on_time(Instant now, WantedList& out) {
  for (const auto& load : runner_.tick(now, wall_of(now))) take(load, out);
}

std::optional<Instant> BrokerSide::next_due(Instant now) const { return runner_.next_due(now, wall_of(now)); }

void BrokerSide::take(const prefetch::LoadRequest& load, WantedList& out) {
  auto range = std::get<prefetch::OffsetRange>(load.range);
  auto blocks = std::min<std::int64_t>(range.to - range.from, runner_.remaining(load.cause.plan) / kBlockSize);
  if (blocks <= 0) return;
  auto generator = Planner::generator_of(load.cause.plan);
  for (std::int64_t i = 0; i < blocks; ++i) {
    out.push_back({.place = {stream_of(load.partition), range.from.value() + i},
                   .needed_by = load.needed_by,
                   .score = load.cause.score,
                   .tag = tag_of(generator),
                   .reason = name_of(generator).data()});
  }
  runner_.charge(load.cause.plan, blocks * kBlockSize);
}

}  // namespace forelog::predictor::replay
