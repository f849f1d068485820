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

// References to the seams; all outlive the broker. `archive` is null when no archive is configured.
struct Env {
  Cores& cores;
  Clock& clock;
  Random& random;
  Files& files;
  Network& network;
  LocalStore& local;
  MetadataStore& metadata;
  ObjectStore* archive = nullptr;
};

}  // namespace forelog::env
