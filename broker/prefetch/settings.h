// settings.h: what of prefetching, the hint service and the access log can be set.
#pragma once

#include "broker/base/settings.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace forelog::prefetch {

enum class PrefetchMode : std::uint8_t { off, read_ahead, predict };
constexpr std::array<std::string_view, 3> enum_names(PrefetchMode) { return {"off", "read-ahead", "predict"}; }

enum class Identities : std::uint8_t { plain, hashed };
constexpr std::array<std::string_view, 2> enum_names(Identities) { return {"plain", "hashed"}; }

struct TopicPrefetchSettings {
  PrefetchMode mode = PrefetchMode::predict;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("prefetch.mode", s.mode, Scope::topic, Synonym{"prefetch.mode"},
          "What may be loaded from the archive before it is asked for: nothing; what the broker's own read-ahead and "
          "group signals name; also what the predictor's plans name.");
  };
};

struct PrefetchSettings {
  Bytes bytes_per_second = 2_GiB;
  std::int32_t requests_per_second = 2000;
  Bytes in_flight_max = 256_MiB;
  Bytes read_ahead_max = 64_MiB;
  std::int32_t queue_entries_max = 8192;
  std::int32_t lane_entries_max = 512;
  std::int32_t plans_max = 8192;
  Duration plan_life_max = 24h;
  Bytes signal_bytes = 4_MiB;
  std::int32_t starve_after = 256;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("prefetch.bytes.per.second", s.bytes_per_second, Scope::dynamic, Range<Bytes>{0, 1_TiB},
          "Most bytes a second that the broker prefetches from the archive.");
    field("prefetch.requests.per.second", s.requests_per_second, Scope::dynamic, Range<std::int32_t>{0, 1000000},
          "Most archive requests a second that the broker spends on prefetching.");
    field("prefetch.in.flight.max.bytes", s.in_flight_max, Scope::dynamic, Range<Bytes>{0, 1_TiB},
          "Most bytes on their way for prefetches at once.");
    field("prefetch.read.ahead.max.bytes", s.read_ahead_max, Scope::dynamic, Range<Bytes>{0, 4_GiB},
          "Longest window that the broker's read-ahead keeps in front of one reader.");
    field("prefetch.queue.max.entries", s.queue_entries_max, Range<std::int32_t>{1, 1000000},
          "Most extents that wait to be loaded; the least valuable fall out.");
    field("prefetch.lane.max.entries", s.lane_entries_max, Range<std::int32_t>{1, 1000000},
          "Most extents of one shard that wait to be loaded.");
    field("prefetch.plans.max", s.plans_max, Range<std::int32_t>{1, 1000000}, "Most plans held at once.");
    field("prefetch.plan.life.max.ms", s.plan_life_max, Range<Duration>{1s, 7 * 24h},
          "Longest time that a plan is held, whatever it says itself.");
    field("prefetch.signal.bytes", s.signal_bytes, Range<Bytes>{0, 1_GiB},
          "What is loaded at each offset that a group's committed offsets, a reset or a ListOffsets names.");
    field("prefetch.starve.after", s.starve_after, Range<std::int32_t>{1, 1000000},
          "A source of prefetches whose newest so many extents were all left unread gets only a trickle.");
  };
};

struct HintServiceSettings {
  std::string listeners = "127.0.0.1:9601";
  Bytes frame_max = 4_MiB;
  std::int32_t connections_max = 16;
  std::int32_t plans_waiting_max = 16384;
  Duration idle_timeout = 60s;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("hint.listeners", s.listeners, "Address on which plans are taken from the predictor; empty for none.");
    field("hint.frame.max.bytes", s.frame_max, Range<Bytes>{1_KiB, 64_MiB}, "Longest message taken from a predictor.");
    field("hint.connections.max", s.connections_max, Range<std::int32_t>{1, 1000},
          "Most connections of predictors at once; each has a thread.");
    field("hint.plans.waiting.max", s.plans_waiting_max, Range<std::int32_t>{1, 1000000},
          "Most plans on their way to the cores; what comes on top is refused.");
    field("hint.idle.timeout.ms", s.idle_timeout, Range<Duration>{100ms, 24h},
          "A predictor's connection that says nothing for this long is closed.");
  };
};

struct AccessLogSettings {
  bool enable = true;
  Identities identities = Identities::plain;
  std::int32_t events_max = 65536;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("access.log.enable", s.enable, "Whether reads are recorded in the topic __access_log.");
    field("access.log.identities", s.identities,
          "How principals, client ids, groups, members and hosts stand in the access log: plain, or hashed with a key "
          "of this cluster.");
    field("access.log.events.max", s.events_max, Range<std::int32_t>{16, 10000000},
          "Most events of a core that wait to be written to the access log; what comes on top is dropped and counted.");
  };
};

}  // namespace forelog::prefetch
