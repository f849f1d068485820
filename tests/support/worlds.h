// worlds.h: the two worlds behind one face, for tests of what both promise.
//
//   TYPED_TEST_SUITE(FilesContract, test::BothWorlds);
#pragma once

#include "broker/env/real/real_env.h"
#include "broker/env/real/system_random.h"
#include "tests/support/run_task.h"
#include "tests/support/temporary_directory.h"

#include <cstdlib>

#include <gtest/gtest.h>

namespace forelog::test {

class InSimulation {
 public:
  env::Env& env() { return machine_.env(); }
  template <class T>
  T run(Task<T> task) {
    return test::run(world_, machine_, std::move(task));
  }
  std::string directory() { return "/data"; }
  // Ends the process and starts it again; what was durable is there.
  void restart() {
    world_.crash(machine_, env::SimulatedWorld::Loss::all);
    world_.run_for(10s);
    world_.restart(machine_);
  }

  env::SimulatedWorld& world() { return world_; }
  env::SimulatedMachine& machine() { return machine_; }

 private:
  env::SimulatedWorld world_{17};
  env::SimulatedMachine& machine_ = world_.machine(2);
};

class InReality {
 public:
  InReality() { start(); }
  env::Env& env() { return real_->env(); }
  template <class T>
  T run(Task<T> task) {
    return real_->run(std::move(task));
  }
  std::string directory() { return directory_ / "files"; }
  void restart() {
    real_.reset();
    start();
  }

 private:
  void start() {
    auto opened = env::RealEnv::open({.data_directory = directory_ / "data",
                                      .cores = 2,
                                      .archive_url = "file:" + (directory_ / "archive"),
                                      .archive_threads = 2});
    CHECK(opened.has_value());
    real_ = *std::move(opened);
    CHECK(real_->start().has_value());
  }

  TemporaryDirectory directory_;
  std::unique_ptr<env::RealEnv> real_;
};

// With its archive on the S3 server that FORELOG_TEST_S3 names, under a prefix of its own; integration/test_s3.py
// starts one and runs these tests. Keys come from the environment.
class InS3 {
 public:
  explicit InS3(env::s3::S3Settings settings = {}) : settings_(std::move(settings)) {
    if (is_available()) start();
  }
  static bool is_available() { return std::getenv("FORELOG_TEST_S3") != nullptr; }

  env::Env& env() { return real_->env(); }
  template <class T>
  T run(Task<T> task) {
    return real_->run(std::move(task));
  }
  // With `uploads_prefix`, its watch aborts what was left there, however young, once it may.
  void restart(const std::string& uploads_prefix = {}) {
    real_.reset();
    start(uploads_prefix);
  }

 private:
  void start(const std::string& uploads_prefix = {}) {
    settings_.endpoint = std::getenv("FORELOG_TEST_S3");
    auto opened = env::RealEnv::open({.data_directory = directory_ / "data",
                                      .cores = 2,
                                      .archive_url = "s3://archive/contract/" + prefix_,
                                      .s3 = settings_,
                                      .s3_uploads_prefix = uploads_prefix,
                                      .s3_uploads_stale_after = -1min});
    CHECK(opened.has_value());
    real_ = *std::move(opened);
    CHECK(real_->start().has_value());
  }

  env::s3::S3Settings settings_;
  std::string prefix_ = env::SystemRandom().topic_id().text();
  TemporaryDirectory directory_;
  std::unique_ptr<env::RealEnv> real_;
};

using BothWorlds = testing::Types<InSimulation, InReality>;

inline Deadline soon(env::Env& env) { return env.clock.now() + 30s; }

}  // namespace forelog::test
