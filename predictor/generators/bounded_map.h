// bounded_map.h: a map that forgets what was used longest ago, and an index from hashes to positions in a ring.
//
// Pure. Neither ever lets the order of hashes or addresses decide anything: what is forgotten depends on use alone.
#pragma once

#include "broker/base/check.h"

#include <cstdint>
#include <iterator>
#include <list>
#include <unordered_map>
#include <utility>
#include <vector>

namespace forelog::predictor {

// Holds at most `entries_max` values; looking one up with `touch` or `find_and_touch` makes it the youngest.
template <class Key, class Value, class Hash = std::hash<Key>>
class BoundedMap {
 public:
  explicit BoundedMap(std::size_t entries_max) : entries_max_(entries_max) { CHECK(entries_max > 0); }

  // The value of `key`, made when missing; then the oldest one goes if there are too many.
  Value& touch(const Key& key) {
    if (auto it = index_.find(key); it != index_.end()) {
      entries_.splice(entries_.begin(), entries_, it->second);
      return it->second->second;
    }
    if (entries_.size() >= entries_max_) {
      index_.erase(entries_.back().first);
      entries_.pop_back();
    }
    entries_.emplace_front(key, Value{});
    index_.emplace(key, entries_.begin());
    return entries_.front().second;
  }
  Value* find(const Key& key) {
    auto it = index_.find(key);
    return it == index_.end() ? nullptr : &it->second->second;
  }
  void erase(const Key& key) {
    auto it = index_.find(key);
    if (it == index_.end()) return;
    entries_.erase(it->second);
    index_.erase(it);
  }
  void clear() { index_.clear(), entries_.clear(); }

  std::size_t size() const { return entries_.size(); }
  std::size_t entries_max() const { return entries_max_; }
  std::size_t memory_bytes() const {
    return size() * (sizeof(std::pair<Key, Value>) + sizeof(Key) + 6 * sizeof(void*));
  }

  // Oldest first, so that touching in this order restores the map.
  auto begin() const { return std::make_reverse_iterator(entries_.end()); }
  auto end() const { return std::make_reverse_iterator(entries_.begin()); }

 private:
  std::size_t entries_max_;
  std::list<std::pair<Key, Value>> entries_;  // youngest first
  std::unordered_map<Key, typename std::list<std::pair<Key, Value>>::iterator, Hash> index_;
};

// Hash → the latest position at which it stood, by open addressing: 16 bytes a slot. Positions only grow; those below
// `oldest` are dead, and their slots are swept when the table fills. Keys are 64-bit mixes and taken for identities:
// whoever must be sure compares what stands at the position.
class PositionIndex {
 public:
  std::uint64_t find(std::uint64_t hash) const {  // 0: none
    if (slots_.empty()) return 0;
    for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      if (slots_[i].position == 0) return 0;
      if (slots_[i].hash == hash) return slots_[i].position;
    }
  }
  void put(std::uint64_t hash, std::uint64_t position, std::uint64_t oldest) {
    if ((used_ + 1) * 10 > slots_.size() * 7) sweep(oldest);
    for (std::size_t i = hash & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
      auto& slot = slots_[i];
      if (slot.position == 0) ++used_;
      if (slot.position == 0 || slot.hash == hash) {
        slot = {hash, position};
        return;
      }
    }
  }
  void clear() { slots_.clear(), used_ = 0; }
  std::size_t memory_bytes() const { return slots_.size() * sizeof(Slot); }

 private:
  struct Slot {
    std::uint64_t hash = 0;
    std::uint64_t position = 0;
  };
  // Keeps the living; the new table is as large as they need, so memory follows the ring's bound.
  void sweep(std::uint64_t oldest) {
    auto old = std::exchange(slots_, {});
    std::size_t living = 0;
    for (const auto& slot : old) living += slot.position >= oldest && slot.position != 0;
    std::size_t size = 1024;
    while (size * 5 < (living + 1) * 10) size *= 2;
    slots_.resize(size);
    used_ = 0;
    for (const auto& slot : old) {
      if (slot.position < oldest || slot.position == 0) continue;
      std::size_t i = slot.hash & (size - 1);
      while (slots_[i].position != 0) i = (i + 1) & (size - 1);
      slots_[i] = slot;
      ++used_;
    }
  }
  std::vector<Slot> slots_;
  std::size_t used_ = 0;
};

}  // namespace forelog::predictor
