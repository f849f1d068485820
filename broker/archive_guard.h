// archive_guard.h: sees to it that the cluster uses its own archive and no other.
//
// Each archive has an id (archive/identity.h), and the metadata store remembers that of the archive which the chains
// are of. At each start the two are compared, in the background. An archive without an id gets one, unless the cluster
// remembers one and has archived something: then it was sent to a wrong place, a bucket of that name elsewhere, another
// prefix, a directory that is not mounted. Such an archive is left alone, and looked at again now and then.
#pragma once

#include "broker/archive/bounded_store.h"
#include "broker/archive/guarded_store.h"
#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/env/env.h"
#include "broker/env/event.h"
#include "broker/env/task_group.h"

#include <string>

namespace forelog {

// Compares, and remembers or gives an id where there is none. Why the archive is not the cluster's own; empty when it
// is. Errors: CorruptFile, NewerFormat (an id that cannot be read: the text says what to do), those of the
// stores: nobody can tell then.
Task<Result<std::string>> check_archive(env::MetadataStore& metadata, env::ObjectStore& archive, env::Clock& clock,
                                        env::Random& random, std::string prefix);

// From core 0. With an archive only.
class ArchiveGuard {
 public:
  ArchiveGuard(env::Env& env, std::string prefix, MetricsRegistry& metrics);

  env::ObjectStore& store() { return store_; }  // the archive, for the broker
  // Why it is not used, as far as somebody has to look: it is another one, or its id cannot be read. Empty while it is
  // used, or is just away.
  const std::string& trouble() const { return trouble_; }

  void start();
  void interrupt();  // who waits for the archive's id does so no longer
  Task<void> stop();

 private:
  Task<void> watch();
  bool take(const Result<std::string>& found, std::string& suspicion);
  void note_trouble(LogLevel level, std::string_view event, const std::string& text);

  env::Env& env_;
  std::string prefix_;
  archive::GuardedStore store_;
  archive::BoundedStore asked_;  // the same archive, for the look at its id
  std::string trouble_;
  Gauge is_foreign_;
  bool stopping_ = false;
  Event stopped_;
  TaskGroup tasks_;
};

}  // namespace forelog
