#include "broker/base/metrics.h"

#include "broker/base/check.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

namespace forelog {
namespace {

const std::array<Duration, Histogram::kBuckets>& bounds() {
  static const auto table = [] {
    std::array<Duration, Histogram::kBuckets> out{};
    for (int i = 0; i < Histogram::kBuckets; ++i) out[i] = Duration(std::llround(1000.0 * std::pow(2.0, i / 2.0)));
    return out;
  }();
  return table;
}

std::string seconds(Duration d) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", to_seconds(d));
  return text;
}

std::string series(const std::string& name, const std::string& labels, const std::string& extra = {}) {
  if (labels.empty() && extra.empty()) return name;
  return name + "{" + labels + (labels.empty() || extra.empty() ? "" : ",") + extra + "}";
}

}  // namespace

Metric::Metric(MetricsRegistry& registry, MetricKind kind, std::string name, std::string help, std::string labels)
    : registry_(registry), kind_(kind), name_(std::move(name)), help_(std::move(help)), labels_(std::move(labels)) {
  registry_.metrics_.push_back(this);
}

Metric::~Metric() { std::erase(registry_.metrics_, this); }

MetricsRegistry::~MetricsRegistry() { CHECK(metrics_.empty(), "a component outlives its metrics registry"); }

Duration Histogram::bound(int bucket) { return bounds()[static_cast<std::size_t>(bucket)]; }

void Histogram::record(Duration value) {
  auto it = std::lower_bound(bounds().begin(), bounds().end(), value);
  auto index = std::min<std::size_t>(static_cast<std::size_t>(it - bounds().begin()), kBuckets - 1);
  ++buckets_[index];
  ++count_;
  sum_ += value;
}

Duration Histogram::quantile(double q) const {
  if (count_ == 0) return {};
  auto rank = static_cast<std::int64_t>(std::ceil(q * static_cast<double>(count_)));
  std::int64_t seen = 0;
  for (int i = 0; i < kBuckets; ++i) {
    seen += buckets_[static_cast<std::size_t>(i)];
    if (seen >= std::max<std::int64_t>(rank, 1)) return bound(i);
  }
  return bound(kBuckets - 1);
}

void MetricsRegistry::collect(MetricsSnapshot& into) const {
  for (const Metric* metric : metrics_) {
    auto& sample = into[{metric->name_, metric->labels_}];
    sample.kind = metric->kind_;
    sample.help = metric->help_;
    switch (metric->kind_) {
      case MetricKind::counter:
        sample.value += static_cast<const Counter*>(metric)->value();
        break;
      case MetricKind::gauge:
        sample.value += static_cast<const Gauge*>(metric)->value();
        break;
      case MetricKind::histogram: {
        const auto* histogram = static_cast<const Histogram*>(metric);
        sample.buckets.resize(Histogram::kBuckets);
        for (std::size_t i = 0; i < Histogram::kBuckets; ++i) sample.buckets[i] += histogram->buckets_[i];
        sample.count += histogram->count_;
        sample.sum += histogram->sum_;
      }
    }
  }
}

std::string metrics_text(const MetricsSnapshot& snapshot) {
  static constexpr const char* kTypes[] = {"counter", "gauge", "histogram"};
  std::string out;
  std::string last;
  for (const auto& [key, sample] : snapshot) {
    const auto& [name, labels] = key;
    if (name != last) {
      out += "# HELP " + name + " " + sample.help + "\n# TYPE " + name + " " + kTypes[static_cast<int>(sample.kind)] +
             "\n";
      last = name;
    }
    if (sample.kind != MetricKind::histogram) {
      out += series(name, labels) + " " + std::to_string(sample.value) + "\n";
      continue;
    }
    std::int64_t cumulative = 0;
    for (int i = 0; i < Histogram::kBuckets; ++i) {
      cumulative += sample.buckets[static_cast<std::size_t>(i)];
      out += series(name + "_bucket", labels, "le=\"" + seconds(Histogram::bound(i)) + "\"") + " " +
             std::to_string(cumulative) + "\n";
    }
    out += series(name + "_bucket", labels, "le=\"+Inf\"") + " " + std::to_string(sample.count) + "\n";
    out += series(name + "_sum", labels) + " " + seconds(sample.sum) + "\n";
    out += series(name + "_count", labels) + " " + std::to_string(sample.count) + "\n";
  }
  return out;
}

}  // namespace forelog
