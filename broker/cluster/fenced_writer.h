// fenced_writer.h: how a controller writes: only while it is the one, and with a note of what it changed.
//
// On core 0, one call at a time (the controller's turns see to that).
#pragma once

#include "broker/cluster/records.h"
#include "broker/env/clock.h"
#include "broker/env/metadata_store.h"

#include <cstdint>
#include <string>
#include <vector>

namespace forelog::cluster {

class FencedWriter {
 public:
  FencedWriter(env::MetadataStore& store, env::Clock& clock, BrokerId self);

  // Stands for election when nobody is controller. Yields whether this broker is it afterwards.
  Task<Result<bool>> stand();
  // Looks whether /controller still names this broker; resigns when not.
  Task<Result<bool>> still_elected();
  // Gives /controller up, at stop.
  Task<void> step_down();

  bool elected() const { return epoch_ > 0; }
  std::int32_t epoch() const { return epoch_; }  // 0 while not elected

  // Commits `ops` all or none, if this broker is still the controller, with a note of the topics changed ("" stands for
  // brokers' settings). Yields the number under which the change is noted. NotController: it is not any more. Other
  // errors are the store's: Conflict when a version in `ops` differs; Unavailable when it may or may not have happened.
  Task<Result<std::int64_t>> commit(std::vector<env::MetadataOp> ops, std::vector<std::string> topics);

  // The number of the newest change noted, by this controller or one before it.
  Task<Result<std::int64_t>> last_change();

 private:
  Task<Result<void>> load_changes();

  env::MetadataStore& store_;
  env::Clock& clock_;
  BrokerId self_;
  std::int32_t epoch_ = 0;
  std::int32_t epoch_version_ = -1;
  std::int32_t attempted_epoch_ = 0;  // of an election whose outcome is not known
  bool was_elected_ = false;          // /controller, if it names this broker, is of this run
  ChangesRecord changes_;
  std::int32_t changes_version_ = -1;  // -1: not known
};

}  // namespace forelog::cluster
