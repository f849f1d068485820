#include "broker/log/wal.h"

#include "broker/base/log.h"
#include "broker/log/wal_files.h"
#include "broker/log/wal_format.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace forelog::log {
namespace {

constexpr CoreId kWriter{0};
constexpr Bytes kRoundMax = 32_MiB;  // of one gather write
constexpr Duration kRetryPause = 100ms;
constexpr int kFailuresMax = 20;  // at the start of a file, before another one is tried
// Rounds do not begin sooner after one another. Each costs a sync and four switches between threads, whatever is in it,
// while an append that comes alone does not wait.
constexpr Duration kRoundInterval = 450us;
constexpr Duration kAskAgain = 5s;  // partitions that have not checkpointed are asked again

struct WalMetrics {
  explicit WalMetrics(MetricsRegistry& r)
      : rounds(r, "forelog_wal_rounds_total", "Group commits of the write-ahead log."),
        entries(r, "forelog_wal_entries_total", "Entries written to the write-ahead log."),
        bytes(r, "forelog_wal_bytes_total", "Bytes written to the write-ahead log."),
        failures(r, "forelog_wal_failures_total", "Failed attempts to write or sync the write-ahead log."),
        files(r, "forelog_wal_files", "Files of the write-ahead log that hold bytes not yet synced in segments."),
        commit(r, "forelog_wal_commit_seconds", "Time of one write and sync.") {}
  Counter rounds, entries, bytes, failures;
  Gauge files;
  Histogram commit;
};

struct Submission {
  bool is_last = false;  // of a deleted partition; nothing is written
  WalRecordKind kind = WalRecordKind::data;
  WalEntry entry;
  Wal::OnDurable on_durable;
  Bytes size() const { return static_cast<Bytes>(kWalRecordHeaderSize) + total_size(entry.bytes); }
};
struct Arrived {
  CoreId core;
  Submission submission;
};
using Round = std::vector<Arrived>;

// What only its own core touches.
struct Port {
  std::vector<Submission> pending;
  bool scheduled = false;
  std::unordered_map<PartitionKey, std::weak_ptr<WalClient>> clients;
  std::optional<Error> error;
};

struct WalFile {
  std::int64_t number = 0;
  Bytes size = 0;                              // once it is not written to any more; 0: not fit to be used again
  std::unordered_map<PartitionKey, Lsn> last;  // of each partition whose bytes here are not known to be elsewhere
  Instant asked{};
};

}  // namespace

struct Wal::Impl : std::enable_shared_from_this<Wal::Impl> {
  Impl(env::Env& e, WalSettings s, MetricsRegistry& registry)
      : env(e),
        settings(std::move(s)),
        metrics(registry),
        all_files(e, settings.directory, settings.file_size, settings.size_max),
        ports(static_cast<std::size_t>(e.cores.count())),
        work(e.clock),
        retry(e.clock),
        tasks(e.cores) {}

  // Any core.
  Port& port() { return ports[static_cast<std::size_t>(env.cores.current().value())]; }
  void submit(Submission submission);
  void flush_port(CoreId core);
  void tell_clients(CoreId core, std::optional<Error> state);

  // The writer's core.
  void accept(CoreId core, std::vector<Submission> submissions);
  bool take_last_ones();
  Round take_round();
  Task<void> run();
  Task<bool> commit(Round& round);
  Task<Result<void>> write(Round& round);
  Task<Result<void>> open_next(bool was_full);
  void answer(Round& round);
  void set_error(std::optional<Error> now);
  void release(PartitionKey partition, Lsn lsn);
  void give_back();
  void relieve(Bytes written, bool all);
  void ask(CoreId core, std::vector<PartitionKey> partitions);
  Task<void> recycle();
  Task<Result<void>> remove_all_files();
  Bytes size() const { return static_cast<Bytes>(files.size()) * settings.file_size; }
  bool gave_up() const { return stopping && env.clock.now() >= stop_deadline; }

  env::Env& env;
  WalSettings settings;
  WalMetrics metrics;
  WalFiles all_files;
  std::vector<Port> ports;

  Event work, retry;
  TaskGroup tasks;
  Round queue;
  std::deque<WalFile> files;  // in use, oldest first; the last one is written to
  WalFiles::Open current;     // that one
  Bytes position = 0;
  bool avoid_file = false;  // the disk failed in it: write elsewhere
  int failures_at_start = 0;
  Instant round_began{};
  Lsn next_lsn{1};
  std::unordered_map<PartitionKey, CoreId> homes;
  std::unordered_set<PartitionKey> forgotten;
  std::deque<PartitionKey> to_ask;  // who holds the oldest file and has not been asked to checkpoint
  double ask_share = 0;             // of the next one to be asked
  std::optional<Error> error;
  bool recycling = false;
  bool stopping = false;
  Deadline stop_deadline{};
};

// --- submitting, on any core -----------------------------------------------------------------------------------------
void Wal::Impl::submit(Submission submission) {
  auto& here = port();
  here.pending.push_back(std::move(submission));
  if (here.scheduled) return;
  // What this core submits before its queue turns goes in one hop.
  here.scheduled = true;
  auto core = env.cores.current();
  env.cores.post(core, [self = shared_from_this(), core] { self->flush_port(core); });
}

void Wal::Impl::flush_port(CoreId core) {
  auto& here = port();
  here.scheduled = false;
  auto pending = std::exchange(here.pending, {});
  if (core == kWriter) return accept(core, std::move(pending));
  auto hand_over = [self = shared_from_this(), core, pending = std::move(pending)]() mutable {
    self->accept(core, std::move(pending));
  };
  env.cores.post(kWriter, std::move(hand_over));
}

void Wal::Impl::tell_clients(CoreId core, std::optional<Error> state) {
  auto& here = ports[static_cast<std::size_t>(core.value())];
  here.error = std::move(state);
  std::vector<std::shared_ptr<WalClient>> clients;
  for (const auto& [partition, client] : here.clients) {
    if (auto alive = client.lock()) clients.push_back(std::move(alive));
  }
  for (const auto& client : clients) client->wal_state(here.error);
}

// --- writing, on core 0 ----------------------------------------------------------------------------------------------
void Wal::Impl::accept(CoreId core, std::vector<Submission> submissions) {
  for (auto& submission : submissions) queue.push_back({core, std::move(submission)});
  work.notify();
}

Round Wal::Impl::take_round() {
  Bytes bytes = 0;
  auto end = queue.begin();
  while (end != queue.end() && !end->submission.is_last &&
         (bytes == 0 || bytes + end->submission.size() <= kRoundMax)) {
    bytes += end->submission.size();
    ++end;
  }
  if (end == queue.end()) return std::exchange(queue, {});
  Round round(std::make_move_iterator(queue.begin()), std::make_move_iterator(end));
  queue.erase(queue.begin(), end);
  return round;
}

// What came before the last ones of deleted partitions has been written, so nobody needs to know these any more.
bool Wal::Impl::take_last_ones() {
  auto end = queue.begin();
  for (; end != queue.end() && end->submission.is_last; ++end) forgotten.erase(end->submission.entry.shard.partition);
  bool any = end != queue.begin();
  queue.erase(queue.begin(), end);
  return any;
}

Task<void> Wal::Impl::run() {
  while (true) {
    if (take_last_ones()) continue;
    if (queue.empty()) {
      if (stopping) co_return;
      co_await work.wait(kForever);
      continue;
    }
    auto next = round_began + kRoundInterval;
    if (env.clock.now() < next && !stopping) co_await sleep_until(env.clock, next);
    round_began = env.clock.now();
    auto round = take_round();
    bool done = co_await commit(round);
    if (!done) co_return;
    answer(round);
  }
}

Task<bool> Wal::Impl::commit(Round& round) {
  auto began = env.clock.now();
  while (true) {
    auto done = co_await write(round);
    if (done) break;
    ++metrics.failures;
    // The next attempt goes to a new file, unless space is what is missing. A file in which nothing has been stored yet
    // is given some attempts, so that a disk which fails everywhere is not filled with files.
    if (done.error().code == ErrorCode::kIo) avoid_file = position > 0 || ++failures_at_start % kFailuresMax == 0;
    set_error(std::move(done).error());
    if (gave_up()) co_return false;
    co_await retry.wait(env.clock.now() + kRetryPause);
  }
  if (error) set_error(std::nullopt);
  ++metrics.rounds;
  metrics.entries.add(static_cast<std::int64_t>(round.size()));
  metrics.commit.record(env.clock.now() - began);
  co_return true;
}

Task<Result<void>> Wal::Impl::write(Round& round) {
  Bytes bytes = 0;
  for (const auto& arrived : round) bytes += arrived.submission.size();
  bool full = !current.file || avoid_file || (position > 0 && position + bytes > settings.file_size);
  // A file that grows is left as soon as there is one to overwrite.
  bool better = (position > 0 || error) && !current.overwrites && all_files.has_full_sized() &&
                size() + settings.file_size <= settings.size_max;
  if (full || better) CO_TRY(co_await open_next(full));

  Slices slices;
  slices.reserve(round.size() * 2 + 1);
  if (position == 0) slices.push_back(encode_wal_file_header(files.back().number));
  auto lsn = next_lsn;
  for (const auto& [core, submission] : round) {
    const auto& entry = submission.entry;
    WalRecordHeader header{submission.kind,     static_cast<std::uint32_t>(total_size(entry.bytes)),
                           files.back().number, lsn,
                           entry.shard,         static_cast<std::uint32_t>(entry.position)};
    slices.push_back(encode_wal_record_header(header, entry.bytes));
    slices.insert(slices.end(), entry.bytes.begin(), entry.bytes.end());
    ++lsn;
  }
  auto written = total_size(slices);
  // A failed sync may have lost pages that look written: the whole round is written anew, never only synced again.
  CO_TRY(co_await current.file->write_and_sync(position, std::move(slices)));

  position += written;
  metrics.bytes.add(written);
  for (const auto& [core, submission] : round) {
    auto partition = submission.entry.shard.partition;
    if (!forgotten.contains(partition)) {
      files.back().last[partition] = next_lsn;
      homes[partition] = core;
    }
    ++next_lsn;
  }
  relieve(written, false);
  co_return Result<void>{};
}

Task<Result<void>> Wal::Impl::open_next(bool was_full) {
  if (size() + settings.file_size > settings.size_max && !files.empty()) {
    relieve(0, true);
    co_return fail(ErrorCode::kOverloaded, "the write-ahead log has reached " + std::to_string(settings.size_max) +
                                               " bytes and waits for segments to be synced");
  }
  auto next = CO_TRY(co_await all_files.next(was_full));
  if (!files.empty()) {
    // Whoever wrote to it after partitions were asked is asked, too.
    files.back().asked = {};
    files.back().size = avoid_file ? 0 : std::max(position, current.overwrites ? settings.file_size : 0);
  }
  current = std::move(next);
  position = 0;
  failures_at_start = 0;
  avoid_file = false;
  files.push_back({current.number, 0, {}, {}});
  metrics.files.set(static_cast<std::int64_t>(files.size()));
  give_back();  // all of the one before may have been released while it was written to
  co_return Result<void>{};
}

void Wal::Impl::answer(Round& round) {
  std::vector<std::vector<std::pair<OnDurable, Lsn>>> by_core(ports.size());
  auto lsn = next_lsn - static_cast<std::int64_t>(round.size());
  for (auto& [core, submission] : round) {
    by_core[static_cast<std::size_t>(core.value())].emplace_back(std::move(submission.on_durable), lsn);
    ++lsn;
  }
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    if (by_core[core].empty()) continue;
    auto call = [durable = std::move(by_core[core])]() mutable {
      for (auto& [on_durable, at] : durable) on_durable(at);
    };
    if (core == 0)
      call();
    else
      env.cores.post(CoreId(static_cast<std::int32_t>(core)), std::move(call));
  }
}

void Wal::Impl::set_error(std::optional<Error> now) {
  bool same = error.has_value() == now.has_value() && (!now || error->code == now->code);
  error = std::move(now);
  if (same) return;
  if (error)
    log_line(warn, "wal_failing", {{"error", *error}});
  else
    log_line(info, "wal_works_again");
  for (int i = 0; i < env.cores.count(); ++i) {
    CoreId core(i);
    env.cores.post(core, [self = shared_from_this(), core, state = error] { self->tell_clients(core, state); });
  }
}

// --- giving files back -----------------------------------------------------------------------------------------------
void Wal::Impl::release(PartitionKey partition, Lsn lsn) {
  for (auto& wal_file : files) {
    auto at = wal_file.last.find(partition);
    if (at != wal_file.last.end() && at->second <= lsn) wal_file.last.erase(at);
  }
  give_back();
}

void Wal::Impl::give_back() {
  if (recycling || files.size() < 2 || !files.front().last.empty()) return;
  recycling = true;
  tasks.spawn(recycle());
}

// Asks the partitions that hold the oldest file to checkpoint: from a quarter of the room on one by one, so that their
// syncs are spread over the time in which another quarter is written, and all at once when three quarters are used.
void Wal::Impl::relieve(Bytes written, bool all) {
  if (size() * 4 <= settings.size_max) return;
  auto& oldest = files.front();
  auto now = env.clock.now();
  if (oldest.asked == Instant{} || now - oldest.asked >= kAskAgain) {
    oldest.asked = now;
    to_ask.clear();
    for (const auto& [partition, lsn] : oldest.last) to_ask.push_back(partition);
  }
  ask_share +=
      static_cast<double>(homes.size()) * static_cast<double>(written) * 4 / static_cast<double>(settings.size_max);
  all = all || size() * 4 > settings.size_max * 3;
  auto count = all ? to_ask.size() : static_cast<std::size_t>(ask_share);
  ask_share -= std::floor(ask_share);
  std::vector<std::vector<PartitionKey>> by_core(ports.size());
  while (count > 0 && !to_ask.empty()) {
    auto partition = to_ask.front();
    to_ask.pop_front();
    if (!oldest.last.contains(partition)) continue;  // it has checkpointed by itself
    by_core[static_cast<std::size_t>(homes[partition].value())].push_back(partition);
    --count;
  }
  for (std::size_t core = 0; core < by_core.size(); ++core) {
    if (!by_core[core].empty()) ask(CoreId(static_cast<std::int32_t>(core)), std::move(by_core[core]));
  }
}

void Wal::Impl::ask(CoreId core, std::vector<PartitionKey> partitions) {
  env.cores.post(core, [self = shared_from_this(), partitions = std::move(partitions)] {
    auto& clients = self->port().clients;
    for (auto partition : partitions) {
      auto at = clients.find(partition);
      auto client = at == clients.end() ? nullptr : at->second.lock();
      if (client) client->checkpoint_wanted();
    }
  });
}

// Oldest first, one after another: a crash must never leave an older file than one that is gone, or replay would bring
// back what a later record had truncated.
Task<void> Wal::Impl::recycle() {
  while (files.size() > 1 && files.front().last.empty() && !gave_up()) {
    auto done = co_await all_files.retire(files.front().number, files.front().size, files.size());
    if (!done) {
      log_line(warn, "wal_file_stays", {{"error", done.error()}});
      co_await retry.wait(env.clock.now() + kRetryPause);
      continue;
    }
    files.pop_front();
    metrics.files.set(static_cast<std::int64_t>(files.size()));
    retry.notify();
  }
  recycling = false;
}

Task<Result<void>> Wal::Impl::remove_all_files() {
  current = {};
  std::vector<std::int64_t> in_use;
  for (const auto& wal_file : files) in_use.push_back(wal_file.number);
  files.clear();
  return all_files.remove_all(std::move(in_use));
}

// --- public ----------------------------------------------------------------------------------------------------------
Wal::Wal(env::Env& env, WalSettings settings, MetricsRegistry& metrics)
    : impl_(std::make_shared<Impl>(env, std::move(settings), metrics)) {}

Wal::~Wal() = default;

const std::optional<Error>& Wal::failing() const { return impl_->error; }

Task<Result<void>> Wal::start(Position from) {
  auto& impl = *impl_;
  CHECK(impl.env.cores.current() == kWriter);
  impl.next_lsn = from.next_lsn;
  CO_TRY(co_await impl.all_files.start(from.next_file));
  impl.tasks.spawn(impl.run());
  co_return Result<void>{};
}

Task<void> Wal::stop(Deadline deadline) {
  auto& impl = *impl_;
  impl.stopping = true;
  impl.stop_deadline = deadline;
  impl.work.notify();
  impl.retry.notify();
  impl.all_files.interrupt();
  co_await impl.tasks.join();
  co_await impl.all_files.stop();
  bool released = std::all_of(impl.files.begin(), impl.files.end(), [](const WalFile& f) { return f.last.empty(); });
  if (!released || !impl.queue.empty()) co_return;
  auto removed = co_await impl.remove_all_files();
  if (!removed) log_line(warn, "wal_file_stays", {{"error", removed.error()}});
}

void Wal::append(WalEntry entry, OnDurable on_durable) {
  impl_->submit({false, WalRecordKind::data, std::move(entry), std::move(on_durable)});
}

void Wal::truncate(ShardId shard, Bytes position, OnDurable on_durable) {
  impl_->submit({false, WalRecordKind::truncate, {shard, position, {}}, std::move(on_durable)});
}

void Wal::release(PartitionKey partition, Lsn lsn) {
  if (impl_->env.cores.current() == kWriter) return impl_->release(partition, lsn);
  impl_->env.cores.post(kWriter, [self = impl_, partition, lsn] { self->release(partition, lsn); });
}

void Wal::forget(PartitionKey partition) {
  auto work = [self = impl_, partition] {
    self->forgotten.insert(partition);
    self->homes.erase(partition);
    self->release(partition, Lsn(INT64_MAX));
  };
  if (impl_->env.cores.current() == kWriter) {
    work();
  } else {
    impl_->env.cores.post(kWriter, std::move(work));
  }
  // Goes the way of what was appended before, and comes behind it.
  impl_->submit({true, {}, {ShardId{partition, {}, {}}, 0, {}}, {}});
}

std::size_t Wal::forgetting() const { return impl_->forgotten.size(); }

void Wal::attach(PartitionKey partition, std::weak_ptr<WalClient> client) {
  auto& port = impl_->port();
  if (port.error) {
    if (auto alive = client.lock()) alive->wal_state(port.error);
  }
  port.clients.insert_or_assign(partition, std::move(client));
}

void Wal::detach(PartitionKey partition) { impl_->port().clients.erase(partition); }

}  // namespace forelog::log
