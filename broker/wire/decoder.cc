#include "broker/wire/decoder.h"

namespace forelog::wire {

void Decoder::composite(std::string& out, const FieldNotes&) { take(out, present(string_length())); }
void Decoder::composite(Buffer& out, const FieldNotes&) { take(out, present(length())); }
void Decoder::composite(Records& out, const FieldNotes&) {
  const std::int64_t size = length();
  out.is_null = size < 0;
  if (size <= 0) return;
  Buffer bytes;
  take(bytes, size);
  if (in_.ok()) out.slices.push_back(std::move(bytes));
}

void Decoder::take(std::string& out, std::int64_t size) { out.assign(in_.text(size)); }
void Decoder::take(Buffer& out, std::int64_t size) {
  const ByteView bytes = in_.bytes(size);
  if (!bytes.empty()) out = frame_.slice(static_cast<std::size_t>(bytes.data() - frame_.data()), bytes.size());
}

bool Decoder::has_room_for(std::int64_t count, std::int64_t wire_size_min, std::int64_t memory_size) {
  if (count < 0 || count > static_cast<std::int64_t>(in_.remaining()) / wire_size_min) return false;
  if (count > array_memory_left_ / memory_size) return false;
  array_memory_left_ -= count * memory_size;
  return true;
}

std::int64_t Decoder::string_length() {
  const std::int64_t size = flexible_ ? std::int64_t{in_.uvarint()} - 1 : in_.i16();
  if (size < -1) in_.fail();
  return in_.ok() ? size : 0;
}
std::int64_t Decoder::length() {
  const std::int64_t size = flexible_ ? std::int64_t{in_.uvarint()} - 1 : in_.i32();
  if (size < -1) in_.fail();
  return in_.ok() ? size : 0;
}
std::int64_t Decoder::present(std::int64_t size) {
  if (size < 0) in_.fail();
  return in_.ok() ? size : 0;
}

Decoder::TagSection Decoder::begin_tags(std::uint8_t first) {
  TagSection section;
  section.left = first & 0x7fU;
  if ((first & 0x80U) != 0) {
    const std::uint32_t rest = in_.uvarint();
    if (rest > in_.remaining() / 256) in_.fail();  // 128 tags each, of two bytes at least
    section.left |= rest << 7U;
  }
  if (!in_.ok()) note_path("tags");
  return section;
}

bool Decoder::next(TagSection& section) {
  if (section.left == 0 || !in_.ok()) return false;
  --section.left;
  section.number = in_.uvarint();
  section.content = in_.bytes(in_.uvarint());
  if (section.number <= section.last) in_.fail();  // KIP-482: ascending, hence no tag twice
  section.last = section.number;
  if (!in_.ok()) note_path("tags");
  return in_.ok();
}

void Decoder::note_path(std::string_view step) {
  const bool dot = !path_.empty() && path_.front() != '[';
  path_.insert(0, dot ? std::string(step) + "." : std::string(step));
}
void Decoder::note_index(std::int64_t index) { note_path("[" + std::to_string(index) + "]"); }

Error Decoder::error() const {
  if (in_.ok()) return {ErrorCode::kMalformed, std::to_string(in_.remaining()) + " bytes after the message"};
  return {ErrorCode::kMalformed, "field " + path_};
}

}  // namespace forelog::wire
