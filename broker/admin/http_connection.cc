#include "broker/admin/http_connection.h"

#include "broker/base/json.h"

#include <array>
#include <charconv>

#include <boost/asio/buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace forelog::admin {
namespace {

namespace http = boost::beast::http;
using Parser = http::request_parser<http::string_body>;

std::string_view reason(int status) {
  auto text = http::obsolete_reason(static_cast<http::status>(status));
  return {text.data(), text.size()};
}

HttpResponse refusal(int status, std::string why) {
  std::map<std::string, std::string> body{{"error", std::move(why)}};
  return {status, "application/json", to_json(body) + "\n"};
}

std::string head_of(int status, std::string_view content_type, bool keep_alive) {
  std::string head = "HTTP/1.1 " + std::to_string(status) + " ";
  head.append(reason(status)).append("\r\nContent-Type: ").append(content_type);
  head.append("\r\nX-Content-Type-Options: nosniff\r\nConnection: ").append(keep_alive ? "keep-alive" : "close");
  return head + "\r\n";
}

class HttpConnection final : public HttpStream {
 public:
  HttpConnection(env::ConnectionPtr connection, env::Clock& clock, const bool& stopping)
      : connection_(std::move(connection)), clock_(clock), stopping_(stopping) {}

  // The next whole request, in `parser`. False: the client has gone or said nothing more. An error has a status.
  Task<std::expected<bool, HttpResponse>> read(Parser& parser) {
    parser.header_limit(kHttpHeadMax);
    parser.body_limit(kHttpBodyMax);
    parser.eager(true);
    auto deadline = clock_.now() + kHttpTimeout;
    for (;;) {
      while (!pending_.empty() && !parser.is_done()) {
        boost::beast::error_code error;
        auto used = parser.put(boost::asio::const_buffer(pending_.data(), pending_.size()), error);
        pending_.erase(0, used);
        if (error == http::error::need_more) break;
        if (error == http::error::header_limit) co_return std::unexpected(refusal(431, "the head is too long"));
        if (error == http::error::body_limit) co_return std::unexpected(refusal(413, "the body is too long"));
        if (error) co_return std::unexpected(refusal(400, error.message()));
      }
      if (parser.is_done()) co_return true;
      if (pending_.size() > kHttpHeadMax) co_return std::unexpected(refusal(431, "the head is too long"));
      auto size = co_await connection_->read(std::as_writable_bytes(std::span(room_)), deadline);
      if (!size || *size == 0 || stopping_) co_return false;
      pending_.append(room_.data(), *size);
    }
  }

  Task<Result<void>> answer(HttpResponse response, bool keep_alive, bool with_body) {
    auto head = head_of(response.status, response.content_type, keep_alive);
    head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n\r\n";
    if (with_body) head += response.body;
    co_return co_await send(std::move(head));
  }

  Task<Result<void>> begin_stream(std::string content_type) {
    auto head = head_of(200, content_type, false) + "Transfer-Encoding: chunked\r\n\r\n";
    co_return co_await send(std::move(head));
  }
  Task<Result<void>> end_stream() { co_return co_await send("0\r\n\r\n"); }

  Task<Result<void>> write(std::string piece) override {
    if (stopping_) co_return fail(ErrorCode::kStopping, "http");
    if (piece.empty()) co_return Result<void>{};  // an empty chunk would end the stream
    char size[20];
    auto [end, error] = std::to_chars(size, size + sizeof size, piece.size(), 16);
    CHECK(error == std::errc{});
    auto chunk = std::string(size, end) + "\r\n" + piece + "\r\n";
    co_return co_await send(std::move(chunk));
  }
  bool stopping() const override { return stopping_; }

 private:
  Task<Result<void>> send(std::string text) {
    Slices slices{Buffer::take(std::move(text))};
    co_return co_await connection_->write(std::move(slices), clock_.now() + kHttpTimeout);
  }

  env::ConnectionPtr connection_;
  env::Clock& clock_;
  const bool& stopping_;
  std::string pending_;  // bytes that came behind the request being read
  std::array<char, 8192> room_{};
};

// Answers one request. False when the connection is over.
Task<bool> handle(HttpConnection& connection, Parser& parser, const FindRoute& find) {
  const auto& message = parser.get();
  auto method = std::string(message.method_string());
  bool keep_alive = message.keep_alive();
  bool with_body = method != "HEAD";
  auto target = parse_target({message.target().data(), message.target().size()});
  HttpResponse response;
  const auto* route = target ? find(with_body ? method : "GET", target->path) : nullptr;
  if (!target) {
    response = refusal(400, "the target has a broken escape");
  } else if (route == nullptr) {
    response = refusal(404, "no such page: " + target->path);
  } else if (!route->handler && !route->stream) {
    response = refusal(405, method + " is not offered here");
  } else {
    HttpRequest request{method, target->path, target->query, message.body()};
    if (route->stream) {
      auto begun = co_await connection.begin_stream(route->content_type);
      if (!begun) co_return false;
      if (with_body) {
        auto streaming = route->stream(std::move(request), connection);
        co_await std::move(streaming);
      }
      (void)co_await connection.end_stream();
      co_return false;
    }
    auto handling = route->handler(std::move(request));
    response = co_await std::move(handling);
  }
  auto sent = co_await connection.answer(std::move(response), keep_alive, with_body);
  co_return sent.has_value() && keep_alive;
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  auto lower = static_cast<char>(c | 0x20);
  return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

std::optional<std::string> unescape(std::string_view text, bool plus_is_blank) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += plus_is_blank && text[i] == '+' ? ' ' : text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

}  // namespace

std::optional<HttpTarget> parse_target(std::string_view target) {
  HttpTarget out;
  auto question = std::min(target.find('?'), target.size());
  auto path = unescape(target.substr(0, question), false);
  if (!path) return std::nullopt;
  out.path = *path;
  target.remove_prefix(std::min(question + 1, target.size()));
  while (!target.empty()) {
    auto pair = target.substr(0, target.find('&'));
    target.remove_prefix(std::min(pair.size() + 1, target.size()));
    auto equals = std::min(pair.find('='), pair.size());
    auto name = unescape(pair.substr(0, equals), true);
    auto value = unescape(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!name || !value) return std::nullopt;
    if (!name->empty()) out.query[*name] = *value;
  }
  return out;
}

Task<void> serve_http(env::ConnectionPtr connection, env::Clock& clock, const FindRoute& find, const bool& stopping) {
  auto state = std::make_unique<HttpConnection>(connection, clock, stopping);
  for (bool going_on = true; going_on && !stopping;) {
    auto parser = std::make_unique<Parser>();
    auto came = co_await state->read(*parser);
    if (!came) {
      (void)co_await state->answer(came.error(), false, true);
      break;
    }
    if (!*came) break;
    going_on = co_await handle(*state, *parser, find);
  }
  connection->close();
}

}  // namespace forelog::admin
