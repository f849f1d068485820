#include "broker/log/compression.h"

#include "broker/base/byte_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <memory>
#include <string>

#include <lz4frame.h>
#include <snappy-c.h>
#include <zlib.h>
#include <zstd.h>

namespace forelog::log {
namespace {

constexpr std::array<std::string_view, 5> kNames = {"none", "gzip", "snappy", "lz4", "zstd"};
constexpr std::size_t kFirstRoom = 64 << 10;
// What Java's SnappyOutputStream (xerial) writes first: magic, version 1, compatible since 1.
constexpr std::string_view kXerialMagic("\x82SNAPPY\0", 8);
constexpr std::size_t kXerialHeader = 16;

std::unexpected<Error> corrupt(Codec codec, std::string what) {
  return fail(ErrorCode::kCorruptMessage, std::string(name_of(codec)) + ": " + std::move(what));
}

std::unexpected<Error> too_large(Codec codec, Bytes size_max) {
  return fail(ErrorCode::kMessageTooLarge,
              std::string(name_of(codec)) + ": more than " + std::to_string(size_max) + " bytes when opened");
}

// Output that grows by doubling, so that memory follows what the input really holds, not what it claims.
class Room {
 public:
  Room(std::size_t hint, Bytes size_max) : max_(static_cast<std::size_t>(std::max<Bytes>(size_max, 0))) {
    bytes_.resize(std::min(std::max(hint, std::size_t{1024}), max_));
  }
  char* free_at() { return bytes_.data() + used_; }
  std::size_t free_size() const { return bytes_.size() - used_; }
  void use(std::size_t n) { used_ += n; }
  bool grow() {
    if (bytes_.size() == max_) return false;
    bytes_.resize(std::min(max_, bytes_.size() * 2));
    return true;
  }
  Buffer take() && {
    bytes_.resize(used_);
    return Buffer::take(std::move(bytes_));
  }

 private:
  std::string bytes_;
  std::size_t used_ = 0;
  std::size_t max_;
};

Result<Buffer> open_gzip(ByteView bytes, Bytes size_max) {
  z_stream stream{};
  if (inflateInit2(&stream, 15 + 16) != Z_OK) return fail(ErrorCode::kOverloaded, "gzip: no memory");
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // NOLINT: zlib does not write it
  stream.avail_in = static_cast<uInt>(bytes.size());
  Room room(std::max(kFirstRoom, bytes.size() * 2), size_max);
  while (true) {
    if (room.free_size() == 0 && !room.grow()) return too_large(Codec::gzip, size_max);
    auto before = room.free_size();
    stream.next_out = reinterpret_cast<Bytef*>(room.free_at());  // NOLINT
    stream.avail_out = static_cast<uInt>(before);
    int status = inflate(&stream, Z_NO_FLUSH);
    room.use(before - stream.avail_out);
    if (status == Z_STREAM_END) {
      if (stream.avail_in == 0) return std::move(room).take();
      if (inflateReset(&stream) != Z_OK) return corrupt(Codec::gzip, "bad member");  // members may follow one another
      continue;
    }
    if (status != Z_OK && status != Z_BUF_ERROR) return corrupt(Codec::gzip, "not a gzip stream");
    if (stream.avail_in == 0 && stream.avail_out > 0) return corrupt(Codec::gzip, "cut off");
  }
}

Result<void> open_snappy_block(ByteView bytes, Room& room, Bytes size_max) {
  auto text = as_text(bytes);
  std::size_t size = 0;
  if (snappy_uncompressed_length(text.data(), text.size(), &size) != SNAPPY_OK)
    return corrupt(Codec::snappy, "no length");
  // A block holds at most 2^32-1 bytes and claims its size first; believe no more than snappy's best ratio allows.
  if (size > text.size() * 64 + 64) return corrupt(Codec::snappy, "claims an impossible size");
  while (room.free_size() < size) {
    if (!room.grow()) return too_large(Codec::snappy, size_max);
  }
  if (snappy_uncompress(text.data(), text.size(), room.free_at(), &size) != SNAPPY_OK) {
    return corrupt(Codec::snappy, "bad block");
  }
  room.use(size);
  return {};
}

Result<Buffer> open_snappy(ByteView bytes, Bytes size_max) {
  Room room(std::max(kFirstRoom, bytes.size() * 2), size_max);
  if (bytes.size() < kXerialHeader || std::memcmp(bytes.data(), kXerialMagic.data(), 8) != 0) {
    TRY(open_snappy_block(bytes, room, size_max));
    return std::move(room).take();
  }
  ByteReader in(bytes.subspan(kXerialHeader));
  while (!in.at_end()) {
    auto block = in.bytes(in.i32());
    if (!in.ok()) return corrupt(Codec::snappy, "a xerial block is cut off");
    TRY(open_snappy_block(block, room, size_max));
  }
  return std::move(room).take();
}

Result<Buffer> open_lz4(ByteView bytes, Bytes size_max) {
  LZ4F_dctx* context = nullptr;
  if (LZ4F_isError(LZ4F_createDecompressionContext(&context, LZ4F_VERSION)) != 0) {
    return fail(ErrorCode::kOverloaded, "lz4: no memory");
  }
  std::unique_ptr<LZ4F_dctx, LZ4F_errorCode_t (*)(LZ4F_dctx*)> guard(context, LZ4F_freeDecompressionContext);
  Room room(std::max(kFirstRoom, bytes.size() * 2), size_max);
  auto rest = as_text(bytes);
  std::size_t wanted = 1;  // 0 after a frame's end
  while (true) {
    if (room.free_size() == 0 && !room.grow()) {
      if (wanted == 0 && rest.empty()) return std::move(room).take();
      return too_large(Codec::lz4, size_max);
    }
    auto in_size = rest.size();
    auto out_size = room.free_size();
    wanted = LZ4F_decompress(context, room.free_at(), &out_size, rest.data(), &in_size, nullptr);
    if (LZ4F_isError(wanted) != 0) return corrupt(Codec::lz4, LZ4F_getErrorName(wanted));
    room.use(out_size);
    rest.remove_prefix(in_size);
    if (wanted == 0 && rest.empty()) return std::move(room).take();
    if (rest.empty() && room.free_size() > 0) return corrupt(Codec::lz4, "cut off");
  }
}

Result<Buffer> open_zstd(ByteView bytes, Bytes size_max) {
  std::unique_ptr<ZSTD_DStream, std::size_t (*)(ZSTD_DStream*)> stream(ZSTD_createDStream(), ZSTD_freeDStream);
  if (!stream) return fail(ErrorCode::kOverloaded, "zstd: no memory");
  // A frame may ask for a window of its own choice; no client uses more than 8 MiB by default, nor do we need to.
  ZSTD_DCtx_setParameter(stream.get(), ZSTD_d_windowLogMax, 27);
  Room room(std::max(kFirstRoom, bytes.size() * 2), size_max);
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  while (true) {
    if (room.free_size() == 0 && !room.grow()) return too_large(Codec::zstd, size_max);
    ZSTD_outBuffer out{room.free_at(), room.free_size(), 0};
    auto wanted = ZSTD_decompressStream(stream.get(), &out, &in);
    if (ZSTD_isError(wanted) != 0) return corrupt(Codec::zstd, ZSTD_getErrorName(wanted));
    room.use(out.pos);
    if (wanted == 0 && in.pos == in.size) return std::move(room).take();
    if (in.pos == in.size && out.pos < out.size) return corrupt(Codec::zstd, "cut off");
  }
}

Result<Buffer> pack_gzip(ByteView bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
    return fail(ErrorCode::kOverloaded, "gzip: no memory");
  }
  std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, deflateEnd);
  std::string out(deflateBound(&stream, bytes.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(bytes.data()));  // NOLINT: zlib does not write it
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());  // NOLINT
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) return fail(ErrorCode::kUnknown, "gzip: did not finish");
  out.resize(out.size() - stream.avail_out);
  return Buffer::take(std::move(out));
}

}  // namespace

std::string_view name_of(Codec codec) { return kNames[static_cast<std::size_t>(codec)]; }

Result<Buffer> decompress(Codec codec, ByteView bytes, Bytes size_max) {
  if (bytes.size() > 0x7fffffff) return corrupt(codec, "more bytes than a batch may have");
  switch (codec) {
    case Codec::none:
      return Buffer::copy_of(bytes);
    case Codec::gzip:
      return open_gzip(bytes, size_max);
    case Codec::snappy:
      return open_snappy(bytes, size_max);
    case Codec::lz4:
      return open_lz4(bytes, size_max);
    case Codec::zstd:
      return open_zstd(bytes, size_max);
  }
  return fail(ErrorCode::kUnsupportedCompressionType, "codec " + std::to_string(static_cast<int>(codec)));
}

Result<Buffer> compress(Codec codec, ByteView bytes) {
  auto text = as_text(bytes);
  std::string out;
  switch (codec) {
    case Codec::none:
      return Buffer::copy_of(bytes);
    case Codec::gzip:
      return pack_gzip(bytes);
    case Codec::snappy: {
      std::size_t size = snappy_max_compressed_length(text.size());
      out.resize(size);
      if (snappy_compress(text.data(), text.size(), out.data(), &size) != SNAPPY_OK) {
        return fail(ErrorCode::kUnknown, "snappy: did not compress");
      }
      out.resize(size);
      return Buffer::take(std::move(out));
    }
    case Codec::lz4: {
      LZ4F_preferences_t preferences{};
      preferences.frameInfo.blockMode = LZ4F_blockIndependent;  // Java's reader knows no other
      out.resize(LZ4F_compressFrameBound(text.size(), &preferences));
      auto size = LZ4F_compressFrame(out.data(), out.size(), text.data(), text.size(), &preferences);
      if (LZ4F_isError(size) != 0) return fail(ErrorCode::kUnknown, LZ4F_getErrorName(size));
      out.resize(size);
      return Buffer::take(std::move(out));
    }
    case Codec::zstd: {
      out.resize(ZSTD_compressBound(text.size()));
      auto size = ZSTD_compress(out.data(), out.size(), text.data(), text.size(), ZSTD_CLEVEL_DEFAULT);
      if (ZSTD_isError(size) != 0) return fail(ErrorCode::kUnknown, ZSTD_getErrorName(size));
      out.resize(size);
      return Buffer::take(std::move(out));
    }
  }
  return fail(ErrorCode::kUnsupportedCompressionType, "codec " + std::to_string(static_cast<int>(codec)));
}

}  // namespace forelog::log
