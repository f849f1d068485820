// The admin server: any bytes in any pieces over a simulated connection. It answers with a status line or closes, keeps
// nothing open, and still answers the next client.
#include "broker/admin/http_connection.h"
#include "broker/admin/http_server.h"
#include "broker/base/log.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/run_task.h"

#include <array>

namespace forelog::admin {
namespace {

using fuzz::Decisions;

Task<HttpResponse> echo(HttpRequest request) {
  auto text = request.method + " " + request.path + " " + request.body;
  for (const auto& [name, value] : request.query) text += " " + name + "=" + value;
  co_return HttpResponse{200, "text/plain", text};
}

Task<void> count(HttpStream& stream) {
  for (int i = 0; i < 3 && !stream.stopping(); ++i) {
    auto written = co_await stream.write(std::to_string(i));
    if (!written) co_return;
  }
}

Task<std::string> exchange(env::SimulatedWorld& world, env::Network& network, env::Endpoint address,
                           std::vector<std::string> pieces) {
  auto deadline = world.now() + 60s;
  auto connection = co_await network.connect(address, deadline);
  if (!connection) co_return "refused";
  for (auto& piece : pieces) {
    Slices slices{Buffer::copy_of(piece)};
    auto written = co_await (*connection)->write(std::move(slices), deadline);
    if (!written) break;
  }
  std::string answer;
  std::array<std::byte, 4096> room{};
  for (;;) {
    auto size = co_await (*connection)->read(room, deadline);
    if (!size && size.error().code == ErrorCode::kTimeout) answer = "(silence)";
    if (!size || *size == 0) break;
    answer += as_text(ByteView(room).first(*size));
  }
  (*connection)->close();
  co_return answer;
}

std::vector<std::string> draw_request(Decisions& in) {
  std::string text;
  if (in.any<bool>()) {
    text = in.PickValueInArray({"GET", "POST", "DELETE", "HEAD", "OPTIONS", ""}) + std::string(" ") +
           (in.any<bool>() ? in.PickValueInArray({"/echo", "/count", "/health", "/metrics", "/below/x", "*"})
                           : "/" + in.text(40)) +
           (in.any<bool>() ? "?" + in.text(20) : "") +
           in.PickValueInArray({" HTTP/1.1\r\n", " HTTP/1.0\r\n", " HTTP/9.9\r\n", "\r\n"});
    for (auto count = in.between<int>(0, 4); count > 0; --count) {
      switch (in.between<int>(0, 4)) {
        case 0:
          text +=
              "Content-Length: " + std::to_string(in.one_in(3) ? in.any<std::int64_t>() : in.between(0, 20)) + "\r\n";
          break;
        case 1:
          text += "Transfer-Encoding: chunked\r\n";
          break;
        case 2:
          text += "Connection: " + std::string(in.PickValueInArray({"close", "keep-alive", "upgrade"})) + "\r\n";
          break;
        case 3:
          text += "Expect: 100-continue\r\n";
          break;
        default:
          text += in.text(20) + ": " + in.text(20) + "\r\n";
      }
    }
    text += "\r\n";
    if (in.one_in(3)) text += "5\r\nhello\r\n0\r\n\r\n";
  }
  text += in.text(200);
  std::vector<std::string> pieces;
  for (std::size_t at = 0; at < text.size();) {
    auto size = in.between<std::size_t>(1, text.size() - at);
    pieces.push_back(text.substr(at, size));
    at += size;
  }
  return pieces;
}

}  // namespace
}  // namespace forelog::admin

FUZZ_TARGET(http) {
  using namespace forelog;         // NOLINT: what this is about
  using namespace forelog::admin;  // NOLINT: what this is about
  set_log_level(error);
  Decisions in(input);
  if (in.one_in(4)) {
    return static_cast<void>(parse_target(in.rest().text()));
  }
  env::SimulatedWorld world(1);
  auto& machine = world.machine();
  auto& client = world.machine();
  HttpServer server(machine.cores(), machine.env().network);
  server.route("GET", "/echo", echo);
  server.route("POST", "/echo", echo);
  server.route("GET", "/below/", echo);
  server.stream("GET", "/count", "text/plain", [](const HttpRequest&, HttpStream& stream) { return count(stream); });
  MetricsRegistry registry;
  add_standard_routes(server, machine.cores(), {&registry}, {}, [] { return std::string(); });
  std::vector<env::Endpoint> endpoints{{machine.host(), 0}};
  auto address = test::run(world, machine, server.start(endpoints));
  CHECK(address.has_value());
  auto& network = client.env().network;
  for (auto turns = in.between<int>(1, 3); turns > 0; --turns) {
    auto answer = test::run(world, client, exchange(world, network, *address, draw_request(in)));
    CHECK(answer.empty() || answer.starts_with("HTTP/1."), "neither an answer nor an end within a minute");
  }
  std::vector<std::string> good{"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n"};
  auto healthy = test::run(world, client, exchange(world, network, *address, good));
  CHECK(healthy.starts_with("HTTP/1.1 200 OK"), "it does not answer any more");
  test::run(world, machine, server.stop());
}
