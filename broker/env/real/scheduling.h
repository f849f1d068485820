// scheduling.h: what threads of this process ask of the system's scheduler.
#pragma once

namespace forelog::env {

// The calling thread works for history, which nobody waits for in microseconds: where CPUs are short, the cores, the
// log's threads and clients on the same machine come first (nice 10, of this thread alone). Where the system refuses,
// it runs as any other.
void make_way();

}  // namespace forelog::env
