#include "broker/log/local_partitions.h"

#include "broker/log/recovery.h"

#include <utility>

namespace forelog::log {

LocalPartitions::LocalPartitions(env::Env& env, env::Path directory)
    : env_(env), directory_(std::move(directory)), tasks_(env.cores) {}

LocalPartitions::~LocalPartitions() = default;

Task<Result<std::set<PartitionKey>>> stored_partitions(env::Env& env, env::Path directory, Catalog& catalog) {
  auto known = CO_TRY(co_await catalog.partitions());
  std::set<PartitionKey> out(known.begin(), known.end());
  auto names = co_await env.files.list(std::move(directory));
  if (!names && names.error().code == ErrorCode::kNotFound) co_return out;
  if (!names) co_return fail(std::move(names).error());
  for (const auto& name : *names) {
    if (auto partition = parse_partition(name)) out.insert(*partition);
  }
  co_return out;
}

Task<Result<void>> LocalPartitions::load(Catalog& catalog) {
  auto stored = CO_TRY(co_await stored_partitions(env_, directory_, catalog));
  known_.insert(stored.begin(), stored.end());
  loaded_ = true;
  co_return Result<void>{};
}

Task<Result<void>> LocalPartitions::make_directory(PartitionKey partition) {
  note(partition);
  if (!next_) next_ = std::make_shared<Round>(env_.clock);
  auto mine = next_;
  mine->paths.push_back(partition_directory(directory_, partition));
  if (!std::exchange(working_, true)) tasks_.spawn(work(*this));
  while (!mine->outcome) co_await mine->done.wait(kForever);
  co_return *mine->outcome;
}

Task<void> LocalPartitions::work(LocalPartitions& self) {
  while (auto round = std::exchange(self.next_, nullptr)) {
    auto made = co_await self.make(std::move(round->paths));
    round->outcome = std::move(made);
    round->done.notify();
  }
  self.working_ = false;
}

Task<Result<void>> LocalPartitions::make(std::vector<env::Path> paths) {
  for (auto& path : paths) CO_TRY(co_await env_.files.create_directories(std::move(path)));
  co_return co_await env_.files.sync_directory(directory_);
}

}  // namespace forelog::log
