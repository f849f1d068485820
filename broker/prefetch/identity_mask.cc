#include "broker/prefetch/identity_mask.h"

#include "broker/prefetch/group_evidence.h"

#include <bit>
#include <cstring>

#include <fmt/format.h>

namespace forelog::prefetch {

namespace {

std::uint64_t little_endian(const void* bytes, std::size_t size = 8) {
  std::uint64_t out = 0;
  std::memcpy(&out, bytes, size);  // the rest stays zero
  if constexpr (std::endian::native == std::endian::big) out = std::byteswap(out);
  return out;
}

struct SipState {
  std::uint64_t a, b, c, d;

  void round() {
    a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
    c += d, d = std::rotl(d, 16) ^ c;
    a += d, d = std::rotl(d, 21) ^ a;
    c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
  }
  void absorb(std::uint64_t word) {
    d ^= word;
    round(), round();
    a ^= word;
  }
};

}  // namespace

std::uint64_t siphash(const HashKey& key, ByteView bytes) {
  auto k0 = little_endian(key.data()), k1 = little_endian(key.data() + 8);
  SipState state{k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) state.absorb(little_endian(bytes.data() + at));
  auto rest = bytes.size() - at;
  auto last = rest == 0 ? 0 : little_endian(bytes.data() + at, rest);
  state.absorb(last | static_cast<std::uint64_t>(bytes.size() & 0xff) << 56);
  state.c ^= 0xff;
  for (int i = 0; i < 4; ++i) state.round();
  return state.a ^ state.b ^ state.c ^ state.d;
}

std::string IdentityMask::name(std::string_view plain) const {
  if (!hides() || plain.empty()) return std::string(plain);
  return fmt::format("{:016x}", siphash(key_, as_bytes(plain)));
}

std::string IdentityMask::client_id(std::string_view plain) const {
  if (!hides()) return std::string(plain);
  auto stem = client_stem(plain);
  return name(stem) + std::string(plain.substr(stem.size()));
}

}  // namespace forelog::prefetch
