#include "broker/base/json.h"

// The library's sources, compiled here and nowhere else.
#include "broker/base/check.h"

#include <cmath>

#include <boost/json/src.hpp>

namespace forelog::detail {

namespace json = boost::json;

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      constexpr std::string_view kDigits = "0123456789abcdef";
      out += "\\u00";
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[c & 0xf];
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_json_double(std::string& out, double value) {
  if (!std::isfinite(value)) {  // JSON has no word for it
    out += "null";
    return;
  }
  char text[32];
  auto [end, error] = std::to_chars(text, text + sizeof text, value);
  CHECK(error == std::errc{});
  out.append(text, end);
}

bool JsonView::is_null() const { return value_->is_null(); }
bool JsonView::is_array() const { return value_->is_array(); }
bool JsonView::is_object() const { return value_->is_object(); }

std::optional<bool> JsonView::boolean() const {
  if (!value_->is_bool()) return std::nullopt;
  return value_->get_bool();
}

std::optional<std::int64_t> JsonView::integer() const {
  if (value_->is_int64()) return value_->get_int64();
  if (!value_->is_string()) return std::nullopt;
  return json_key_from<std::int64_t>(*string());
}

std::optional<double> JsonView::real() const {
  if (value_->is_double()) return value_->get_double();
  if (value_->is_int64()) return static_cast<double>(value_->get_int64());
  if (value_->is_uint64()) return static_cast<double>(value_->get_uint64());
  return std::nullopt;
}

std::optional<std::string_view> JsonView::string() const {
  if (!value_->is_string()) return std::nullopt;
  return std::string_view(value_->get_string().data(), value_->get_string().size());
}

std::size_t JsonView::size() const { return is_array() ? value_->get_array().size() : value_->get_object().size(); }
JsonView JsonView::element(std::size_t index) const { return JsonView(value_->get_array()[index]); }

std::pair<std::string_view, JsonView> JsonView::entry(std::size_t index) const {
  const auto& pair = value_->get_object().begin()[index];
  return {std::string_view(pair.key().data(), pair.key().size()), JsonView(pair.value())};
}

std::optional<JsonView> JsonView::member(std::string_view name) const {
  const auto* found = value_->get_object().if_contains(json::string_view(name.data(), name.size()));
  if (found == nullptr) return std::nullopt;
  return JsonView(*found);
}

Result<JsonDocument> JsonDocument::parse(std::string_view text) {
  if (text.size() > kJsonTextMax) return fail(ErrorCode::kMalformed, "more than 4 MiB of JSON");
  json::parse_options options;
  options.max_depth = kJsonDepthMax;
  boost::system::error_code error;
  auto value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error) return fail(ErrorCode::kMalformed, "JSON: " + error.message());
  JsonDocument document;
  document.value_ = std::make_shared<const json::value>(std::move(value));
  return document;
}

}  // namespace forelog::detail
