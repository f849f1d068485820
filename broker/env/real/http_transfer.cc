#include "broker/env/real/http_transfer.h"

#include "broker/base/limits.h"

#include <algorithm>
#include <charconv>
#include <cstring>

namespace forelog::env {
namespace {

constexpr std::size_t kPieceMax =
    static_cast<std::size_t>(kBlockSize);  // what begins with a block then needs no copying
constexpr long kReceiveBuffer = 128L << 10;
constexpr long kSendBuffer = 256L << 10;

template <class T>
void set(CURL* handle, CURLoption option, T value) {
  CHECK(curl_easy_setopt(handle, option, value) == CURLE_OK);
}

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

s3::Transport transport_of(CURLcode result) {
  switch (result) {
    case CURLE_OK:
      return s3::Transport::ok;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return s3::Transport::unknown_host;
    case CURLE_COULDNT_CONNECT:
      return s3::Transport::refused;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CACERT_BADFILE:
      return s3::Transport::untrusted;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CIPHER:
    case CURLE_USE_SSL_FAILED:
      return s3::Transport::tls;
    case CURLE_OPERATION_TIMEDOUT:
      return s3::Transport::stalled;
    default:
      return s3::Transport::broken;
  }
}

}  // namespace

void HttpTransfers::Transfer::prepare(const Options& options, Duration left) {
  if (handle == nullptr) handle.reset(curl_easy_init());
  CHECK(handle != nullptr);
  CURL* h = handle.get();
  curl_easy_reset(h);
  set(h, CURLOPT_URL, request.url.c_str());
  set(h, CURLOPT_PROTOCOLS_STR, "http,https");
  set(h, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(h, CURLOPT_PATH_AS_IS, 1L);
  set(h, CURLOPT_NOSIGNAL, 1L);
  set(h, CURLOPT_QUICK_EXIT, 1L);  // no stop waits for a name server
  set(h, CURLOPT_FOLLOWLOCATION, 0L);
  set(h, CURLOPT_BUFFERSIZE, kReceiveBuffer);
  set(h, CURLOPT_ERRORBUFFER, error_text.data());
  set(h, CURLOPT_PRIVATE, static_cast<void*>(this));
  set(h, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(std::max<std::int64_t>(1, to_ms(options.connect_timeout))));
  set(h, CURLOPT_TIMEOUT_MS, static_cast<long>(std::clamp<std::int64_t>(to_ms(left), 1, 1L << 30)));
  if (request.stall_max > Duration{}) {
    set(h, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(h, CURLOPT_LOW_SPEED_TIME, static_cast<long>((to_ms(request.stall_max) + 999) / 1000));
  }
  if (!options.ca_file.empty()) set(h, CURLOPT_CAINFO, options.ca_file.c_str());

  if (request.method == "HEAD") {
    set(h, CURLOPT_NOBODY, 1L);
  } else if (request.method == "PUT" || request.method == "POST") {
    set(h, CURLOPT_UPLOAD, 1L);
    set(h, CURLOPT_CUSTOMREQUEST, request.method.c_str());
    set(h, CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(total_size(request.body)));
    set(h, CURLOPT_UPLOAD_BUFFERSIZE, kSendBuffer);
    set(h, CURLOPT_READFUNCTION, &Transfer::on_send);
    set(h, CURLOPT_READDATA, static_cast<void*>(this));
    set(h, CURLOPT_SEEKFUNCTION, &Transfer::on_rewind);
    set(h, CURLOPT_SEEKDATA, static_cast<void*>(this));
  } else {
    set(h, CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
  set(h, CURLOPT_HEADERFUNCTION, &Transfer::on_header);
  set(h, CURLOPT_HEADERDATA, static_cast<void*>(this));
  set(h, CURLOPT_WRITEFUNCTION, &Transfer::on_data);
  set(h, CURLOPT_WRITEDATA, static_cast<void*>(this));
  set(h, CURLOPT_XFERINFOFUNCTION, &Transfer::on_progress);
  set(h, CURLOPT_XFERINFODATA, static_cast<void*>(this));
  set(h, CURLOPT_NOPROGRESS, 0L);
  auto add = [this](const std::string& line) { header_lines = curl_slist_append(header_lines, line.c_str()); };
  for (const auto& [name, value] : request.headers) add(name + ": " + value);
  add("Expect:");  // waiting for "100 Continue" would cost a round trip for each part
  add("Accept:");
  set(h, CURLOPT_HTTPHEADER, header_lines);
}

std::size_t HttpTransfers::Transfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  static_cast<Transfer*>(self)->take_header({data, size * count});
  return size * count;
}

void HttpTransfers::Transfer::take_header(std::string_view line) {
  if (line.starts_with("HTTP/")) {  // a new head: what came before was an interim answer
    answer.headers.clear();
    answer.status = 0;
    auto blank = line.find(' ');
    if (blank != std::string_view::npos)
      std::from_chars(line.data() + blank + 1, line.data() + line.size(), answer.status);
    return;
  }
  auto colon = line.find(':');
  if (colon == std::string_view::npos) return;
  std::string name(line.substr(0, colon));
  std::ranges::transform(name, name.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  std::string value(trim(line.substr(colon + 1)));
  if (name == "content-length") {
    Bytes length = -1;
    std::from_chars(value.data(), value.data() + value.size(), length);
    body_left = length;
  }
  answer.headers[std::move(name)] = std::move(value);
}

std::size_t HttpTransfers::Transfer::on_data(char* data, std::size_t size, std::size_t count, void* self) {
  bool taken = static_cast<Transfer*>(self)->take_data(std::as_bytes(std::span(data, size * count)));
  return taken ? size * count : CURL_WRITEFUNC_ERROR;
}

bool HttpTransfers::Transfer::take_data(ByteView bytes) {
  if (abandoned.load(std::memory_order_relaxed)) return false;
  *moved_ += bytes.size();
  if (!streams || !is_good()) {
    too_long = answer.body.size() + bytes.size() > kBodyMax;
    if (!too_long) answer.body += as_text(bytes);
    return !too_long;
  }
  while (!bytes.empty()) {
    if (piece.size() == 0) {
      auto wanted = body_left > 0 ? std::min<std::size_t>(kPieceMax, static_cast<std::size_t>(body_left)) : kPieceMax;
      piece = MutableBuffer(wanted);
      filled = 0;
    }
    auto size = std::min(bytes.size(), piece.size() - filled);
    std::memcpy(piece.data() + filled, bytes.data(), size);
    filled += size;
    body_left -= static_cast<Bytes>(size);
    bytes = bytes.subspan(size);
    if (filled == piece.size()) flush(*cores_);
  }
  return true;
}

void HttpTransfers::Transfer::flush(Cores& cores) {
  if (filled == 0) return;
  auto size = std::exchange(filled, 0);
  bool full = size == piece.size();
  auto rest = full ? std::move(piece).freeze() : Buffer::copy_of(ByteView(piece.data(), size));
  piece = {};
  s3::Answer head;
  if (!std::exchange(head_posted, true)) head = {.status = answer.status, .headers = answer.headers};
  ObjectStore::Piece arrived(std::move(rest));
  cores.post(home, [to = reply, head = std::move(head), arrived = std::move(arrived)]() mutable {
    if (head.status != 0) to->answer = std::move(head);
    if (!to->on_body || to->unwanted || to->on_body(to->answer, std::move(arrived))) return;
    to->unwanted = true;
    to->changed.notify();
  });
}

std::size_t HttpTransfers::Transfer::on_send(char* into, std::size_t size, std::size_t count, void* self) {
  auto& t = *static_cast<Transfer*>(self);
  auto room = size * count;
  std::size_t done = 0;
  while (done < room && t.sent_slice < t.request.body.size()) {
    auto rest = t.request.body[t.sent_slice].view().subspan(t.sent_bytes);
    auto part = std::min(rest.size(), room - done);
    std::memcpy(into + done, rest.data(), part);
    done += part;
    t.sent_bytes += part;
    if (part == rest.size()) {
      ++t.sent_slice;
      t.sent_bytes = 0;
    }
  }
  *t.moved_ += done;
  return done;
}

// A connection used again turned out to be closed: the body is sent from its beginning on another.
int HttpTransfers::Transfer::on_rewind(void* self, curl_off_t offset, int origin) {
  auto& t = *static_cast<Transfer*>(self);
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  t.sent_slice = t.sent_bytes = 0;
  return CURL_SEEKFUNC_OK;
}

int HttpTransfers::Transfer::on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Transfer*>(self)->abandoned.load(std::memory_order_relaxed) ? 1 : 0;
}

void HttpTransfers::Transfer::conclude(CURLcode result) {
  answer.transport = transport_of(result);
  if (result == CURLE_OPERATION_TIMEDOUT) {
    // One code for three: which clock ran out?
    curl_off_t connected = 0;
    curl_easy_getinfo(handle.get(), CURLINFO_PRETRANSFER_TIME_T, &connected);
    if (connected == 0) answer.transport = s3::Transport::no_route;
  }
  if (result == CURLE_OK) return;
  answer.detail = too_long             ? "the answer is too long"
                  : error_text[0] != 0 ? error_text.data()
                                       : curl_easy_strerror(result);
}

}  // namespace forelog::env
