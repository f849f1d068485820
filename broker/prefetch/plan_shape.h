// plan_shape.h: what can be said of a plan by looking at it: whether it is well formed, where its parts belong.
#pragma once

#include "broker/prefetch/hint.h"

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace forelog::prefetch {

// Most parts of one plan, and longest lead of a step; whoever needs more sends another plan.
inline constexpr std::size_t kHintsMax = 1024;
inline constexpr std::size_t kChainStepsMax = 256;
inline constexpr Duration kGapMax = 1h;

// What is wrong with `plan`, naming the field; nothing when every number is within bounds and no list is empty.
std::optional<std::string> malformed(const Plan& plan);

// The partition whose core runs the plan, or part of it: of each range of a warm or schedule plan, of the reader that a
// follow or chain watches. Each once, in order of first mention.
std::vector<PartitionKey> homes_of(const Plan& plan);

// How many ranges the plan names; one for a follow.
std::size_t ranges_of(const Plan& plan);

// `plan` with only those hints that belong to `home`, and their part of the byte budget; the whole of a follow or
// chain.
Plan part_for(const Plan& plan, const std::function<bool(const PartitionKey&)>& is_here);

}  // namespace forelog::prefetch
