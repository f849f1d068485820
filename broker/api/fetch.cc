// Kafka's Fetch, with archived data: warm partitions are answered with what is in memory; what is cold is being loaded
// while the request waits, up to its own deadline, and goes on being loaded when it has gone.

#include "broker/api/fan_out.h"
#include "broker/api/fetch_sessions.h"
#include "broker/api/handlers.h"
#include "broker/api/read_metrics.h"
#include "broker/api/request_memory.h"
#include "broker/base/limits.h"
#include "broker/base/log.h"
#include "broker/env/task_group.h"
#include "broker/log/batch.h"
#include "broker/prefetch/access_feed.h"
#include "broker/prefetch/prefetcher.h"
#include "broker/replication/partition_table.h"

#include <algorithm>
#include <string>

namespace forelog::api {
namespace {

// Once the first cold block has landed, others of the same load are a moment behind it.
constexpr Duration kGather = 1ms;
// How often a long wait looks whether its client is still there: as long as a consumer waits by default.
constexpr Duration kClientCheck = 500ms;
// A fetch that names so many partitions that its own size counts waits no longer than this for data.
constexpr Duration kLargeWait = 500ms;
// The first batch comes whatever was asked for. As large as it may be by default.
constexpr Bytes kFirstBatch = 1_MiB;
// A partition that is being opened is waited for, even by who does not want to wait for data.
constexpr Duration kOpenWait = 1s;

// Before this version the answer depends on what the batches hold (see answer_of).
constexpr wire::Version kSendsUnread = 10;

struct Item {
  FetchPartition wanted;
  PartitionKey key;
  std::optional<Error> error;  // known before any partition was asked
  replication::ReadResult read;
  prefetch::ReaderId reader{0};  // known once something may come from the archive
  bool was_cold = false;         // something had to come from the archive
  Instant cold_since{};          // when that was first seen
  Duration waited{};
};

// The partitions of one core, in the order of the request.
struct CoreItems {
  CoreId core;
  std::vector<Item*> items;
  std::shared_ptr<Event> news;  // of that core: more may be there than at the last look
  std::uint64_t seen = 0;
};

struct Limits {
  Bytes left = 0;        // of the answer
  bool none_yet = true;  // the first batch of an answer comes whatever its size
};

struct Fetch {
  Services& services;
  RequestMemory& memory;
  prefetch::ClientPtr client;
  wire::Version version = 0;
  Deadline deadline;
  Deadline open_deadline;
  Bytes size_max = 0;
  Bytes room = 0;  // of this, what memory is set aside for
  bool has_room = false;
  Bytes size_min = 0;
  std::int32_t wait_max_ms = 0;
  bool read_committed = false;
};

// A block counts as waited for, or as loaded ahead, at its first use. When a fetch looks again for more, that was at
// its look before.
void keep_first_use(const replication::ReadResult& before, replication::ReadResult& read) {
  if (before.size == 0 || read.batches.empty()) return;
  for (auto tier : {&prefetch::BytesByTier::archive, &prefetch::BytesByTier::disk}) {
    auto waited_for = std::min(before.tiers.*tier, read.tiers.memory);
    read.tiers.*tier += waited_for;
    read.tiers.memory -= waited_for;
  }
  read.joined = read.joined || before.joined;
  if (before.cause.is_prefetch()) read.cause = before.cause;
}

Task<bool> look_on_core(const Fetch& fetch, CoreItems& group, Limits& limits) {
  auto& services = fetch.services;
  auto& here = services.here();
  auto& clock = services.env.clock;
  if (!group.news) group.news = std::make_shared<Event>(clock);
  group.seen = group.news->count();
  for (auto* item : group.items) {
    auto partition = here.partitions.find(item->key);
    if (!partition) {
      auto opened = co_await here.partitions.get(item->key, fetch.open_deadline);
      if (!opened) {
        item->read = {};
        item->read.error = opened.error();
        // Not the broken disk that a timeout would be taken for.
        if (item->read.error->code == ErrorCode::kTimeout) item->read.error->code = ErrorCode::kNotLeader;
        continue;
      }
      partition = *std::move(opened);
    }
    replication::ReadRequest request;
    request.offset = item->wanted.fetch_offset;
    request.size_max = std::clamp<Bytes>(limits.left, 0, item->wanted.size_max);
    request.at_least_one = limits.none_yet;
    request.to_send = fetch.version >= kSendsUnread;
    request.read_committed = fetch.read_committed;
    request.leader_epoch = item->wanted.leader_epoch;
    request.news = group.news;
    bool archived = request.offset >= partition->log_start() && request.offset < partition->local_start();
    if (archived && item->reader == prefetch::kNoReader) {
      item->reader = here.prefetcher.reader_at(fetch.client, item->key, partition->topic().value(), request.offset);
    }
    request.reader = item->reader;
    auto read = co_await partition->read(std::move(request));
    keep_first_use(item->read, read);
    item->read = std::move(read);
    if (item->read.size > 0) limits.none_yet = false;
    limits.left -= item->read.size;
    if (item->read.loading && !item->was_cold && item->read.size == 0) {
      item->was_cold = true;
      item->cold_since = clock.now();
    }
  }
  co_return true;
}

prefetch::AccessEvent access_of(const Fetch& fetch, const Item& item, const replication::Partition& partition) {
  prefetch::AccessEvent event;
  const auto& read = item.read;
  event.client = fetch.client;
  event.partition = item.key;
  event.topic = partition.topic().value();
  event.leader_epoch = partition.leader_epoch();
  event.asked = item.wanted.fetch_offset;
  event.high_watermark = read.high_watermark;
  event.partition_max_bytes = static_cast<std::int32_t>(item.wanted.size_max);
  event.max_bytes = static_cast<std::int32_t>(fetch.size_max);
  event.min_bytes = static_cast<std::int32_t>(fetch.size_min);
  event.max_wait_ms = fetch.wait_max_ms;
  event.wait = item.waited;
  if (item.was_cold) {
    bool from_disk = read.tiers.disk > 0 && read.tiers.archive == 0;
    event.wait_cause = read.joined ? prefetch::WaitCause::joined
                       : from_disk ? prefetch::WaitCause::tier
                                   : prefetch::WaitCause::archive;
  }
  if (read.batches.empty()) return event;
  event.first = read.first;
  event.last = read.end - 1;
  event.first_timestamp = read.first_timestamp;
  event.last_timestamp = read.last_timestamp;
  event.shard = read.shard;
  event.first_block = read.first_block;
  event.last_block = read.last_block;
  event.bytes = read.tiers;
  event.plan = read.cause.plan;
  if (read.cause.is_prefetch()) event.reason = prefetch::OutcomeLedger::reason_of(read.cause.tag);
  return event;
}

// When the bytes were there for this client: while it was busy with another answer, it did not wait for them.
Instant waited_until(const Item& item, Instant now) {
  const auto& read = item.read;
  if (read.batches.empty() || read.ready == Instant{}) return now;
  return std::clamp(read.ready, item.cold_since, now);
}

// After the last look: what was read is noted for metrics, prefetching and the access log.
Task<void> note_on_core(const Fetch& fetch, CoreItems& group) {
  auto& here = fetch.services.here();
  auto now = fetch.services.env.clock.now();
  for (auto* item : group.items) {
    auto partition = here.partitions.find(item->key);
    if (!partition || item->read.error) continue;
    if (item->was_cold) item->waited = waited_until(*item, now) - item->cold_since;
    if (item->read.batches.empty()) continue;
    const auto& tiers = item->read.tiers;
    bool cold = tiers.memory + tiers.disk + tiers.archive > 0;
    here.reads.note(item->read.tiers, cold, item->waited);
    here.prefetcher.on_access(access_of(fetch, *item, *partition));
  }
  co_return;
}

// Tells the prefetchers of misses at once, so that what comes behind them is on its way before the first answer.
Task<void> note_misses_on_core(const Fetch& fetch, CoreItems& group) {
  auto& here = fetch.services.here();
  for (auto* item : group.items) {
    auto partition = here.partitions.find(item->key);
    if (!partition || !item->was_cold || !item->read.batches.empty()) continue;
    here.prefetcher.on_miss(access_of(fetch, *item, *partition));
  }
  co_return;
}

struct Outcome {
  Bytes size = 0;
  bool error = false;
  bool loading = false;
  bool waited = false;  // for the archive
  bool more = false;    // than one read returns: no append need come before the next fetch
};

Outcome sum_up(const std::vector<Item>& items) {
  Outcome out;
  for (const auto& item : items) {
    out.size += std::min<Bytes>(item.read.size, item.wanted.size_max);
    out.error |= item.error.has_value() || item.read.error.has_value();
    out.loading |= item.read.loading;
    out.waited |= item.was_cold;
    out.more |= item.read.size > 0 && !item.read.loading && item.read.end < item.read.high_watermark;
  }
  return out;
}

Task<void> look(const Fetch& fetch, std::vector<CoreItems>& groups) {
  Limits limits{fetch.room, fetch.has_room};
  // In turn, as there is one byte budget; what is warm costs no waiting, and cold loads run on from the first look.
  for (auto& group : groups) {
    auto there = look_on_core(fetch, group, limits);
    co_await fetch.services.env.cores.on(group.core, std::move(there));
  }
}

// What the batches keep in memory: those of an archived shard lie in blocks, which they keep whole; what is sent from
// its file keeps none.
Bytes held_by(const std::vector<Item>& items) {
  Bytes out = 0;
  for (const auto& item : items) {
    const auto& read = item.read;
    if (read.batches.empty() || read.batches.front().file() != nullptr) continue;
    out +=
        read.first_block < 0 ? read.size : std::max(read.size, (read.last_block - read.first_block + 1) * kBlockSize);
  }
  return out;
}

void let_go(std::vector<Item>& items, env::Reservation& held) {
  for (auto& item : items) item.read.batches.clear();
  held.release();
}

// Looks for no more than there is memory for, which `held` then holds. When there is none until the deadline, nothing
// is read, and the client asks again.
Task<void> look_within_memory(Fetch& fetch, std::vector<CoreItems>& groups, std::vector<Item>& items,
                              env::Reservation& held) {
  Bytes wanted = 0;
  for (const auto& item : items) wanted += item.wanted.size_max;
  wanted = std::min(wanted, fetch.size_max) + kFirstBatch;
  Bytes least = 0;
  while (true) {
    auto room = co_await fetch.memory.for_answer(least, wanted, fetch.deadline);
    if (room) held = *std::move(room);
    fetch.has_room = held.bytes() > 0;
    fetch.room = std::min(fetch.size_max, held.bytes());
    co_await look(fetch, groups);
    auto needed = held_by(items);
    if (fetch.memory.settle(held, needed)) co_return;
    let_go(items, held);
    least = needed;
  }
}

Task<void> note(const Fetch& fetch, std::vector<CoreItems>& groups, Task<void> (*what)(const Fetch&, CoreItems&)) {
  std::vector<CoreTask> tasks;
  for (auto& group : groups) tasks.emplace_back(group.core, what(fetch, group));
  co_await fan_out(fetch.services.env.cores, std::move(tasks));
}

Task<bool> watch_on_core(CoreItems& group, Deadline until) {
  auto news = group.news;
  co_return co_await news->wait_since(group.seen, until);
}

Task<void> watch(env::Cores& cores, CoreItems& group, Deadline until, Event& woken) {
  auto there = watch_on_core(group, until);
  co_await cores.on(group.core, std::move(there));
  woken.notify();
}

// Until some partition may have more, or `until`.
Task<void> wait_for_news(const Fetch& fetch, std::vector<CoreItems>& groups, Deadline until) {
  auto& cores = fetch.services.env.cores;
  if (groups.size() == 1 && groups.front().core == cores.current()) {
    co_await watch_on_core(groups.front(), until);
    co_return;
  }
  Event woken(fetch.services.env.clock);
  auto seen = woken.count();
  TaskGroup watches(cores);
  for (auto& group : groups) watches.spawn(watch(cores, group, until, woken));
  co_await woken.wait_since(seen, until);
  for (auto& group : groups) cores.post(group.core, [news = group.news] { news->notify(); });
  co_await watches.join();
}

// One shard that cannot be read concerns its readers alone; but somebody should look at the disk.
void note_if_unreadable(const Error& error, const Fetch& fetch) {
  if (error.code != ErrorCode::kIo && error.code != ErrorCode::kCorruptFile && error.code != ErrorCode::kCorruptBlock)
    return;
  auto& reads = fetch.services.here().reads;
  ++reads.failures;
  auto left_out = reads.failure_lines.allow(fetch.services.env.clock.now());
  if (left_out) log_line(warn, "read_failed", {{"error", error}, {"lines_left_out", *left_out}});
}

wire::FetchResponse::Partition answer_of(Item& item, const Fetch& fetch) {
  wire::FetchResponse::Partition out;
  out.partition_index = item.wanted.partition;
  auto& read = item.read;
  const auto& error = item.error ? item.error : read.error;
  if (fetch.read_committed) out.aborted_transactions.emplace();
  out.high_watermark = kNoOffset;
  if (error) {
    note_if_unreadable(*error, fetch);
    out.error_code = *error;
    if (error->code == ErrorCode::kOffsetOutOfRange) out.log_start_offset = read.log_start;
    return out;
  }
  out.high_watermark = read.high_watermark;
  out.last_stable_offset = read.high_watermark;  // no transaction is ever open
  out.log_start_offset = read.log_start;
  if (fetch.version < kSendsUnread && !read.batches.empty()) {
    auto first = log::BatchView::parse(read.batches.front().view());
    if (first && first->codec() == log::Codec::zstd) {
      out.error_code = ErrorCode::kUnsupportedCompressionType;
      return out;
    }
  }
  out.records = wire::Records(std::move(read.batches));
  return out;
}

}  // namespace

Task<wire::FetchResponse> fetch(Context context, wire::FetchRequest request) {
  auto& services = context.services;
  auto& clock = services.env.clock;
  auto view = services.cluster.view();
  auto& sessions = services.here().fetch_sessions;
  auto session = sessions.begin(request, context.version, clock.now());
  if (!session.error.ok()) {
    wire::FetchResponse refused;
    refused.error_code = session.error;
    co_return refused;
  }
  if (context.client->rack != request.rack_id) context.client->rack = request.rack_id;
  Fetch fetch{services, context.memory,      context.client->describe(),  context.version, {}, {}, 0, 0, false,
              0,        request.max_wait_ms, request.isolation_level == 1};
  auto wait_max = std::chrono::milliseconds(std::max(request.max_wait_ms, 0));
  fetch.deadline = context.received + (context.is_large ? std::min<Duration>(wait_max, kLargeWait) : wait_max);
  fetch.open_deadline = std::max(fetch.deadline, context.received + kOpenWait);
  fetch.size_max = std::clamp<Bytes>(request.max_bytes, 0, services.service.fetch_size_max);
  fetch.size_min = std::min<Bytes>(std::max(request.min_bytes, 0), fetch.size_max);

  std::vector<Item> items(session.partitions.size());
  std::vector<CoreItems> groups;
  for (std::size_t i = 0; i < items.size(); ++i) {
    auto& item = items[i];
    item.wanted = std::move(session.partitions[i]);
    const auto* topic = item.wanted.by_id ? view->topic(item.wanted.topic_id) : view->topic(item.wanted.topic);
    if (topic == nullptr || topic->deleting) {
      item.error = Error{item.wanted.by_id ? ErrorCode::kUnknownTopicId : ErrorCode::kUnknownTopicOrPartition, {}};
      continue;
    }
    item.key = {topic->id, item.wanted.partition};
    if (view->partition(item.key) == nullptr) {
      item.error = Error{ErrorCode::kUnknownTopicOrPartition, {}};
      continue;
    }
    auto waiting = context.client->cold_waits.find(item.key);
    if (waiting != context.client->cold_waits.end() && waiting->second.offset == item.wanted.fetch_offset) {
      item.was_cold = true;
      item.cold_since = waiting->second.since;
    }
    auto core = services.owner(item.key);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.core == core; });
    if (group == groups.end()) group = groups.insert(group, CoreItems{core, {}, nullptr, 0});
    group->items.push_back(&item);
  }

  bool misses_noted = false;
  bool gathered = false;
  env::Reservation held;
  while (true) {
    co_await look_within_memory(fetch, groups, items, held);
    auto sum = sum_up(items);
    if (sum.loading && sum.waited && !misses_noted) {
      misses_noted = true;
      co_await note(fetch, groups, note_misses_on_core);
    }
    auto now = clock.now();
    bool enough = sum.size >= fetch.size_min || sum.more || sum.error || items.empty() || now >= fetch.deadline;
    if (enough && sum.waited && sum.loading && sum.size > 0 && !gathered && now < fetch.deadline) {
      gathered = true;
      let_go(items, held);
      co_await sleep_until(clock, std::min(fetch.deadline, now + kGather));
      continue;
    }
    // A client may ask to wait for days. When it has gone, or the broker stops, nobody waits any more.
    if (enough || context.client->closed) break;
    let_go(items, held);  // it may wait long, and everything is read anew
    co_await wait_for_news(fetch, groups, std::min(fetch.deadline, now + kClientCheck));
  }
  if (context.held != nullptr) *context.held = std::move(held);
  co_await note(fetch, groups, note_on_core);

  for (const auto& item : items) {
    if (!item.was_cold) continue;
    if (item.read.batches.empty() && item.read.loading) {
      context.client->cold_waits[item.key] = {item.wanted.fetch_offset, item.cold_since};
    } else {
      context.client->cold_waits.erase(item.key);
    }
  }

  std::vector<wire::FetchResponse::Partition> answers;
  answers.reserve(items.size());
  std::vector<FetchPartition> wanted;
  wanted.reserve(items.size());
  for (auto& item : items) {
    answers.push_back(answer_of(item, fetch));
    wanted.push_back(std::move(item.wanted));
  }
  co_return sessions.finish(session, std::move(wanted), std::move(answers));
}

}  // namespace forelog::api
