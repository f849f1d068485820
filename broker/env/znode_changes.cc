#include "broker/env/znode_changes.h"

namespace forelog::env {
namespace {

Result<void> apply_op(const MetadataOp& op, Znodes& znodes, std::set<std::string>& changed) {
  using Kind = MetadataOp::Kind;
  if (!is_znode_path(op.path)) return fail(ErrorCode::kMalformed, "znode path '" + op.path + "'");
  auto& entry = znodes[op.path];
  if (op.kind == Kind::create || op.kind == Kind::create_ephemeral) {
    if (entry || op.path == "/") return fail(ErrorCode::kAlreadyExists, op.path);
    auto& parent = znodes[parent_of(op.path)];
    if (!parent) return fail(ErrorCode::kNotFound, "the parent of " + op.path);
    if (parent->ephemeral) return fail(ErrorCode::kConflict, "the parent of " + op.path + " is ephemeral");
    entry = StoredZnode{{op.data, 0, 0}, 0, op.kind == Kind::create_ephemeral};
    ++parent->children;
    ++parent->znode.children_version;
    changed.insert({op.path, parent_of(op.path)});
    return {};
  }

  if (!entry) return fail(ErrorCode::kNotFound, op.path);
  auto& znode = entry->znode;
  if (op.version != -1 && op.version != znode.version)
    return fail(ErrorCode::kConflict,
                op.path + " has version " + std::to_string(znode.version) + ", not " + std::to_string(op.version));
  if (op.kind == Kind::check) return {};
  changed.insert(op.path);
  if (op.kind == Kind::set) {
    znode.data = op.data;
    ++znode.version;
    return {};
  }
  if (entry->children > 0) return fail(ErrorCode::kConflict, op.path + " has children");
  if (op.path == "/") return fail(ErrorCode::kConflict, "the root stays");
  entry.reset();
  auto& parent = znodes[parent_of(op.path)];
  --parent->children;
  ++parent->znode.children_version;
  changed.insert(parent_of(op.path));
  return {};
}

}  // namespace

bool is_znode_path(std::string_view path) {
  if (path == "/") return true;
  if (path.empty() || path.front() != '/' || path.back() == '/') return false;
  return path.find("//") == path.npos && path.find('\0') == path.npos;
}

std::string parent_of(std::string_view path) {
  auto slash = path.rfind('/');
  return slash == 0 || slash == path.npos ? "/" : std::string(path.substr(0, slash));
}

std::string name_of_znode(std::string_view path) { return std::string(path.substr(path.rfind('/') + 1)); }

std::set<std::string> znodes_needed(const std::vector<MetadataOp>& ops) {
  std::set<std::string> paths;
  for (const auto& op : ops) {
    paths.insert(op.path);
    paths.insert(parent_of(op.path));
  }
  return paths;
}

Result<void> apply_ops(const std::vector<MetadataOp>& ops, Znodes& znodes, std::set<std::string>& changed) {
  Znodes after;
  for (const auto& path : znodes_needed(ops))
    if (auto found = znodes.find(path); found != znodes.end()) after.insert(*found);
  if (after.contains("/") && !after["/"]) after["/"].emplace();
  std::set<std::string> touched;
  for (const auto& op : ops) TRY(apply_op(op, after, touched));
  for (auto& [path, znode] : after) znodes[path] = std::move(znode);
  changed.merge(touched);
  return {};
}

bool differs(const std::optional<StoredZnode>& znode, MetadataStore::Known known) {
  if (!znode) return known.version != -1;
  return znode->znode.version != known.version || znode->znode.children_version != known.children_version;
}

}  // namespace forelog::env
