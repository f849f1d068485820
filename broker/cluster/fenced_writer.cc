#include "broker/cluster/fenced_writer.h"

#include "broker/base/log.h"
#include "broker/cluster/metadata_access.h"

namespace forelog::cluster {

using env::MetadataOp;

FencedWriter::FencedWriter(env::MetadataStore& store, env::Clock& clock, BrokerId self)
    : store_(store), clock_(clock), self_(self) {}

Task<Result<bool>> FencedWriter::stand() {
  if (elected()) co_return true;
  auto stored = co_await store_.get(paths::kControllerEpoch);
  if (!stored && stored.error().code == ErrorCode::kNotFound) {
    std::vector<MetadataOp> ops{MetadataOp::create(paths::kControllerEpoch, "0")};
    auto created = co_await store_.commit(std::move(ops));
    if (!created && created.error().code != ErrorCode::kAlreadyExists) co_return fail(created.error());
    stored = co_await store_.get(paths::kControllerEpoch);
  }
  if (!stored) co_return fail(stored.error());
  auto last = detail::json_key_from<std::int32_t>(stored->data);
  if (!last) co_return fail(ErrorCode::kCorruptFile, paths::kControllerEpoch + ": not a number");

  auto present = CO_TRY(co_await read_record<ControllerRecord>(store_, paths::kController));
  if (present) {
    if (present->record.brokerid != self_) co_return false;
    if (was_elected_) {
      // Ours, but somebody has moved the epoch on: without our own znode out of the way nobody could be elected.
      was_elected_ = false;
      std::vector<MetadataOp> ops{MetadataOp::remove(paths::kController, -1)};
      (void)co_await store_.commit(std::move(ops));
      co_return false;
    }
    // An election of ours that seemed to fail may have succeeded. Else it is an earlier run's, and goes with its
    // session.
    if (attempted_epoch_ == 0 || *last != attempted_epoch_) co_return false;
    epoch_ = attempted_epoch_;
    epoch_version_ = stored->version;
  } else {
    attempted_epoch_ = *last + 1;
    ControllerRecord record;
    record.brokerid = self_;
    record.timestamp = to_ms(clock_.wall());
    std::vector<MetadataOp> ops{
        MetadataOp::create_ephemeral(paths::kController, to_json(record)),
        MetadataOp::set(paths::kControllerEpoch, std::to_string(attempted_epoch_), stored->version)};
    auto done = co_await store_.commit(std::move(ops));
    if (!done) {
      auto code = done.error().code;
      if (code == ErrorCode::kAlreadyExists || code == ErrorCode::kConflict) co_return false;
      co_return fail(done.error());
    }
    epoch_ = attempted_epoch_;
    epoch_version_ = stored->version + 1;
  }
  attempted_epoch_ = 0;
  was_elected_ = true;
  changes_version_ = -1;
  log_line(info, "controller_elected", {{"broker", self_}, {"epoch", epoch_}});
  co_return true;
}

Task<Result<bool>> FencedWriter::still_elected() {
  if (!elected()) co_return false;
  auto present = CO_TRY(co_await read_record<ControllerRecord>(store_, paths::kController));
  if (present && present->record.brokerid == self_) co_return true;
  log_line(info, "controller_resigned", {{"broker", self_}, {"epoch", epoch_}});
  epoch_ = 0;
  co_return false;
}

Task<void> FencedWriter::step_down() {
  if (!elected()) co_return;
  epoch_ = 0;
  std::vector<MetadataOp> ops{MetadataOp::check(paths::kControllerEpoch, epoch_version_),
                              MetadataOp::remove(paths::kController, -1)};
  (void)co_await store_.commit(std::move(ops));  // else the end of the session does it
}

Task<Result<void>> FencedWriter::load_changes() {
  if (changes_version_ >= 0) co_return Result<void>{};
  auto stored = CO_TRY(co_await read_record<ChangesRecord>(store_, paths::kChanges));
  if (!stored) co_return fail(ErrorCode::kNotFound, paths::kChanges);
  changes_ = std::move(stored->record);
  changes_version_ = stored->version;
  co_return Result<void>{};
}

Task<Result<std::int64_t>> FencedWriter::last_change() {
  CO_TRY(co_await load_changes());
  co_return changes_.last;
}

Task<Result<std::int64_t>> FencedWriter::commit(std::vector<MetadataOp> ops, std::vector<std::string> topics) {
  for (int attempt = 0;; ++attempt) {
    if (!elected()) co_return fail(ErrorCode::kNotController, "this broker is not the controller");
    CO_TRY(co_await load_changes());
    auto next = changes_;
    for (const auto& topic : topics) next.recent.push_back({++next.last, topic});
    if (next.recent.size() > kRecentChangesMax) {
      next.recent.erase(next.recent.begin(), next.recent.end() - kRecentChangesMax);
    }
    auto all = ops;
    all.push_back(MetadataOp::check(paths::kControllerEpoch, epoch_version_));
    if (!topics.empty()) all.push_back(MetadataOp::set(paths::kChanges, to_json(next), changes_version_));
    auto done = co_await store_.commit(std::move(all));
    if (done) {
      if (!topics.empty()) changes_ = std::move(next), ++changes_version_;
      co_return changes_.last;
    }
    auto noted_version = std::exchange(changes_version_, -1);
    if (done.error().code != ErrorCode::kConflict) co_return fail(done.error());

    // Which of the versions differs? The fence: somebody else is controller.
    auto epoch = co_await store_.get(paths::kControllerEpoch);
    if (epoch && epoch->version != epoch_version_) {
      log_line(info, "controller_deposed", {{"broker", self_}, {"epoch", epoch_}});
      epoch_ = 0;
      co_return fail(ErrorCode::kNotController, "another broker has become the controller");
    }
    // The notes: an earlier commit came through although it seemed to fail; try again on top of it.
    CO_TRY(co_await load_changes());
    if (changes_version_ == noted_version || attempt == 3) co_return fail(done.error());
  }
}

}  // namespace forelog::cluster
