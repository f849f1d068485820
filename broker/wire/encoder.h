// encoder.h: message → slices, following the message's field list.
//
// Everything but records goes into one buffer; records are spliced in as the slices they are. What the version cannot
// say is left out: a field outside its versions is dropped, and null where null is not legal is sent as empty.
#pragma once

#include "broker/base/byte_writer.h"
#include "broker/base/ids.h"
#include "broker/wire/api_table.h"
#include "broker/wire/equal.h"
#include "broker/wire/field_notes.h"
#include "broker/wire/types.h"

#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace forelog::wire {

class Encoder {
 public:
  // With `api`, error codes pass through its column of allowed ones; without, they are written as they are.
  Encoder(Version version, bool flexible, const ApiRow* api = nullptr)
      : version_(version), flexible_(flexible), api_(api) {}

  ByteWriter& bytes() { return out_; }  // for what stands in front of a message: frame size, header

  // `message` must outlive `finish`.
  template <Described T>
  void message(const T& message) {
    fields(message);
  }

  Bytes size() const { return static_cast<Bytes>(out_.size()) + spliced_size_; }
  Slices finish() &&;

 private:
  template <Described T>
  void fields(const T& in) {
    for_each_field(in, [&](const char*, const auto& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      if (!notes.is_tagged() && notes.in(version_)) value(member, notes);
    });
    if (!flexible_) return;
    if constexpr (has_tags<T>()) {
      tags(in);
    } else {
      out_.u8(0);
    }
  }

  using TaggedFields = std::vector<std::pair<std::int32_t, std::string>>;

  // Kafka sends a tagged field only when it differs from its default.
  template <Described T>
  void tags(const T& in) {
    TaggedFields present;
    for_each_field(in, [&](const char*, const auto& member, const auto&... extras) {
      const FieldNotes notes = notes_of(extras...);
      if (!notes.is_tagged() || !notes.in(version_) || is_default(in, member)) return;
      Encoder inner(version_, flexible_, api_);
      inner.value(member, notes);
      CHECK(inner.splices_.empty());  // no tagged field holds records
      present.emplace_back(notes.tag, std::move(inner.out_).take());
    });
    write_tags(std::move(present));
  }
  void write_tags(TaggedFields present);

  template <class T>
  void value(const T& in, const FieldNotes& notes) {
    if constexpr (is_strong_type<T>) {
      value(in.value(), notes);
    } else if constexpr (std::is_same_v<T, bool>) {
      out_.u8(in ? 1 : 0);
    } else if constexpr (std::is_integral_v<T>) {
      out_.integer(in);
    } else if constexpr (std::is_enum_v<T>) {
      out_.integer(static_cast<std::underlying_type_t<T>>(in));
    } else {
      composite(in, notes);
    }
  }
  void composite(double in, const FieldNotes&) { out_.f64(in); }
  void composite(const WireError& in, const FieldNotes&) {
    out_.i16(api_ == nullptr ? in.code : code_to_send(*api_, version_, in.code));
  }
  void composite(const TopicId& in, const FieldNotes&) { out_.bytes(std::as_bytes(std::span(in.bytes))); }
  void composite(const std::string& in, const FieldNotes&);
  void composite(const Buffer& in, const FieldNotes&);
  void composite(const Records& in, const FieldNotes&);
  template <class T>
  void composite(const std::vector<T>& in, const FieldNotes&) {
    length(in.size());
    for (const T& element : in) value(element, FieldNotes{});
  }
  template <class T>
  void composite(const std::optional<T>& in, const FieldNotes& notes) {
    const bool null_is_legal = version_ >= notes.nullable_from;
    if constexpr (Described<T>) {
      if (null_is_legal) out_.i8(in ? 1 : -1);
      if (in || !null_is_legal) fields(in ? *in : default_of<T>);
    } else if (in) {
      value(*in, notes);
    } else if (null_is_legal) {
      null<T>();
    } else {
      value(T{}, notes);
    }
  }
  template <Described T>
  void composite(const T& in, const FieldNotes&) {
    fields(in);
  }

  void length(std::size_t size);
  template <class T = Buffer>
  void null() {
    if (flexible_) {
      out_.u8(0);
    } else if constexpr (is_text<T>) {
      out_.i16(-1);
    } else {
      out_.i32(-1);
    }
  }

  template <class T>
  static constexpr bool is_text = std::is_same_v<T, std::string>;
  template <class TagType>
  static constexpr bool is_text<StrongType<TagType, std::string>> = true;

  struct Splice {
    std::size_t at;
    const Slices* slices;
  };

  ByteWriter out_;
  std::vector<Splice> splices_;
  Bytes spliced_size_ = 0;
  Version version_;
  bool flexible_;
  const ApiRow* api_;
};

}  // namespace forelog::wire
