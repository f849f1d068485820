#include "tests/simulation/fetch_session.h"

#include <utility>
#include <vector>

namespace forelog::simulation {

void FetchSession::shorten(wire::FetchRequest& request, const std::vector<std::string>& names) {
  request.session_id = id_;
  request.session_epoch = epoch_;
  auto before = std::exchange(known_, {});
  std::size_t at = 0;
  std::vector<wire::FetchRequest::Topic> changed;
  for (auto& topic : request.topics) {
    wire::FetchRequest::Topic kept{topic.topic, topic.topic_id, {}};
    for (auto& partition : topic.partitions) {
      const auto& name = names.at(at++);
      Known now{partition.fetch_offset, partition.partition_max_bytes, kNoOffset, topic.topic, topic.topic_id,
                partition.partition};
      auto was = before.find(name);
      if (was != before.end()) now.watermark = was->second.watermark;
      bool same = was != before.end() && was->second.offset == now.offset && was->second.size_max == now.size_max;
      if (epoch_ == 0 || !same) kept.partitions.push_back(partition);
      if (was != before.end()) before.erase(was);
      known_[name] = now;
    }
    if (!kept.partitions.empty()) changed.push_back(std::move(kept));
  }
  request.topics = std::move(changed);
  if (epoch_ == 0) return;
  for (const auto& [name, gone] : before)
    request.forgotten_topics_data.push_back({gone.topic, gone.topic_id, {gone.partition}});
}

void FetchSession::take(const wire::FetchResponse& answer) {
  if (!answer.error_code.ok() || answer.session_id == 0) {
    id_ = epoch_ = 0;
    known_.clear();
    return;
  }
  id_ = answer.session_id;
  ++epoch_;
}

Offset FetchSession::watermark(const std::string& name) const {
  auto found = known_.find(name);
  return found == known_.end() ? kNoOffset : found->second.watermark;
}

void FetchSession::note(const std::string& name, Offset watermark) {
  auto found = known_.find(name);
  if (found != known_.end()) found->second.watermark = watermark;
}

}  // namespace forelog::simulation
