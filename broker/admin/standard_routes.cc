#include "broker/admin/http_server.h"

namespace forelog::admin {
namespace {

Task<MetricsSnapshot> collect_here(const MetricsRegistry* registry) {
  MetricsSnapshot snapshot;
  registry->collect(snapshot);
  co_return snapshot;
}

void add_to(MetricsSnapshot& sum, const MetricsSnapshot& part) {
  for (const auto& [series, sample] : part) {
    auto [at, fresh] = sum.emplace(series, sample);
    if (fresh) continue;
    auto& total = at->second;
    total.value += sample.value;
    total.count += sample.count;
    total.sum += sample.sum;
    total.buckets.resize(std::max(total.buckets.size(), sample.buckets.size()));
    for (std::size_t i = 0; i < sample.buckets.size(); ++i) total.buckets[i] += sample.buckets[i];
  }
}

Task<HttpResponse> metrics(env::Cores& cores, std::vector<const MetricsRegistry*> registries,
                           std::function<void(MetricsSnapshot&)> extra) {
  MetricsSnapshot all;
  for (std::size_t core = 0; core < registries.size(); ++core) {
    auto collecting = collect_here(registries[core]);
    auto part = co_await cores.on(CoreId(static_cast<std::int32_t>(core)), std::move(collecting));
    add_to(all, part);
  }
  if (extra) extra(all);
  co_return HttpResponse{200, "text/plain; version=0.0.4; charset=utf-8", metrics_text(all)};
}

Task<HttpResponse> say(int status, std::string text) { co_return HttpResponse{status, "text/plain", text + "\n"}; }

}  // namespace

void add_standard_routes(HttpServer& server, env::Cores& cores, std::vector<const MetricsRegistry*> registries,
                         std::function<void(MetricsSnapshot&)> extra, std::function<std::string()> ready,
                         std::function<std::string()> degraded) {
  server.route("GET", "/metrics",
               [&cores, registries = std::move(registries), extra = std::move(extra)](const HttpRequest&) {
                 return metrics(cores, registries, extra);
               });
  server.route("GET", "/health", [ready, degraded = std::move(degraded)](const HttpRequest&) {
    auto missing = ready();
    if (missing.empty() && degraded) missing = degraded();
    return say(200, missing.empty() ? "ok" : "degraded: " + missing);
  });
  server.route("GET", "/ready", [ready = std::move(ready)](const HttpRequest&) {
    auto missing = ready();
    return missing.empty() ? say(200, "ready") : say(503, missing);
  });
}

}  // namespace forelog::admin
