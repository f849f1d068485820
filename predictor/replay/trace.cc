#include "predictor/replay/trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <memory>
#include <unordered_map>
#include <unordered_set>

#include <zstd.h>

namespace forelog::predictor::replay {
namespace {

constexpr std::size_t kTextMax = std::size_t{4} << 30;

Result<std::string> file_bytes(const std::string& path) {
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), &std::fclose);
  if (!file) return fail(ErrorCode::kNotFound, path);
  std::string out;
  char piece[1 << 16];
  while (auto n = std::fread(piece, 1, sizeof piece, file.get())) out.append(piece, n);
  if (std::ferror(file.get()) != 0) return fail(ErrorCode::kIo, path);
  return out;
}

Result<std::string> decompressed(const std::string& bytes, const std::string& path) {
  std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(), &ZSTD_freeDCtx);
  std::string out;
  std::string piece(ZSTD_DStreamOutSize(), '\0');
  ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
  std::size_t left = 1;
  while (in.pos < in.size || left != 0) {
    ZSTD_outBuffer to{piece.data(), piece.size(), 0};
    auto before = in.pos;
    left = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(left)) return fail(ErrorCode::kCorruptFile, path + ": " + ZSTD_getErrorName(left));
    out.append(piece.data(), to.pos);
    if (out.size() > kTextMax) return fail(ErrorCode::kCorruptFile, path + ": more than 4 GiB when decompressed");
    if (in.pos == before && to.pos == 0) {
      if (left == 0) break;
      return fail(ErrorCode::kCorruptFile, path + ": ends in the middle of a frame");
    }
  }
  return out;
}

// Takes fields off a line.
class Fields {
 public:
  explicit Fields(std::string_view line) : rest_(line) {}
  std::string_view next() {
    auto comma = rest_.find(',');
    auto field = rest_.substr(0, comma);
    rest_ = comma == std::string_view::npos ? std::string_view{} : rest_.substr(comma + 1);
    return field;
  }

 private:
  std::string_view rest_;
};

template <class T>
bool number(std::string_view text, T& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

bool parse_object(std::string_view text, Request& request) {
  if (text.size() < 2) return false;
  std::uint64_t stream = 0;
  if (text[0] == 'k') {
    request.addressed = false;
    if (!number(text.substr(1), stream)) return false;
    request.place = {static_cast<StreamId>(mix(stream + 0x6b6579)), 0};
    // Two keys that meet in 32 bits are told apart by their block, which has no neighbours.
    request.place.block = static_cast<std::int64_t>(mix(stream ^ 0x6f7061717565) >> 2);
    return true;
  }
  auto colon = text.find(':');
  if (text[0] != 'p' || colon == std::string_view::npos) return false;
  if (!number(text.substr(1, colon - 1), stream) || stream > 0xffffffffULL) return false;
  request.place.stream = static_cast<StreamId>(stream);
  return number(text.substr(colon + 1), request.place.block) && request.place.block >= 0;
}

// Requests of the same moment keep their order.
void sort_by_time(std::vector<Request>& requests) {
  if (std::ranges::is_sorted(requests, {}, &Request::at)) return;
  std::vector<std::pair<Instant, std::size_t>> order;
  for (std::size_t i = 0; i < requests.size(); ++i) order.emplace_back(requests[i].at, i);
  std::ranges::sort(order);
  std::vector<Request> sorted;
  sorted.reserve(requests.size());
  for (auto [at, i] : order) sorted.push_back(requests[i]);
  requests = std::move(sorted);
}

}  // namespace

Result<Trace> Trace::parse(std::string_view csv) {
  Trace trace;
  std::size_t line_number = 0;
  while (!csv.empty()) {
    auto end = csv.find('\n');
    auto line = csv.substr(0, end);
    csv = end == std::string_view::npos ? std::string_view{} : csv.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    ++line_number;
    if (line.empty() || (line_number == 1 && line.starts_with("timestamp"))) continue;
    Fields fields(line);
    double ms = 0;
    std::uint64_t client = 0;
    Request request;
    bool ok = number(fields.next(), ms) && std::isfinite(ms) && ms >= 0 && ms < 1e13 && number(fields.next(), client) &&
              parse_object(fields.next(), request);
    if (!ok)
      return fail(ErrorCode::kMalformed,
                  "line " + std::to_string(line_number) + ": " + std::string(line.substr(0, 100)));
    // Starts past zero, which stands for "never" elsewhere.
    request.at = Instant(std::chrono::duration_cast<Duration>(std::chrono::duration<double, std::milli>(ms)) + 1s);
    request.client = static_cast<std::uint32_t>(client);
    trace.requests.push_back(request);
  }
  sort_by_time(trace.requests);
  std::unordered_set<Place> places;
  for (const auto& r : trace.requests) places.insert(r.place);
  trace.distinct_blocks = places.size();
  return trace;
}

Result<Trace> Trace::read(const std::string& path) {
  auto bytes = TRY(file_bytes(path));
  bool compressed = bytes.size() >= 4 && static_cast<unsigned char>(bytes[0]) == 0x28 && bytes[1] == '\xb5' &&
                    bytes[2] == '\x2f' && bytes[3] == '\xfd';
  if (compressed) bytes = TRY(decompressed(bytes, path));
  auto trace = parse(bytes);
  if (!trace) return fail_while(path, std::move(trace).error());
  return trace;
}

Trace Trace::renumbered(std::uint64_t seed) const {
  Trace out = *this;
  std::unordered_map<std::uint32_t, std::uint32_t> streams, clients;
  std::unordered_map<Place, Place> keys;
  auto drawn = [&](auto& map, std::uint32_t id, std::uint64_t salt) {
    auto [at, added] = map.try_emplace(id, 0);
    // A bijection of 32 bits, so that no two ids meet.
    if (added)
      at->second = static_cast<std::uint32_t>((id ^ static_cast<std::uint32_t>(mix(seed + salt))) * 2654435761U);
    return at->second;
  };
  for (auto& r : out.requests) {
    r.client = drawn(clients, r.client, 1);
    if (!r.addressed) {
      auto block = static_cast<std::int64_t>(
          (static_cast<std::uint64_t>(r.place.block) * 0x9e3779b97f4a7c15ULL + mix(seed)) >> 2);
      r.place = keys.try_emplace(r.place, Place{drawn(streams, r.place.stream, 2), block}).first->second;
    } else {
      r.place.stream = drawn(streams, r.place.stream, 2);
    }
  }
  return out;
}

double Trace::reads_per_second_p99() const {
  std::unordered_map<std::int64_t, double> seconds;
  for (const auto& r : requests) seconds[r.at.time_since_epoch() / 1s] += 1;
  if (seconds.empty()) return 0;
  std::vector<double> counts;
  for (const auto& [second, count] : seconds) counts.push_back(count);
  auto at = counts.begin() + static_cast<std::ptrdiff_t>((counts.size() - 1) * 99 / 100);
  std::nth_element(counts.begin(), at, counts.end());
  return *at;
}

}  // namespace forelog::predictor::replay
