// decoder.h: bytes → message, following the message's field list.
//
// Made for hostile input. It never reads past the frame, never makes room for more elements than the bytes left could
// hold, and caps the memory that arrays of one message may take. Depth is bounded by the types: no message contains
// itself. Unknown tags are skipped; bytes left over are an error. `bytes` and `records` stay slices of the frame.
#pragma once

#include "broker/base/byte_reader.h"
#include "broker/base/ids.h"
#include "broker/wire/field_notes.h"
#include "broker/wire/types.h"

#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace forelog::wire {

// A one-byte element on the wire may be a hundred bytes in memory; this bounds what a frame can blow up to. 200,000
// partitions of a Metadata response take a quarter of it.
inline constexpr Bytes kArrayMemoryMax = 128_MiB;

class Decoder {
 public:
  Decoder(Buffer frame, Version version, bool flexible)
      : frame_(std::move(frame)), in_(frame_.view()), version_(version), flexible_(flexible) {}

  enum class Rest : std::uint8_t { kRefused, kIgnored };

  // The message that fills the frame, exactly unless the rest is ignored; else Malformed, with the path of the field
  // that did not fit.
  template <Described T>
  Result<T> message(Rest rest = Rest::kRefused) {
    Result<T> out{std::in_place};
    fields(*out);
    if (in_.ok() && (in_.at_end() || rest == Rest::kIgnored)) [[likely]]
      return out;
    return fail(error());
  }

 private:
  template <Described T>
  void fields(T& out) {
    for_each_field(out, [&](const char* name, auto& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      if (notes.is_tagged() || !notes.in(version_) || !in_.ok()) return;
      value(member, notes);
      if (!in_.ok()) [[unlikely]]
        note_path(name);
    });
    if (flexible_ && in_.ok()) tags(out);
  }

  template <Described T>
  void tags(T& out) {
    // Nearly every section is empty: one byte.
    const std::uint8_t first = in_.u8();
    if (first == 0 && in_.ok()) [[likely]]
      return;
    TagSection section = begin_tags(first);
    while (next(section)) {
      if constexpr (has_tags<T>()) known_tag(out, section.number, section.content);
    }
  }

  // Reads the field with this tag, if the version has one, from exactly `bytes`.
  template <Described T>
  void known_tag(T& out, std::uint32_t number, ByteView bytes) {
    for_each_field(out, [&](const char* name, auto& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      if (!notes.is_tagged() || static_cast<std::uint32_t>(notes.tag) != number || !notes.in(version_)) return;
      ByteReader outer = in_;
      in_ = ByteReader(bytes);
      value(member, notes);
      const bool fits = in_.ok() && in_.at_end();
      in_ = outer;
      if (fits) return;
      in_.fail();
      note_path(name);
    });
  }

  template <class T>
  void value(T& out, const FieldNotes& notes) {
    if constexpr (is_strong_type<T>) {
      typename T::rep raw{};
      value(raw, notes);
      out = T(std::move(raw));
    } else if constexpr (std::is_same_v<T, bool>) {
      out = in_.u8() != 0;
    } else if constexpr (std::is_integral_v<T>) {
      out = in_.integer<T>();
    } else if constexpr (std::is_enum_v<T>) {
      out = static_cast<T>(in_.integer<std::underlying_type_t<T>>());
    } else {
      composite(out, notes);
    }
  }
  void composite(double& out, const FieldNotes&) { out = in_.f64(); }
  void composite(WireError& out, const FieldNotes&) { out.code = in_.i16(); }
  void composite(TopicId& out, const FieldNotes&) {
    ByteView bytes = in_.bytes(static_cast<std::int64_t>(out.bytes.size()));
    if (!bytes.empty()) std::memcpy(out.bytes.data(), bytes.data(), bytes.size());
  }
  void composite(std::string& out, const FieldNotes&);
  void composite(Buffer& out, const FieldNotes&);
  void composite(Records& out, const FieldNotes&);
  template <class T>
  void composite(std::vector<T>& out, const FieldNotes&) {
    take(out, present(length()));
  }
  template <class T>
  void composite(std::optional<T>& out, const FieldNotes& notes) {
    if constexpr (Described<T>) {
      const bool present_here = version_ < notes.nullable_from || in_.i8() >= 0;
      if (present_here && in_.ok()) fields(out.emplace());
    } else {
      using Raw = typename RawOf<T>::type;
      const std::int64_t size = std::is_same_v<Raw, std::string> ? string_length() : length();
      if (size < 0) {
        if (version_ < notes.nullable_from) in_.fail();
        return;
      }
      Raw raw{};
      take(raw, size);
      out.emplace(std::move(raw));
    }
  }
  template <Described T>
  void composite(T& out, const FieldNotes&) {
    fields(out);
  }

  template <class T>
  struct RawOf {
    using type = T;
  };
  template <class TagType, class Rep>
  struct RawOf<StrongType<TagType, Rep>> {
    using type = Rep;
  };

  // Contents, once their length is known and found to lie inside the frame.
  void take(std::string& out, std::int64_t size);
  void take(Buffer& out, std::int64_t size);
  template <class T>
  void take(std::vector<T>& out, std::int64_t count) {
    constexpr std::int64_t wire_size_min = std::is_arithmetic_v<T> ? sizeof(T) : 1;
    if (!has_room_for(count, wire_size_min, sizeof(T))) return in_.fail();
    out.reserve(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      value(out.emplace_back(), FieldNotes{});
      if (!in_.ok()) [[unlikely]]
        return note_index(i);
    }
  }

  // Whether so many elements may come; if so, their memory is taken off the cap.
  bool has_room_for(std::int64_t count, std::int64_t wire_size_min, std::int64_t memory_size);

  // Lengths: -1 is null. Anything below is refused.
  std::int64_t string_length();
  std::int64_t length();
  // A length that must not be null.
  std::int64_t present(std::int64_t size);

  // The tags of a struct, one after the other; those that are out of order or do not fit fail.
  struct TagSection {
    std::uint32_t left = 0;
    std::int64_t last = -1;
    std::uint32_t number = 0;
    ByteView content;
  };
  TagSection begin_tags(std::uint8_t first);  // the byte of the count that has been read
  bool next(TagSection& section);

  // Called from the inside out while unwinding, so the path grows at its front.
  [[gnu::cold]] void note_path(std::string_view step);
  [[gnu::cold]] void note_index(std::int64_t index);
  [[gnu::cold]] Error error() const;

  Buffer frame_;
  ByteReader in_;
  Version version_;
  bool flexible_;
  std::int64_t array_memory_left_ = kArrayMemoryMax;
  std::string path_;
};

}  // namespace forelog::wire
