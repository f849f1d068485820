// life.h: a broker between one start and the stop, or the power cut, that ends it.
#pragma once

#include "broker/all_settings.h"
#include "broker/broker.h"
#include "broker/env/env.h"

#include <memory>
#include <optional>

namespace forelog::simulation {

struct Life {
  std::unique_ptr<Broker> broker;
  std::optional<Result<void>> started;
  bool stopped = false;
};

// On core 0. After a power cut nobody resumes them, so they share the life.
inline Task<void> live(std::shared_ptr<Life> life, env::Env& env, const AllSettings& settings) {
  life->broker = std::make_unique<Broker>(env, settings);
  life->started.emplace(co_await life->broker->start());
}

inline Task<void> die(std::shared_ptr<Life> life) {
  co_await life->broker->stop();
  life->broker.reset();
  life->stopped = true;
}

}  // namespace forelog::simulation
