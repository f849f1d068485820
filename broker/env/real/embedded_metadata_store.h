// embedded_metadata_store.h: the metadata tree of a single broker, kept in its local store.
//
// Any core may call; all state belongs to core 0. A session lasts from `begin_session` to the end of the process.
// Commits that wait while another is being written are decided and written together, with one sync.
#pragma once

#include "broker/env/cores.h"
#include "broker/env/local_store.h"
#include "broker/env/metadata_store.h"
#include "broker/env/znode_changes.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace forelog::env {

class EmbeddedMetadataStore final : public MetadataStore {
 public:
  EmbeddedMetadataStore(Cores& cores, LocalStore& local) : cores_(cores), local_(local) {}

  // Drops the ephemeral znodes of sessions before. Once, on core 0, before anything else.
  Task<Result<void>> begin_session();

  Task<Result<Znode>> get(std::string path) override;
  Task<Result<std::vector<std::string>>> children(std::string path) override;
  Task<Result<void>> commit(std::vector<MetadataOp> ops) override;
  Task<Result<bool>> wait_for_change(std::string path, Known known, Deadline deadline) override;

 private:
  struct Watch {
    explicit Watch(Clock& clock) : changed(clock) {}
    Event changed;
    std::uint64_t changes = 0;
  };
  struct Pending {
    Pending(Clock& clock, std::vector<MetadataOp> wanted) : ops(std::move(wanted)), done(clock) {}
    std::vector<MetadataOp> ops;
    std::optional<Result<void>> outcome;
    Event done;
  };

  // Reads of znodes that wait beside each other.
  struct Loads {
    std::vector<std::pair<const std::string, std::optional<StoredZnode>>*> entries;
    std::size_t next = 0;
    Result<void> outcome;
  };

  Task<Result<std::optional<StoredZnode>>> load(std::string path);
  Task<Result<void>> load_all(Znodes& znodes);
  static Task<void> load_some(EmbeddedMetadataStore& self, Loads& loads);
  Task<Result<void>> commit_here(std::vector<MetadataOp> ops);
  Task<void> write_pending();
  Task<Result<void>> write_round(std::vector<std::shared_ptr<Pending>> round);
  Task<Result<bool>> wait_here(std::string path, Known known, Deadline deadline);

  Cores& cores_;
  LocalStore& local_;
  std::map<std::string, std::weak_ptr<Watch>> watches_;
  std::vector<std::shared_ptr<Pending>> pending_;
  bool writing_ = false;
};

}  // namespace forelog::env
