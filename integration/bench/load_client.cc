#include "integration/bench/load_client.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string_view>

#include <unistd.h>

namespace load {
namespace {

constexpr int kPollMs = 100;

int pid_or_self(int pid) { return pid == 0 ? static_cast<int>(getpid()) : pid; }

// librdkafka's statistics count the requests of each broker by name: … "req": { "Produce": 12, "Fetch": 3, … }.
long requests_in(std::string_view json) {
  long sum = 0;
  for (std::string_view name : {"\"Produce\":", "\"Fetch\":"}) {
    for (auto at = json.find(name); at != std::string_view::npos; at = json.find(name, at + 1)) {
      sum += std::strtol(json.data() + at + name.size(), nullptr, 10);
    }
  }
  return sum;
}

}  // namespace

double seconds_between(Moment from, Moment to) { return std::chrono::duration<double>(to - from).count(); }

void die(const std::string& why) {
  std::fprintf(stderr, "load: %s\n", why.c_str());
  std::exit(1);
}

// --- command line ----------------------------------------------------------------------------------------------------
Options::Options(int argc, char** argv) {
  if (argc < 4) die("usage: load produce|rate|consume|end-to-end|echo BROKER TOPIC [--flag value]...");
  mode = argv[1], broker = argv[2], topic = argv[3];
  for (int i = 4; i < argc; i += 2) {
    std::string flag = argv[i];
    if (!flag.starts_with("--") || i + 1 == argc) die(flag + ": expected --flag value");
    flags[flag.substr(2)] = argv[i + 1];
  }
}

long Options::number(const std::string& name, long fallback) const {
  auto it = flags.find(name);
  return it == flags.end() ? fallback : std::strtol(it->second.c_str(), nullptr, 10);
}

std::string Options::text(const std::string& name, std::string fallback) const {
  auto it = flags.find(name);
  return it == flags.end() ? std::move(fallback) : it->second;
}

// --- processes -------------------------------------------------------------------------------------------------------
CpuClock::CpuClock(int pid) {
  if (clock_getcpuclockid(pid_or_self(pid), &id_) != 0) die("no process " + std::to_string(pid));
}

double CpuClock::seconds() const {
  timespec t{};
  if (clock_gettime(id_, &t) != 0) die("the broker is gone");
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) / 1e9;
}

double resident_megabytes(int pid) {
  std::ifstream status("/proc/" + std::to_string(pid_or_self(pid)) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::strtod(line.c_str() + 6, nullptr) / 1024;
  }
  return 0;
}

// --- clients ---------------------------------------------------------------------------------------------------------
Handle::Handle(rd_kafka_type_t type, std::map<std::string, std::string> settings, OnDelivery on_delivery, void* opaque)
    : on_delivery_(on_delivery), opaque_(opaque) {
  auto* conf = rd_kafka_conf_new();
  char why[512];
  for (const auto& [key, value] : settings) {
    if (rd_kafka_conf_set(conf, key.c_str(), value.c_str(), why, sizeof why) != RD_KAFKA_CONF_OK) die(why);
  }
  rd_kafka_conf_set_opaque(conf, this);
  rd_kafka_conf_set_stats_cb(conf, on_statistics);
  if (on_delivery != nullptr) rd_kafka_conf_set_dr_msg_cb(conf, on_message);
  kafka_ = rd_kafka_new(type, conf, why, sizeof why);
  if (kafka_ == nullptr) die(why);
  if (type == RD_KAFKA_CONSUMER) rd_kafka_poll_set_consumer(kafka_);
}

Handle::~Handle() {
  stopping_ = true;
  if (poller_.joinable()) poller_.join();
  if (rd_kafka_type(kafka_) == RD_KAFKA_CONSUMER) rd_kafka_consumer_close(kafka_);
  rd_kafka_destroy(kafka_);
}

void Handle::poll_in_background() {
  poller_ = std::thread([this] {
    while (!stopping_) rd_kafka_poll(kafka_, kPollMs);
  });
}

Handle::Requests Handle::requests() const {
  std::lock_guard lock(mutex_);
  return requests_;
}

int Handle::on_statistics(rd_kafka_t*, char* json, std::size_t size, void* opaque) {
  auto& self = *static_cast<Handle*>(opaque);
  Requests now{Clock::now(), requests_in({json, size})};
  std::lock_guard lock(self.mutex_);
  self.requests_ = now;
  return 0;
}

void Handle::on_message(rd_kafka_t*, const rd_kafka_message_t* message, void* opaque) {
  auto& self = *static_cast<Handle*>(opaque);
  self.on_delivery_(self.opaque_, message);
}

std::map<std::string, std::string> producer_settings(const Options& options) {
  return {{"bootstrap.servers", options.broker},
          {"linger.ms", options.text("linger", "5")},
          {"acks", options.text("acks", "all")},
          {"batch.size", "1000000"},
          {"batch.num.messages", options.text("batch-records", "10000")},
          {"queue.buffering.max.messages", options.text("outstanding", "500000")},
          {"queue.buffering.max.kbytes", "262144"},
          {"statistics.interval.ms", "500"}};
}

std::map<std::string, std::string> consumer_settings(const Options& options) {
  return {{"bootstrap.servers", options.broker},
          {"group.id", "load"},
          {"client.id", options.text("client", "load")},
          {"enable.auto.commit", "false"},
          {"fetch.wait.max.ms", "500"},
          {"queued.max.messages.kbytes", "65536"},
          {"auto.offset.reset", "earliest"},
          {"statistics.interval.ms", "500"}};
}

void assign(const Handle& consumer, const Options& options, std::int64_t offset) {
  auto partitions = options.number("partitions", 16);
  auto* list = rd_kafka_topic_partition_list_new(static_cast<int>(partitions));
  for (long p = 0; p < partitions; ++p) {
    rd_kafka_topic_partition_list_add(list, options.topic.c_str(), static_cast<std::int32_t>(p))->offset = offset;
  }
  auto error = rd_kafka_assign(consumer.get(), list);
  rd_kafka_topic_partition_list_destroy(list);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) die(rd_kafka_err2str(error));
}

std::string value_of_size(std::size_t size) {
  std::string value(size, 'x');
  for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>('a' + (i * 31 + i / 7) % 26);
  return value;
}

// --- figures ---------------------------------------------------------------------------------------------------------
void Latencies::take(Latencies& other) {
  values_.insert(values_.end(), other.values_.begin(), other.values_.end());
  other.values_.clear();
  sorted_ = false;
}

double Latencies::at(double share) {
  if (values_.empty()) return 0;
  if (!sorted_) std::sort(values_.begin(), values_.end());
  sorted_ = true;
  auto last = static_cast<double>(values_.size() - 1);
  return static_cast<double>(values_[static_cast<std::size_t>(share * last + 0.5)]);
}

void Figures::name(const char* name) {
  json_ += json_.empty() ? "\"" : ", \"";
  json_ += name;
  json_ += "\": ";
}

void Figures::text(const char* key, const std::string& value) {
  name(key);
  json_ += "\"" + value + "\"";
}

void Figures::number(const char* key, double value, int digits) {
  char out[64];
  std::snprintf(out, sizeof out, "%.*f", digits, value);
  name(key);
  json_ += out;
}

void Figures::latencies(Latencies& of) {
  number("samples", static_cast<double>(of.count()), 0);
  number("p50_ms", of.at(0.5));
  number("p99_ms", of.at(0.99));
  number("p999_ms", of.at(0.999));
  number("worst_ms", of.worst());
  name("curve");
  json_ += "[";
  for (double share : {0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999, 1.0}) {
    char out[64];
    std::snprintf(out, sizeof out, "%s[%.4f, %.3f]", json_.back() == '[' ? "" : ", ", share, of.at(share));
    json_ += out;
  }
  json_ += "]";
}

void Figures::print() const { std::printf("{%s}\n", json_.c_str()); }

Window::Window(int broker_pid) : broker_pid_(broker_pid), client_(0), broker_(broker_pid) {}

void Window::begin(const std::vector<const Handle*>& clients) {
  requests_.clear();
  for (const auto* client : clients) requests_.push_back(client->requests());
  client_cpu_ = client_.seconds();
  broker_cpu_ = broker_.seconds();
  began_ = Clock::now();
}

void Window::end(const std::vector<const Handle*>& clients, Moment at) {
  ended_ = at;
  client_cpu_ = client_.seconds() - client_cpu_;
  broker_cpu_ = broker_.seconds() - broker_cpu_;
  client_memory_ = resident_megabytes(0);
  broker_memory_ = resident_megabytes(broker_pid_);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    auto now = clients[i]->requests();
    auto took = seconds_between(requests_[i].at == Moment{} ? began_ : requests_[i].at, now.at);
    if (took > 0) requests_per_s_ += static_cast<double>(now.count - requests_[i].count) / took;
  }
}

void Window::report(Figures& figures, double bytes) const {
  figures.number("seconds", seconds());
  figures.number("megabytes", bytes / 1048576, 1);
  figures.number("mb_per_s", bytes / 1048576 / seconds(), 1);
  figures.number("requests_per_s", requests_per_s_, 0);
  figures.number("client_cpu_s", client_cpu_);
  figures.number("client_cores", client_cpu_ / seconds());
  figures.number("client_rss_mb", client_memory_, 1);
  if (broker_pid_ == 0) return;
  figures.number("broker_cpu_s", broker_cpu_);
  figures.number("broker_cores", broker_cpu_ / seconds());
  figures.number("broker_cpu_s_per_gib", broker_cpu_ / (bytes / 1073741824));
  figures.number("broker_rss_mb", broker_memory_, 1);
}

}  // namespace load
