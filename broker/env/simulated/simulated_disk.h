// simulated_disk.h: what a disk holds, and what of it a crash takes back. Pure: no waiting, no faults of its own.
//
// The rules are those of ext4 in its default mode, read pessimistically:
// - Written bytes are durable once the file was synced after them. Of later writes a crash keeps any, torn anywhere.
// - A name is durable once its directory was synced. Syncing a new file also makes the name durable under which it was
//   created, and syncing a directory the names of the directories above; renames and removals need their directory.
// - Of name changes not yet durable a crash keeps the oldest ones: some of them, in order.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/files.h"
#include "broker/env/simulated/seeded_random.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace forelog::env {

class SimulatedDisk {
 public:
  class Node;
  using NodePtr = std::shared_ptr<Node>;

  SimulatedDisk();

  Result<NodePtr> open(const Path& path, OpenMode mode);
  Result<void> rename(const Path& from, const Path& to);
  Result<void> remove(const Path& path);
  Result<std::vector<std::string>> list(const Path& directory) const;
  Result<void> create_directories(const Path& path);
  Result<void> sync_directory(const Path& path);

  Buffer read(const Node& file, std::int64_t offset, Bytes size) const;
  Bytes size(const Node& file) const;
  void write(Node& file, std::int64_t offset, const Slices& slices);
  void truncate(Node& file, Bytes size);
  // Changes so far; `sync` makes the first `changes` durable, or, where it fails, lost at the next crash.
  std::uint64_t changes(const Node& file) const;
  void sync(const NodePtr& file, std::uint64_t changes);
  void fail_sync(Node& file, std::uint64_t changes);

  // Total size of all files that have a name.
  Bytes used() const { return used_; }

  // Takes back what was not durable, as far as `random` decides; with `all`, all of it. Handles opened before are dead.
  void crash(SeededRandom& random, bool all);

  // For tests: changes one bit of a file behind the broker's back.
  Result<void> flip_bit(const Path& path, Bytes at);

 private:
  // One atomic change of names: each entry of a directory becomes `node`, or nothing.
  struct Link {
    NodePtr directory;
    std::string name;
    NodePtr node;
  };
  using NameChange = std::vector<Link>;

  Result<NodePtr> find(const Path& path) const;
  Result<std::pair<NodePtr, std::string>> find_parent(const Path& path) const;
  void change_names(NameChange change);
  template <class Wanted>
  void make_durable(Wanted wanted);
  void recount();

  NodePtr root_;
  std::vector<NameChange> pending_;  // in order; visible, not durable
  Bytes used_ = 0;
};

}  // namespace forelog::env
