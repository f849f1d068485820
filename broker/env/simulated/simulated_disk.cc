#include "broker/env/simulated/simulated_disk.h"

#include <algorithm>
#include <optional>
#include <set>

namespace forelog::env {

class SimulatedDisk::Node {
 public:
  explicit Node(bool directory) : is_directory(directory) {}

  struct Change {
    std::uint64_t number = 0;
    std::int64_t offset = 0;
    Slices slices;
    std::optional<Bytes> truncated_to;
    bool sync_failed = false;
  };

  bool is_directory;
  // Of a directory.
  std::map<std::string, NodePtr> names, durable_names;
  // Of a file: bytes as readers see them, bytes as a crash leaves them at worst, and what lies between.
  std::string bytes, durable_bytes;
  std::vector<Change> pending;
  std::uint64_t changes = 0;
  bool name_was_durable = false;
  int links = 0;
};

namespace {

using Change = SimulatedDisk::Node::Change;

// Applies the first `limit` bytes of a change.
void apply_change(std::string& bytes, const Change& change, std::size_t limit = SIZE_MAX) {
  if (change.truncated_to) return bytes.resize(static_cast<std::size_t>(*change.truncated_to));
  auto at = static_cast<std::size_t>(change.offset);
  for (const auto& slice : change.slices) {
    auto size = std::min(limit, slice.size());
    if (size > 0 && bytes.size() < at + size) bytes.resize(at + size);
    std::copy_n(slice.text().data(), size, bytes.data() + at);
    at += size;
    limit -= size;
  }
}

std::vector<std::string> parts_of(const Path& path) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < path.size();) {
    auto end = std::min(path.find('/', at), path.size());
    auto part = path.substr(at, end - at);
    if (!part.empty() && part != ".") parts.push_back(std::move(part));
    at = end + 1;
  }
  return parts;
}

}  // namespace

SimulatedDisk::SimulatedDisk() : root_(std::make_shared<Node>(true)) {}

Result<SimulatedDisk::NodePtr> SimulatedDisk::find(const Path& path) const {
  auto node = root_;
  for (const auto& part : parts_of(path)) {
    auto found = node->names.find(part);
    if (found == node->names.end()) return fail(ErrorCode::kNotFound, path);
    node = found->second;
  }
  return node;
}

Result<std::pair<SimulatedDisk::NodePtr, std::string>> SimulatedDisk::find_parent(const Path& path) const {
  auto parts = parts_of(path);
  if (parts.empty()) return fail(ErrorCode::kIo, path + ": not a file");
  auto name = std::move(parts.back());
  parts.pop_back();
  auto node = root_;
  for (const auto& part : parts) {
    auto found = node->names.find(part);
    if (found == node->names.end()) return fail(ErrorCode::kNotFound, path);
    node = found->second;
  }
  if (!node->is_directory) return fail(ErrorCode::kIo, path + ": its parent is not a directory");
  return std::pair{node, name};
}

void SimulatedDisk::change_names(NameChange change) {
  for (auto& link : change) {
    auto& entry = link.directory->names[link.name];
    if (entry && --entry->links == 0) used_ -= static_cast<Bytes>(entry->bytes.size());
    entry = link.node;
    if (!entry) link.directory->names.erase(link.name);
    if (link.node && ++link.node->links == 1) used_ += static_cast<Bytes>(link.node->bytes.size());
  }
  pending_.push_back(std::move(change));
}

Result<SimulatedDisk::NodePtr> SimulatedDisk::open(const Path& path, OpenMode mode) {
  auto [parent, name] = TRY(find_parent(path));
  if (auto found = parent->names.find(name); found != parent->names.end()) {
    if (found->second->is_directory) return fail(ErrorCode::kIo, path + ": a directory");
    return found->second;
  }
  if (mode != OpenMode::create && mode != OpenMode::create_direct) return fail(ErrorCode::kNotFound, path);
  auto file = std::make_shared<Node>(false);
  change_names({{parent, name, file}});
  return file;
}

Result<void> SimulatedDisk::rename(const Path& from, const Path& to) {
  auto [from_directory, from_name] = TRY(find_parent(from));
  auto [to_directory, to_name] = TRY(find_parent(to));
  auto moved = TRY(find(from));
  if (auto replaced = find(to); replaced && *replaced == moved) return {};
  if (auto replaced = find(to);
      replaced && ((*replaced)->is_directory != moved->is_directory || !(*replaced)->names.empty()))
    return fail(ErrorCode::kIo, from + " to " + to + ": in the way");
  change_names({{to_directory, to_name, moved}, {from_directory, from_name, nullptr}});
  return {};
}

Result<void> SimulatedDisk::remove(const Path& path) {
  auto [parent, name] = TRY(find_parent(path));
  auto node = TRY(find(path));
  if (!node->names.empty()) return fail(ErrorCode::kIo, path + ": not empty");
  change_names({{parent, name, nullptr}});
  return {};
}

Result<std::vector<std::string>> SimulatedDisk::list(const Path& directory) const {
  auto node = TRY(find(directory));
  if (!node->is_directory) return fail(ErrorCode::kIo, directory + ": not a directory");
  std::vector<std::string> names;
  for (const auto& [name, entry] : node->names) names.push_back(name);
  return names;
}

Result<void> SimulatedDisk::create_directories(const Path& path) {
  auto node = root_;
  for (const auto& part : parts_of(path)) {
    if (!node->is_directory) return fail(ErrorCode::kIo, path + ": not a directory");
    if (!node->names.contains(part)) change_names({{node, part, std::make_shared<Node>(true)}});
    node = node->names[part];
  }
  return {};
}

// Makes the pending name changes durable of which one link is `wanted`, and those before them that they rest on.
template <class Wanted>
void SimulatedDisk::make_durable(Wanted wanted) {
  std::set<std::pair<const Node*, std::string>> entries;
  std::vector<bool> chosen(pending_.size());
  for (auto i = pending_.size(); i-- > 0;) {
    const auto& change = pending_[i];
    auto rests_on = [&](const Link& link) { return entries.contains({link.directory.get(), link.name}); };
    chosen[i] = std::ranges::any_of(change, wanted) || std::ranges::any_of(change, rests_on);
    if (!chosen[i]) continue;
    for (const auto& link : change) entries.emplace(link.directory.get(), link.name);
  }
  std::vector<NameChange> left;
  for (std::size_t i = 0; i < pending_.size(); ++i) {
    if (!chosen[i]) {
      left.push_back(std::move(pending_[i]));
      continue;
    }
    for (const auto& link : pending_[i]) {
      if (link.node) link.node->name_was_durable = true;
      link.node ? void(link.directory->durable_names[link.name] = link.node)
                : void(link.directory->durable_names.erase(link.name));
    }
  }
  pending_ = std::move(left);
}

Result<void> SimulatedDisk::sync_directory(const Path& path) {
  auto directory = TRY(find(path));
  if (!directory->is_directory) return fail(ErrorCode::kIo, path + ": not a directory");
  std::set<const Node*> chain;
  auto node = root_;
  for (const auto& part : parts_of(path)) chain.insert((node = node->names[part]).get());
  make_durable([&](const Link& link) { return link.directory == directory || chain.contains(link.node.get()); });
  return {};
}

Buffer SimulatedDisk::read(const Node& file, std::int64_t offset, Bytes size) const {
  if (offset >= static_cast<std::int64_t>(file.bytes.size())) return {};
  auto text = std::string_view(file.bytes).substr(static_cast<std::size_t>(offset), static_cast<std::size_t>(size));
  return Buffer::copy_of(text);
}

Bytes SimulatedDisk::size(const Node& file) const { return static_cast<Bytes>(file.bytes.size()); }

void SimulatedDisk::write(Node& file, std::int64_t offset, const Slices& slices) {
  auto before = size(file);
  file.pending.push_back({++file.changes, offset, slices, std::nullopt, false});
  apply_change(file.bytes, file.pending.back());
  if (file.links > 0) used_ += size(file) - before;
}

void SimulatedDisk::truncate(Node& file, Bytes to) {
  auto before = size(file);
  file.pending.push_back({++file.changes, 0, {}, to, false});
  apply_change(file.bytes, file.pending.back());
  if (file.links > 0) used_ += size(file) - before;
}

std::uint64_t SimulatedDisk::changes(const Node& file) const { return file.changes; }

void SimulatedDisk::sync(const NodePtr& file, std::uint64_t changes) {
  std::erase_if(file->pending, [&](const Change& change) {
    if (change.number > changes || change.sync_failed) return false;
    apply_change(file->durable_bytes, change);
    return true;
  });
  if (!file->name_was_durable) make_durable([&](const Link& link) { return link.node == file; });
}

void SimulatedDisk::fail_sync(Node& file, std::uint64_t changes) {
  for (auto& change : file.pending) change.sync_failed |= change.number <= changes;
}

void SimulatedDisk::crash(SeededRandom& random, bool all) {
  auto kept_names = all ? 0 : random.below(pending_.size() + 1);
  pending_.resize(kept_names);
  make_durable([](const Link&) { return true; });

  std::vector<NodePtr> nodes{root_};
  used_ = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    auto& node = *nodes[i];
    node.names = node.durable_names;
    for (const auto& [name, entry] : node.names) {
      entry->links = 1;
      nodes.push_back(entry);
    }
    // A file keeps all, nothing, a prefix or any choice of its unsynced changes; the last one kept may be torn, and of
    // any choice each one: what follows it may be there all the same.
    auto mode = all ? 1 : random.below(4);
    auto kept = mode == 2 ? random.below(node.pending.size() + 1) : node.pending.size();
    for (std::size_t k = 0; k < kept && mode != 1; ++k) {
      auto& change = node.pending[k];
      if (change.sync_failed || (mode == 3 && random.chance(0.5))) continue;
      bool torn = (k + 1 == kept && mode != 0) || (mode == 3 && random.chance(0.3));
      auto size = static_cast<std::uint64_t>(total_size(change.slices));
      apply_change(node.durable_bytes, change, torn ? static_cast<std::size_t>(random.below(size + 1)) : SIZE_MAX);
    }
    node.pending.clear();
    node.bytes = node.durable_bytes;
    used_ += static_cast<Bytes>(node.bytes.size());
  }
}

Result<void> SimulatedDisk::flip_bit(const Path& path, Bytes at) {
  auto node = TRY(find(path));
  if (at >= size(*node)) return fail(ErrorCode::kNotFound, path + " is shorter");
  auto flip = [&](std::string& bytes) {
    if (static_cast<std::size_t>(at) < bytes.size()) bytes[static_cast<std::size_t>(at)] ^= 1;
  };
  flip(node->bytes);
  flip(node->durable_bytes);
  return {};
}

}  // namespace forelog::env
