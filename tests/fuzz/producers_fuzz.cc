// The table of idempotent producers: any bytes as a snapshot; and drawn batches, held against a plain model that keeps
// every batch there ever was.
#include "broker/log/batch_builder.h"
#include "broker/replication/producer_table.h"
#include "tests/fuzz/fuzz.h"

#include <map>

namespace forelog::replication {
namespace {

using fuzz::Decisions;

struct Made {
  std::int64_t producer;
  std::int16_t epoch;
  std::int32_t sequence, count;
  std::int64_t timestamp;
};

Buffer batch_of(const Made& made, Offset base) {
  log::BatchBuilder builder(base);
  for (std::int32_t i = 0; i < made.count; ++i) builder.add(made.timestamp, std::nullopt, "v");
  builder.producer(ProducerId(made.producer), made.epoch, made.sequence);
  return std::move(builder).build();
}

// What a leader must answer, from the whole history: Kafka's rules, said once more in another way.
class Model {
 public:
  enum class Answer : std::uint8_t { append, duplicate, old_epoch, out_of_order };

  Answer ask(const Made& made, std::optional<Offset>& duplicate) const {
    auto at = producers_.find(made.producer);
    if (at == producers_.end()) return Answer::append;
    const auto& history = at->second.history;
    if (made.epoch < at->second.epoch) return Answer::old_epoch;
    if (made.epoch > at->second.epoch) return made.sequence == 0 ? Answer::append : Answer::out_of_order;
    auto wrap = [](std::int64_t sequence) {
      return static_cast<std::int32_t>(sequence % (std::int64_t{INT32_MAX} + 1));
    };
    auto newest = history.size() > 5 ? history.end() - 5 : history.begin();
    for (auto known = newest; known != history.end(); ++known) {
      if (known->first.sequence == made.sequence && known->first.count == made.count) {
        duplicate = known->second;
        return Answer::duplicate;
      }
    }
    const auto& last = history.back().first;
    return made.sequence == wrap(std::int64_t{last.sequence} + last.count) ? Answer::append : Answer::out_of_order;
  }
  void add(const Made& made, Offset base) {
    newest_ = std::max(newest_, made.timestamp);
    auto& producer = producers_[made.producer];
    if (producer.epoch != made.epoch) producer.history.clear();
    producer.epoch = made.epoch;
    producer.last = newest_;
    producer.history.emplace_back(made, base);
  }
  void expire(Duration idle) {
    std::erase_if(producers_, [&](const auto& entry) { return newest_ - entry.second.last > to_ms(idle); });
  }
  std::size_t size() const { return producers_.size(); }

 private:
  struct Producer {
    std::int16_t epoch = -1;
    std::int64_t last = -1;
    std::vector<std::pair<Made, Offset>> history;
  };
  std::map<std::int64_t, Producer> producers_;
  std::int64_t newest_ = -1;
};

void check_model(Decisions& in) {
  ProducerTable table;
  Model model;
  Offset end(0);
  std::vector<Made> sent;
  for (auto steps = in.between<int>(0, 60); steps > 0; --steps) {
    if (in.one_in(12)) {
      auto idle = std::chrono::milliseconds(in.between(0, 1000));
      table.expire(idle);
      model.expire(idle);
    } else if (in.one_in(12)) {
      // A replica that starts from the snapshot knows the same.
      auto snapshot = table.snapshot();
      auto restored = ProducerTable::restore(snapshot);
      CHECK(restored.has_value() && restored->snapshot() == snapshot);
      table = *std::move(restored);
    }
    CHECK(table.size() == model.size());
    Made made{};
    if (!sent.empty() && in.one_in(4)) {
      made = sent[in.between<std::size_t>(0, sent.size() - 1)];  // a retry, perhaps very late
    } else {
      made.producer = in.between<std::int64_t>(0, 2);
      made.epoch = in.between<std::int16_t>(0, 2);
      made.count = in.between(1, 3);
      auto follows = !sent.empty() && !in.one_in(4);
      const auto* last = follows ? &sent.back() : nullptr;
      if (last != nullptr) made.producer = last->producer, made.epoch = last->epoch;
      made.sequence = last != nullptr
                          ? static_cast<std::int32_t>((std::int64_t{last->sequence} + last->count) & INT32_MAX)
                      : in.any<bool>() ? 0
                                       : in.between(0, INT32_MAX);
      made.timestamp = in.between<std::int64_t>(0, 5000);
    }
    auto bytes = batch_of(made, end);
    auto batch = *log::BatchView::parse(bytes);
    std::optional<Offset> duplicate;
    auto expected = model.ask(made, duplicate);
    auto answer = table.check(batch);
    if (expected == Model::Answer::append) {
      CHECK(answer.has_value() && !*answer);
      table.add(batch);
      model.add(made, end);
      sent.push_back(made);
      end = batch.end_offset();
    } else if (expected == Model::Answer::duplicate) {
      CHECK(answer.has_value() && *answer && (*answer)->base == *duplicate);
      CHECK((*answer)->last == *duplicate + (made.count - 1));
    } else {
      auto code =
          expected == Model::Answer::old_epoch ? ErrorCode::kInvalidProducerEpoch : ErrorCode::kOutOfOrderSequence;
      CHECK(!answer.has_value() && answer.error().code == code);
    }
  }
  CHECK(table.list().size() == model.size());
}

// Any bytes: restored or refused; and a table from hostile bytes still answers.
void check_any(ByteView bytes, Decisions& in) {
  const fuzz::AllocationMeter meter;
  auto table = ProducerTable::restore(bytes);
  meter.expect_bounded(bytes.size());
  if (!table) return;
  if (!bytes.empty()) CHECK(ProducerTable::restore(table->snapshot())->snapshot() == table->snapshot());
  for (int i = 0; i < 4; ++i) {
    auto known = table->list();
    auto id = known.empty() ? std::int64_t{1} : known[in.between<std::size_t>(0, known.size() - 1)].id.value();
    auto epoch = in.any<std::int16_t>();
    auto sequence = in.any<std::int32_t>();
    if (!known.empty() && in.any<bool>()) epoch = known.front().epoch, sequence = known.front().last_sequence;
    if (id < 0 || epoch < 0 || sequence < 0) continue;
    auto made = batch_of({id, epoch, sequence, in.between(1, 3), in.any<std::int64_t>()}, Offset(10));
    auto batch = *log::BatchView::parse(made);
    auto answer = table->check(batch);
    if (answer && !*answer) table->add(batch);
  }
  table->expire(std::chrono::milliseconds(in.any<std::int32_t>()));
  static_cast<void>(table->list());
}

}  // namespace
}  // namespace forelog::replication

FUZZ_TARGET(producers) {
  using namespace forelog::replication;  // NOLINT: what this is about
  Decisions in(input);
  if (in.one_in(3)) {
    auto bytes = in.bytes(1024);
    check_any(bytes, in);
  } else {
    check_model(in);
  }
}
