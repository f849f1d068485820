#include "broker/wire/printer.h"

namespace forelog::wire {

std::string printable(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
    } else {
      out += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  }
  return out;
}

void Printer::composite(const TopicId& in) { text(in.text()); }
void Printer::composite(const std::string& in) { text(printable(in)); }
void Printer::composite(const Buffer& in) { text("<" + std::to_string(in.size()) + " bytes>"); }
void Printer::composite(const Records& in) {
  text(in.is_null ? "null" : "<" + std::to_string(in.size()) + " bytes of records>");
}

void Printer::text(std::string_view text) { out_ += text; }
void Printer::number(std::int64_t value) { out_ += std::to_string(value); }
void Printer::number(double value) { out_ += std::to_string(value); }

void Printer::begin_field(const char* name, bool& first) {
  if (!first) out_ += ", ";
  first = false;
  out_ += name;
  out_ += '=';
}

}  // namespace forelog::wire
