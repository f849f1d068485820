#include "broker/env/real/timer_heap.h"

#include <utility>

namespace forelog::env {

void TimerHeap::place(std::size_t position, Item item) {
  heap_[position] = item;
  slots_[item.slot].position = static_cast<std::uint32_t>(position);
}

// Moves the hole at `position` up or down until `item` fits into it.
void TimerHeap::sift(std::size_t position, Item item) {
  while (position > 0) {
    auto parent = (position - 1) / 2;
    if (heap_[parent].at <= item.at) break;
    place(position, heap_[parent]);
    position = parent;
  }
  for (auto child = 2 * position + 1; child < heap_.size(); child = 2 * position + 1) {
    if (child + 1 < heap_.size() && heap_[child + 1].at < heap_[child].at) ++child;
    if (item.at <= heap_[child].at) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, item);
}

Clock::TimerId TimerHeap::add(Instant at, WaiterPtr waiter) {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(slots_.size()));
    slots_.emplace_back();
  }
  auto index = free_.back();
  free_.pop_back();
  auto& slot = slots_[index];
  slot.waiter = std::move(waiter);
  heap_.push_back({});
  sift(heap_.size() - 1, {at, index});
  return std::uint64_t{slot.generation} << 32 | index;
}

WaiterPtr TimerHeap::take(std::size_t position) {
  auto index = heap_[position].slot;
  auto last = heap_.back();
  heap_.pop_back();
  if (position < heap_.size()) sift(position, last);
  free_.push_back(index);
  ++slots_[index].generation;
  return std::exchange(slots_[index].waiter, nullptr);
}

void TimerHeap::cancel(Clock::TimerId id) {
  auto index = static_cast<std::uint32_t>(id);
  if (index >= slots_.size() || slots_[index].generation != id >> 32) return;
  take(slots_[index].position);
}

std::optional<Instant> TimerHeap::next() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front().at;
}

WaiterPtr TimerHeap::pop_due(Instant now) {
  if (heap_.empty() || heap_.front().at > now) return nullptr;
  return take(0);
}

}  // namespace forelog::env
