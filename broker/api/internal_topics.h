// internal_topics.h: the topics that the broker itself writes, created when first needed.
#pragma once

#include "broker/api/services.h"
#include "broker/base/result.h"
#include "broker/env/task.h"

namespace forelog::api {

inline constexpr std::string_view kOffsetsTopic = "__consumer_offsets";

// Create the topic unless it is there. The calling core's view has it afterwards.
Task<Result<void>> ensure_offsets_topic(Services& services, Deadline deadline);
Task<Result<void>> ensure_access_log_topic(Services& services, Deadline deadline);

// What auto.create.topics.enable does for a client that names an unknown topic.
Task<Result<void>> create_on_demand(Services& services, TopicName name, Deadline deadline);

}  // namespace forelog::api
