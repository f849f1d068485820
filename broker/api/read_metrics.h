// read_metrics.h: where the bytes that clients read came from, and how long they waited for them.
#pragma once

#include "broker/base/line_limit.h"
#include "broker/base/metrics.h"
#include "broker/prefetch/hint.h"

namespace forelog::api {

struct ReadMetrics {
  explicit ReadMetrics(MetricsRegistry& r)
      : tail(r, "forelog_read_bytes_total", "Bytes read by clients, by where they came from", "tier=\"tail\""),
        local(r, "forelog_read_bytes_total", "Bytes read by clients, by where they came from", "tier=\"local\""),
        memory(r, "forelog_read_bytes_total", "Bytes read by clients, by where they came from", "tier=\"memory\""),
        disk(r, "forelog_read_bytes_total", "Bytes read by clients, by where they came from", "tier=\"disk\""),
        archive(r, "forelog_read_bytes_total", "Bytes read by clients, by where they came from", "tier=\"archive\""),
        reads_tail(r, "forelog_reads_total", "Partition reads that returned data, by slowest tier", "tier=\"tail\""),
        reads_local(r, "forelog_reads_total", "Partition reads that returned data, by slowest tier", "tier=\"local\""),
        reads_memory(r, "forelog_reads_total", "Partition reads that returned data, by slowest tier",
                     "tier=\"memory\""),
        reads_disk(r, "forelog_reads_total", "Partition reads that returned data, by slowest tier", "tier=\"disk\""),
        reads_archive(r, "forelog_reads_total", "Partition reads that returned data, by slowest tier",
                      "tier=\"archive\""),
        cold_wait(r, "forelog_cold_read_wait_seconds",
                  "From the first request for archived data to its bytes ready, reads from memory included"),
        failures(r, "forelog_read_failures_total",
                 "Reads of a partition that were answered with an error because its stored bytes could not be read") {}

  void note(const prefetch::BytesByTier& bytes, bool cold, Duration wait) {
    tail.add(bytes.tail);
    local.add(bytes.local);
    memory.add(bytes.memory);
    disk.add(bytes.disk);
    archive.add(bytes.archive);
    (bytes.archive > 0  ? reads_archive
     : bytes.disk > 0   ? reads_disk
     : bytes.memory > 0 ? reads_memory
     : bytes.local > 0  ? reads_local
                        : reads_tail)
        .add();
    if (cold) cold_wait.record(wait);
  }

  Counter tail, local, memory, disk, archive;
  Counter reads_tail, reads_local, reads_memory, reads_disk, reads_archive;
  Histogram cold_wait;
  Counter failures;
  LineLimit failure_lines{1};
};

}  // namespace forelog::api
