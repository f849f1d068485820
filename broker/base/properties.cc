#include "broker/base/settings.h"

#include <cstddef>

namespace forelog {
namespace {

constexpr std::string_view kBlank = " \t\f";
constexpr std::string_view kLineEnds = "\r\n";

// One logical line: leading blank dropped, lines that end with an odd number of backslashes joined to the next.
// Comments and empty lines are skipped; `text` moves on. False at the end.
bool next_line(std::string_view& text, std::string& line) {
  line.clear();
  bool joined = false;
  while (!text.empty()) {
    auto size = std::min(text.find_first_of(kLineEnds), text.size());
    auto natural = text.substr(0, size);
    text.remove_prefix(size);
    if (text.starts_with("\r\n")) text.remove_prefix(1);
    if (!text.empty()) text.remove_prefix(1);

    natural.remove_prefix(std::min(natural.find_first_not_of(kBlank), natural.size()));
    if (!joined && (natural.empty() || natural[0] == '#' || natural[0] == '!')) continue;
    auto backslashes = natural.size() - (natural.find_last_not_of('\\') + 1);
    bool continues = backslashes % 2 == 1;
    if (continues) natural.remove_suffix(1);
    line += natural;
    if (!continues) return true;
    joined = true;
  }
  return joined;
}

void append_utf8(std::string& out, unsigned code) {
  if (code < 0x80) {
    out += static_cast<char>(code);
  } else if (code < 0x800) {
    out += static_cast<char>(0xc0 | (code >> 6));
    out += static_cast<char>(0x80 | (code & 0x3f));
  } else {
    out += static_cast<char>(0xe0 | (code >> 12));
    out += static_cast<char>(0x80 | ((code >> 6) & 0x3f));
    out += static_cast<char>(0x80 | (code & 0x3f));
  }
}

Result<std::string> unescape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    char c = text.front();
    text.remove_prefix(1);
    if (c != '\\' || text.empty()) {
      out += c;
      continue;
    }
    char escaped = text.front();
    text.remove_prefix(1);
    if (escaped == 'u') {
      unsigned code = 0;
      for (int i = 0; i < 4; ++i) {
        constexpr std::string_view kDigits = "0123456789abcdef";
        auto digit = text.empty() ? std::string_view::npos : kDigits.find(static_cast<char>(text.front() | 0x20));
        if (digit == std::string_view::npos || text.front() < '0') {
          return fail(ErrorCode::kMalformed, "an escape \\u without four hexadecimal digits");
        }
        code = code * 16 + static_cast<unsigned>(digit);
        text.remove_prefix(1);
      }
      append_utf8(out, code);
    } else {
      constexpr std::string_view kNames = "tnrf", kValues = "\t\n\r\f";
      auto at = kNames.find(escaped);
      out += at == std::string_view::npos ? escaped : kValues[at];
    }
  }
  return out;
}

// Where the key ends: at the first blank, '=' or ':' without a backslash before it.
std::size_t key_end(std::string_view line) {
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\\')
      ++i;
    else if (line[i] == '=' || line[i] == ':' || kBlank.contains(line[i]))
      return i;
  }
  return line.size();
}

std::string escape(std::string_view text, bool key) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    bool at_edge = i == 0 || i + 1 == text.size();
    bool special = c == '\\' || ((c == '#' || c == '!') && out.empty()) ||
                   (key && (c == '=' || c == ':' || c == ' ')) || (c == ' ' && at_edge);
    if (c == '\n')
      out += "\\n";
    else if (c == '\r')
      out += "\\r";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\f')
      out += "\\f";
    else
      out += special ? std::string{'\\', c} : std::string{c};
  }
  return out;
}

std::string_view trimmed_end(std::string_view text) {
  while (!text.empty() && kBlank.contains(text.back())) {
    // A blank behind a backslash is meant; one behind two is not.
    auto before = text.substr(0, text.size() - 1);
    auto last_other = before.find_last_not_of('\\');
    auto backslashes = before.size() - (last_other == std::string_view::npos ? 0 : last_other + 1);
    if (backslashes % 2 == 1) break;
    text = before;
  }
  return text;
}

}  // namespace

Result<SettingMap> parse_properties(std::string_view text) {
  if (text.size() > kSettingsTextMax) return fail(ErrorCode::kMalformed, "a settings file of more than 1 MiB");
  SettingMap settings;
  std::string line;
  while (next_line(text, line)) {
    std::string_view rest = line;
    auto key = rest.substr(0, key_end(rest));
    rest.remove_prefix(key.size());
    rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
    if (!rest.empty() && (rest[0] == '=' || rest[0] == ':')) rest.remove_prefix(1);
    rest.remove_prefix(std::min(rest.find_first_not_of(kBlank), rest.size()));
    // Java keeps blanks at the end of a value; Kafka's ConfigDef trims them.
    settings[TRY(unescape(key))] = TRY(unescape(trimmed_end(rest)));
  }
  return settings;
}

std::string properties_text(const SettingMap& settings) {
  std::string out;
  for (const auto& [key, value] : settings) out += escape(key, true) + "=" + escape(value, false) + "\n";
  return out;
}

Result<void> apply_override(SettingMap& settings, std::string_view assignment) {
  auto equals = assignment.find('=');
  if (equals == std::string_view::npos || equals == 0) {
    return fail(ErrorCode::kInvalidSetting, "--set " + std::string(assignment) + ": not of the form key=value");
  }
  settings[std::string(assignment.substr(0, equals))] = assignment.substr(equals + 1);
  return {};
}

}  // namespace forelog
