#include "broker/cli/http_client.h"

#include <memory>
#include <string_view>

#include <curl/curl.h>

namespace forelog::cli {
namespace {

constexpr std::size_t kBodyMax = std::size_t{64} << 20;

struct Close {
  void operator()(CURL* curl) const { curl_easy_cleanup(curl); }
};
using Curl = std::unique_ptr<CURL, Close>;

std::size_t on_body(char* data, std::size_t size, std::size_t count, void* into) {
  auto& body = *static_cast<std::string*>(into);
  if (body.size() + size * count > kBodyMax) return 0;  // curl ends the transfer
  body.append(data, size * count);
  return size * count;
}

std::string escaped(CURL* curl, const std::string& text) {
  std::unique_ptr<char, void (*)(void*)> out(curl_easy_escape(curl, text.data(), static_cast<int>(text.size())),
                                             &curl_free);
  return out ? out.get() : "";
}

// The broker's answers to errors are {"error":"…"}.
std::string reason_in(const std::string& body) {
  constexpr std::string_view kStart = "{\"error\":\"";
  if (!body.starts_with(kStart)) return body.substr(0, 300);
  auto end = body.rfind('"');
  return body.substr(kStart.size(), end - kStart.size());
}

Result<std::string> request(bool post, const std::string& admin, const std::string& path, const Query& query) {
  Curl curl(curl_easy_init());
  if (!curl) return fail(ErrorCode::kUnknown, "curl");
  auto url = "http://" + admin + path;
  char separator = '?';
  for (const auto& [name, value] : query) {
    url += separator + escaped(curl.get(), name) + "=" + escaped(curl.get(), value);
    separator = '&';
  }
  std::string body;
  curl_easy_setopt(curl.get(), CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http");
  curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(curl.get(), CURLOPT_WRITEDATA, &body);
  curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, 3000L);
  curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, 30000L);
  curl_easy_setopt(curl.get(), CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  if (post) {
    curl_easy_setopt(curl.get(), CURLOPT_POST, 1L);
    curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE, 0L);
  }
  if (auto code = curl_easy_perform(curl.get()); code != CURLE_OK) {
    return fail(ErrorCode::kUnavailable, "http://" + admin + ": " + curl_easy_strerror(code));
  }
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status < 300) return body;
  auto code = status == 404 ? ErrorCode::kNotFound : status == 400 ? ErrorCode::kInvalidRequest : ErrorCode::kUnknown;
  return fail(code, "HTTP " + std::to_string(status) + " from " + admin + ": " + reason_in(body));
}

}  // namespace

Result<std::string> http_get(const std::string& admin, const std::string& path, const Query& query) {
  return request(false, admin, path, query);
}
Result<std::string> http_post(const std::string& admin, const std::string& path, const Query& query) {
  return request(true, admin, path, query);
}

}  // namespace forelog::cli
