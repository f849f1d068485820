// disk_room.h: growing files together leave the last of a disk, though each looks at what is free only for itself.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/result.h"
#include "broker/env/real/posix_file.h"

#include <atomic>
#include <utility>

namespace forelog::env {

// Used by any thread. One for all files of a DiskFiles, which lie on one disk as a rule.
class DiskRoom {
 public:
  // Bytes that somebody is about to write, until it goes.
  class Claim {
   public:
    Claim() = default;
    Claim(DiskRoom& room, Bytes bytes) : room_(&room), bytes_(bytes), before_(room.claimed_.fetch_add(bytes)) {}
    Claim(Claim&& other) noexcept
        : room_(std::exchange(other.room_, nullptr)), bytes_(other.bytes_), before_(other.before_) {}
    Claim& operator=(Claim&&) = delete;
    ~Claim() {
      if (room_ != nullptr) room_->claimed_.fetch_sub(bytes_);
    }
    Bytes with_those_before() const { return before_ + bytes_; }

   private:
    DiskRoom* room_ = nullptr;
    Bytes bytes_ = 0;
    Bytes before_ = 0;  // that others had claimed
  };

  // Keeps room for `file` to grow to `end`, until it is written and the claim goes. Fails DiskFull where that, and all
  // that is claimed, would leave less than `reserve`. What is claimed and partly written counts twice: two writes may
  // be refused early, none too late.
  Result<Claim> claim(const PosixFile& file, Bytes end, Bytes reserve) {
    auto grows = end - TRY(file.size());
    if (grows <= 0) return Claim();
    Claim claim(*this, grows);  // before looking: what has been written when it is seen is free no more
    TRY(file.leave_room(claim.with_those_before(), reserve));
    return claim;
  }

 private:
  std::atomic<Bytes> claimed_{0};
};

}  // namespace forelog::env
