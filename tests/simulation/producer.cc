#include "tests/simulation/producer.h"

#include "broker/env/event.h"
#include "broker/wire/init_producer_id.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/produce.h"
#include "tests/simulation/wire_client.h"

#include <algorithm>
#include <deque>

namespace forelog::simulation {
namespace {

constexpr std::size_t kInFlightMax = 5;  // as many as the broker remembers of a producer
constexpr std::int64_t kLatest = -1;

struct Producer {
  Trial& trial;
  PartitionModel& model;
  env::SeededRandom random;
  ProducerId id{-1};
  std::int16_t epoch = 0;
  std::size_t first_batch = 0;  // the one with sequence 0
  int power_cuts_known = 0;
};

Result<void> refused(const Producer& producer, wire::WireError error, const char* doing) {
  if (error.ok()) return {};
  return fail(ErrorCode::kUnavailable,
              std::string(doing) + " " + producer.model.name() + ": code " + std::to_string(error.code));
}

Task<Result<void>> begin(Producer& self, WireClient& client) {
  auto version = client.version(wire::ApiKey::kInitProducerId, 4);
  wire::InitProducerIdRequest request;
  auto answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
  CO_TRY(refused(self, answer.error_code, "beginning"));
  self.id = answer.producer_id;
  self.epoch = answer.producer_epoch;
  self.first_batch = self.model.acknowledged;
  co_return Result<void>{};
}

// After a power cut nobody knows how much a partition with durability=page-cache still has: what is there counts.
Task<Result<void>> look_where_it_ends(Producer& self, WireClient& client) {
  auto version = client.version(wire::ApiKey::kListOffsets, 6);
  wire::ListOffsetsRequest request;
  request.topics.push_back({self.model.plan().topic, {{self.model.plan().partition, kNoEpoch, kLatest}}});
  auto answer = CO_TRY(co_await client.call(std::move(request), version, self.trial.patience()));
  const auto& partition = answer.topics.at(0).partitions.at(0);
  CO_TRY(refused(self, partition.error_code, "asking the end of"));
  auto index = self.model.index_at(partition.offset);
  if (!index || *index > self.model.sent) {
    self.trial.violated(Oracle::records, self.model.name() + " ends at " + std::to_string(partition.offset.value()) +
                                             ", where no batch ends");
    co_return fail(ErrorCode::kCorruptMessage, self.model.name());
  }
  self.model.acknowledged = *index;
  co_return Result<void>{};
}

wire::ProduceRequest request_for(Producer& self, std::size_t index, std::int16_t acks) {
  auto sequence = static_cast<std::int32_t>(self.model.base(index) - self.model.base(self.first_batch));
  wire::ProduceRequest request;
  request.acks = acks;
  request.timeout_ms = 20000;
  auto batch = self.model.produce(index, self.id, self.epoch, sequence);
  request.topic_data.push_back(
      {self.model.plan().topic, {{self.model.plan().partition, wire::Records(std::move(batch))}}});
  return request;
}

// Errors that a correct broker never answers to this producer, whatever fails.
bool is_wrong_answer(std::int16_t code, bool is_first) {
  constexpr std::int16_t kOutOfOrder = 45;
  constexpr std::int16_t kNever[] = {2, 10, 17, 18, 47, 59, 76, 87};
  if (std::ranges::find(kNever, code) != std::end(kNever)) return true;
  return code == kOutOfOrder && is_first;  // a later one may follow a batch that was refused
}

Task<Result<void>> write_session(Producer& self, WireClient& client) {
  auto& trial = self.trial;
  auto& model = self.model;
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  bool forgetful = model.forgetful();
  if (forgetful && self.power_cuts_known != trial.power_cuts) {
    auto known = trial.power_cuts;
    CO_TRY(co_await look_where_it_ends(self, client));
    self.power_cuts_known = known;
    self.id = ProducerId(-1);
  }
  if (self.id.value() < 0) CO_TRY(co_await begin(self, client));

  struct Sent {
    std::size_t index;
    std::int32_t request;
  };
  std::deque<Sent> in_flight;
  auto version = client.version(wire::ApiKey::kProduce, static_cast<int>(3 + self.random.below(9)));
  version = std::max<wire::Version>(version, 7);  // the first with zstd
  auto acks = static_cast<std::int16_t>(self.random.chance(0.5) ? 1 : -1);
  auto window = 1 + self.random.below(kInFlightMax);
  for (auto next = model.acknowledged; next < model.count() || !in_flight.empty();) {
    while (in_flight.size() < window && next < model.count()) {
      auto request = request_for(self, next, acks);
      model.sent = std::max(model.sent, next + 1);
      auto id = CO_TRY(co_await client.send(std::move(request), version, trial.patience()));
      in_flight.push_back({next++, id});
      auto pause = self.random.between(
          {0ms, trial.calm ? std::min<Duration>(60ms, model.plan().pause_max) : model.plan().pause_max});
      if (self.random.chance(0.5)) co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
    }
    auto oldest = in_flight.front();
    auto answer = CO_TRY(co_await client.receive<wire::ProduceResponse>(oldest.request, version, trial.patience()));
    in_flight.pop_front();
    // Sent before a power cut, and arrived after it: it promises nothing any more.
    if (forgetful && self.power_cuts_known != trial.power_cuts)
      co_return fail(ErrorCode::kConnectionClosed, model.name());
    const auto& partition = answer.responses.at(0).partition_responses.at(0);
    bool is_first = oldest.index == model.acknowledged;
    bool refused_wrongly =
        !partition.error_code.ok() && !model.gone && is_wrong_answer(partition.error_code.code, is_first);
    trial.violated_if(Oracle::order, refused_wrongly,
                      "batch " + std::to_string(oldest.index) + " of " + model.name() + " is refused with code " +
                          std::to_string(partition.error_code.code) + ": " + partition.error_message.value_or(""));
    CO_TRY(refused(self, partition.error_code, "producing to"));
    trial.violated_if(Oracle::order, partition.base_offset != model.base(oldest.index),
                      "batch " + std::to_string(oldest.index) + " of " + model.name() + " belongs at offset " +
                          std::to_string(model.base(oldest.index).value()) + ", and was put at " +
                          std::to_string(partition.base_offset.value()));
    trial.violated_if(Oracle::order, !is_first,
                      "batch " + std::to_string(oldest.index) + " of " + model.name() +
                          " is acknowledged though one before it was not");
    if (model.plan().append_time) {
      auto wrong = model.note_append_time(oldest.index, partition.log_append_time_ms);
      trial.violated_if(Oracle::times, wrong.has_value(), wrong ? wrong->what : "");
    }
    model.acknowledged = std::max(model.acknowledged, oldest.index + 1);
    ++trial.batches_acknowledged;
  }
  co_return Result<void>{};
}

}  // namespace

Task<void> produce_all(Trial& trial, PartitionModel& model, std::uint64_t seed) {
  Producer self{trial, model, env::SeededRandom(seed)};
  while (trial.violations.empty() && !model.gone) {
    WireClient client(trial.env, "producer-" + model.name());
    auto written = co_await write_session(self, client);
    if (written) {
      // A power cut may take back the end of what was written without a promise.
      if (trial.calm || !model.forgetful()) co_return;
      co_await sleep_until(trial.env.clock, trial.env.clock.now() + 500ms);
      continue;
    }
    ++trial.retries;
    auto pause = self.random.between({10ms, 400ms});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
}

}  // namespace forelog::simulation
