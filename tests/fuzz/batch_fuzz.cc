// Record batches: any bytes; any header and payload under a checksum that is right; batches built and then damaged;
// runs of batches cut anywhere.
#include "broker/base/crc32c.h"
#include "broker/log/batch.h"
#include "broker/log/batch_builder.h"
#include "tests/fuzz/fuzz.h"

#include <algorithm>
#include <limits>

namespace forelog::log {
namespace {

using fuzz::Decisions;

constexpr Bytes kOpenedMax = 1_MiB;

BatchRules draw_rules(Decisions& in) {
  BatchRules rules;
  rules.now = from_ms(in.between<std::int64_t>(0, 1LL << 42));
  if (in.one_in(3)) rules.size_max = in.between<Bytes>(0, 4096);
  if (in.one_in(3)) rules.timestamp_before_max_ms = in.any<std::int64_t>() & INT64_MAX;
  if (in.one_in(3)) rules.timestamp_after_max_ms = in.any<std::int64_t>() & INT64_MAX;
  rules.log_append_time = in.any<bool>();
  rules.zstd_allowed = in.any<bool>();
  rules.control_allowed = in.any<bool>();
  rules.keys_required = in.any<bool>();
  rules.open_records = in.any<bool>();
  return rules;
}

// All that can be asked of a batch, in any order and whatever is in it.
void ask_all(BatchView batch, Decisions& in) {
  static_cast<void>(batch.last_sequence());
  auto records = Records::open(batch, kOpenedMax);
  if (records) {
    Record record;
    std::int32_t count = 0;
    Offset last = batch.base_offset() - 1;
    for (;;) {
      auto more = records->next(record);
      if (!more || !*more) break;
      CHECK(record.offset > last && record.offset <= batch.last_offset(), "records lie in their batch, in order");
      last = record.offset;
      CHECK(++count <= batch.record_count());
    }
  }
  auto wanted = in.any<std::int64_t>();
  auto found = find_by_time(batch, wanted, kOpenedMax, Offset(in.any<std::int64_t>()));
  if (found && *found) CHECK((*found)->timestamp >= wanted);
  static_cast<void>(find_max_timestamp(batch, kOpenedMax));
}

void check_any(ByteView bytes, Decisions& in) {
  static_cast<void>(BatchView::size_of(bytes));
  auto valid = validate(bytes, draw_rules(in));
  if (valid) CHECK(valid->size() == bytes.size());
  if (auto intact = parse_intact(bytes)) ask_all(*intact, in);
}

void seal(MutableByteView batch) {
  auto put = [&](std::size_t at, auto value) {
    value = std::byteswap(value);
    std::memcpy(batch.data() + at, &value, sizeof value);
  };
  put(8, static_cast<std::int32_t>(batch.size() - kBatchLengthEnd));
  batch[16] = std::byte{2};
  put(17, crc32c(ByteView(batch).subspan(21)));
}

// Any header and payload, but length, magic and checksum let it through.
void check_sealed(std::string bytes, Decisions& in) {
  if (bytes.size() < kBatchHeaderSize) return;
  seal({reinterpret_cast<std::byte*>(bytes.data()), bytes.size()});  // NOLINT: bytes are bytes
  check_any(as_bytes(bytes), in);
  auto copy = bytes;
  const MutableByteView batch{reinterpret_cast<std::byte*>(copy.data()), copy.size()};  // NOLINT: bytes are bytes
  set_append_time(batch, from_ms(1000));
  CHECK(BatchView::parse(batch)->crc_matches(), "an appended batch has a checksum of its own");
}

struct Made {
  std::int64_t timestamp;
  std::optional<std::string> key, value;
};

std::optional<std::string_view> view_of(const std::optional<std::string>& text) {
  return text ? std::optional<std::string_view>(*text) : std::nullopt;
}

Buffer make_batch(Decisions& in, Offset base, std::vector<Made>& made) {
  BatchBuilder builder(base);
  auto count = in.between<int>(1, 8);
  for (int i = 0; i < count; ++i) {
    Made one{in.between<std::int64_t>(0, 1LL << 41), std::nullopt, std::nullopt};
    if (in.any<bool>()) one.key = in.text(20);
    if (!in.one_in(8)) one.value = in.text(200);
    builder.add(one.timestamp, view_of(one.key), view_of(one.value));
    made.push_back(std::move(one));
  }
  if (in.any<bool>()) builder.producer(ProducerId(in.between<std::int64_t>(0, 9)), 0, in.between(0, INT32_MAX));
  builder.codec(static_cast<Codec>(in.between<int>(0, 4)));
  return std::move(builder).build();
}

void check_built(Decisions& in) {
  std::vector<Made> made;
  const Offset base(in.between<std::int64_t>(0, 1LL << 60));
  auto bytes = make_batch(in, base, made);
  BatchRules rules;
  rules.open_records = true;
  auto batch = validate(bytes, rules);
  CHECK(batch.has_value() && batch->record_count() == static_cast<std::int32_t>(made.size()));
  auto records = *Records::open(*batch, kOpenedMax);
  Record record;
  auto wanted = in.between<std::int64_t>(0, 1LL << 41);
  std::optional<TimestampedOffset> first;
  TimestampedOffset newest;
  for (std::size_t i = 0; i < made.size(); ++i) {
    CHECK(*records.next(record) && record.timestamp == made[i].timestamp);
    auto text = [](const std::optional<ByteView>& b) {
      return b ? std::optional(std::string(as_text(*b))) : std::nullopt;
    };
    CHECK(text(record.key) == made[i].key && text(record.value) == made[i].value);
    const TimestampedOffset here{record.timestamp, record.offset};
    if (!first && here.timestamp >= wanted) first = here;
    if (here.timestamp > newest.timestamp) newest = here;
  }
  CHECK(!*records.next(record));
  CHECK(*find_by_time(*batch, wanted, kOpenedMax) == first && *find_max_timestamp(*batch, kOpenedMax) == newest);

  // Damage to anything under the checksum is seen; what lies outside it is stamped by the leader anyway.
  std::string damaged(bytes.text());
  auto at = in.between<std::size_t>(17, damaged.size() - 1);
  damaged[at] = static_cast<char>(damaged[at] ^ in.between<int>(1, 255));
  CHECK(!validate(as_bytes(damaged), rules) && !parse_intact(as_bytes(damaged)));
  CHECK(!BatchView::parse(bytes.view().first(in.between<std::size_t>(0, bytes.size() - 1))));
}

// The rules of Fetch, over a run that is cut into slices anywhere, and cut off anywhere.
void check_run(Decisions& in) {
  std::string run;
  std::vector<std::pair<Offset, Offset>> spans;
  std::vector<std::size_t> ends;
  Offset next(in.between<std::int64_t>(0, 1000));
  for (auto count = in.between<int>(0, 6); count > 0; --count) {
    std::vector<Made> made;
    run += make_batch(in, next, made).text();
    spans.emplace_back(next, next + static_cast<std::int64_t>(made.size()));
    ends.push_back(run.size());
    // A gap, as compaction leaves.
    next = next + static_cast<std::int64_t>(made.size()) + (in.one_in(4) ? in.between<std::int64_t>(1, 5) : 0);
  }
  run.resize(in.one_in(3) ? in.between<std::size_t>(0, run.size()) : run.size());
  auto whole = static_cast<std::size_t>(std::upper_bound(ends.begin(), ends.end(), run.size()) - ends.begin());

  Slices slices;
  for (std::size_t at = 0; at < run.size();) {
    auto size = in.between<std::size_t>(1, run.size() - at);
    slices.push_back(Buffer::copy_of(std::string_view(run).substr(at, size)));
    at += size;
  }
  std::size_t seen = 0;
  auto walked = for_each_batch(slices, [&](BatchView batch) {
    CHECK(batch.base_offset() == spans[seen].first && batch.end_offset() == spans[seen].second);
    return ++seen, true;
  });
  CHECK(walked.has_value() && seen == whole);

  const Offset from(in.between<std::int64_t>(0, 1100)), limit(in.between<std::int64_t>(0, 1100));
  auto size_max = in.between<Bytes>(0, 2000);
  bool at_least_one = in.any<bool>();
  auto taken = take_batches(slices, from, limit, size_max, at_least_one);
  CHECK(taken.has_value());
  std::string expected;
  Offset start = from, end = from;
  for (std::size_t i = 0; i < whole && spans[i].first < limit; ++i) {
    if (spans[i].second <= from) continue;
    auto begin = i == 0 ? 0 : ends[i - 1];
    bool fits = static_cast<Bytes>(expected.size() + ends[i] - begin) <= size_max;
    if (!fits && !(expected.empty() && at_least_one)) break;
    if (expected.empty()) start = spans[i].first;
    expected += run.substr(begin, ends[i] - begin);
    end = spans[i].second;
  }
  CHECK(flatten(taken->bytes).text() == expected && taken->start == start && taken->end == end);
}

}  // namespace
}  // namespace forelog::log

FUZZ_TARGET(batch) {
  using namespace forelog::log;  // NOLINT: what this is about
  Decisions in(input);
  auto kind = in.between<int>(0, 3);
  const AllocationMeter meter;
  if (kind == 0) {
    auto bytes = in.bytes(2048);
    check_any(bytes, in);
  } else if (kind == 1) {
    auto bytes = in.text(2048);
    check_sealed(bytes, in);
  } else if (kind == 2) {
    check_built(in);
  } else {
    check_run(in);
  }
  // A compressed payload may open to as much as it was allowed, and is collected in a buffer that grows by doubling.
  CHECK(meter.largest() <= static_cast<std::size_t>(8 * kOpenedMax));
}
