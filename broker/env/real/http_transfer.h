// http_transfer.h: one request of HttpTransfers under way: libcurl's handle, and what its callbacks gather.
//
// Belongs to the thread of HttpTransfers from the moment it is handed over.
#pragma once

#include "broker/env/real/http_transfers.h"

#include <array>

#include <curl/curl.h>

namespace forelog::env {

// What the asking core sees. Touched there only; the thread merely hands its share back in what it posts.
struct HttpTransfers::Reply {
  explicit Reply(Clock& clock) : changed(clock) {}
  Event changed;
  OnBody on_body;
  s3::Answer answer;
  bool done = false;
  bool unwanted = false;  // no more of the body is taken
};

struct CurlHandleDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
using CurlHandle = std::unique_ptr<CURL, CurlHandleDeleter>;

struct HttpTransfers::Transfer {
  HttpRequest request;
  Deadline deadline{};
  bool streams = false;
  CoreId home{0};
  std::shared_ptr<Reply> reply;
  std::atomic<bool> abandoned{false};  // nobody listens any more

  // The thread's.
  CurlHandle handle;
  curl_slist* header_lines = nullptr;
  std::array<char, CURL_ERROR_SIZE> error_text{};
  s3::Answer answer;
  bool head_posted = false;
  bool too_long = false;
  MutableBuffer piece;
  std::size_t filled = 0;
  Bytes body_left = -1;  // of the announced length; -1: unknown
  std::size_t sent_slice = 0, sent_bytes = 0;

  Transfer() = default;
  Transfer(const Transfer&) = delete;
  Transfer& operator=(const Transfer&) = delete;
  ~Transfer() { curl_slist_free_all(header_lines); }

  // Readies `handle` for the request. `left` is the time it has.
  void prepare(const Options& options, Duration left);
  // Posts what has been gathered of the body.
  void flush(Cores& cores);
  // Fills `answer` with how it ended.
  void conclude(CURLcode result);

 private:
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_send(char* into, std::size_t size, std::size_t count, void* self);
  static int on_rewind(void* self, curl_off_t offset, int origin);
  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
  bool is_good() const { return answer.status >= 200 && answer.status < 300; }
  void take_header(std::string_view line);
  bool take_data(ByteView bytes);

  Cores* cores_ = nullptr;        // set while a flush may be needed inside a callback
  std::size_t* moved_ = nullptr;  // where the thread counts what it receives and sends
  friend class Loop;
};

}  // namespace forelog::env
