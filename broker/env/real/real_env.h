// real_env.h: the world as it is: this machine's cores, clock, disk and network, an embedded metadata store, an
// archive.
//
//   auto real = RealEnv::open(options);      // blocks; nothing runs yet
//   (*real)->start();
//   (*real)->run(start_broker(...));         // from the main thread
//   (*real)->stop();
#pragma once

#include "broker/base/check.h"
#include "broker/env/env.h"
#include "broker/env/s3/settings.h"

#include <future>
#include <memory>
#include <string>

namespace forelog::env {

struct RealEnvOptions {
  std::string data_directory;  // created when missing; one process at a time has it
  int cores = 1;
  int disk_threads = 4;
  int cache_disk_threads = 0;  // of the cache's disk tier; 0: there is none, and `Env::cache_files` is the log's
  std::string cache_disk_directory{};  // which one process at a time has, too
  std::string archive_url{};           // "file:/path", "s3://bucket/prefix", or empty for no archive
  Duration archive_first_byte_delay{};
  int archive_threads = 8;     // of a directory
  bool clears_uploads = true;  // of a directory, when it is claimed: nobody else may use it then
  s3::S3Settings s3{};
  std::string s3_uploads_prefix{};  // of keys whose unfinished uploads of a life before are aborted; empty: none are
  Duration s3_uploads_stale_after = 2h;
};

class RealEnv {
 public:
  // InvalidSetting for an archive url that nobody understands; Io when another process has the data directory, Conflict
  // when another has the cache's.
  static Result<std::unique_ptr<RealEnv>> open(RealEnvOptions options);
  ~RealEnv();  // stops

  // Starts the cores, and the session with the metadata store.
  Result<void> start();
  // Finishes disk work under way and ends all threads. Tasks are joined before; not from a core.
  // False when a call to the archive hangs in the system: its thread is left alone, and so is all that it may touch.
  bool stop();

  Env& env();

  // Runs `task` on core 0 and waits for it; for threads that are not a core.
  template <class T>
  T run(Task<T> task) {
    CHECK(!env().cores.on_a_core());
    auto promise = std::make_shared<std::promise<T>>();
    auto future = promise->get_future();
    env().cores.spawn(CoreId{0}, fulfil(std::move(promise), std::move(task)));
    return future.get();
  }

 private:
  struct Parts;
  explicit RealEnv(std::unique_ptr<Parts> parts);

  template <class T>
  static Task<void> fulfil(std::shared_ptr<std::promise<T>> promise, Task<T> task) {
    if constexpr (std::is_void_v<T>) {
      co_await std::move(task);
      promise->set_value();
    } else {
      promise->set_value(co_await std::move(task));
    }
  }

  std::unique_ptr<Parts> parts_;
};

}  // namespace forelog::env
