// random_message.h: a message with random contents in exactly those fields that a version has, and one that differs in
// one of them.
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

// What a message mostly says when it is meant to be understood: names that exist, small numbers, real batches.
struct Vocabulary {
  std::vector<std::string> texts;
  std::vector<TopicId> topics;
  std::vector<Buffer> records;
};

class RandomMessage {
 public:
  RandomMessage(env::Random& random, Version version, const Vocabulary* vocabulary = nullptr)
      : random_(random), version_(version), vocabulary_(vocabulary) {}

  template <Described T>
  T make() {
    T message;
    fill(message, FieldNotes{});
    return message;
  }

  // Changes one thing in `message`: a field gets another value; an element of a list comes, goes or is doubled.
  template <Described T>
  void change(T& message) {
    places_ = 0;
    chosen_ = std::numeric_limits<std::uint64_t>::max();
    walk(message, FieldNotes{});
    chosen_ = below(places_);
    places_ = 0;
    walk(message, FieldNotes{});
  }

 private:
  // Counts the places where something could change, and changes the chosen one.
  template <class T>
  void walk(T& out, const FieldNotes& notes) {
    if (places_++ == chosen_) return alter(out, notes);
    if constexpr (Described<T>) {
      for_each_field(out, [&](const char*, auto& member, const auto&... extras) {
        const FieldNotes inner = notes_of(extras...);
        if (inner.in(version_)) walk(member, inner);
      });
    } else if constexpr (requires { out.push_back(out.front()); } && !std::is_same_v<T, std::string>) {
      for (auto& element : out) walk(element, FieldNotes{});
    } else if constexpr (requires { out.has_value(); }) {
      if (out) walk(*out, FieldNotes{});
    }
  }
  template <class T>
  void alter(T& out, const FieldNotes& notes) {
    fill(out, notes);
  }
  template <class T>
  void alter(std::vector<T>& out, const FieldNotes& notes) {
    if (out.empty() || one_in(4)) return fill(out, notes);
    auto at = out.begin() + static_cast<std::ptrdiff_t>(below(out.size()));
    if (one_in(2)) {
      auto copy = *at;
      out.insert(at, std::move(copy));
    } else {
      out.erase(at);
    }
  }

  std::uint64_t below(std::uint64_t bound) { return random_.below(bound); }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  // Whether the next value comes from the vocabulary.
  bool known() { return vocabulary_ != nullptr && !one_in(10); }
  template <class T>
  const T& pick(const std::vector<T>& values) {
    return values[below(values.size())];
  }

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
      if (known()) return void(out = static_cast<T>(static_cast<std::int64_t>(below(7)) - 2));
      const T edges[] = {0, static_cast<T>(-1), std::numeric_limits<T>::min(), std::numeric_limits<T>::max()};
      out = one_in(3) ? edges[below(4)] : static_cast<T>(random_.next());
    } else {
      composite(out, notes);
    }
  }
  void composite(WireError& out, const FieldNotes&) { out.code = static_cast<std::int16_t>(random_.next()); }
  void composite(TopicId& out, const FieldNotes&) {
    if (known() && !vocabulary_->topics.empty()) return void(out = pick(vocabulary_->topics));
    for (auto& byte : out.bytes) byte = static_cast<std::uint8_t>(random_.next());
  }
  void composite(std::string& out, const FieldNotes&) { out = known() ? pick(vocabulary_->texts) : text(); }
  void composite(Buffer& out, const FieldNotes&) { out = Buffer::take(text()); }
  void composite(Records& out, const FieldNotes&) {
    if (known()) return void(out = Records(pick(vocabulary_->records)));
    out.is_null = one_in(4);
    for (auto n = out.is_null ? 0 : below(3); n > 0; --n) out.slices.push_back(Buffer::take(text()));
  }
  template <class T>
  void composite(std::vector<T>& out, const FieldNotes&) {
    for (auto n = one_in(50) && !known() ? 130 : below(4); n > 0; --n) fill(out.emplace_back(), FieldNotes{});
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
  const Vocabulary* vocabulary_;
  std::uint64_t places_ = 0, chosen_ = 0;
};

}  // namespace forelog::wire
