// log.h: one structured line for one event, to standard error: `time level event key=value …`.
//
// Any thread may call. Values with spaces are quoted. An `error` line fails a test: it means that somebody should look.
#pragma once

#include "broker/base/result.h"
#include "broker/base/strong_type.h"

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

namespace forelog {

enum class LogLevel : std::uint8_t { debug, info, warn, error };
using enum LogLevel;

// One `key=value` of a line. Everything that has a text can be a value.
struct LogField {
  std::string_view key;
  std::string value;

  LogField(std::string_view k, std::string v) : key(k), value(std::move(v)) {}
  LogField(std::string_view k, std::string_view v) : key(k), value(v) {}
  LogField(std::string_view k, const char* v) : key(k), value(v) {}
  LogField(std::string_view k, const Error& v) : key(k), value(v.text()) {}
  template <class T>
    requires std::is_arithmetic_v<T>
  LogField(std::string_view k, T v) : key(k), value(std::to_string(v)) {}
  template <class Tag, class Rep>
  LogField(std::string_view k, const StrongType<Tag, Rep>& v) : LogField(k, v.value()) {}
  template <class T>
    requires requires(const T& v) { std::string{v.text()}; }
  LogField(std::string_view k, const T& v) : key(k), value(v.text()) {}
};

void log_line(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// Lines below `level` are dropped. Set once, before threads start.
void set_log_level(LogLevel level);

// Tests and the simulator take the lines instead of standard error. An empty function restores it. Not thread-safe:
// set while nothing logs.
using LogSink = std::function<void(LogLevel, std::string_view line)>;
void set_log_sink(LogSink sink);

}  // namespace forelog
