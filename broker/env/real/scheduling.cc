#include "broker/env/real/scheduling.h"

#include <sys/resource.h>
#include <unistd.h>

namespace forelog::env {

// Linux gives each thread a nice value of its own, other than POSIX has it.
void make_way() { (void)::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10); }

}  // namespace forelog::env
