#include "predictor/generators/generator.h"

namespace forelog::predictor {

std::string_view name_of(GeneratorId generator) {
  switch (generator) {
    case GeneratorId::strided_runs:
      return "strided-runs";
    case GeneratorId::temporal_streams:
      return "temporal-streams";
    case GeneratorId::sessions:
      return "sessions";
  }
  return "unknown";
}

}  // namespace forelog::predictor
