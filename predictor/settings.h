// settings.h: what of the predictor can be set: --set key=value, or a file with the same keys.
#pragma once

#include "broker/base/settings.h"

#include <string>

namespace forelog::predictor {

struct PredictorSettings {
  std::string state_directory = "data/predictor";
  std::string group = "__forelog-predictor";
  std::string topic = "__access_log";
  std::string hint_endpoint;
  Duration lead = 300ms;
  double waste_share = 0.10;
  double threshold_min = 0.35;
  double holdout_share = 0.01;
  std::int64_t tracked_blocks = 262144;
  Bytes bytes_per_second = 1_GiB;
  std::int32_t requests_per_second = 2000;
  Duration window = 20s;
  Duration session_idle = 60s;
  Duration snapshot_interval = 30s;
  Duration insight_interval = 30s;

  static constexpr auto fields = [](auto& s, auto&& field) {
    field("state.dir", s.state_directory, "Where the model is kept between runs.");
    field("group.id", s.group, "Consumer group under which the access log is read.");
    field("access.log.topic", s.topic, "The access log.");
    field("hint.endpoint", s.hint_endpoint,
          "Where all plans go, host:port; empty: to the endpoint that each broker names in the access log.");
    field("lead.ms", s.lead, Range<Duration>{1ms, 60s},
          "Time from a read to bytes in memory that it made the predictor fetch: the loop and one archive request.");
    field("waste.share", s.waste_share, Range<double>{0, 1},
          "Share of all bytes read from the archive that may be prefetched and never read.");
    field("threshold.min", s.threshold_min, Range<double>{0, 1},
          "Nothing is fetched that is less probable than this, whatever waste would allow.");
    field("holdout.share", s.holdout_share, Range<double>{0, 1},
          "Share of sessions that get no plans, so that the benefit of the others is measured.");
    field("tracked.blocks", s.tracked_blocks, Range<std::int64_t>{1024, 100'000'000},
          "Reads remembered; about 120 bytes of memory each.");
    field("bytes.per.second", s.bytes_per_second, Range<Bytes>{0, 1_TiB}, "Most bytes a second that plans may name.");
    field("requests.per.second", s.requests_per_second, Range<std::int32_t>{0, 1000000},
          "Most archive requests a second that plans may name.");
    field("window.ms", s.window, Range<Duration>{100ms, 1h},
          "How long a prefetched block stays in the brokers' caches unread, about.");
    field("session.idle.ms", s.session_idle, Range<Duration>{100ms, 24h},
          "A job that is quiet for this long has ended.");
    field("snapshot.interval.ms", s.snapshot_interval, Range<Duration>{100ms, 24h},
          "How often the model is written to the state directory.");
    field("insight.interval.ms", s.insight_interval, Range<Duration>{100ms, 24h},
          "How often a line about what the predictor does is logged.");
  };
};

}  // namespace forelog::predictor
