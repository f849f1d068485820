#include "broker/replication/compactor.h"

#include "broker/archive/shard_object.h"
#include "broker/base/log.h"
#include "broker/log/recovery.h"
#include "broker/log/shard_cutter.h"

#include <algorithm>
#include <utility>

namespace forelog::replication {
namespace {

constexpr Duration kPauseMax = 3600s;
constexpr Duration kReadTimeout = 30s;  // of one piece of an archived shard
constexpr double kPaceMaxSeconds = 3600;
constexpr Duration kPaceStep = 100ms;  // the longest that a stop waits for a pause
constexpr int kMapRetries = 12;        // each with twice the memory, when one batch has more keys than fit

std::unexpected<Error> interrupted(const PartitionKey& partition) {
  return fail(ErrorCode::kStopping, partition.text() + ": rewriting");
}

// A batch's bytes inside a piece read from a shard.
Buffer slice_of(const Buffer& piece, log::BatchView batch) {
  return piece.slice(static_cast<std::size_t>(batch.bytes().data() - piece.data()), batch.size());
}

}  // namespace

CompactorMetrics::CompactorMetrics(MetricsRegistry& r)
    : passes(r, "forelog_compaction_passes_total", "Passes of compaction over a partition."),
      failures(r, "forelog_compaction_failures_total", "Passes of compaction, or merges, that failed."),
      bytes_read(r, "forelog_compaction_read_bytes_total", "Bytes read to rewrite shards."),
      bytes_written(r, "forelog_compaction_written_bytes_total", "Bytes of rewritten shards."),
      records_removed(r, "forelog_compaction_removed_records_total", "Records that compaction removed."),
      keyless_removed(r, "forelog_compaction_removed_keyless_records_total",
                      "Of these, records without a key, written before the topic was compacted."),
      merges(r, "forelog_shard_merges_total", "Runs of small shards that became one."),
      shards_replaced(r, "forelog_compaction_replaced_shards_total", "Shards whose place a new generation took."),
      busy_ms(r, "forelog_compaction_milliseconds_total", "Time spent in passes of compaction and in merges.") {}

Compactor::Compactor(Context& context, log::LocalLog& log, Archive& archive, const ProducerTable* producers)
    : context_(context),
      log_(log),
      archive_(archive),
      producers_(producers),
      partition_(log.partition()),
      pause_(context.settings.backoff) {}

Task<void> Compactor::pass(const bool& stopping) {
  auto& clock = context_.env.clock;
  if (context_.busy || stopping || clock.now() < not_before_) co_return;
  std::optional<log::CompactionWork> work;
  if (context_.settings.enable) {
    work = log::decide_compaction(log_.chain(), log_.settings(), log_.log_start(), log_.compacted_end(), clock.wall());
  }
  log::ShardRun run;
  if (!work) run = find_merge();
  if (!work && run.empty()) co_return;

  context_.busy = true;
  auto began = clock.now();
  Result<void> done;
  if (work) {
    done = co_await compact(*work, stopping);
  } else {
    done = co_await merge(std::move(run), stopping);
  }
  context_.busy = false;
  context_.metrics.busy_ms.add(to_ms(clock.now() - began));
  if (done) {
    pause_ = context_.settings.backoff;
  } else if (done.error().code != ErrorCode::kStopping) {
    note_failure(done.error());
  }
}

void Compactor::note_failure(const Error& error) {
  ++context_.metrics.failures;
  not_before_ = context_.env.clock.now() + pause_;
  log_line(warn, "rewrite_failed", {{"partition", partition_}, {"retry_ms", to_ms(pause_)}, {"error", error}});
  pause_ = std::min(pause_ * 2, kPauseMax);
}

// Looks only when the chain has changed since nothing was found: a long one is looked at from every shard on.
std::vector<log::ShardDescriptor> Compactor::find_merge() {
  if (context_.settings.merge_count < 2) return {};
  auto state = static_cast<std::uint64_t>(log_.settings().segment_bytes);
  for (const auto& shard : log_.chain().shards()) {
    bool settled = shard.state == log::ShardState::sealed || shard.state == log::ShardState::archived;
    for (auto part : {settled ? shard.base.value() : -1, std::int64_t{shard.generation.value()},
                      std::int64_t{shard.archived ? 1 : 0}}) {
      state = (state ^ static_cast<std::uint64_t>(part)) * 0x100000001b3;
    }
  }
  if (state == looked_at_) return {};
  auto run = log::merge_run(log_.chain(), log_.settings(), log_.log_start(),
                            static_cast<std::size_t>(context_.settings.merge_count));
  if (run.empty()) looked_at_ = state;
  return run;
}

// --- compaction ------------------------------------------------------------------------------------------------------

Task<Result<void>> Compactor::compact(log::CompactionWork work, const bool& stopping) {
  auto began = context_.env.clock.now();
  Totals totals;
  auto mapped = CO_TRY(co_await map_keys(work, totals, stopping));
  log::CleanRules rules{*mapped.keys, mapped.end, context_.env.clock.wall(), log_.settings().delete_retention, {}};
  if (producers_ != nullptr) {
    rules.is_last_of_producer = [producers = producers_](log::BatchView batch) { return producers->is_newest(batch); };
  }
  // The shard in which the map ends is rewritten too; what lies behind the map's end stays as it is.
  auto runs_end = work.end;
  for (const auto& shard : log_.chain().shards()) {
    if (shard.end < mapped.end) continue;
    runs_end = shard.end;
    break;
  }
  for (auto& run : log::compaction_runs(log_.chain(), log_.settings(), log_.log_start(), runs_end)) {
    CO_TRY(co_await rewrite(std::move(run), &rules, totals, stopping));
  }
  CO_TRY(co_await log_.set_compacted_end(mapped.end));
  ++context_.metrics.passes;
  if (totals.keyless > 0) {
    log_line(
        warn, "keyless_records_removed",
        {{"partition", partition_}, {"records", totals.keyless}, {"why", "a compacted topic's records need keys"}});
  }
  log_line(info, "partition_compacted",
           {{"partition", partition_},
            {"up_to", mapped.end},
            {"keys", mapped.keys->size()},
            {"records_removed", totals.removed},
            {"bytes_before", work.clean + work.dirty},
            {"bytes_written", totals.written},
            {"shards_before", totals.shards_before},
            {"shards_after", totals.shards_after},
            {"ms", to_ms(context_.env.clock.now() - began)}});
  co_return Result<void>{};
}

Task<Result<Compactor::MappedKeys>> Compactor::map_keys(log::CompactionWork work, Totals& totals,
                                                        const bool& stopping) {
  auto memory = context_.dedupe_memory;
  for (int attempt = 0; attempt < kMapRetries; ++attempt, memory *= 2) {
    std::array<std::uint64_t, 2> secret{context_.env.random.next(), context_.env.random.next()};
    MappedKeys out{std::make_unique<log::KeyMap>(work.end - work.dirty_start, memory, secret), work.dirty_start};
    auto shards = log_.chain().shards();  // a copy: deletion may change the chain while we read
    bool full = false;
    for (const auto& shard : shards) {
      if (shard.end <= work.dirty_start) continue;
      if (shard.base >= work.end || full) break;
      auto content = CO_TRY(co_await content_of(shard));
      log::BatchScan scan(*content, shard.size);
      while (!full) {
        if (stopping) co_return interrupted(partition_);
        auto piece = CO_TRY(co_await scan.next());
        if (piece.empty()) break;
        totals.read += static_cast<Bytes>(piece.size());
        context_.metrics.bytes_read.add(static_cast<std::int64_t>(piece.size()));
        Result<bool> noted = true;
        auto visit = [&](log::BatchView batch) {
          if (batch.end_offset() <= work.dirty_start) return true;
          noted = log::note_keys(batch, *out.keys);
          if (noted && *noted) out.end = batch.end_offset();
          return noted && *noted;
        };
        CO_TRY(log::for_each_batch({piece}, visit));
        full = !CO_TRY(std::move(noted));
        co_await pace(static_cast<Bytes>(piece.size()), stopping);
      }
      if (!full) out.end = shard.end;
    }
    if (out.end > work.dirty_start) co_return out;
    // One batch with more keys than there is room for: nothing would ever be compacted.
    log_line(warn, "compaction_needs_memory",
             {{"partition", partition_},
              {"offset", work.dirty_start},
              {"bytes", memory * 2},
              {"why", "log.cleaner.dedupe.buffer.size holds not even one batch's keys"}});
  }
  co_return fail(ErrorCode::kOverloaded, partition_.text() + ": the keys of one batch do not fit into memory");
}

Task<Result<void>> Compactor::merge(log::ShardRun run, const bool& stopping) {
  auto began = context_.env.clock.now();
  Totals totals;
  auto base = run.front().base;
  auto end = run.back().end;
  CO_TRY(co_await rewrite(std::move(run), nullptr, totals, stopping));
  ++context_.metrics.merges;
  log_line(info, "shards_merged",
           {{"partition", partition_},
            {"base", base},
            {"end_offset", end},
            {"shards", totals.shards_before},
            {"bytes", totals.written},
            {"ms", to_ms(context_.env.clock.now() - began)}});
  co_return Result<void>{};
}

// --- rewriting -------------------------------------------------------------------------------------------------------

Task<Result<void>> Compactor::rewrite(log::ShardRun run, const log::CleanRules* rules, Totals& totals,
                                      const bool& stopping) {
  std::vector<std::shared_ptr<log::SegmentContent>> contents;
  std::vector<log::ShardRewriter::FooterPtr> footers;
  for (const auto& shard : run) {
    contents.push_back(CO_TRY(co_await content_of(shard)));
    footers.push_back(std::make_shared<const log::Footer>(contents.back()->footer()));
  }
  auto generation = log_.next_generation();
  if (run.front().archived) generation = CO_TRY(co_await archive_.reserve_generation());
  ShardId target{partition_, run.front().base, generation};
  log::ShardRewriter rewriter(context_.env, log_.segments_directory(), target, std::move(footers));
  CO_TRY(co_await rewriter.open());
  auto changed = co_await copy(run, contents, rules, rewriter, totals, stopping);
  bool worthwhile = changed && (*changed || run.size() > 1);
  if (!worthwhile) {
    co_await rewriter.abandon();
    if (!changed) co_return fail(std::move(changed).error());
    totals.shards_before += run.size();
    totals.shards_after += run.size();
    co_return Result<void>{};
  }
  auto footer = co_await rewriter.finish();
  Result<void> swapped;
  if (footer) {
    swapped = co_await swap_in(run, *footer);
  } else {
    swapped = fail(footer.error());
  }
  if (!swapped) {
    // Named by nobody, unless the answer to the swap was lost; then the chain, loaded again, says so, and archived
    // shards are read from their object.
    const auto* there = log_.chain().find(target);
    if (there == nullptr || !there->local) co_await rewriter.abandon();
    // Records were deleted meanwhile: the next pass sees another chain.
    if (swapped.error().code == ErrorCode::kConflict) co_return Result<void>{};
    co_return swapped;
  }
  const auto* now = log_.chain().find(target);
  if (now != nullptr && !now->local) co_await rewriter.abandon();
  totals.written += footer->size;
  totals.shards_before += run.size();
  totals.shards_after += 1;
  context_.metrics.bytes_written.add(footer->size);
  context_.metrics.shards_replaced.add(static_cast<std::int64_t>(run.size()));
  co_return Result<void>{};
}

// Whether anything of the batches has changed.
Task<Result<bool>> Compactor::copy(const log::ShardRun& run,
                                   const std::vector<std::shared_ptr<log::SegmentContent>>& contents,
                                   const log::CleanRules* rules, log::ShardRewriter& into, Totals& totals,
                                   const bool& stopping) {
  bool changed = false;
  for (std::size_t i = 0; i < run.size(); ++i) {
    log::BatchScan scan(*contents[i], run[i].size);
    while (true) {
      if (stopping) co_return interrupted(partition_);
      auto piece = CO_TRY(co_await scan.next());
      if (piece.empty()) break;
      if (rules != nullptr) totals.read += static_cast<Bytes>(piece.size());
      context_.metrics.bytes_read.add(static_cast<std::int64_t>(piece.size()));
      for (auto rest = piece.view(); !rest.empty();) {
        auto batch = CO_TRY(log::BatchView::parse(rest));
        rest = rest.subspan(batch.size());
        log::CleanedBatch cleaned{.bytes = slice_of(piece, batch)};
        if (rules != nullptr) {
          // The run's last batch leads readers to its end, even if it holds nothing any more.
          bool is_last = i + 1 == run.size() && rest.empty() && scan.at_end();
          cleaned = CO_TRY(log::clean_batch(cleaned.bytes, *rules, is_last));
        }
        changed = changed || cleaned.changed;
        totals.removed += cleaned.records_removed;
        totals.keyless += cleaned.keyless_removed;
        context_.metrics.records_removed.add(cleaned.records_removed);
        context_.metrics.keyless_removed.add(cleaned.keyless_removed);
        if (!cleaned.bytes.empty()) CO_TRY(co_await into.add(std::move(cleaned.bytes)));
      }
      co_await pace(2 * static_cast<Bytes>(piece.size()), stopping);
    }
  }
  co_return changed;
}

Task<Result<void>> Compactor::swap_in(const log::ShardRun& run, log::Footer footer) {
  log::ShardDescriptor next;
  next.base = footer.shard.base;
  next.generation = footer.shard.generation;
  next.end = footer.end;
  next.state = run.front().archived ? log::ShardState::archived : log::ShardState::sealed;
  next.archived = run.front().archived;
  next.local = std::all_of(run.begin(), run.end(), [](const auto& shard) { return shard.local; });
  next.size = footer.size;
  next.first_timestamp = footer.first_timestamp;
  next.max_timestamp = footer.max_timestamp;
  next.epochs = footer.epochs;
  next.created_ms = run.front().created_ms;
  next.sealed_ms = run.back().sealed_ms;
  auto encoded = footer.encode();
  next.footer_size = static_cast<Bytes>(encoded.size());
  if (!next.archived) {
    CO_TRY(co_await log_.replace_shards(std::move(next), std::move(encoded)));
    co_return Result<void>{};
  }
  auto path = log::segment_path(log_.segments_directory(), footer.shard);
  auto file = CO_TRY(co_await context_.env.files.open(std::move(path), env::OpenMode::read));
  log::SegmentContent content(std::move(file), std::make_shared<const log::Footer>(std::move(footer)));
  co_return co_await archive_.replace(std::move(next), content);
}

Task<Result<std::shared_ptr<log::SegmentContent>>> Compactor::content_of(log::ShardDescriptor shard) {
  ShardId id{partition_, shard.base, shard.generation};
  if (shard.local) {
    auto footer = CO_TRY(co_await log_.footer_of(id));
    auto path = log::segment_path(log_.segments_directory(), id);
    auto file = CO_TRY(co_await context_.env.files.open(std::move(path), env::OpenMode::read));
    co_return std::make_shared<log::SegmentContent>(std::move(file), std::move(footer));
  }
  if (context_.env.archive == nullptr || context_.footers == nullptr) {
    co_return fail(ErrorCode::kNotFound, id.text() + " is in an archive that this broker does not have");
  }
  archive::ObjectShape shape{shard.object_size(), shard.footer_size};
  auto deadline = context_.env.clock.now() + kReadTimeout;
  auto footer = CO_TRY(co_await context_.footers->get(id, shape, deadline));
  // Not through the cache: what is read once, to be rewritten, would only displace what readers want.
  auto read = [&env = context_.env, key = archive::object_key(context_.archive_prefix, id)](Bytes from, Bytes size) {
    return archive::read_range(*env.archive, key, from, size, env.clock.now() + kReadTimeout);
  };
  co_return std::make_shared<log::SegmentContent>(std::move(read), std::move(footer));
}

// Waits as long as `bytes` may take, but no longer than a piece at the lowest rate that makes sense.
Task<void> Compactor::pace(Bytes bytes, const bool& stopping) {
  auto seconds = std::min(static_cast<double>(bytes) / context_.settings.bytes_per_second, kPaceMaxSeconds);
  auto until = context_.env.clock.now() + Duration(static_cast<std::int64_t>(seconds * 1e9));
  while (!stopping && context_.env.clock.now() < until) {
    co_await sleep_until(context_.env.clock, std::min(until, context_.env.clock.now() + kPaceStep));
  }
}

}  // namespace forelog::replication
