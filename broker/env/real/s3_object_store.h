// s3_object_store.h: an archive in S3, Amazon's or any other server's.
//
// Any core may call. Requests are signed on the core that asks and carried by HttpTransfers' thread; bytes arrive on
// the asking core piece by piece. A request that fails for a reason that may pass is sent again, with pauses that
// double and jitter, until its deadline; a read goes on where it broke off, and only if the object is still the same
// (ETag). What will not pass by itself (wrong keys, no such bucket, another region) fails at once with
// ArchiveUnavailable and says what to do. Large objects go in parts, several at once; a failed upload is aborted, and
// so are those that a crash left behind.
#pragma once

#include "broker/base/metrics.h"
#include "broker/env/clock.h"
#include "broker/env/object_store.h"
#include "broker/env/random.h"
#include "broker/env/real/blocking_pool.h"
#include "broker/env/real/http_transfers.h"
#include "broker/env/real/s3_credentials.h"
#include "broker/env/s3/failures.h"
#include "broker/env/s3/location.h"
#include "broker/env/s3/settings.h"
#include "broker/env/task_group.h"

#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace forelog::env {

class S3Metrics;

class S3ObjectStore final : public ObjectStore {
 public:
  struct Parts {
    Cores& cores;
    Clock& clock;
    Random& random;
    const QuickClients& quick;
  };
  // InvalidSetting for what cannot be right: url, endpoint, no keys. Does not ask the server: whether it answers is
  // seen, and logged, once it runs. Every request begins `first_byte_delay` late, as to a distant server; for trials.
  static Result<std::unique_ptr<S3ObjectStore>> open(Parts parts, std::string url, const s3::S3Settings& settings,
                                                     Duration first_byte_delay);
  ~S3ObjectStore() override;

  Task<Result<void>> put(std::string key, ObjectContent& content, Deadline deadline) override;
  Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, TrafficClass traffic,
                               Deadline deadline) override;
  Task<Result<ObjectInfo>> head(std::string key, Deadline deadline) override;
  Task<Result<void>> remove(std::string key, Deadline deadline) override;
  Task<Result<std::vector<ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                             Deadline deadline) override;
  void claim() override { claimed_ = true; }
  void interrupt() override;
  void collect_metrics(MetricsSnapshot& into) const override;

  bool is_claimed() const { return claimed_; }
  // Aborts uploads under `prefix` that began before `age` ago, by the server's clock. Returns how many.
  Task<Result<int>> abort_stale_uploads(std::string prefix, Duration age, Deadline deadline);

  const s3::Location& location() const { return location_; }

  // As `interrupt`, and ends the threads. While the cores still exist.
  void stop();

 private:
  // One request as S3 sees it, without its signature.
  struct Ask {
    std::string_view kind;  // in metrics
    std::string method;
    std::string key{};  // empty: the bucket
    s3::Query query{};
    s3::Headers headers{};
    Slices body{};
    TrafficClass traffic = TrafficClass::cold;
    bool may_stall = false;  // the server works in silence until the deadline
    std::string text() const { return method + " " + (key.empty() ? "bucket" : key); }
  };
  struct Reading;

  S3ObjectStore(Parts parts, s3::Location location, const s3::S3Settings& settings, Duration first_byte_delay);

  // One attempt, counted. `new_keys`: it was refused for its keys, and there are others by now.
  Task<s3::Answer> send(const Ask& ask, HttpTransfers::OnBody on_body, bool& new_keys, Deadline deadline);
  // Until it is answered well, or fails for good, or the deadline passes.
  Task<Result<s3::Answer>> perform(Ask ask, Deadline deadline);
  // Whether to try again, after a pause; else the error stands.
  Task<bool> wait_to_retry(s3::Verdict verdict, int attempt, bool new_keys, std::string_view kind, Deadline deadline);
  Task<std::string> payload_of(const Slices& body);
  void add_checksum(const Slices& body, s3::Headers& headers) const;

  Task<Result<Slices>> read_part(ObjectContent& content, Bytes from, Bytes size);
  Task<Result<void>> put_whole(std::string key, ObjectContent& content, Deadline deadline);
  struct Upload;
  Task<Result<void>> put_in_parts(std::string key, ObjectContent& content, Deadline deadline);
  Task<void> upload_parts(std::shared_ptr<Upload> upload);
  Task<Result<void>> upload_part(std::shared_ptr<Upload> upload, int number);
  Task<Result<void>> complete_upload(std::shared_ptr<Upload> upload);
  Task<void> abort_upload(std::string key, std::string id);
  ByteBudget& upload_budget();

  Parts parts_;
  const s3::Location location_;
  const s3::S3Settings settings_;
  const Duration first_byte_delay_;
  std::unique_ptr<S3Credentials> credentials_;
  std::unique_ptr<S3Metrics> metrics_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> claimed_{false};
  std::atomic<Instant::rep> next_line_{std::numeric_limits<Instant::rep>::min()};  // about failures, in the log
  std::vector<std::unique_ptr<ByteBudget>> upload_budgets_;                        // by core
  BlockingPool hashing_{1, parts_.quick};
  HttpTransfers transfers_;
};

}  // namespace forelog::env
