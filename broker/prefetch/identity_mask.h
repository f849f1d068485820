// identity_mask.h: how people and jobs are named in the access log: plainly, or by a hash keyed with a secret of this
// cluster, so that the log shows who is the same but not who it is.
//
// The number at the end of a client id stays, so that stems stay equal for the instances of one job.
#pragma once

#include "broker/base/bytes.h"
#include "broker/prefetch/settings.h"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace forelog::prefetch {

using HashKey = std::array<std::uint8_t, 16>;

// SipHash-2-4 (Aumasson, Bernstein).
std::uint64_t siphash(const HashKey& key, ByteView bytes);

class IdentityMask {
 public:
  IdentityMask(Identities how, const HashKey& key) : how_(how), key_(key) {}

  bool hides() const { return how_ == Identities::hashed; }
  std::string name(std::string_view plain) const;       // of a principal, host, group, member; empty stays empty
  std::string client_id(std::string_view plain) const;  // its stem hidden, its number kept

 private:
  Identities how_;
  HashKey key_;
};

}  // namespace forelog::prefetch
