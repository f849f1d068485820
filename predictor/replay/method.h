// method.h: one way to prefetch, as the simulator drives it: it sees each read when it happens and says what to load.
#pragma once

#include "predictor/generators/generator.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace forelog::predictor::replay {

struct Wanted {
  Place place;
  Instant needed_by;
  double score = 1;
  std::uint64_t tag = 0;    // comes back with the outcome
  const char* reason = "";  // a literal
};
using WantedList = std::vector<Wanted>;

// Tags tell whose guess a load was: the generator's, or a window of the read-ahead (whose tags never reach these).
inline constexpr std::uint64_t kGeneratorTag = ~std::uint64_t{0} - kGenerators;
constexpr std::uint64_t tag_of(GeneratorId generator) { return kGeneratorTag + static_cast<std::uint64_t>(generator); }

class Method {
 public:
  virtual ~Method() = default;
  virtual std::string name() const = 0;
  virtual void on_read(const ReadEvent& event, WantedList& out) = 0;
  // Called when `next_wake` has come.
  virtual void on_time(Instant, WantedList&) {}
  virtual std::optional<Instant> next_wake() const { return std::nullopt; }
  // A place that was fetched for `tag` was used, or left the cache unread.
  virtual void on_outcome(std::uint64_t tag, const Place&, bool used, Instant now) { (void)tag, (void)used, (void)now; }
};

}  // namespace forelog::predictor::replay
