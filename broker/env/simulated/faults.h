// faults.h: what goes wrong on one simulated machine, and how long things take there. Tests set it, also during a run.
//
// Rates are probabilities of one operation; durations are drawn evenly between the two ends.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/time.h"

#include <limits>

namespace forelog::env {

struct DurationRange {
  Duration min{};
  Duration max{};
};

struct Faults {
  // Files and the local store.
  DurationRange disk{20us, 300us};
  double disk_slow_rate = 0;
  DurationRange disk_slow{50ms, 2s};
  double disk_error_rate = 0;   // a failed sync loses what it covered, as Linux does
  bool disk_read_only = false;  // as after an error of the file system, or a remount
  Bytes disk_capacity = std::numeric_limits<Bytes>::max();
  Bytes disk_reserve = 0;         // what appends leave free of it, and the local store needs half of; see kDiskReserve
  Duration disk_space_returns{};  // after a file is removed: its last close frees its blocks, elsewhere

  // Connections of this machine.
  DurationRange network{50us, 500us};
  double network_reset_rate = 0;      // a write
  bool network_partial_reads = true;  // a read may bring less than has come
  bool network_unreachable = false;   // nothing passes, in or out, and nobody is told

  // The archive, as seen from here.
  DurationRange archive{5ms, 60ms};
  double archive_failure_rate = 0;       // a put may have happened all the same
  double archive_break_rate = 0;         // the answer breaks off after some bytes
  double archive_wrong_bytes_rate = 0;   // the answer has a wrong byte, and succeeds
  bool archive_outage = false;           // every request fails
  bool archive_silent = false;           // no request is answered before its deadline
  double archive_missing_rate = 0;       // what is there is said not to be
  double archive_doubled_puts_rate = 0;  // a put happens once more, some time later
  Duration archive_listing_delay{};      // listings do not show what was put more recently

  // The metadata store, as seen from here.
  DurationRange metadata{500us, 5ms};
  double metadata_failure_rate = 0;  // a commit may have happened all the same
};

}  // namespace forelog::env
