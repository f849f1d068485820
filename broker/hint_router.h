// hint_router.h: brings each plan to the core that owns its partition, and the answers back. Called on any thread.
#pragma once

#include "broker/api/services.h"
#include "broker/prefetch/hint.h"

#include <atomic>

namespace forelog {

class HintRouter final : public prefetch::HintSink {
 public:
  explicit HintRouter(api::Services& services) : services_(services) {}
  void offer(std::vector<prefetch::Plan> plans, Done done) override;
  void stop() { stopping_ = true; }  // before the cores stop; later offers are refused

 private:
  api::Services& services_;
  std::atomic<bool> stopping_{false};
};

}  // namespace forelog
