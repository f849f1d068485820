// Putting objects: whole, or in parts, several of them at once.

#include "broker/env/object_key.h"
#include "broker/env/real/s3_metrics.h"
#include "broker/env/real/s3_object_store.h"
#include "broker/env/s3/answers.h"
#include "broker/env/s3/xml.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace forelog::env {
namespace {

constexpr Bytes kReadChunk = 1_MiB;  // of a part, so that no thread of the disk is held for long
constexpr int kPartsMax = 10'000;    // S3's limit
constexpr int kPartsAtOnce = 4;      // of one object
constexpr Duration kAbortMax = 10s;
constexpr std::string_view kCrcHeader = "x-amz-checksum-crc32c";

}  // namespace

// One object going up in parts. Lives on the core that puts it.
struct S3ObjectStore::Upload {
  std::string key;
  std::string id;
  ObjectContent* content = nullptr;  // outlives the upload, which joins its tasks
  Deadline deadline{};
  Bytes part_size = 0;
  int parts = 0;
  int next = 0;                // the part to be taken next
  std::optional<Error> error;  // the first; ends the rest
  struct Part {
    std::string etag, checksum;
  };
  std::vector<Part> done;
};

ByteBudget& S3ObjectStore::upload_budget() {
  return *upload_budgets_.at(static_cast<std::size_t>(parts_.cores.current().value()));
}

void S3ObjectStore::add_checksum(const Slices& body, s3::Headers& headers) const {
  if (settings_.checksum == s3::Checksum::crc32c)
    headers[std::string(kCrcHeader)] = s3::crc32c_base64(body);
  else
    headers["content-md5"] = s3::md5_base64(body);
}

Task<Result<Slices>> S3ObjectStore::read_part(ObjectContent& content, Bytes from, Bytes size) {
  Slices body;
  for (Bytes at = from; at < from + size;) {
    auto chunk = std::min(kReadChunk, from + size - at);
    body.push_back(CO_TRY(co_await content.read(at, chunk)));
    at += chunk;
  }
  co_return body;
}

Task<Result<void>> S3ObjectStore::put(std::string key, ObjectContent& content, Deadline deadline) {
  if (!is_object_key(key)) co_return fail(ErrorCode::kMalformed, "archive key '" + key + "'");
  if (content.size() <= settings_.part_size) co_return co_await put_whole(std::move(key), content, deadline);
  co_return co_await put_in_parts(std::move(key), content, deadline);
}

Task<Result<void>> S3ObjectStore::put_whole(std::string key, ObjectContent& content, Deadline deadline) {
  auto room = CO_TRY(co_await upload_budget().reserve(content.size(), TrafficClass::archive, deadline));
  Ask ask{.kind = "put", .method = "PUT", .key = std::move(key), .traffic = TrafficClass::archive};
  ask.body = CO_TRY(co_await read_part(content, 0, content.size()));
  add_checksum(ask.body, ask.headers);
  auto sent = ask.headers;
  auto text = ask.text();
  auto answer = CO_TRY(co_await perform(std::move(ask), deadline));
  auto stored = answer.header(std::string(kCrcHeader));
  if (!stored.empty() && sent.contains(std::string(kCrcHeader)) && stored != sent[std::string(kCrcHeader)])
    co_return fail(ErrorCode::kCorruptBlock, text + ": the server stored something else (" + stored + ")");
  co_return Result<void>{};
}

Task<Result<void>> S3ObjectStore::put_in_parts(std::string key, ObjectContent& content, Deadline deadline) {
  auto upload = std::make_shared<Upload>();
  upload->key = key;
  upload->content = &content;
  upload->deadline = deadline;
  auto smallest = (content.size() + kPartsMax - 1) / kPartsMax;
  upload->part_size = std::max(settings_.part_size, smallest);
  upload->parts = static_cast<int>((content.size() + upload->part_size - 1) / upload->part_size);
  upload->done.resize(static_cast<std::size_t>(upload->parts));

  Ask begin{.kind = "upload", .method = "POST", .key = key, .traffic = TrafficClass::archive};
  begin.query["uploads"] = "";
  if (settings_.checksum == s3::Checksum::crc32c) begin.headers["x-amz-checksum-algorithm"] = "CRC32C";
  auto begun = CO_TRY(co_await perform(std::move(begin), deadline));
  auto id = s3::parse_upload_id(begun.body);
  if (!id) co_return fail(ErrorCode::kArchiveUnavailable, "POST " + key + ": " + id.error().context);
  upload->id = *std::move(id);

  TaskGroup workers(parts_.cores);
  for (int i = 0; i < std::min(kPartsAtOnce, upload->parts); ++i) workers.spawn(upload_parts(upload));
  co_await workers.join();
  Result<void> done;
  if (upload->error)
    done = fail(*upload->error);
  else
    done = co_await complete_upload(upload);
  // What is left of a failed one costs money for as long as it lies there.
  if (!done) co_await abort_upload(upload->key, upload->id);
  co_return done;
}

Task<void> S3ObjectStore::upload_parts(std::shared_ptr<Upload> upload) {
  while (!upload->error && upload->next < upload->parts) {
    auto number = upload->next++;
    auto done = co_await upload_part(upload, number);
    if (!done && !upload->error) upload->error = std::move(done).error();
  }
}

Task<Result<void>> S3ObjectStore::upload_part(std::shared_ptr<Upload> upload, int number) {
  auto from = upload->part_size * number;
  auto size = std::min(upload->part_size, upload->content->size() - from);
  auto room = CO_TRY(co_await upload_budget().reserve(size, TrafficClass::archive, upload->deadline));
  Ask ask{.kind = "part", .method = "PUT", .key = upload->key, .traffic = TrafficClass::archive};
  ask.query = {{"partNumber", std::to_string(number + 1)}, {"uploadId", upload->id}};
  ask.body = CO_TRY(co_await read_part(*upload->content, from, size));
  add_checksum(ask.body, ask.headers);
  auto checksum = ask.headers.find(std::string(kCrcHeader));
  auto& part = upload->done[static_cast<std::size_t>(number)];
  if (checksum != ask.headers.end()) part.checksum = checksum->second;
  auto answer = CO_TRY(co_await perform(std::move(ask), upload->deadline));
  part.etag = answer.header("etag");
  auto stored = answer.header(std::string(kCrcHeader));
  if (part.etag.empty() || (!stored.empty() && !part.checksum.empty() && stored != part.checksum))
    co_return fail(ErrorCode::kCorruptBlock,
                   fmt::format("PUT {} part {}: the server stored something else", upload->key, number + 1));
  co_return Result<void>{};
}

Task<Result<void>> S3ObjectStore::complete_upload(std::shared_ptr<Upload> upload) {
  std::string body = "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";
  int number = 0;
  for (const auto& part : upload->done) {
    body += fmt::format("<Part><PartNumber>{}</PartNumber><ETag>{}</ETag>", ++number, s3::xml_escape(part.etag));
    if (!part.checksum.empty()) body += "<ChecksumCRC32C>" + part.checksum + "</ChecksumCRC32C>";
    body += "</Part>";
  }
  body += "</CompleteMultipartUpload>";
  Ask ask{.kind = "upload", .method = "POST", .key = upload->key, .traffic = TrafficClass::archive, .may_stall = true};
  ask.query = {{"uploadId", upload->id}};
  ask.headers["content-type"] = "application/xml";
  ask.body.push_back(Buffer::take(std::move(body)));
  auto answer = co_await perform(std::move(ask), upload->deadline);
  if (!answer) {
    // The answer to an earlier try may have been lost: then the object is there, and the upload is not.
    if (answer.error().code != ErrorCode::kNotFound) co_return fail(std::move(answer).error());
    auto info = co_await head(upload->key, upload->deadline);
    if (info && info->size == upload->content->size()) co_return Result<void>{};
    co_return fail(std::move(answer).error());
  }
  // The status was sent before the server knew.
  if (auto failed = s3::parse_error(answer->body))
    co_return fail(ErrorCode::kArchiveUnavailable,
                   "POST " + upload->key + ": " + failed->code + ": " + failed->message.substr(0, 200));
  co_return Result<void>{};
}

Task<void> S3ObjectStore::abort_upload(std::string key, std::string id) {
  Ask ask{.kind = "upload", .method = "DELETE", .key = std::move(key), .traffic = TrafficClass::archive};
  ask.query = {{"uploadId", std::move(id)}};
  auto deadline = parts_.clock.now() + kAbortMax;
  (void)co_await perform(std::move(ask), deadline);  // what stays is found by `abort_stale_uploads`
}

Task<Result<int>> S3ObjectStore::abort_stale_uploads(std::string prefix, Duration age, Deadline deadline) {
  int aborted = 0;
  std::string key_marker, id_marker;
  while (true) {
    Ask ask{.kind = "list", .method = "GET"};
    ask.query = {{"uploads", ""}, {"prefix", location_.prefix + prefix}};
    if (!key_marker.empty()) ask.query["key-marker"] = key_marker;
    if (!id_marker.empty()) ask.query["upload-id-marker"] = id_marker;
    auto answer = CO_TRY(co_await perform(std::move(ask), deadline));
    auto page = s3::parse_uploads(answer.body);
    if (!page) co_return fail(ErrorCode::kArchiveUnavailable, "listing uploads: " + page.error().context);
    auto now = s3::parse_http_date(answer.header("date")).value_or(parts_.clock.wall());
    for (auto& upload : page->uploads) {
      bool ours = upload.key.starts_with(location_.prefix + prefix);
      if (!ours || now - upload.initiated < age) continue;
      upload.key.erase(0, location_.prefix.size());
      co_await abort_upload(upload.key, upload.id);
      ++aborted;
    }
    bool more = !page->next_key.empty() && (page->next_key != key_marker || page->next_id != id_marker);
    if (!more) co_return aborted;
    key_marker = std::move(page->next_key);
    id_marker = std::move(page->next_id);
  }
}

}  // namespace forelog::env
