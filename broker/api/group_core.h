// group_core.h: on which core of this broker a group's coordinator is to be asked.
#pragma once

#include "broker/api/services.h"
#include "broker/base/result.h"

namespace forelog::api {

// CoordinatorNotAvailable while there is no __consumer_offsets. Whether this broker leads the group's partition, the
// coordinator on that core knows.
Result<CoreId> core_of_group(Services& services, const GroupId& group);

}  // namespace forelog::api
