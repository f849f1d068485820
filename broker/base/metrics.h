// metrics.h: numbers about what a component does, kept where it does it.
//
// A component has a struct of Counters, Gauges and Histograms beside it, each with its name and help. They are plain
// integers of one core: only that core changes them. A Registry belongs to one core too; `collect` runs on that core,
// and the snapshots of all cores are merged by name and labels when somebody scrapes (Prometheus text format 0.0.4).
#pragma once

#include "broker/base/time.h"

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace forelog {

class MetricsRegistry;

enum class MetricKind : std::uint8_t { counter, gauge, histogram };

// Common part: registers itself for its lifetime. `labels` is the inside of the braces: `tier="memory"`.
class Metric {
 public:
  Metric(MetricsRegistry& registry, MetricKind kind, std::string name, std::string help, std::string labels);
  virtual ~Metric();
  Metric(const Metric&) = delete;
  Metric& operator=(const Metric&) = delete;

 protected:
  friend class MetricsRegistry;
  MetricsRegistry& registry_;
  MetricKind kind_;
  std::string name_, help_, labels_;
};

class Counter : public Metric {
 public:
  Counter(MetricsRegistry& registry, std::string name, std::string help, std::string labels = {})
      : Metric(registry, MetricKind::counter, std::move(name), std::move(help), std::move(labels)) {}
  void add(std::int64_t n = 1) { value_ += n; }
  Counter& operator++() { return ++value_, *this; }
  std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

class Gauge : public Metric {
 public:
  Gauge(MetricsRegistry& registry, std::string name, std::string help, std::string labels = {})
      : Metric(registry, MetricKind::gauge, std::move(name), std::move(help), std::move(labels)) {}
  void set(std::int64_t v) { value_ = v; }
  void add(std::int64_t n) { value_ += n; }
  std::int64_t value() const { return value_; }

 private:
  std::int64_t value_ = 0;
};

// Durations in buckets that grow by √2 from 1 µs to about 3 minutes, exposed in seconds.
class Histogram : public Metric {
 public:
  static constexpr int kBuckets = 56;
  Histogram(MetricsRegistry& registry, std::string name, std::string help, std::string labels = {})
      : Metric(registry, MetricKind::histogram, std::move(name), std::move(help), std::move(labels)) {}
  void record(Duration value);
  std::int64_t count() const { return count_; }
  // Upper bound of the bucket in which the `q`-th part of all values lies (0 ≤ q ≤ 1); zero when empty.
  Duration quantile(double q) const;
  static Duration bound(int bucket);

 private:
  friend class MetricsRegistry;
  std::array<std::int64_t, kBuckets> buckets_{};
  std::int64_t count_ = 0;
  Duration sum_{};
};

// One series at one moment; adding two of the same name and labels sums them.
struct MetricSample {
  MetricKind kind = MetricKind::counter;
  std::string help;
  std::int64_t value = 0;
  std::int64_t count = 0;
  Duration sum{};
  std::vector<std::int64_t> buckets;
};
using MetricsSnapshot = std::map<std::pair<std::string, std::string>, MetricSample>;  // (name, labels) → sample

class MetricsRegistry {
 public:
  MetricsRegistry() = default;
  MetricsRegistry(const MetricsRegistry&) = delete;
  MetricsRegistry& operator=(const MetricsRegistry&) = delete;
  ~MetricsRegistry();

  void collect(MetricsSnapshot& into) const;  // adds this core's values

 private:
  friend class Metric;
  std::vector<Metric*> metrics_;
};

std::string metrics_text(const MetricsSnapshot& snapshot);

}  // namespace forelog
