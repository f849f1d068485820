#include "broker/env/real/s3_object_store.h"

#include "broker/base/log.h"
#include "broker/env/event.h"
#include "broker/env/object_key.h"
#include "broker/env/real/s3_metrics.h"
#include "broker/env/s3/answers.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

namespace forelog::env {
namespace {

constexpr std::size_t kListPage = 1000;  // S3 gives no more at once
constexpr Duration kLineEvery = 10s;
constexpr Duration kStopCheck = 50ms;  // a pause outlasts a stop by no more

Result<void> check_key(const std::string& key) {
  if (is_object_key(key)) return {};
  return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
}

Bytes content_length(const s3::Answer& answer) {
  auto text = answer.header("content-length");
  Bytes size = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
  return error == std::errc{} && end == text.data() + text.size() ? size : -1;
}

}  // namespace

S3ObjectStore::S3ObjectStore(Parts parts, s3::Location location, const s3::S3Settings& settings,
                             Duration first_byte_delay)
    : parts_(parts),
      location_(std::move(location)),
      settings_(settings),
      first_byte_delay_(first_byte_delay),
      metrics_(std::make_unique<S3Metrics>()),
      transfers_(parts.cores, parts.clock, parts.quick,
                 {.requests_max = static_cast<std::size_t>(settings.requests_max),
                  .connect_timeout = settings.connect_timeout,
                  .ca_file = settings.ca_file.empty() ? environment_variable("AWS_CA_BUNDLE").value_or("")
                                                      : settings.ca_file}) {
  auto share = std::max(settings.upload_memory / parts.cores.count(), settings.part_size);
  for (int core = 0; core < parts.cores.count(); ++core)
    upload_budgets_.push_back(std::make_unique<ByteBudget>(parts.clock, share));
}

S3ObjectStore::~S3ObjectStore() { stop(); }

Result<std::unique_ptr<S3ObjectStore>> S3ObjectStore::open(Parts parts, std::string url, const s3::S3Settings& settings,
                                                           Duration first_byte_delay) {
  auto location = TRY(s3::locate(s3::location_settings(std::move(url), settings, environment_variable)));
  auto credentials = TRY(S3Credentials::find(settings));
  std::unique_ptr<S3ObjectStore> out(new S3ObjectStore(parts, std::move(location), settings, first_byte_delay));
  out->credentials_ = std::move(credentials);
  return out;
}

void S3ObjectStore::interrupt() {
  stopping_ = true;
  transfers_.interrupt();
}

void S3ObjectStore::stop() {
  interrupt();
  transfers_.stop();
  hashing_.stop();
}

void S3ObjectStore::collect_metrics(MetricsSnapshot& into) const {
  metrics_->collect(into, {transfers_.in_flight(), transfers_.waiting(), transfers_.connections_opened()});
}

// --- one request -----------------------------------------------------------------------------------------------------

// TLS protects what travels, and hashing costs more than sending; without TLS the signature has to cover the body.
Task<std::string> S3ObjectStore::payload_of(const Slices& body) {
  if (body.empty()) co_return std::string(s3::kEmptyPayload);
  if (location_.is_secure()) co_return std::string(s3::kUnsignedPayload);
  auto hash = [copy = body] { return s3::sha256_hex(copy); };
  co_return co_await hashing_.run(std::move(hash));
}

Task<s3::Answer> S3ObjectStore::send(const Ask& ask, HttpTransfers::OnBody on_body, bool& new_keys, Deadline deadline) {
  if (first_byte_delay_ > Duration{})
    co_await sleep_until(parts_.clock, std::min(parts_.clock.now() + first_byte_delay_, deadline));
  auto began = parts_.clock.now();
  auto path = location_.path_of(ask.key);
  auto payload = co_await payload_of(ask.body);
  HttpRequest request;
  request.method = ask.method;
  request.url = location_.url_of(path, s3::encode_query(ask.query));
  request.headers = ask.headers;
  request.body = ask.body;
  request.traffic = ask.traffic;
  request.stall_max = ask.may_stall ? Duration{} : settings_.stall_timeout;
  auto keys = credentials_->get();
  s3::sign({ask.method, location_.host, path, ask.query, payload}, request.headers, *keys, location_.region,
           parts_.clock.wall());
  Bytes received = 0;
  HttpTransfers::OnBody counted;
  if (on_body) {
    counted = [&received, take = std::move(on_body)](const s3::Answer& head, Piece piece) mutable {
      received += static_cast<Bytes>(piece.bytes.size());
      return take(head, std::move(piece));
    };
  }
  auto answer = co_await transfers_.send(std::move(request), std::move(counted), deadline);
  auto verdict = s3::judge(answer, location_, ask.text(), parts_.clock.wall());
  bool sent = verdict.outcome == s3::Outcome::ok && (ask.kind == "put" || ask.kind == "part");
  metrics_->note_request(ask.kind, verdict.outcome, parts_.clock.now() - began, sent ? total_size(ask.body) : 0,
                         received);
  if (verdict.keys_expired) {
    auto reload = [this] { return credentials_->reload(); };
    co_await hashing_.run(std::move(reload));
  }
  new_keys = verdict.keys_expired && credentials_->get() != keys;
  co_return answer;
}

Task<bool> S3ObjectStore::wait_to_retry(s3::Verdict verdict, int attempt, bool new_keys, std::string_view kind,
                                        Deadline deadline) {
  if (!verdict.again && !new_keys && !(verdict.keys_expired && attempt == 1)) co_return false;
  auto left = deadline - parts_.clock.now();
  auto pause = s3::pause_before(attempt, verdict.outcome, {}, left, parts_.random.next());
  if (!pause) co_return false;
  metrics_->note_retry(kind);
  // One line for many: while a server is away, every request meets the same.
  auto now = parts_.clock.now().time_since_epoch().count();
  auto due = next_line_.load();
  if (now >= due && next_line_.compare_exchange_strong(due, now + kLineEvery.count()))
    log_line(warn, "s3_request_failed", {{"again_in_ms", to_ms(*pause)}, {"error", verdict.error}});
  auto until = parts_.clock.now() + *pause;
  while (!stopping_ && parts_.clock.now() < until)
    co_await sleep_until(parts_.clock, std::min(until, parts_.clock.now() + kStopCheck));
  co_return true;  // a stop is answered by `send`
}

Task<Result<s3::Answer>> S3ObjectStore::perform(Ask ask, Deadline deadline) {
  for (int attempt = 1;; ++attempt) {
    bool new_keys = false;
    auto answer = co_await send(ask, {}, new_keys, deadline);
    auto verdict = s3::judge(answer, location_, ask.text(), parts_.clock.wall());
    if (verdict.outcome == s3::Outcome::ok) co_return answer;
    if (!co_await wait_to_retry(verdict, attempt, new_keys, ask.kind, deadline))
      co_return fail(std::move(verdict.error));
  }
}

// --- reading ---------------------------------------------------------------------------------------------------------

// One range, over as many requests as it takes.
struct S3ObjectStore::Reading {
  Bytes next = 0;  // the first byte not handed out yet
  Bytes end = 0;
  std::string etag{};
  OnPiece on_piece{};
  bool checked = false;          // the head of the answer under way
  std::optional<Error> wrong{};  // with that answer

  void check(const s3::Answer& head, const std::string& key) {
    if (std::exchange(checked, true)) return;
    auto range = head.header("content-range");
    auto expected = fmt::format("bytes {}-{}/", next, end - 1);
    bool whole = head.status == 200 && next == 0 && content_length(head) == end;
    if (!whole && !(head.status == 206 && range.starts_with(expected))) {
      auto short_one = range.starts_with(fmt::format("bytes {}-", next));
      wrong =
          Error{ErrorCode::kCorruptBlock, short_one ? "archive object " + key + " is shorter than the range asked for"
                                                    : "the answer for " + key + " is not the range asked for"};
      return;
    }
    if (etag.empty()) etag = head.header("etag");
  }
  // False when what follows is not what was asked for: a server, or what stands before it, that does not know ranges
  // would send a whole object each time.
  bool take(const s3::Answer& head, Piece piece, const std::string& key) {
    check(head, key);
    if (wrong) return false;
    auto left = static_cast<std::size_t>(end - next);
    bool too_much = piece.bytes.size() > left;
    if (too_much) piece = Piece(piece.bytes.slice(0, left));
    if (piece.bytes.empty()) return !too_much;
    next += static_cast<Bytes>(piece.bytes.size());
    on_piece(std::move(piece));
    return !too_much;
  }
};

Task<Result<void>> S3ObjectStore::get_range(std::string key, Bytes from, Bytes size, OnPiece on_piece,
                                            TrafficClass traffic, Deadline deadline) {
  CO_TRY(check_key(key));
  if (from < 0 || size < 0) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  if (size == 0) {  // HTTP has no empty range
    CO_TRY(co_await head(key, deadline));
    co_return Result<void>{};
  }
  Ask ask{.kind = "get", .method = "GET", .key = key, .traffic = traffic};
  Reading reading{.next = from, .end = from + size, .on_piece = std::move(on_piece)};
  for (int attempt = 1;; ++attempt) {
    auto before = reading.next;
    reading.checked = false;
    reading.wrong.reset();
    ask.headers["range"] = fmt::format("bytes={}-{}", reading.next, reading.end - 1);
    if (!reading.etag.empty()) ask.headers["if-match"] = reading.etag;
    auto take = [&reading, &key](const s3::Answer& head, Piece piece) {
      return reading.take(head, std::move(piece), key);
    };
    bool new_keys = false;
    auto answer = co_await send(ask, std::move(take), new_keys, deadline);
    if (reading.wrong) co_return fail(*std::move(reading.wrong));
    if (reading.next == reading.end) co_return Result<void>{};
    if (answer.status == 416)
      co_return fail(ErrorCode::kCorruptBlock, "archive object " + key + " is shorter than the range asked for");
    if (answer.status == 412)
      co_return fail(ErrorCode::kCorruptBlock, "archive object " + key + " was replaced while it was read");
    auto verdict = s3::judge(answer, location_, ask.text(), parts_.clock.wall());
    if (verdict.outcome == s3::Outcome::ok) {  // whole, by its own account, yet short
      verdict.again = true;
      verdict.error = {ErrorCode::kArchiveUnavailable, ask.text() + ": the answer broke off"};
    }
    if (reading.next > before) attempt = 1;  // it gets on
    if (!co_await wait_to_retry(verdict, attempt, new_keys, ask.kind, deadline))
      co_return fail(std::move(verdict.error));
  }
}

Task<Result<ObjectInfo>> S3ObjectStore::head(std::string key, Deadline deadline) {
  CO_TRY(check_key(key));
  Ask ask{.kind = "head", .method = "HEAD", .key = key};
  auto answer = CO_TRY(co_await perform(std::move(ask), deadline));
  auto size = content_length(answer);
  if (size < 0) co_return fail(ErrorCode::kArchiveUnavailable, "HEAD " + key + ": an answer without a size");
  co_return ObjectInfo{std::move(key), size};
}

Task<Result<void>> S3ObjectStore::remove(std::string key, Deadline deadline) {
  CO_TRY(check_key(key));
  Ask ask{.kind = "remove", .method = "DELETE", .key = key};
  auto answer = co_await perform(std::move(ask), deadline);
  if (!answer && answer.error().code != ErrorCode::kNotFound) co_return fail(std::move(answer).error());
  co_return Result<void>{};
}

Task<Result<std::vector<ObjectInfo>>> S3ObjectStore::list(std::string prefix, std::string after, std::size_t limit,
                                                          Deadline deadline) {
  std::vector<ObjectInfo> found;
  const auto& root = location_.prefix;
  std::string token, last;
  auto not_whole = [&](const std::string& why) {
    return fail(ErrorCode::kArchiveUnavailable, "listing " + prefix + ": " + why);
  };
  while (found.size() < limit) {
    Ask ask{.kind = "list", .method = "GET"};
    ask.query = {{"list-type", "2"},
                 {"max-keys", std::to_string(std::min(limit - found.size(), kListPage))},
                 {"prefix", root + prefix}};
    if (!token.empty())
      ask.query["continuation-token"] = token;
    else if (!after.empty())
      ask.query["start-after"] = root + after;
    auto answer = CO_TRY(co_await perform(std::move(ask), deadline));
    auto page = s3::parse_list(answer.body);
    if (!page) co_return not_whole(page.error().context);
    for (auto& object : page->objects) {
      // What others put there is none of ours; nor is what a server lists that nobody asked for.
      if (!object.key.starts_with(root + prefix)) continue;
      object.key.erase(0, root.size());
      if (!is_object_key(object.key)) continue;
      // Who goes on behind the last key would leave out what comes later with a smaller one.
      if (object.key <= last) co_return not_whole("the server lists " + object.key + " behind " + last);
      last = object.key;
      if (object.key > after && found.size() < limit) found.push_back(std::move(object));
    }
    if (!page->more) break;
    // A part of a listing is not one: a topic would be rebuilt without its newest shards. That there is more, and then
    // an empty page that ends the listing, is what some servers say.
    if (found.size() < limit && (page->next.empty() || page->next == token))
      co_return not_whole("the server has more objects and does not say how to ask for them");
    token = std::move(page->next);
  }
  co_return found;
}

}  // namespace forelog::env
