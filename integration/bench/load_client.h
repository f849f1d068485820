// load_client.h: what the modes of the load generator share: its command line, librdkafka's handles, and what is
// counted.
//
// A broker is only looked at from outside: CPU by its process clock, memory by /proc, requests by what librdkafka sent.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <librdkafka/rdkafka.h>

namespace load {

using Clock = std::chrono::steady_clock;
using Moment = Clock::time_point;

double seconds_between(Moment from, Moment to);
[[noreturn]] void die(const std::string& why);

// load MODE BROKER TOPIC [--flag value]...
struct Options {
  Options(int argc, char** argv);  // dies with the usage
  std::string mode, broker, topic;
  std::map<std::string, std::string> flags;
  long number(const std::string& name, long fallback) const;
  std::string text(const std::string& name, std::string fallback) const;
  bool has(const std::string& name) const { return flags.contains(name); }
};

// Seconds of CPU that a process has used; 0 is this one. A process that does not exist is a mistake of the caller.
class CpuClock {
 public:
  explicit CpuClock(int pid);
  double seconds() const;

 private:
  clockid_t id_{};
};

double resident_megabytes(int pid);  // 0: this process

// One librdkafka client with its callbacks. Requests are counted by its statistics, twice a second.
class Handle {
 public:
  using OnDelivery = void (*)(void* opaque, const rd_kafka_message_t* message);

  Handle(rd_kafka_type_t type, std::map<std::string, std::string> settings, OnDelivery on_delivery = nullptr,
         void* opaque = nullptr);
  ~Handle();
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  rd_kafka_t* get() const { return kafka_; }
  // Serves callbacks on a thread of its own until destroyed; a producer's only.
  void poll_in_background();

  struct Requests {
    Moment at{};
    long count = 0;  // sent by then: Produce and Fetch
  };
  Requests requests() const;

 private:
  static int on_statistics(rd_kafka_t*, char* json, std::size_t size, void* opaque);
  static void on_message(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque);

  rd_kafka_t* kafka_ = nullptr;
  OnDelivery on_delivery_;
  void* opaque_;
  mutable std::mutex mutex_;
  Requests requests_;
  std::atomic<bool> stopping_ = false;
  std::thread poller_;
};

// Latencies of single records, in milliseconds. One thread adds.
class Latencies {
 public:
  void add(double ms) { values_.push_back(static_cast<float>(ms)); }
  void take(Latencies& other);
  std::size_t count() const { return values_.size(); }
  double at(double share);  // of all; 0 when there are none
  double worst() { return at(1.0); }

 private:
  std::vector<float> values_;
  bool sorted_ = false;
};

// One line of JSON.
class Figures {
 public:
  void text(const char* name, const std::string& value);
  void number(const char* name, double value, int digits = 3);
  void latencies(Latencies& of);  // p50, p99, p99.9, worst, and the curve to draw
  void print() const;

 private:
  void name(const char* name);
  std::string json_;
};

// What is measured between two moments, beside the load itself.
class Window {
 public:
  // `broker_pid` of 0: nothing is known of the broker.
  explicit Window(int broker_pid);
  void begin(const std::vector<const Handle*>& clients);
  void end(const std::vector<const Handle*>& clients, Moment at = Clock::now());
  Moment began() const { return began_; }
  double seconds() const { return seconds_between(began_, ended_); }
  void report(Figures& figures, double bytes) const;

 private:
  int broker_pid_;
  CpuClock client_, broker_;
  Moment began_{}, ended_{};
  double client_cpu_ = 0, broker_cpu_ = 0, client_memory_ = 0, broker_memory_ = 0, requests_per_s_ = 0;
  std::vector<Handle::Requests> requests_;
};

std::map<std::string, std::string> producer_settings(const Options& options);
std::map<std::string, std::string> consumer_settings(const Options& options);
void assign(const Handle& consumer, const Options& options, std::int64_t offset);
std::string value_of_size(std::size_t size);
void echo(const Options& options);  // prints its line

}  // namespace load
