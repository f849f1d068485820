// plan_codec.h: plans → Thrift. Moments become spans from the moment of sending, since two machines' clocks differ.
#pragma once

#include "broker/prefetch/hint.h"
#include "hint_service/hint_service_types.h"

namespace forelog::predictor {

thrift::Plan to_thrift(const prefetch::Plan& plan, Instant now);

}  // namespace forelog::predictor
