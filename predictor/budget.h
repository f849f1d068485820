// budget.h: how much may be fetched on a guess: a token bucket of backend requests and bytes, and the waste controller.
//
// Waste is prefetched bytes never read over all bytes read from the archive, of the last five minutes or so. Each
// accepted candidate is a bet whose expected loss, (1 − p) × bytes, is put on the account when it is made and not when
// it is lost, minutes later; outcomes then say how far expected and real losses are apart. The threshold of each
// generator floats so that the account stays at the configured share, never below `threshold_min`. Pure; one thread.
#pragma once

#include "broker/base/bytes.h"
#include "predictor/generators/generator.h"

#include <array>

namespace forelog::predictor {

struct BudgetSettings {
  double requests_per_second = 2000;
  Bytes bytes_per_second = 1_GiB;
  double waste_share = 0.10;
  double threshold_min = 0.35;
  double threshold_start = 0.5;
  Duration memory = 300s;
};

class Budget {
 public:
  explicit Budget(BudgetSettings settings) : settings_(settings) { thresholds_.fill(settings.threshold_start); }

  // Whether `bytes` may be fetched for a candidate of probability `p`; if so, they are on the account.
  bool take(GeneratorId generator, double p, Bytes bytes, Instant now);
  // Read from the archive because somebody waited.
  void on_demand(Bytes bytes, Instant now);
  // What became of bytes fetched for a plan of ours.
  void on_outcome(GeneratorId generator, Bytes used, Bytes unused, Instant now);

  double threshold(GeneratorId generator) const { return thresholds_[static_cast<std::size_t>(generator)]; }
  double waste() const;                           // measured
  double precision(GeneratorId generator) const;  // of bytes with an outcome; 1 while there is none

  void save(ByteWriter& out) const;
  bool load(ByteReader& in);

 private:
  struct Account {
    double fetched = 0, expected_loss = 0;             // bytes of bets, fading
    double used = 0, unused = 0, expected_unused = 0;  // of those whose outcome is known
  };
  void fade(Instant now);
  void steer(Instant now);
  static double correction(const Account& account);
  double fetched() const;  // all bytes read from the archive

  BudgetSettings settings_;
  std::array<Account, kGenerators> accounts_{};
  std::array<double, kGenerators> thresholds_{};
  double demand_ = 0;  // bytes fetched, fading
  double request_tokens_ = 0, byte_tokens_ = 0;
  Instant refilled_, faded_, steered_;
  bool started_ = false;
};

}  // namespace forelog::predictor
