// eviction.h: what a cache keeps, and what goes when space is needed. Works in keys and sizes.
//
// Pure: no I/O, no clock; the caller passes `now`. One per core, used on that core only. The offline simulator drives
// the same code with a trace.
//
// What has been read lives in S3-FIFO (Yang et al., SOSP'23): a small queue that most blocks leave again soon, a main
// queue for what was read again, and a ghost list of what left the small one. What nobody has read yet waits apart:
//   staging   prefetched; at most `staging_share` of the capacity. For the longest lease no other block can wash it out
//             before its first use; once a quarter of the cache has turned over, newer prefetches may take its place
//   heads     prefetched for a session that is expected later; at most `heads_share`; kept until a moment given with it
//   arrived   loaded because somebody waits; nothing displaces it for a moment, so that it cannot leave before he comes
//             back for it, and what was read gives way to it for longer, as long as it is a quarter of the cache at
//             most. `hold` begins that moment anew for what is of no use to him without what he still waits for
// A first use moves a block to S3-FIFO. A block behind its last expected reader (`drop_behind`) goes first of all; one
// that is here already when somebody is expected to read it (`expect`) is kept like a fresh prefetch, or it would be
// gone again before he comes.
//
// Memory is taken in two steps: `reserve` before a load starts, `release` and `insert` when its bytes are here.
// Invariant: used() + reserved() <= capacity.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/check.h"
#include "broker/base/time.h"
#include "broker/cache/block.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

namespace forelog::cache {

enum class EvictReason : std::uint8_t {
  cold,      // S3-FIFO found it the least wanted
  behind,    // behind its last expected reader
  lease,     // nobody read it in its time
  pressure,  // unread and in its time, but demand found no other room
  erased,    // its shard is gone
};
inline constexpr int kEvictReasons = 5;

enum class Presence : std::uint8_t {
  absent,
  here,  // and may leave at any time
  kept,  // for a reader who is expected
};

struct EvictionLimits {
  Bytes capacity = 0;
  double staging_share = 0.4;
  double heads_share = 0.1;
  double small_share = 0.1;   // of the capacity, for the small queue
  int reuses_to_stay = 2;     // uses after the first that lead from the small queue to the main one
  Duration lease_min = 5s;    // a prefetched block stays at least this long,
  Duration lease_max = 120s;  // and at most this long where the cache hardly turns over
  Duration arrived_lease = 2s;
};

template <class Key, class Payload = std::monostate, class Hash = std::hash<Key>>
class EvictionPolicy {
 public:
  struct Evicted {
    Key key;
    Payload payload;
    Bytes size = 0;
    EvictReason reason = EvictReason::cold;
    bool used = false;  // at least once since it was inserted
    LoadKind kind = LoadKind::demand;
  };
  using EvictedList = std::vector<Evicted>;

  struct Use {
    Payload* payload = nullptr;  // none: not cached
    bool first = false;
  };

  explicit EvictionPolicy(EvictionLimits limits) : limits_(limits) {}

  Bytes used() const { return used_; }
  Bytes reserved() const { return reserved_[0] + reserved_[1] + reserved_[2]; }
  Bytes capacity() const { return limits_.capacity; }
  std::size_t size() const { return index_.size(); }
  bool contains(const Key& key) const { return index_.contains(key); }

  // How much `kind` could reserve at most; what has outlived its lease counts as room. An upper bound: memory that
  // loads in flight hold may leave less.
  Bytes room(LoadKind kind, Instant now) const {
    if (kind == LoadKind::demand) return limits_.capacity - reserved();
    Bytes held = bytes_of(kind) + reserved_of(kind);
    for (const auto& entry : list_of(kind)) {
      if (!expired(entry, now)) break;
      held -= entry.size;
    }
    return std::max<Bytes>(0, std::min(limit_of(kind) - held, limits_.capacity - reserved()));
  }

  // Sets `size` bytes aside, evicting into `out` what it takes. False: no room on this account; nothing is set aside.
  // Prefetches never displace what is unread and within its lease; demand does when nothing else is left.
  bool reserve(LoadKind kind, Bytes size, Instant now, EvictedList& out) {
    if (kind != LoadKind::demand && !make_share(kind, size, now, out)) return false;
    if (!make_room(size, kind == LoadKind::demand, now, out)) return false;
    reserved_of(kind) += size;
    return true;
  }
  void release(LoadKind kind, Bytes size) {
    reserved_of(kind) -= size;
    CHECK(reserved_of(kind) >= 0, "a reservation was released twice");
  }

  // Adds `key`, for which there must be room: a reservation released just before, or what this evicts. Returns false
  // when there is none, or when the key is cached already (the older bytes stay: they are the same). `used`: somebody
  // has it in hand already. `keep_until` matters to LoadKind::head only.
  bool insert(const Key& key, Payload payload, Bytes size, LoadKind kind, bool used, Instant now, Instant keep_until,
              EvictedList& out) {
    if (contains(key) || !make_room(size, kind == LoadKind::demand, now, out)) return false;
    if (used || kind == LoadKind::demand) turnover_ += size;
    Entry entry{key, std::move(payload), size, Place::arrived, kind, used, 0, 0, now, turnover_, keep_until};
    entry.stays = ghost_.forget(key);
    if (used) {
      add_used(std::move(entry));
    } else if (kind == LoadKind::head) {
      entry.place = Place::heads;
      link(list(Place::heads).insert(behind_sooner_heads(keep_until), std::move(entry)));
    } else {
      entry.place = kind == LoadKind::prefetch ? Place::staging : Place::arrived;
      auto& unread = list(entry.place);
      link(unread.insert(unread.end(), std::move(entry)));
    }
    return true;
  }

  // Looks without marking a use.
  Payload* peek(const Key& key) {
    auto found = index_.find(key);
    return found == index_.end() ? nullptr : &found->second->payload;
  }

  // Notes a use. Repeated uses by one reader in a row count once: a reader that takes a block in small pieces has not
  // read it again. Reader 0 counts each time.
  Use use(const Key& key, std::uint64_t reader) {
    auto found = index_.find(key);
    if (found == index_.end()) return {};
    auto at = found->second;
    Use result{&at->payload, !at->used};
    if (!at->used) {
      if (at->kind != LoadKind::demand) turnover_ += at->size;
      at->used = true;
      at->reader = reader;
      move_to(at, at->stays ? Place::main : Place::small);
      return result;
    }
    bool came = reader == 0 || reader != at->reader;
    if (came) at->uses = static_cast<std::uint8_t>(std::min(at->uses + 1, kUsesMax));
    at->reader = reader;
    if (at->place == Place::staging || at->place == Place::heads || at->place == Place::arrived) {
      move_to(at, at->stays ? Place::main : Place::small);
    } else if (came && at->place == Place::behind) {
      move_to(at, Place::main);  // somebody else came after all
    }
    return result;
  }

  // Somebody came for `key` and could not use it without what he still waits for: it is kept as if it had just arrived.
  void hold(const Key& key, Instant now) {
    auto found = index_.find(key);
    if (found == index_.end()) return;
    auto at = found->second;
    at->stays = at->stays || at->place == Place::main;
    at->inserted = now;
    move_to(at, Place::arrived);
  }

  // The same bytes under another name, in the same place. False when `from` is not here, or `to` is already.
  bool rename(const Key& from, const Key& to) {
    auto found = index_.find(from);
    if (found == index_.end() || contains(to)) return false;
    auto at = found->second;
    index_.erase(found);
    at->key = to;
    index_.emplace(to, at);
    return true;
  }

  // Somebody is expected to read `key`, now or, for `head`, until `keep_until`. If it is here it is kept as if it had
  // just been prefetched, as far as the share of such blocks reaches.
  Presence expect(const Key& key, LoadKind kind, Instant now, Instant keep_until, EvictedList& out) {
    auto found = index_.find(key);
    if (found == index_.end()) return Presence::absent;
    auto at = found->second;
    // Who waits for it comes back soon enough; heads are kept until their own moment.
    if (at->place == Place::arrived || (at->place == Place::heads && kind != LoadKind::head)) return Presence::kept;
    auto to = unread_place(kind);
    if (at->place != to && !make_share(kind, at->size, now, out)) return Presence::here;
    at->stays = at->stays || at->place == Place::main;
    at->inserted = now;
    at->turnover = turnover_;
    at->keep_until = std::max(at->keep_until, keep_until);
    move_to(at, to);
    return Presence::kept;
  }

  // `reader` has passed `key`, or will not come: it goes before anything else, unless somebody else has used it.
  // `was_for_him`: nobody else is expected for it while it is unread.
  void drop_behind(const Key& key, std::uint64_t reader, bool was_for_him) {
    auto found = index_.find(key);
    if (found == index_.end() || found->second->place == Place::behind) return;
    auto at = found->second;
    bool his = at->used ? at->reader == reader && at->uses == 0 && !at->stays : was_for_him;
    if (at->used && (at->place == Place::staging || at->place == Place::heads)) his = false;  // expected again
    if (his) move_to(at, Place::behind);
  }

  void erase(const Key& key, EvictedList& out) {
    auto found = index_.find(key);
    if (found != index_.end()) evict(found->second, EvictReason::erased, out);
  }

  // A smaller capacity takes effect at once, but for what loads in flight hold.
  void set_capacity(Bytes capacity, Instant now, EvictedList& out) {
    limits_.capacity = capacity;
    make_room(0, true, now, out);
  }

  Bytes unread_prefetched() const { return bytes_[place(Place::staging)] + bytes_[place(Place::heads)]; }

 private:
  enum class Place : std::uint8_t { small, main, staging, heads, arrived, behind };
  static constexpr int kPlaces = 6;
  static constexpr int kUsesMax = 3;

  struct Entry {
    Key key;
    Payload payload;
    Bytes size;
    Place place;
    LoadKind kind;
    bool used;
    std::uint8_t uses;     // after the first, as S3-FIFO counts them
    std::uint64_t reader;  // who used it last
    Instant inserted;
    Bytes turnover;  // of the cache by then
    Instant keep_until;
    bool stays = false;  // it belongs to the main queue: it was there, or had left the small one not long before
  };
  using List = std::list<Entry>;
  using Iterator = typename List::iterator;

  // Keys that left the small queue, as many bytes of them as the main queue may hold.
  class Ghost {
   public:
    void remember(const Key& key, Bytes size, Bytes bytes_max) {
      auto [at, added] = numbers_.try_emplace(key, next_);
      if (!added) at->second = next_;
      queue_.push_back({key, size, next_++});
      bytes_ += size;
      while (bytes_ > bytes_max && !queue_.empty()) {
        auto& oldest = queue_.front();
        auto found = numbers_.find(oldest.key);
        if (found != numbers_.end() && found->second == oldest.number) numbers_.erase(found);
        bytes_ -= oldest.size;
        queue_.pop_front();
      }
    }
    bool forget(const Key& key) { return numbers_.erase(key) > 0; }

   private:
    struct Row {
      Key key;
      Bytes size;
      std::uint64_t number;
    };
    std::deque<Row> queue_;  // rows of keys forgotten or renewed since stay until their turn
    std::unordered_map<Key, std::uint64_t, Hash> numbers_;
    std::uint64_t next_ = 0;
    Bytes bytes_ = 0;
  };

  static constexpr std::size_t place(Place p) { return static_cast<std::size_t>(p); }
  List& list(Place p) { return lists_[place(p)]; }
  static constexpr Place unread_place(LoadKind kind) {
    return kind == LoadKind::prefetch ? Place::staging : kind == LoadKind::head ? Place::heads : Place::arrived;
  }
  List& list_of(LoadKind kind) { return lists_[place(unread_place(kind))]; }
  const List& list_of(LoadKind kind) const { return lists_[place(unread_place(kind))]; }
  Bytes bytes_of(LoadKind kind) const { return bytes_[place(unread_place(kind))]; }
  Bytes& reserved_of(LoadKind kind) { return reserved_[static_cast<std::size_t>(kind)]; }
  Bytes reserved_of(LoadKind kind) const { return reserved_[static_cast<std::size_t>(kind)]; }
  Bytes limit_of(LoadKind kind) const {
    return part(kind == LoadKind::prefetch ? limits_.staging_share : limits_.heads_share);
  }
  Bytes part(double share) const { return static_cast<Bytes>(static_cast<double>(limits_.capacity) * share); }

  bool expired(const Entry& entry, Instant now) const {
    if (entry.place == Place::heads) return now >= entry.keep_until;
    auto age = now - entry.inserted;
    if (entry.place == Place::arrived) return age >= limits_.arrived_lease;
    bool turned_over = turnover_ - entry.turnover >= limits_.capacity / 4;
    return age >= limits_.lease_max || (turned_over && age >= limits_.lease_min);
  }

  // What was read gives way to an unread prefetch for the longest lease, however fast the cache turns over: a reader
  // that pauses, or goes round many partitions, still finds its window. The shorter lease is for other prefetches,
  // which must not be refused because of old ones.
  // What somebody waited for and has not come for yet is kept in the same way, as long as it is little: a reader slower
  // than its answers would load it twice.
  bool outstayed(const Entry& entry, Instant now) const {
    if (entry.place == Place::heads) return expired(entry, now);
    bool much = entry.place == Place::arrived && bytes_[place(Place::arrived)] > limits_.capacity / 4;
    return now - entry.inserted >= (much ? limits_.arrived_lease : limits_.lease_max);
  }

  // Whether `kind` may hold `size` more, once those of it that outstayed their lease are gone.
  bool make_share(LoadKind kind, Bytes size, Instant now, EvictedList& out) {
    while (bytes_of(kind) + reserved_of(kind) + size > limit_of(kind)) {
      auto& list = list_of(kind);
      if (list.empty() || !expired(list.front(), now)) return false;
      evict(list.begin(), EvictReason::lease, out);
    }
    return true;
  }

  bool make_room(Bytes size, bool displace_unread, Instant now, EvictedList& out) {
    while (used_ + reserved() + size > limits_.capacity) {
      if (!evict_one(displace_unread, now, out)) return false;
    }
    return true;
  }

  bool evict_one(bool displace_unread, Instant now, EvictedList& out) {
    if (evict_front(Place::behind, EvictReason::behind, out)) return true;
    for (auto p : {Place::staging, Place::heads, Place::arrived}) {
      if (!list(p).empty() && outstayed(list(p).front(), now)) return evict_front(p, EvictReason::lease, out);
    }
    if (evict_read(out)) return true;
    auto& arrived = list(Place::arrived);
    if (!arrived.empty() && expired(arrived.front(), now)) return evict_front(Place::arrived, EvictReason::lease, out);
    if (!displace_unread) return false;
    return evict_front(Place::staging, EvictReason::pressure, out) ||
           evict_front(Place::heads, EvictReason::pressure, out);
  }

  // S3-FIFO's own choice.
  bool evict_read(EvictedList& out) {
    while (!list(Place::small).empty() || !list(Place::main).empty()) {
      bool from_small = list(Place::main).empty() || bytes_[place(Place::small)] > part(limits_.small_share);
      if (from_small && !list(Place::small).empty()) {
        auto at = list(Place::small).begin();
        if (at->uses < limits_.reuses_to_stay) {
          ghost_.remember(at->key, at->size, part(1 - limits_.small_share));
          evict(at, EvictReason::cold, out);
          return true;
        }
        at->uses = 0;
        move_to(at, Place::main);
        continue;
      }
      auto at = list(Place::main).begin();
      if (at->uses == 0) {
        evict(at, EvictReason::cold, out);
        return true;
      }
      --at->uses;
      list(Place::main).splice(list(Place::main).end(), list(Place::main), at);
    }
    return false;
  }

  bool evict_front(Place p, EvictReason reason, EvictedList& out) {
    if (list(p).empty()) return false;
    // Should somebody come for it after all, he is not the last one to be expected the next time.
    if (const auto& front = list(p).front(); p == Place::behind && front.used) {
      ghost_.remember(front.key, front.size, part(1 - limits_.small_share));
    }
    evict(list(p).begin(), reason, out);
    return true;
  }

  void evict(Iterator at, EvictReason reason, EvictedList& out) {
    used_ -= at->size;
    bytes_[place(at->place)] -= at->size;
    index_.erase(at->key);
    out.push_back({at->key, std::move(at->payload), at->size, reason, at->used, at->kind});
    list(at->place).erase(at);
  }

  void add_used(Entry entry) {
    entry.place = entry.stays ? Place::main : Place::small;
    auto& queue = list(entry.place);
    link(queue.insert(queue.end(), std::move(entry)));
  }

  void link(Iterator at) {
    index_.emplace(at->key, at);
    used_ += at->size;
    bytes_[place(at->place)] += at->size;
  }

  void move_to(Iterator at, Place to) {
    bytes_[place(at->place)] -= at->size;
    bytes_[place(to)] += at->size;
    if (to == Place::heads) {
      // Out of the list first: its own expiry must not decide its place.
      List moving;
      moving.splice(moving.end(), list(at->place), at);
      list(to).splice(behind_sooner_heads(at->keep_until), moving, at);
    } else {
      list(to).splice(list(to).end(), list(at->place), at);
    }
    at->place = to;
  }

  // Heads lie in order of expiry; new ones mostly expire last.
  Iterator behind_sooner_heads(Instant keep_until) {
    auto& heads = list(Place::heads);
    auto at = heads.end();
    while (at != heads.begin() && std::prev(at)->keep_until > keep_until) --at;
    return at;
  }

  EvictionLimits limits_;
  std::array<List, kPlaces> lists_;
  std::array<Bytes, kPlaces> bytes_{};
  std::array<Bytes, 3> reserved_{};
  std::unordered_map<Key, Iterator, Hash> index_;
  Ghost ghost_;
  Bytes used_ = 0;
  Bytes turnover_ = 0;  // bytes read for the first time since they came: prefetches alone age nothing
};

}  // namespace forelog::cache
