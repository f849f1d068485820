// observer.h: records of the access log → what the model sees.
//
// Joins Access to Reader records, names jobs by principal, stem of client.id and group, turns offsets into blocks, cuts
// away the rest of a block that was read before, and leaves out what tells nothing: reads at the log's end and of local
// bytes, which no archive read could have made faster. Pure; hostile records are ignored and counted.
#pragma once

#include "hint_service/hint_service_types.h"
#include "predictor/block_map.h"
#include "predictor/generators/bounded_map.h"
#include "predictor/generators/generator.h"

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace forelog::predictor {

// A job's signature, as plans name it.
struct JobSignature {
  std::string principal, client_stem, group;
  std::string text() const;
  static JobSignature parse(std::string_view text);
};
// `client.id` without the number that tells instances apart, as the broker cuts it.
std::string_view client_stem(std::string_view client_id);

// What became of bytes that were fetched ahead.
struct OutcomeSeen {
  Instant at;
  std::int64_t plan_id = 0;  // 0: the broker's own
  Bytes used = 0, unused = 0;
};
// `held_out`: the reader belongs to the share that gets no plans, by which their benefit is measured.
struct ReadSeen {
  ReadEvent event;
  bool held_out = false;
};
using Seen = std::variant<ReadSeen, Announcement, OutcomeSeen>;

struct ObserverSettings {
  std::size_t readers_max = 100'000;
  std::size_t jobs_max = 50'000;
  double holdout_share = 0.01;  // of readers' sessions, that get no plans
};

class Observer {
 public:
  explicit Observer(ObserverSettings settings)
      : settings_(settings), readers_(settings.readers_max), boots_(1024), jobs_(settings.jobs_max) {}

  void observe(const thrift::AccessLogRecord& record, std::vector<Seen>& out);

  const BlockMap& blocks() const { return blocks_; }
  const Names& jobs() const { return jobs_; }
  // Reads of both arms, and how many of them had to wait for the archive.
  struct Arm {
    std::int64_t reads = 0, waited = 0;
    Duration wait{};
  };
  const Arm& treated() const { return arms_[0]; }
  const Arm& untreated() const { return arms_[1]; }
  std::int64_t ignored() const { return ignored_; }

  void save(ByteWriter& out) const;
  bool load(ByteReader& in);

 private:
  struct Reader {
    ReaderId id = 0;
    JobId job = 0;
    bool held_out = false;
    std::optional<Place> last;
  };
  struct Boot {
    std::int64_t offset_us = 0;  // wall minus monotonic, when it was first seen or last set forward
    bool known = false;
  };
  Instant time_of(const thrift::RecordHeader& header);
  Reader& reader_of(const thrift::RecordHeader& header, std::int64_t reader);
  void on_reader(const thrift::RecordHeader& header, const thrift::ReaderRecord& record);
  void on_access(const thrift::RecordHeader& header, const thrift::AccessRecord& record, std::vector<Seen>& out);
  void on_group(const thrift::RecordHeader& header, const thrift::GroupRecord& record, std::vector<Seen>& out);
  void on_outcome(const thrift::RecordHeader& header, const thrift::OutcomeRecord& record, std::vector<Seen>& out);

  ObserverSettings settings_;
  BoundedMap<std::uint64_t, Reader> readers_;  // by boot and reader
  BoundedMap<std::int64_t, Boot> boots_;
  BlockMap blocks_;
  Names jobs_;
  ReaderId next_reader_ = 1;
  Arm arms_[2];
  std::int64_t ignored_ = 0;
};

}  // namespace forelog::predictor
