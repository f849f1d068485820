#include "tests/simulation/reader.h"

#include "broker/base/limits.h"
#include "broker/env/event.h"
#include "broker/wire/fetch.h"
#include "broker/wire/list_offsets.h"
#include "broker/wire/offset_for_leader_epoch.h"

#include <algorithm>

namespace forelog::simulation {
namespace {

constexpr std::int64_t kLatest = -1, kEarliest = -2, kMaxTimestamp = -3, kEarliestLocal = -4, kLatestTiered = -5;
constexpr std::int16_t kOffsetOutOfRange = 1, kFetchSessionIdNotFound = 70;

wire::FetchRequest request_for(Trial& trial, const std::vector<Position>& from, FetchLimits limits) {
  wire::FetchRequest request;
  request.max_wait_ms = limits.wait_ms;
  request.min_bytes = static_cast<std::int32_t>(limits.min);
  request.max_bytes = static_cast<std::int32_t>(limits.max);
  for (const auto& position : from) {
    const auto& plan = position.model->plan();
    wire::FetchRequest::Partition partition;
    partition.partition = plan.partition;
    partition.fetch_offset = position.offset;
    partition.partition_max_bytes = static_cast<std::int32_t>(limits.partition_max);
    auto& topic = entry_of(request.topics, plan.topic, &wire::FetchRequest::Topic::topic);
    topic.topic_id = trial.topic_ids[plan.topic];
    topic.partitions.push_back(partition);
  }
  return request;
}

wire::FetchResponse::Partition* find(Trial& trial, wire::FetchResponse& answer, const PartitionPlan& plan) {
  for (auto& topic : answer.responses) {
    if (topic.topic != plan.topic && topic.topic_id != trial.topic_ids[plan.topic]) continue;
    for (auto& partition : topic.partitions) {
      if (partition.partition_index == plan.partition) return &partition;
    }
  }
  return nullptr;
}

void note_newest(PartitionModel::Newest& newest, log::BatchView batch) {
  if (batch.record_count() == 0) return;
  auto records = log::Records::open(batch, kBatchSizeMax);
  if (!records) return;
  log::Record record;
  for (auto more = records->next(record); more && *more; more = records->next(record)) {
    auto key = std::string(as_text(record.key.value_or(ByteView{})));
    if (record.value) {
      newest[key] = record.offset;
    } else {
      newest.erase(key);
    }
  }
}

// Adds every record's bytes and offset.
void add(Content& content, const Slices& records, bool compacted) {
  auto visit = [&](log::BatchView batch) {
    if (compacted) note_newest(content.newest, batch);
    auto offset = batch.base_offset().value();
    content.hash = hash_bytes(&offset, sizeof offset, content.hash);
    content.hash = hash_bytes(batch.records().data(), batch.records().size(), content.hash);
    return true;
  };
  (void)log::for_each_batch(records, visit);
}

// What was known of a partition when a fetch was sent.
struct Before {
  Offset readable;
  Offset log_start;
  int rotten = 0;
  bool forgotten = false;  // a power cut came since, and took what was promised
  bool was_calm = false, was_sound = false;
};

// Whether an error in an answer counts: nothing was broken, from before it was asked on. A topic that comes and goes
// may have gone.
bool error_counts(const Trial& trial, const PartitionModel& model, const Before& before) {
  return before.was_calm || (before.was_sound && trial.sound() && model.plan().topic.value() != kPassingTopic);
}

// A partition's part of one answer against what must be true of it.
void check_answer(Trial& trial, Position& position, wire::FetchResponse::Partition& answer, Before before,
                  Content* content) {
  auto& model = *position.model;
  auto asked = position.offset;
  auto where = " at offset " + std::to_string(asked.value()) + " of " + model.name();
  bool may_be_damaged = before.rotten % 2 == 1 || before.rotten != model.rotten;
  if (answer.error_code.code == kOffsetOutOfRange) {
    bool promised = asked >= std::max(model.log_start, model.delete_wanted) && asked <= before.readable &&
                    !model.plan().has_retention();
    trial.violated_if(Oracle::records, promised, "an offset that was readable is out of range" + where);
    if (answer.log_start_offset > asked) position.offset = answer.log_start_offset;
    if (asked > model.acknowledged_end()) position.offset = model.log_start;
    return;
  }
  if (!answer.error_code.ok()) {
    trial.violated_if(Oracle::answers, error_counts(trial, model, before) && !may_be_damaged,
                      "reading fails with code " + std::to_string(answer.error_code.code) + where);
    return;
  }
  auto high_watermark = answer.high_watermark;
  auto log_start = answer.log_start_offset;
  trial.violated_if(Oracle::watermark, high_watermark < before.readable,
                    "the high watermark fell from " + std::to_string(before.readable.value()) + " to " +
                        std::to_string(high_watermark.value()) + where);
  trial.violated_if(Oracle::log_start, log_start < before.log_start,
                    "the start of the log fell from " + std::to_string(before.log_start.value()) + " to " +
                        std::to_string(log_start.value()) + where);
  auto too_far = model.check_start(log_start, trial.latest_wall());
  trial.violated_if(Oracle::log_start, too_far.has_value(), too_far.value_or(""));
  // Sent before a power cut, and read after it: it promises nothing any more.
  if (!before.forgotten) {
    model.readable = std::max(model.readable, high_watermark);
    model.log_start = std::max(model.log_start, log_start);
  }
  Offset next = asked;
  trial.checked(Oracle::records);
  if (!answer.records.empty()) trial.checked(Oracle::epochs);
  if (!answer.records.empty() && model.plan().compacts) trial.checked(Oracle::compaction);
  auto witness =
      before.forgotten || may_be_damaged ? PartitionModel::Witness::in_doubt : PartitionModel::Witness::client;
  if (auto wrong = model.check(answer.records.slices, asked, high_watermark, next, witness)) {
    if (wrong->damaged && may_be_damaged) {
      ++trial.damaged_reads;
      return;
    }
    trial.violated(wrong->oracle, wrong->what);
  }
  if (content != nullptr) add(*content, answer.records.slices, model.plan().compacts);
  if (next != asked) ++trial.batches_read;
  position.offset = next;
}

// A partition that an incremental answer leaves out has nothing that the client does not know yet.
void check_silence(Trial& trial, const Position& position, const Before& before, const FetchSession& session) {
  auto known = session.watermark(position.model->name());
  bool hidden = !before.forgotten && before.readable > known;
  trial.violated_if(Oracle::sessions, hidden,
                    "an incremental fetch leaves out " + position.model->name() + ", readable up to " +
                        std::to_string(before.readable.value()) + ", of which the client knows " +
                        std::to_string(known.value()));
}

}  // namespace

Task<Result<Bytes>> fetch_once(Trial& trial, WireClient& client, std::vector<Position>& from, FetchLimits limits,
                               wire::Version version, FetchExtras extras) {
  bool was_calm = trial.calm, was_sound = trial.sound();
  auto cuts = trial.power_cuts;
  std::vector<Before> before;
  std::vector<std::string> names;
  auto request = request_for(trial, from, limits);
  for (const auto& position : from)
    before.push_back({.readable = position.model->readable,
                      .log_start = position.model->log_start,
                      .rotten = position.model->rotten,
                      .was_calm = was_calm,
                      .was_sound = was_sound});
  if (extras.session != nullptr) {
    // In the order of the request, which puts partitions of a topic together.
    for (const auto& topic : request.topics) {
      for (const auto& partition : topic.partitions)
        names.push_back(topic.topic.value() + "-" + std::to_string(partition.partition.value()));
    }
    extras.session->shorten(request, names);
  }
  auto deadline = trial.env.clock.now() + std::chrono::milliseconds(limits.wait_ms) + 30s;
  auto answer = CO_TRY(co_await client.call(std::move(request), version, deadline));
  bool incremental = extras.session != nullptr && extras.session->is_incremental();
  if (incremental) ++trial.incremental_fetches;
  if (extras.session != nullptr) extras.session->take(answer);
  if (!answer.error_code.ok()) {
    bool evicted = extras.session != nullptr && answer.error_code.code == kFetchSessionIdNotFound;
    trial.violated_if(Oracle::answers, was_sound && trial.sound() && !evicted,
                      "a fetch fails with code " + std::to_string(answer.error_code.code));
    if (evicted) co_return Bytes{0};
    co_return fail(ErrorCode::kUnavailable, "fetch");
  }
  Bytes size = 0;
  for (std::size_t i = 0; i < from.size(); ++i) {
    auto* model = from[i].model;
    if (cuts != trial.power_cuts && model->forgetful()) {
      before[i].readable = std::min(before[i].readable, model->readable);
      before[i].log_start = std::min(before[i].log_start, model->log_start);
      before[i].forgotten = true;
    }
    auto* found = find(trial, answer, model->plan());
    if (found == nullptr && incremental) {
      check_silence(trial, from[i], before[i], *extras.session);
      continue;
    }
    if (trial.violated_if(Oracle::answers, found == nullptr, "an answer to a fetch leaves out " + model->name()))
      continue;
    if (extras.session != nullptr)
      extras.session->note(model->name(), found->error_code.ok() ? found->high_watermark : kNoOffset);
    size += found->records.size();
    check_answer(trial, from[i], *found, before[i], extras.content);
  }
  co_return size;
}

Task<Result<FoundOffset>> look_up_offset(Trial& trial, WireClient& client, const PartitionModel& model,
                                         std::int64_t time) {
  wire::ListOffsetsRequest request;
  request.topics.push_back({model.plan().topic, {{model.plan().partition, kNoEpoch, time}}});
  auto version = client.version(wire::ApiKey::kListOffsets, 9);
  auto answer = CO_TRY(co_await client.call(std::move(request), version, trial.patience()));
  const auto& partition = answer.topics.at(0).partitions.at(0);
  if (!partition.error_code.ok()) {
    co_return fail(ErrorCode::kUnavailable, "the offset of time " + std::to_string(time) + " in " + model.name() +
                                                ": code " + std::to_string(partition.error_code.code));
  }
  co_return FoundOffset{partition.offset, partition.timestamp};
}

Task<Result<Offset>> ask_offset(Trial& trial, WireClient& client, const PartitionModel& model, std::int64_t time) {
  auto found = CO_TRY(co_await look_up_offset(trial, client, model, time));
  co_return found.offset;
}

namespace {

// Asks for the time of some record, or one near it. What is readable before the question must be found; what becomes
// readable meanwhile may be.
Task<Result<void>> look_up(Trial& trial, WireClient& client, PartitionModel& model, env::SeededRandom& random) {
  auto last = model.full_end().value();
  auto wanted = Offset(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(last) + 1)));
  auto time = model.timestamp_of(wanted) - static_cast<std::int64_t>(random.below(10));
  if (time < 0) co_return Result<void>{};  // of a batch that has no time yet
  auto readable = model.readable;
  auto start = model.log_start;
  auto cuts = trial.power_cuts;
  bool was_sound = trial.sound();
  auto rotten = model.rotten;
  auto found = co_await look_up_offset(trial, client, model, time);
  bool damaged = rotten % 2 == 1 || rotten != model.rotten;
  if (!found) {
    trial.violated_if(Oracle::answers, was_sound && trial.sound() && !damaged, found.error().text());
    co_return fail(found.error());
  }
  if (damaged || (cuts != trial.power_cuts && model.forgetful())) co_return Result<void>{};
  auto expected = model.first_not_before(time, start, readable);
  // What compaction may have taken, or somebody has asked to delete, need not be found.
  auto surely = model.first_not_before(time, std::max(start, model.delete_wanted), readable, true);
  auto where = " for time " + std::to_string(time) + " in " + model.name() + ", where " +
               std::to_string(expected.value()) + " is expected";
  if (found->offset == kNoOffset) {
    trial.violated_if(Oracle::times, surely != kNoOffset && !model.plan().start_moves(),
                      "ListOffsets finds nothing" + where);
    co_return Result<void>{};
  }
  auto what = "ListOffsets finds " + std::to_string(found->offset.value()) + " of time " +
              std::to_string(found->timestamp) + where;
  auto known = model.timestamp_of(found->offset);
  trial.violated_if(Oracle::times, found->timestamp < time || (known >= 0 && known != found->timestamp), what);
  // A record of which nobody has been told the time may well be the one.
  bool too_early = known >= 0 && (expected != kNoOffset ? found->offset < expected : found->offset < readable);
  bool too_late = surely != kNoOffset && found->offset > surely && !model.plan().start_moves();
  trial.violated_if(Oracle::times, too_early || too_late, what);
  co_return Result<void>{};
}

Task<Result<void>> wander(Trial& trial, WireClient& client, env::SeededRandom& random) {
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + random.below(6)));
  FetchSession session;
  FetchExtras extras;
  if (random.chance(0.5)) extras.session = &session;
  auto walks = 1 + random.below(8);
  // A reader of many partitions would have each fetch take most of the world.
  auto share = std::min(0.4, 8.0 / static_cast<double>(trial.models.size() + 1));
  for (std::uint64_t walk = 0; walk < walks && !trial.stopping; ++walk) {
    std::vector<Position> from;
    for (auto& model : trial.models) {
      if (!trial.topic_ids.contains(model->plan().topic) || !random.chance(share)) continue;
      auto end = model->acknowledged_end().value();
      from.push_back(
          {model.get(), Offset(static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(end) + 1)))});
    }
    if (from.empty()) {
      co_await sleep_until(trial.env.clock, trial.env.clock.now() + 50ms);
      continue;
    }
    if (random.chance(0.3)) CO_TRY(co_await look_up(trial, client, *from.front().model, random));
    FetchLimits limits;
    limits.partition_max = static_cast<Bytes>(1 + random.below(200'000));
    limits.max = static_cast<Bytes>(1 + random.below(600'000));
    limits.min = static_cast<Bytes>(random.below(3) * 1000);
    limits.wait_ms = static_cast<std::int32_t>(random.below(600));
    auto steps = 1 + random.below(12);
    for (std::uint64_t step = 0; step < steps && !trial.stopping; ++step) {
      CO_TRY(co_await fetch_once(trial, client, from, limits, version, extras));
      auto pause = random.between({0ms, trial.reader_pause_max / 7});
      co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
    }
  }
  co_return Result<void>{};
}

// The epochs that were seen end where the next one begins; of those that have gone with their records, a log knows, as
// Kafka's does, that they ended where it starts.
Task<Result<void>> check_epochs(Trial& trial, WireClient& client, PartitionModel& model, Offset start, Offset end) {
  wire::OffsetForLeaderEpochRequest request;
  request.topics.push_back({model.plan().topic, {}});
  if (model.plan().compacts) co_return Result<void>{};  // where an epoch began may be gone
  auto epochs = model.epochs_seen();
  for (auto epoch : epochs) request.topics.front().partitions.push_back({model.plan().partition, kNoEpoch, epoch});
  if (epochs.empty()) co_return Result<void>{};
  auto version = client.version(wire::ApiKey::kOffsetForLeaderEpoch, 4);
  auto answer = CO_TRY(co_await client.call(std::move(request), version, trial.patience()));
  // Retention may have moved the start since the reader asked for it.
  auto start_now = model.plan().start_moves() ? CO_TRY(co_await ask_offset(trial, client, model, kEarliest)) : start;
  const auto& partitions = answer.topics.at(0).partitions;
  for (std::size_t i = 0; i < epochs.size() && i < partitions.size(); ++i) {
    auto expected = model.end_of_epoch(epochs[i]);
    if (expected == kNoOffset) expected = end;
    auto said = partitions[i].end_offset;
    bool right = said == expected || (expected <= start_now && said >= start && said <= start_now);
    trial.violated_if(Oracle::epochs, !partitions[i].error_code.ok() || !right,
                      "epoch " + std::to_string(epochs[i].value()) + " of " + model.name() + " is said to end at " +
                          std::to_string(partitions[i].end_offset.value()) + ", and ends at " +
                          std::to_string(expected.value()));
  }
  co_return Result<void>{};
}

// The newest record of all, by its time.
Task<Result<void>> check_newest(Trial& trial, WireClient& client, PartitionModel& model, Offset start, Offset end) {
  if (start >= end || model.plan().start_moves() || model.plan().compacts) co_return Result<void>{};
  auto found = CO_TRY(co_await look_up_offset(trial, client, model, kMaxTimestamp));
  auto newest = model.newest_timestamp(start, end);
  bool right = found.offset >= start && found.offset < end && model.timestamp_of(found.offset) == newest;
  trial.violated_if(Oracle::times, !right || found.timestamp != newest,
                    "the newest record of " + model.name() + " is said to be " + std::to_string(found.offset.value()) +
                        " of time " + std::to_string(found.timestamp) + "; the newest time is " +
                        std::to_string(newest));
  co_return Result<void>{};
}

}  // namespace

Task<void> read_at_random(Trial& trial, std::uint64_t seed) {
  env::SeededRandom random(seed);
  while (!trial.stopping && trial.violations.empty()) {
    bool was_sound = trial.sound();
    WireClient client(trial.env, "reader-" + std::to_string(random.below(3)));
    auto wandered = co_await wander(trial, client, random);
    if (!wandered)
      trial.violated_if(Oracle::answers, was_sound && trial.sound(), "a reader fails: " + wandered.error().text());
    auto pause = random.between({1ms, trial.reader_pause_max});
    co_await sleep_until(trial.env.clock, trial.env.clock.now() + pause);
  }
}

Task<Result<void>> read_whole(Trial& trial, PartitionModel& model, std::uint64_t seed, std::uint64_t& content) {
  env::SeededRandom random(seed);
  WireClient client(trial.env, "verifier");
  CO_TRY(co_await client.open(trial.endpoint, trial.patience()));
  auto start = CO_TRY(co_await ask_offset(trial, client, model, kEarliest));
  auto end = CO_TRY(co_await ask_offset(trial, client, model, kLatest));
  auto local = CO_TRY(co_await ask_offset(trial, client, model, kEarliestLocal));
  auto tiered = CO_TRY(co_await ask_offset(trial, client, model, kLatestTiered));
  trial.violated_if(Oracle::records, end != model.acknowledged_end(),
                    model.name() + " ends at " + std::to_string(end.value()) + ", acknowledged is up to " +
                        std::to_string(model.acknowledged_end().value()));
  auto too_far = model.check_start(start, trial.latest_wall());
  trial.violated_if(Oracle::log_start, too_far.has_value(), too_far.value_or(""));
  trial.violated_if(Oracle::log_start, start < model.log_start, model.name() + " has fallen back to an older start");
  trial.violated_if(Oracle::answers, local < start || local > end || tiered >= end,
                    model.name() + ": its ends contradict each other");
  auto version = client.version(wire::ApiKey::kFetch, static_cast<int>(12 + random.below(6)));
  std::vector<Position> from{{&model, start}};
  FetchLimits limits;
  limits.partition_max = static_cast<Bytes>(1 + random.below(400'000));
  limits.wait_ms = 5000;
  FetchSession session;
  Content whole;
  FetchExtras extras{random.chance(0.5) ? &session : nullptr, &whole};
  for (int idle = 0; from.front().offset < end && trial.violations.empty();) {
    auto before = from.front().offset;
    auto got = CO_TRY(co_await fetch_once(trial, client, from, limits, version, extras));
    idle = got > 0 || from.front().offset != before ? 0 : idle + 1;
    if (idle > 3)
      co_return fail(ErrorCode::kTimeout,
                     "nothing comes of " + model.name() + " from offset " + std::to_string(before.value()));
  }
  content = whole.hash;
  if (model.plan().compacts) {
    auto wrong = model.check_newest(whole.newest, start, end);
    trial.violated_if(Oracle::compaction, wrong.has_value(), wrong ? wrong->what : "");
    content = 0;
    for (const auto& [key, offset] : whole.newest) {
      auto at = offset.value();
      content = hash_bytes(&at, sizeof at, hash_bytes(key.data(), key.size(), content));
    }
  }
  for (int i = 0; i < 5; ++i) CO_TRY(co_await look_up(trial, client, model, random));
  CO_TRY(co_await check_newest(trial, client, model, start, end));
  CO_TRY(co_await check_epochs(trial, client, model, start, end));
  co_return Result<void>{};
}

}  // namespace forelog::simulation
