#include "predictor/budget.h"

#include <algorithm>
#include <cmath>

namespace forelog::predictor {
namespace {

constexpr double kThresholdMax = 0.97;
constexpr double kBurstSeconds = 1;            // the bucket holds this much
constexpr double kGrace = 64.0 * (256 << 10);  // bytes: no share can be kept of next to nothing

std::size_t index(GeneratorId g) { return static_cast<std::size_t>(g); }

}  // namespace

// How real losses compare with expected ones; near 1 until much is known.
double Budget::correction(const Account& account) {
  return std::clamp((account.unused + kGrace) / (account.expected_unused + kGrace), 0.1, 4.0);
}

double Budget::fetched() const {
  double all = demand_;
  for (const auto& a : accounts_) all += a.fetched;
  return all;
}

void Budget::fade(Instant now) {
  if (!started_) {
    started_ = true;
    refilled_ = faded_ = steered_ = now;
    request_tokens_ = settings_.requests_per_second * kBurstSeconds;
    byte_tokens_ = static_cast<double>(settings_.bytes_per_second) * kBurstSeconds;
  }
  if (now - faded_ < 1s) return;
  auto keep = std::exp(-to_seconds(now - faded_) / to_seconds(settings_.memory));
  for (auto& a : accounts_) {
    a.fetched *= keep, a.expected_loss *= keep;
    a.used *= keep, a.unused *= keep, a.expected_unused *= keep;
  }
  demand_ *= keep;
  faded_ = now;
}

// Moves the thresholds, a step a second of traffic: up quickly when the account is overdrawn, down slowly.
void Budget::steer(Instant now) {
  if (now - steered_ < 1s) return;
  steered_ = now;
  double loss = 0;
  for (const auto& a : accounts_) loss += a.expected_loss * correction(a);
  bool over = loss > settings_.waste_share * (fetched() + kGrace);
  for (int g = 0; g < kGenerators; ++g) {
    auto& threshold = thresholds_[g];
    // Who loses less than the share of what it fetches is not the one to be held back.
    auto& a = accounts_[g];
    auto known = a.used + a.unused;
    bool careful = known > kGrace && a.unused < settings_.waste_share * known;
    if (over && !careful) threshold = std::min(kThresholdMax, threshold + 0.02);
    if (!over) threshold = std::max(settings_.threshold_min, threshold - 0.005);
  }
}

bool Budget::take(GeneratorId generator, double p, Bytes bytes, Instant now) {
  fade(now);
  steer(now);
  if (p < threshold(generator)) return false;
  auto& account = accounts_[index(generator)];
  auto size = static_cast<double>(bytes);
  auto stake = (1 - p) * size;
  double loss = stake * correction(account);
  for (const auto& a : accounts_) loss += a.expected_loss * correction(a);
  // Half as much again may be out for a moment; the thresholds bring it back.
  if (p < 0.9 && loss > 1.5 * settings_.waste_share * (fetched() + size) + kGrace) return false;

  auto elapsed = to_seconds(now - refilled_);
  refilled_ = now;
  auto bytes_per_second = static_cast<double>(settings_.bytes_per_second);
  request_tokens_ = std::min(request_tokens_ + elapsed * settings_.requests_per_second,
                             settings_.requests_per_second * kBurstSeconds);
  byte_tokens_ = std::min(byte_tokens_ + elapsed * bytes_per_second, bytes_per_second * kBurstSeconds);
  auto requests = std::max(1.0, size / (4 << 20));
  if (request_tokens_ < requests || byte_tokens_ < size) return false;
  request_tokens_ -= requests, byte_tokens_ -= size;

  account.expected_loss += stake;
  account.fetched += size;
  return true;
}

void Budget::on_demand(Bytes bytes, Instant now) {
  fade(now);
  demand_ += static_cast<double>(bytes);
}

void Budget::on_outcome(GeneratorId generator, Bytes used, Bytes unused, Instant now) {
  fade(now);
  auto& account = accounts_[index(generator)];
  account.used += static_cast<double>(used);
  account.unused += static_cast<double>(unused);
  // What was bet comes due with its outcome; the average stake stands for the one that was made.
  auto mean = account.fetched > 0 ? std::min(1.0, account.expected_loss / account.fetched) : 0;
  account.expected_unused += mean * static_cast<double>(used + unused);
}

double Budget::waste() const {
  double unused = 0;
  for (const auto& a : accounts_) unused += a.unused;
  return unused <= 0 ? 0 : std::min(1.0, unused / fetched());
}

double Budget::precision(GeneratorId generator) const {
  const auto& a = accounts_[index(generator)];
  return a.used + a.unused <= 0 ? 1 : a.used / (a.used + a.unused);
}

void Budget::save(ByteWriter& out) const {
  for (auto t : thresholds_) out.f64(t);
}
bool Budget::load(ByteReader& in) {
  std::array<double, kGenerators> loaded{};
  for (auto& t : loaded) {
    t = in.f64();
    if (!in.ok() || !(t >= 0 && t <= 1)) return false;
  }
  thresholds_ = loaded;
  return true;
}

}  // namespace forelog::predictor
