// simulated_metadata.h: one metadata tree of the simulated world, and each machine's session with it.
#pragma once

#include "broker/env/metadata_store.h"
#include "broker/env/simulated/faults.h"
#include "broker/env/simulated/simulated_cores.h"
#include "broker/env/znode_changes.h"

#include <map>
#include <memory>
#include <set>
#include <vector>

namespace forelog::env {

class SimulatedMetadata;

// The store that all machines share. It never crashes.
class SimulatedTree {
 public:
  SimulatedTree();

 private:
  friend class SimulatedMetadata;
  Result<void> commit(SimulatedMetadata& session, const std::vector<MetadataOp>& ops);
  void tell(const std::set<std::string>& changed);

  Znodes znodes_;
  std::vector<SimulatedMetadata*> sessions_;
  std::map<std::string, std::uint64_t> owners_;  // of ephemeral znodes: the session
  std::uint64_t last_session_ = 0;
};

class SimulatedMetadata final : public MetadataStore {
 public:
  SimulatedMetadata(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults, SimulatedTree& tree);
  ~SimulatedMetadata() override;

  Task<Result<Znode>> get(std::string path) override;
  Task<Result<std::vector<std::string>>> children(std::string path) override;
  Task<Result<void>> commit(std::vector<MetadataOp> ops) override;
  Task<Result<bool>> wait_for_change(std::string path, Known known, Deadline deadline) override;

  // Ends the session and begins another; the old one's ephemeral znodes stay until it has expired.
  using SessionId = std::uint64_t;
  SessionId end_session();
  void expire(SessionId session);
  // Forgets who waited: their machine has crashed.
  void crash() { watches_.clear(); }

 private:
  friend class SimulatedTree;
  struct Watch {
    explicit Watch(Clock& clock) : changed(clock) {}
    Event changed;
  };
  Task<Result<void>> travel(std::string path);
  const std::optional<StoredZnode>& find(const std::string& path) const;

  Scheduler& scheduler_;
  SimulatedCores& cores_;
  const Faults& faults_;
  SimulatedTree& tree_;
  std::map<std::string, std::weak_ptr<Watch>> watches_;
  std::uint64_t session_;
};

}  // namespace forelog::env
