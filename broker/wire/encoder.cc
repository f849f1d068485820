#include "broker/wire/encoder.h"

#include <algorithm>
#include <limits>

namespace forelog::wire {

Slices Encoder::finish() && {
  const Buffer own = std::move(out_).take_buffer();
  Slices slices;
  slices.reserve(2 * splices_.size() + 1);
  std::size_t from = 0;
  for (const Splice& splice : splices_) {
    if (splice.at > from) slices.push_back(own.slice(from, splice.at - from));
    from = splice.at;
    for (const Buffer& records : *splice.slices) {
      if (!records.empty()) slices.push_back(records);
    }
  }
  if (own.size() > from || slices.empty()) slices.push_back(own.slice(from));
  return slices;
}

void Encoder::composite(const std::string& in, const FieldNotes&) {
  // 16 bits are all that a classic length has. Only what we invent can be longer (a member id made of a long client
  // id), as what arrived in this encoding came with such a length.
  const std::size_t longest = flexible_ ? std::numeric_limits<std::int32_t>::max() - 1 : 32767;
  const std::string_view text = std::string_view(in).substr(0, longest);
  if (flexible_) {
    out_.uvarint(static_cast<std::uint32_t>(text.size()) + 1);
  } else {
    out_.i16(static_cast<std::int16_t>(text.size()));
  }
  out_.text(text);
}
void Encoder::composite(const Buffer& in, const FieldNotes&) {
  length(in.size());
  out_.bytes(in);
}
void Encoder::composite(const Records& in, const FieldNotes&) {
  if (in.is_null) return null();
  const Bytes size = in.size();
  length(static_cast<std::size_t>(size));
  if (size == 0) return;
  splices_.push_back({out_.size(), &in.slices});
  spliced_size_ += size;
}

void Encoder::write_tags(TaggedFields present) {
  std::ranges::sort(present, {}, [](const auto& field) { return field.first; });
  out_.uvarint(static_cast<std::uint32_t>(present.size()));
  for (const auto& [number, content] : present) {
    out_.uvarint(static_cast<std::uint32_t>(number));
    out_.uvarint(static_cast<std::uint32_t>(content.size()));
    out_.text(content);
  }
}

void Encoder::length(std::size_t size) {
  CHECK(size < static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
  if (flexible_) {
    out_.uvarint(static_cast<std::uint32_t>(size) + 1);
  } else {
    out_.i32(static_cast<std::int32_t>(size));
  }
}

}  // namespace forelog::wire
