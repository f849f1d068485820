// env.h: everything the broker asks of the world. Real in production, drawn from a seed in the simulator.
#pragma once

#include "broker/env/clock.h"
#include "broker/env/cores.h"
#include "broker/env/files.h"
#include "broker/env/local_store.h"
#include "broker/env/metadata_store.h"
#include "broker/env/network.h"
#include "broker/env/object_store.h"
#include "broker/env/random.h"

namespace forelog::env {

// References to the seams; all outlive the broker. `archive` is null when no archive is configured. `cache_files` is
// for the disk tier of the cache: it has threads of its own, so that nothing it does stands before the log's reads and
// syncs. `wal_files` is for the write-ahead log, for which every producer waits: the syncs of many segments at once,
// some of them long, do not stand before its rounds.
struct Env {
  Cores& cores;
  Clock& clock;
  Random& random;
  Files& files;
  Network& network;
  LocalStore& local;
  MetadataStore& metadata;
  ObjectStore* archive = nullptr;
  Files& cache_files = files;
  Files& wal_files = files;
};

}  // namespace forelog::env
