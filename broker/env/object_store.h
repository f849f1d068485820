// object_store.h: the archive's bytes: S3, or a directory. Objects are written once and never changed.
//
// Errors: NotFound; ArchiveUnavailable (retriable: no answer, an answer of the server's fault, throttled); Timeout;
// CorruptBlock (what came is not what was sent); DiskFull, Io for a directory.
#pragma once

#include "broker/base/bytes.h"
#include "broker/base/crc32c.h"
#include "broker/base/metrics.h"
#include "broker/base/result.h"
#include "broker/base/time.h"
#include "broker/env/budget.h"
#include "broker/env/task.h"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace forelog::env {

struct ObjectInfo {
  std::string key;
  Bytes size = 0;
};

// What an object is made of; read piece by piece, again when a part is retried.
class ObjectContent {
 public:
  virtual ~ObjectContent() = default;
  virtual Bytes size() const = 0;
  virtual Task<Result<Buffer>> read(Bytes from, Bytes size) = 0;  // exactly `size` bytes
};

class ObjectStore {
 public:
  // A part of an answer. The checksum is of the bytes as they lie in this buffer, which keeps no more memory alive than
  // its own; it is computed where they arrive, so that the core need not go over them once more.
  struct Piece {
    explicit Piece(Buffer arrived) : bytes(std::move(arrived)), crc32c(forelog::crc32c(bytes)) {}
    Buffer bytes;
    std::uint32_t crc32c;
  };
  // Takes pieces as they arrive, in order, on the core that asked. They may be of any size; real stores make them
  // kBlockSize, counted from where the range begins, until the last one or until an answer breaks off and goes on.
  using OnPiece = std::move_only_function<void(Piece)>;
  virtual ~ObjectStore() = default;

  // The object exists, whole and durable, when this succeeds. Putting the same key again replaces it.
  virtual Task<Result<void>> put(std::string key, ObjectContent& content, Deadline deadline) = 0;
  // Hands out bytes `[from, from + size)`; fails if the object is shorter. `traffic` says who waits for them.
  virtual Task<Result<void>> get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece, TrafficClass traffic,
                                       Deadline deadline) = 0;
  virtual Task<Result<ObjectInfo>> head(std::string key, Deadline deadline) = 0;
  virtual Task<Result<void>> remove(std::string key, Deadline deadline) = 0;  // succeeds when it is not there
  // Keys that start with `prefix` and come after `after`, in order, at most `limit`.
  virtual Task<Result<std::vector<ObjectInfo>>> list(std::string prefix, std::string after, std::size_t limit,
                                                     Deadline deadline) = 0;
  // The archive is known to be the caller's own: what lives before left half written there may be cleared away from now
  // on. Any core.
  virtual void claim() {}
  // The process is about to end: what is under way fails soon, with Stopping, and so does what comes later. Any core.
  virtual void interrupt() {}
  // Adds what the store itself counts, once for the whole process. Any core.
  virtual void collect_metrics(MetricsSnapshot& /*into*/) const {}
};

}  // namespace forelog::env
