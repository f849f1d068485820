// field_notes.h: what a wire message's field list says beside name and member.
//
//   field("topic_id", m.topic_id, since(13));
//   field("topic", m.topic, until(12));
//   field("rack", m.rack, since(1), nullable_from(2));      // a std::optional; without the note null is always legal
//   field("current_leader", m.current_leader, tag(1, 12));  // in the tag section, from version 12 on
//
// A field without notes is in every version. Outside its versions a field keeps its default when decoded and is left
// out when encoded; in front of the tag section fields stand in the order of the list. Compact or classic lengths
// follow from the version of the whole message, never from a field.
#pragma once

#include "broker/base/fields.h"

#include <cstdint>
#include <limits>

namespace forelog::wire {

using Version = std::int16_t;
inline constexpr Version kVersionMax = std::numeric_limits<Version>::max();
inline constexpr Version kNever = kVersionMax;  // as "flexible since"

struct Since {
  Version version;
};
struct Until {
  Version version;  // the last one with the field
};
struct Tag {
  std::int32_t number;
  Version since;
};
struct NullableFrom {
  Version version;
};

constexpr Since since(int version) { return {static_cast<Version>(version)}; }
constexpr Until until(int version) { return {static_cast<Version>(version)}; }
constexpr Tag tag(int number, int since_version) { return {number, static_cast<Version>(since_version)}; }
constexpr NullableFrom nullable_from(int version) { return {static_cast<Version>(version)}; }

// All notes of one field, resolved. Extras of other walkers are ignored.
struct FieldNotes {
  Version since = 0;
  Version until = kVersionMax;
  Version nullable_from = 0;
  std::int32_t tag = -1;  // -1: an ordinary field

  constexpr bool in(Version version) const { return version >= since && version <= until; }
  constexpr bool is_tagged() const { return tag >= 0; }
};

template <class... Extras>
constexpr FieldNotes notes_of(const Extras&... extras) {
  FieldNotes notes;
  const Tag tagged = extra_or(Tag{-1, 0}, extras...);
  notes.tag = tagged.number;
  notes.since = tagged.number >= 0 ? tagged.since : extra_or(Since{0}, extras...).version;
  notes.until = extra_or(Until{kVersionMax}, extras...).version;
  notes.nullable_from = extra_or(NullableFrom{0}, extras...).version;
  return notes;
}

// Whether the field list of T has tagged fields at all; most have none, and their walkers skip a pass.
template <Described T>
consteval bool has_tags() {
  bool found = false;
  T::fields(::forelog::detail::unread<T>.value,
            [&found](const char*, auto&, const auto&... extras) { found = found || notes_of(extras...).is_tagged(); });
  return found;
}

}  // namespace forelog::wire
