// random_message.h: a message with random contents in exactly those fields that a version has.
#pragma once

#include "broker/base/ids.h"
#include "broker/env/random.h"
#include "broker/wire/field_notes.h"
#include "broker/wire/types.h"

#include <limits>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace forelog::wire {

class RandomMessage {
 public:
  RandomMessage(env::Random& random, Version version) : random_(random), version_(version) {}

  template <Described T>
  T make() {
    T message;
    fill(message, FieldNotes{});
    return message;
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }

  // Mostly short, now and then long enough for two-byte compact lengths.
  std::string text() {
    std::string out(one_in(20) ? 100 + below(300) : below(8), ' ');
    for (char& c : out) c = static_cast<char>(random_.next());
    return out;
  }

  template <class T>
  void fill(T& out, const FieldNotes& notes) {
    if constexpr (is_strong_type<T>) {
      typename T::rep raw{};
      fill(raw, notes);
      out = T(std::move(raw));
    } else if constexpr (std::is_same_v<T, bool>) {
      out = one_in(2);
    } else if constexpr (std::is_same_v<T, double>) {
      out = static_cast<double>(random_.next());
    } else if constexpr (std::is_integral_v<T>) {
      const T edges[] = {0, static_cast<T>(-1), std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
      out = one_in(3) ? edges[below(4)] : static_cast<T>(random_.next());
    } else {
      composite(out, notes);
    }
  }
  void composite(WireError& out, const FieldNotes&) { out.code = static_cast<std::int16_t>(random_.next()); }
  void composite(TopicId& out, const FieldNotes&) {
    for (auto& byte : out.bytes) byte = static_cast<std::uint8_t>(random_.next());
  }
  void composite(std::string& out, const FieldNotes&) { out = text(); }
  void composite(Buffer& out, const FieldNotes&) { out = Buffer::take(text()); }
  void composite(Records& out, const FieldNotes&) {
    out.is_null = one_in(4);
    for (auto n = out.is_null ? 0 : below(3); n > 0; --n) out.slices.push_back(Buffer::take(text()));
  }
  template <class T>
  void composite(std::vector<T>& out, const FieldNotes&) {
    for (auto n = one_in(50) ? 130 : below(4); n > 0; --n) fill(out.emplace_back(), FieldNotes{});
  }
  template <class T>
  void composite(std::optional<T>& out, const FieldNotes& notes) {
    if (version_ < notes.nullable_from || !one_in(3)) fill(out.emplace(), FieldNotes{});
  }
  template <Described T>
  void composite(T& out, const FieldNotes&) {
    for_each_field(out, [&](const char*, auto& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      if (notes.in(version_) && !(notes.is_tagged() && one_in(2))) fill(member, notes);
    });
  }

  env::Random& random_;
  Version version_;
};

}  // namespace forelog::wire
