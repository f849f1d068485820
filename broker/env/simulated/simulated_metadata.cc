#include "broker/env/simulated/simulated_metadata.h"

namespace forelog::env {

SimulatedTree::SimulatedTree() { znodes_["/"].emplace(); }

Result<void> SimulatedTree::commit(SimulatedMetadata& session, const std::vector<MetadataOp>& ops) {
  std::set<std::string> changed;
  TRY(apply_ops(ops, znodes_, changed));
  for (const auto& path : changed) {
    auto& znode = znodes_[path];
    if (!znode || !znode->ephemeral) owners_.erase(path);
    if (znode && znode->ephemeral) owners_.try_emplace(path, session.session_);
    if (!znode) znodes_.erase(path);
  }
  tell(changed);
  return {};
}

void SimulatedTree::tell(const std::set<std::string>& changed) {
  for (auto* session : sessions_) {
    for (const auto& path : changed) {
      auto found = session->watches_.find(path);
      auto watch = found == session->watches_.end() ? nullptr : found->second.lock();
      if (!watch) continue;
      auto news = [watch] { watch->changed.notify(); };
      auto arrives = session->scheduler_.now() + session->scheduler_.random().between(session->faults_.metadata);
      session->scheduler_.at(arrives, session->cores_.life(), std::move(news));
    }
  }
}

SimulatedMetadata::SimulatedMetadata(Scheduler& scheduler, SimulatedCores& cores, const Faults& faults,
                                     SimulatedTree& tree)
    : scheduler_(scheduler), cores_(cores), faults_(faults), tree_(tree), session_(++tree.last_session_) {
  tree_.sessions_.push_back(this);
}

SimulatedMetadata::~SimulatedMetadata() { std::erase(tree_.sessions_, this); }

const std::optional<StoredZnode>& SimulatedMetadata::find(const std::string& path) const {
  static const std::optional<StoredZnode> kNone;
  auto found = tree_.znodes_.find(path);
  return found == tree_.znodes_.end() ? kNone : found->second;
}

Task<Result<void>> SimulatedMetadata::travel(std::string path) {
  auto wait = scheduler_.random().between(faults_.metadata);
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(wait, Duration(1)));
  if (scheduler_.random().chance(faults_.metadata_failure_rate))
    co_return fail(ErrorCode::kUnavailable, path + ": drawn");
  co_return Result<void>{};
}

Task<Result<Znode>> SimulatedMetadata::get(std::string path) {
  CO_TRY(co_await travel(path));
  const auto& found = find(path);
  if (!found) co_return fail(ErrorCode::kNotFound, path);
  co_return found->znode;
}

Task<Result<std::vector<std::string>>> SimulatedMetadata::children(std::string path) {
  CO_TRY(co_await travel(path));
  if (!find(path)) co_return fail(ErrorCode::kNotFound, path);
  std::vector<std::string> names;
  auto prefix = path == "/" ? path : path + "/";
  for (auto at = tree_.znodes_.lower_bound(prefix); at != tree_.znodes_.end() && at->first.starts_with(prefix); ++at) {
    auto name = at->first.substr(prefix.size());
    if (at->second && !name.empty() && name.find('/') == name.npos) names.push_back(std::move(name));
  }
  co_return names;
}

Task<Result<void>> SimulatedMetadata::commit(std::vector<MetadataOp> ops) {
  auto path = ops.empty() ? std::string("nothing") : ops.front().path;
  auto arrived = co_await travel(path);
  // A lost connection does not tell whether the commit came through.
  if (!arrived && scheduler_.random().chance(0.5)) co_return arrived;
  auto done = tree_.commit(*this, ops);
  if (!arrived) co_return arrived;
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(faults_.metadata.min, Duration(1)));
  co_return done;
}

Task<Result<bool>> SimulatedMetadata::wait_for_change(std::string path, Known known, Deadline deadline) {
  auto& slot = watches_[path];
  auto watch = slot.lock();
  if (!watch) slot = watch = std::make_shared<Watch>(cores_.clock());
  CO_TRY(co_await travel(path));
  while (!differs(find(path), known)) {
    if (!co_await watch->changed.wait(deadline)) co_return differs(find(path), known);
  }
  co_return true;
}

SimulatedMetadata::SessionId SimulatedMetadata::end_session() { return std::exchange(session_, ++tree_.last_session_); }

void SimulatedMetadata::expire(SessionId session) {
  for (const auto& [path, owner] : std::map(tree_.owners_))
    if (owner == session) (void)tree_.commit(*this, {MetadataOp::remove(path, -1)});
}

}  // namespace forelog::env
