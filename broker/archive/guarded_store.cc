#include "broker/archive/guarded_store.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <utility>

namespace forelog::archive {
namespace {

// A word comes from another core, within milliseconds unless the archive is far away.
constexpr Duration kFirstLook = 5ms;
constexpr Duration kLongestLook = 500ms;

enum class Word : std::uint8_t { none, own, away, foreign, stopping };

}  // namespace

struct GuardedStore::State {
  std::atomic<Word> word{Word::none};

  void say(Word next, std::string text) {
    std::lock_guard lock(mutex_);
    why_ = std::move(text);
    word = next;
  }
  std::unexpected<Error> refusal(const std::string& key) const {
    std::lock_guard lock(mutex_);
    return fail(ErrorCode::kArchiveUnavailable, key + ": " + why_);
  }

 private:
  mutable std::mutex mutex_;
  std::string why_;
};

GuardedStore::GuardedStore(env::Cores& cores, env::ObjectStore& store)
    : clock_(cores.clock()), store_(store), state_(std::make_shared<State>()) {}

GuardedStore::~GuardedStore() = default;

void GuardedStore::open() {
  state_->say(Word::own, "");
  store_.claim();
}
void GuardedStore::refuse(std::string why) { state_->say(Word::foreign, std::move(why)); }
void GuardedStore::stop() {
  if (state_->word == Word::none) state_->say(Word::stopping, "");
}
void GuardedStore::note_away(std::string why) {
  auto word = state_->word.load();
  if (word == Word::none || word == Word::away) state_->say(Word::away, std::move(why));
}

Task<Result<void>> GuardedStore::wait_until_open(std::shared_ptr<State> state, env::Clock& clock, std::string key,
                                                 Deadline deadline) {
  for (auto look = kFirstLook;; look = std::min(look * 2, kLongestLook)) {
    auto word = state->word.load();
    if (word == Word::own) co_return Result<void>{};
    if (word == Word::stopping) co_return fail(ErrorCode::kStopping, "archive, " + key);
    if (word != Word::none) co_return state->refusal(key);
    if (clock.now() >= deadline) co_return fail(ErrorCode::kTimeout, key + ": whose archive it is is not known yet");
    co_await sleep_until(clock, std::min(deadline, clock.now() + look));
  }
}

Task<Result<void>> GuardedStore::put(std::string key, env::ObjectContent& content, Deadline deadline) {
  auto& store = store_;
  CO_TRY(co_await wait_until_open(state_, clock_, key, deadline));
  co_return co_await store.put(std::move(key), content, deadline);
}

Task<Result<void>> GuardedStore::get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece,
                                           env::TrafficClass traffic, Deadline deadline) {
  if (state_->word == Word::foreign) co_return state_->refusal(key);
  co_return co_await store_.get_range(std::move(key), from, size, std::move(on_piece), traffic, deadline);
}

Task<Result<env::ObjectInfo>> GuardedStore::head(std::string key, Deadline deadline) {
  if (state_->word == Word::foreign) co_return state_->refusal(key);
  co_return co_await store_.head(std::move(key), deadline);
}

Task<Result<void>> GuardedStore::remove(std::string key, Deadline deadline) {
  auto& store = store_;
  CO_TRY(co_await wait_until_open(state_, clock_, key, deadline));
  co_return co_await store.remove(std::move(key), deadline);
}

Task<Result<std::vector<env::ObjectInfo>>> GuardedStore::list(std::string prefix, std::string after, std::size_t limit,
                                                              Deadline deadline) {
  auto& store = store_;
  CO_TRY(co_await wait_until_open(state_, clock_, prefix, deadline));
  co_return co_await store.list(std::move(prefix), std::move(after), limit, deadline);
}

}  // namespace forelog::archive
