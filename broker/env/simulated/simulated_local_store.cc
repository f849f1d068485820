#include "broker/env/simulated/simulated_local_store.h"

namespace forelog::env {

void SimulatedLocalStore::apply(Map& map, const StoreBatch& batch) {
  for (const auto& change : batch.changes) {
    if (change.value)
      map[change.key] = *change.value;
    else
      map.erase(change.key);
  }
}

Task<Result<void>> SimulatedLocalStore::operate() {
  auto& random = scheduler_.random();
  auto wait = random.between(random.chance(faults_.disk_slow_rate) ? faults_.disk_slow : faults_.disk);
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(wait, Duration(1)));
  if (scheduler_.random().chance(faults_.disk_error_rate)) co_return fail(ErrorCode::kIo, "local store: drawn");
  co_return Result<void>{};
}

Task<Result<std::optional<std::string>>> SimulatedLocalStore::get(std::string key) {
  CO_TRY(co_await operate());
  auto found = entries_.find(key);
  if (found == entries_.end()) co_return std::nullopt;
  co_return found->second;
}

Task<Result<void>> SimulatedLocalStore::commit(StoreBatch batch, Durability durability) {
  CO_TRY(co_await operate());
  if (faults_.disk_read_only) co_return fail(ErrorCode::kIo, "local store: Read-only file system");
  if (files_.free() < faults_.disk_reserve / 2) co_return fail(ErrorCode::kDiskFull, "local store");
  apply(entries_, batch);
  unsynced_.push_back(std::move(batch));
  if (durability == Durability::written) co_return Result<void>{};
  auto covered = unsynced_.size();
  for (std::size_t i = 0; i < covered; ++i) apply(durable_, unsynced_[i]);
  unsynced_.clear();
  // A crash may fall between the deed and the word.
  co_await sleep_until(cores_.clock(), scheduler_.now() + std::max(faults_.disk.min, Duration(1)));
  co_return Result<void>{};
}

Task<Result<LocalStore::Entries>> SimulatedLocalStore::scan(std::string from, std::string to, std::size_t limit) {
  CO_TRY(co_await operate());
  Entries out;
  for (auto at = entries_.lower_bound(from); at != entries_.end() && out.size() < limit; ++at) {
    if (!to.empty() && at->first >= to) break;
    out.emplace_back(*at);
  }
  co_return out;
}

void SimulatedLocalStore::crash(bool all) {
  auto kept = all ? 0 : scheduler_.random().below(unsynced_.size() + 1);
  for (std::size_t i = 0; i < kept; ++i) apply(durable_, unsynced_[i]);
  unsynced_.clear();
  entries_ = durable_;
}

}  // namespace forelog::env
