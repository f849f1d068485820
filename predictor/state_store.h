// state_store.h: what the predictor has learnt, and how far it has read, in LevelDB.
//
// A snapshot is one blob in pieces of 1 MiB under a number of its own; a last write makes it the current one, so that a
// kill in the middle leaves the one before. What does not match its checksum is not loaded: then the predictor learns
// anew, which costs time and nothing else.
#pragma once

#include "broker/env/local_store.h"
#include "predictor/access_reader.h"

#include <optional>
#include <string>

namespace forelog::predictor {

struct Snapshot {
  Positions positions;
  std::string model;  // opaque here
};

class StateStore {
 public:
  explicit StateStore(env::LocalStore& store) : store_(store) {}

  Task<Result<void>> save(Snapshot snapshot);
  // None when there is no snapshot, or none that can be trusted.
  Task<Result<std::optional<Snapshot>>> load();

 private:
  env::LocalStore& store_;
};

}  // namespace forelog::predictor
