// lone_broker.h: settings of a broker that a test starts by itself, on the first machine of its world.
#pragma once

#include "broker/all_settings.h"

namespace forelog::simulation {

inline AllSettings lone_broker_settings() {
  auto read = read_all_settings({{"listeners", "PLAINTEXT://m0:9092"},
                                 {"admin.listeners", ""},
                                 {"hint.listeners", ""},
                                 {"access.log.enable", "false"},
                                 {"log.dirs", "/data"}});
  CHECK(read.has_value());
  return *std::move(read);
}

}  // namespace forelog::simulation
