// guarded_store.h: the archive, closed to whoever has been sent to the wrong one. One for the broker; any core.
//
// Nothing is put, deleted or listed before somebody has said that the archive is the cluster's own: such calls wait for
// the first word, and fail, retriable, while it is "no" or "cannot be told". Reads harm nothing, and their bytes are
// verified: only those of an archive that is known to be another one are refused, as what is not there is not lost.
//
// A call touches nothing but the store behind this and the state that both share, so that it may outlast the broker.
#pragma once

#include "broker/env/cores.h"
#include "broker/env/object_store.h"

#include <memory>
#include <string>

namespace forelog::archive {

class GuardedStore final : public env::ObjectStore {
 public:
  GuardedStore(env::Cores& cores, env::ObjectStore& store);
  ~GuardedStore() override;

  void open();                      // it is the cluster's own
  void refuse(std::string why);     // it is another one
  void note_away(std::string why);  // nobody can tell at the moment; changes nothing once it could be told
  void stop();                      // those who wait get Stopping

  Task<Result<void>> put(std::string key, env::ObjectContent& content, Deadline deadline) override;
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, env::TrafficClass traffic,
                               Deadline deadline) override;
  Task<Result<env::ObjectInfo>> head(std::string key, Deadline deadline) override;
  Task<Result<void>> remove(std::string key, Deadline deadline) override;
  Task<Result<std::vector<env::ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                                  Deadline deadline) override;

 private:
  struct State;
  static Task<Result<void>> wait_until_open(std::shared_ptr<State> state, env::Clock& clock, std::string key,
                                            Deadline deadline);

  env::Clock& clock_;
  env::ObjectStore& store_;
  std::shared_ptr<State> state_;
};

}  // namespace forelog::archive
