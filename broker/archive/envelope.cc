#include "broker/archive/envelope.h"

#include "broker/base/byte_reader.h"
#include "broker/base/byte_writer.h"
#include "broker/base/crc32c.h"
#include "broker/base/versions.h"

#include <string>

namespace forelog::archive {

Buffer seal(const Envelope& envelope, std::string_view text) {
  ByteWriter writer;
  writer.u32(envelope.magic);
  writer.i16(envelope.version);
  writer.u32(crc32c(as_bytes(text)));
  writer.text(text);
  return std::move(writer).take_buffer();
}

Result<std::string_view> open_sealed(const Envelope& envelope, ByteView bytes) {
  ByteReader reader(bytes);
  auto magic = reader.u32();
  auto version = reader.i16();
  auto checksum = reader.u32();
  if (!reader.ok() || magic != envelope.magic) {
    return fail(ErrorCode::kCorruptFile, "not a " + std::string(envelope.kind));
  }
  if (version != envelope.version) {
    return fail(ErrorCode::kCorruptFile, unknown_version(envelope.kind, version, envelope.version));
  }
  auto text = reader.bytes(static_cast<std::int64_t>(reader.remaining()));
  if (crc32c(text) != checksum) return fail(ErrorCode::kCorruptFile, "wrong checksum");
  return as_text(text);
}

}  // namespace forelog::archive
