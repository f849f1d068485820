// producer_ids.h: hands out producer ids from the block that this core has, and fetches the next block when it is used
// up.
#pragma once

#include "broker/cluster/controller.h"
#include "broker/env/event.h"

namespace forelog::api {

class ProducerIds {
 public:
  ProducerIds(cluster::Controller& controller, env::Clock& clock) : controller_(controller), arrived_(clock) {}

  // An id that no other producer has had or will have.
  Task<Result<ProducerId>> next(Deadline deadline) {
    while (next_ > last_) {
      if (fetching_) {
        if (!co_await arrived_.wait(deadline)) co_return fail(ErrorCode::kTimeout, "waiting for producer ids");
        continue;
      }
      fetching_ = true;
      auto block = co_await controller_.allocate_producer_ids(deadline);
      fetching_ = false;
      arrived_.notify();
      if (!block) co_return fail(block.error());
      next_ = block->first;
      last_ = block->last;
    }
    co_return ProducerId(next_++);
  }

 private:
  cluster::Controller& controller_;
  Event arrived_;
  bool fetching_ = false;
  std::int64_t next_ = 0;
  std::int64_t last_ = -1;
};

}  // namespace forelog::api
