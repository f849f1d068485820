#include "broker/cli/json_text.h"

namespace forelog::cli {
namespace {

// Position after the string that begins at `at`, or the end.
std::size_t after_string(std::string_view text, std::size_t at) {
  for (++at; at < text.size(); ++at) {
    if (text[at] == '\\')
      ++at;
    else if (text[at] == '"')
      return at + 1;
  }
  return text.size();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  auto from = text.find_first_not_of(kBlank);
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(kBlank) - from + 1);
}

// Calls `visit(part)` for each comma-separated part of what lies between the brackets at the ends of `text`.
template <class Visit>
void for_each_part(std::string_view text, Visit visit) {
  int depth = 0;
  std::size_t from = 1;
  for (std::size_t at = 0; at < text.size();) {
    char c = text[at];
    if (c == '"') {
      at = after_string(text, at);
      continue;
    }
    if (c == '[' || c == '{') ++depth;
    bool ends = (c == ']' || c == '}') && --depth == 0;
    if (ends || (c == ',' && depth == 1)) {
      if (auto part = trimmed(text.substr(from, at - from)); !part.empty()) visit(part);
      from = at + 1;
    }
    ++at;
    if (ends) return;
  }
}

std::string unquoted(std::string_view text) {
  if (text.size() < 2 || text.front() != '"') return std::string(text);
  std::string out;
  for (std::size_t i = 1; i + 1 < text.size(); ++i) {
    if (text[i] != '\\') {
      out += text[i];
      continue;
    }
    char c = text[++i];
    out += c == 'n' ? '\n' : c == 't' ? '\t' : c;
  }
  return out;
}

}  // namespace

std::vector<std::string_view> elements(std::string_view text) {
  std::vector<std::string_view> out;
  text = trimmed(text);
  std::size_t at = 0;
  // The outermost array, not one inside a string or inside the objects of JSON lines.
  bool lines = text.find("}\n{") != std::string_view::npos;
  while (!lines && at < text.size() && text[at] != '[') at = text[at] == '"' ? after_string(text, at) : at + 1;
  if (!lines && at < text.size()) {
    for_each_part(text.substr(at), [&out](std::string_view part) { out.push_back(part); });
    return out;
  }
  while (!text.empty()) {
    auto end = text.find('\n');
    if (auto line = trimmed(text.substr(0, end)); !line.empty()) out.push_back(line);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
  }
  return out;
}

std::string member(std::string_view object, std::string_view name) {
  std::string found;
  for_each_part(trimmed(object), [&](std::string_view part) {
    if (part.front() != '"') return;
    auto end = after_string(part, 0);
    auto colon = part.find(':', end);
    if (colon == std::string_view::npos || part.substr(1, end - 2) != name) return;
    found = unquoted(trimmed(part.substr(colon + 1)));
  });
  return found;
}

}  // namespace forelog::cli
