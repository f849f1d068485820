// group_event_router.h: tells every core's prefetcher what groups do, and the access log once. One a core.
#pragma once

#include "broker/api/services.h"
#include "broker/groups/group_events.h"
#include "broker/prefetch/access_feed.h"
#include "broker/prefetch/prefetcher.h"

namespace forelog {

class GroupEventRouter final : public groups::GroupEventSink {
 public:
  GroupEventRouter(api::Services& services, prefetch::AccessFeed& feed) : services_(services), feed_(feed) {}

  void add(const prefetch::GroupEvent& event) override {
    feed_.add(event);
    for (std::size_t core = 0; core < services_.cores.size(); ++core) {
      auto id = CoreId(static_cast<std::int32_t>(core));
      services_.env.cores.post(
          id, [&services = services_, id, event] { services.at(id).prefetcher.on_group_event(event); });
    }
  }

  std::optional<TopicId> id_of(const TopicName& topic) const override {
    const auto* known = services_.cluster.view()->topic(topic);
    if (known == nullptr || known->name.value() == prefetch::kAccessLogTopic) return std::nullopt;
    return known->id;
  }

 private:
  api::Services& services_;
  prefetch::AccessFeed& feed_;
};

}  // namespace forelog
