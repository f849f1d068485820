#include "broker/log/key_map.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace forelog::log {
namespace {

struct SipState {
  std::uint64_t a, b, c, d;
  void round() {
    a += b;
    b = std::rotl(b, 13) ^ a;
    a = std::rotl(a, 32);
    c += d;
    d = std::rotl(d, 16) ^ c;
    a += d;
    d = std::rotl(d, 21) ^ a;
    c += b;
    b = std::rotl(b, 17) ^ c;
    c = std::rotl(c, 32);
  }
  void absorb(std::uint64_t word) {
    d ^= word;
    round();
    round();
    a ^= word;
  }
  std::uint64_t squeeze() {
    for (int i = 0; i < 4; ++i) round();
    return a ^ b ^ c ^ d;
  }
};

std::uint64_t little_endian(const std::byte* from, std::size_t count) {
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < count; ++i) word |= std::to_integer<std::uint64_t>(from[i]) << (8 * i);
  return word;
}

}  // namespace

KeyHash sip_hash(const std::array<std::uint64_t, 2>& secret, ByteView bytes) {
  SipState state{secret[0] ^ 0x736f6d6570736575, secret[1] ^ 0x646f72616e646f6d ^ 0xee, secret[0] ^ 0x6c7967656e657261,
                 secret[1] ^ 0x7465646279746573};
  auto whole = bytes.size() / 8 * 8;
  for (std::size_t at = 0; at < whole; at += 8) {
    std::uint64_t word = 0;
    std::memcpy(&word, bytes.data() + at, 8);
    if constexpr (std::endian::native == std::endian::big) word = std::byteswap(word);
    state.absorb(word);
  }
  auto rest = bytes.size() - whole;
  state.absorb((rest == 0 ? 0 : little_endian(bytes.data() + whole, rest)) | static_cast<std::uint64_t>(bytes.size())
                                                                                 << 56);
  state.c ^= 0xee;
  auto low = state.squeeze();
  state.b ^= 0xdd;
  return {low, state.squeeze()};
}

KeyMap::KeyMap(std::int64_t keys, Bytes memory, std::array<std::uint64_t, 2> secret) : secret_(secret) {
  // Three quarters full at most: probing stays short.
  auto wanted = std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(keys, 1)) * 4 / 3 + 1);
  auto allowed =
      std::bit_floor(std::max<std::uint64_t>(static_cast<std::uint64_t>(std::max<Bytes>(memory, 0)) / sizeof(Slot), 2));
  slots_.resize(static_cast<std::size_t>(std::min(wanted, allowed)));
  size_max_ = std::max<std::size_t>(1, slots_.size() / 4 * 3);
}

std::size_t KeyMap::place_of(const KeyHash& hash) const {
  auto mask = slots_.size() - 1;
  auto at = static_cast<std::size_t>(hash[0]) & mask;
  while (slots_[at].offset != kNoOffset && slots_[at].hash != hash) at = (at + 1) & mask;
  return at;
}

bool KeyMap::put(ByteView key, Offset offset) {
  auto hash = sip_hash(secret_, key);
  auto& slot = slots_[place_of(hash)];
  if (slot.offset == kNoOffset) {
    if (size_ == size_max_) return false;
    ++size_;
    slot.hash = hash;
  }
  slot.offset = std::max(slot.offset, offset);
  return true;
}

std::optional<Offset> KeyMap::find(ByteView key) const {
  const auto& slot = slots_[place_of(sip_hash(secret_, key))];
  return slot.offset == kNoOffset ? std::nullopt : std::optional(slot.offset);
}

}  // namespace forelog::log
