#include "broker/base/log.h"

#include <atomic>
#include <cstdio>
#include <ctime>

namespace forelog {
namespace {

std::atomic<LogLevel> g_level{LogLevel::info};
LogSink& sink() {
  static LogSink instance;
  return instance;
}

constexpr std::string_view kNames[] = {"debug", "info", "warn", "error"};

void append_value(std::string& line, std::string_view value) {
  if (!value.empty() && value.find_first_of(" \"=\n\r\t") == std::string_view::npos) {
    line += value;
    return;
  }
  line += '"';
  for (char c : value) {
    // What others sent may be in here: a line stays one line, and a terminal shows no escape of theirs.
    if (c == '"' || c == '\\') line += '\\';
    line += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  line += '"';
}

}  // namespace

void set_log_level(LogLevel level) { g_level.store(level, std::memory_order_relaxed); }
void set_log_sink(LogSink s) { sink() = std::move(s); }

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  if (level < g_level.load(std::memory_order_relaxed)) return;
  std::string line;
  line += kNames[static_cast<int>(level)];
  line += ' ';
  line += event;
  for (const auto& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    append_value(line, field.value);
  }
  if (sink()) return sink()(level, line);
  // The only clock outside env/real: a log line tells people when, and no decision hangs on it.
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  char stamp[40];
  std::snprintf(stamp, sizeof stamp, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ ", parts.tm_year + 1900, parts.tm_mon + 1,
                parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, now.tv_nsec / 1000000);
  std::string whole = stamp + line + "\n";
  std::fwrite(whole.data(), 1, whole.size(), stderr);
}

}  // namespace forelog
