// coordinator_use.h: for the coordinator's own source files.
#pragma once

#include "broker/groups/coordinator.h"

namespace forelog::groups {

// More protocols than any client has; what is compared with every member's must not be a client's choice.
inline constexpr std::size_t kProtocolsMax = 256;

// Keeps the coordinator from ending while a request is in it.
class Coordinator::Use {
 public:
  explicit Use(Coordinator& of) : of_(of) { ++of_.requests_; }
  ~Use() {
    if (--of_.requests_ == 0) of_.idle_.notify();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Coordinator& of_;
};

}  // namespace forelog::groups
