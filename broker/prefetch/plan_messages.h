// plan_messages.h: plans and answers between hint_service.thrift's words and ours. Pure.
#pragma once

#include "broker/prefetch/hint.h"
#include "hint_service/hint_service_types.h"

#include <string>
#include <variant>

namespace forelog::prefetch {

// The plan as it was received at `now`, or the name of the field that cannot be understood. Lengths of time are brought
// into bounds; what `malformed` checks is left to it.
std::variant<Plan, std::string> plan_from_thrift(const thrift::Plan& plan, Instant now);

thrift::PlanAnswer to_thrift(const PlanAnswer& answer);

}  // namespace forelog::prefetch
