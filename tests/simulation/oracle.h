// oracle.h: what a simulated run checks. Each check belongs to one oracle, so that a search can tell which faults each
// of them has seen, and which of them found a bug. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace forelog::simulation {

enum class Oracle : std::uint8_t {
  records,     // what is read is what was written there, once, in order, unchanged
  order,       // a batch is acknowledged at its offset, behind the one before it, and is not refused without reason
  watermark,   // the high watermark never falls, and nothing is read beyond it
  compaction,  // the newest record of each key is there; what is not was superseded, or a tombstone that may go
  log_start,   // the start of a log never falls, and moves only as far as retention or a deletion allows
  times,       // looking up offsets by time, and the time that the broker gave a batch
  epochs,      // leader epochs never fall along a log, stay what they were, and end where the next one begins
  sessions,    // what an incremental fetch leaves out has nothing new
  commits,     // committed offsets survive, and only members of the generation commit
  assignment,  // a partition has one consumer in a generation, and generations only grow
  topics,      // a topic created again under a name meets nothing of the one before
  chain,       // archived chains have no gap and no overlap, and name objects that exist
  objects,     // an archived shard is what was written, and the archive holds nothing else
  files,       // local files are those of the shards that are here, byte for byte what the archive has
  budgets,     // bounds hold at every look, and nothing is still held when all is quiet
  progress,    // what nothing hinders comes to its end in bounded time
  answers,     // answers are complete and carry only errors that may come
  log_lines,   // no line of level error
  hints,       // the same bytes without prefetching
  trace,       // the same seed, the same run
};
inline constexpr std::size_t kOracleCount = 20;
inline constexpr std::array<std::string_view, kOracleCount> kOracleNames = {
    "records",  "order",    "watermark",  "compaction", "log-start", "times",   "epochs",
    "sessions", "commits",  "assignment", "topics",     "chain",     "objects", "files",
    "budgets",  "progress", "answers",    "log-lines",  "hints",     "trace"};
constexpr std::string_view name_of(Oracle oracle) { return kOracleNames[static_cast<std::size_t>(oracle)]; }

using CheckCounts = std::array<std::uint64_t, kOracleCount>;

}  // namespace forelog::simulation
