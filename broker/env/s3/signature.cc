#include "broker/env/s3/signature.h"

#include "broker/base/check.h"
#include "broker/base/crc32c.h"

#include <array>
#include <chrono>
#include <memory>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

namespace forelog::env::s3 {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hex(ByteView bytes) {
  std::string out;
  for (auto byte : bytes) out += fmt::format("{:02x}", static_cast<unsigned>(byte));
  return out;
}

std::string digest(const EVP_MD* algorithm, const Slices& body) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  CHECK(context != nullptr && EVP_DigestInit_ex(context.get(), algorithm, nullptr) == 1);
  for (const auto& slice : body) CHECK(EVP_DigestUpdate(context.get(), slice.data(), slice.size()) == 1);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  CHECK(EVP_DigestFinal_ex(context.get(), out.data(), &size) == 1);
  return std::string(as_text(std::as_bytes(std::span(out.data(), size))));
}

std::string hmac(std::string_view key, std::string_view text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned size = 0;
  const auto* done = HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                          reinterpret_cast<const unsigned char*>(text.data()),  // NOLINT: OpenSSL's bytes
                          text.size(), out.data(), &size);
  CHECK(done != nullptr);
  return std::string(as_text(std::as_bytes(std::span(out.data(), size))));
}

// "20130524T000000Z"
std::string timestamp(WallTime now) {
  auto seconds = std::chrono::floor<std::chrono::seconds>(now.time_since_epoch());
  auto days = std::chrono::floor<std::chrono::days>(seconds);
  std::chrono::year_month_day date{std::chrono::sys_days(days)};
  std::chrono::hh_mm_ss time{seconds - days};
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count());
}

}  // namespace

std::string base64(ByteView bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  auto size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),          // NOLINT: OpenSSL's bytes
                              reinterpret_cast<const unsigned char*>(bytes.data()),  // NOLINT: the same
                              static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

std::string sha256_hex(const Slices& body) { return hex(as_bytes(digest(EVP_sha256(), body))); }
std::string md5_base64(const Slices& body) { return base64(as_bytes(digest(EVP_md5(), body))); }

std::string crc32c_base64(const Slices& body) {
  std::uint32_t crc = 0;
  for (const auto& slice : body) crc = crc32c_extend(crc, slice);
  std::array<std::byte, 4> big_endian{std::byte(crc >> 24), std::byte(crc >> 16), std::byte(crc >> 8), std::byte(crc)};
  return base64(big_endian);
}

void sign(const Unsigned& request, Headers& headers, const Credentials& credentials, std::string_view region,
          WallTime now) {
  auto time = timestamp(now);
  auto scope = fmt::format("{}/{}/s3/aws4_request", time.substr(0, 8), region);
  headers["host"] = request.host;
  headers["x-amz-date"] = time;
  headers["x-amz-content-sha256"] = request.payload;
  if (!credentials.session_token.empty()) headers["x-amz-security-token"] = credentials.session_token;

  std::string canonical_headers, names;
  for (const auto& [name, value] : headers) {
    canonical_headers += name + ':' + value + '\n';
    names += (names.empty() ? "" : ";") + name;
  }
  auto canonical = fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, encode_query(request.query),
                               canonical_headers, names, request.payload);
  auto to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope, sha256_hex({Buffer::take(std::move(canonical))}));
  auto key = hmac(hmac(hmac(hmac("AWS4" + credentials.secret_key, time.substr(0, 8)), region), "s3"), "aws4_request");
  headers["authorization"] = fmt::format("{} Credential={}/{}, SignedHeaders={}, Signature={}", kAlgorithm,
                                         credentials.access_key, scope, names, hex(as_bytes(hmac(key, to_sign))));
}

}  // namespace forelog::env::s3
