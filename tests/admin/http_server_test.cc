#include "broker/admin/http_server.h"

#include "broker/admin/http_connection.h"
#include "tests/support/run_task.h"

#include <gtest/gtest.h>

namespace forelog::admin {
namespace {

Task<HttpResponse> echo(HttpRequest request) {
  auto text = request.method + " " + request.path + " " + request.body;
  for (const auto& [name, value] : request.query) text += " " + name + "=" + value;
  co_return HttpResponse{200, "text/plain", text};
}

Task<void> count_to(int n, HttpStream& stream) {
  for (int i = 1; i <= n && !stream.stopping(); ++i) {
    auto written = co_await stream.write(std::to_string(i) + "\n");
    if (!written) co_return;
  }
}
Task<void> never_end(env::Clock& clock, HttpStream& stream) {
  while (!stream.stopping()) {
    auto written = co_await stream.write(std::string(4096, 'x'));
    if (!written) co_return;
    co_await sleep_until(clock, clock.now() + 10ms);
  }
}

class HttpServerTest : public testing::Test {
 protected:
  HttpServerTest()
      : world(3), machine(world.machine(2)), client(world.machine()), server(machine.cores(), machine.env().network) {
    server.route("GET", "/echo", echo);
    server.route("POST", "/echo", echo);
    server.route("GET", "/below/", echo);
    server.route("GET", "/fails", [](const HttpRequest&) { return failing(); });
    server.stream("GET", "/count", "text/plain", [](const HttpRequest&, HttpStream& s) { return count_to(3, s); });
    server.stream("GET", "/forever", "text/plain",
                  [this](const HttpRequest&, HttpStream& s) { return never_end(machine.env().clock, s); });
    for (int core = 0; core < 2; ++core) {
      registries.push_back(std::make_unique<MetricsRegistry>());
      counters.push_back(std::make_unique<Counter>(*registries.back(), "forelog_reads_total", "Reads."));
      counters.back()->add(core + 1);
    }
    add_standard_routes(
        server, machine.cores(), {registries[0].get(), registries[1].get()}, nullptr, [this] { return missing; },
        [this] { return degraded; });
    std::vector<env::Endpoint> endpoints{{machine.host(), 0}};
    auto started = test::run(world, machine, server.start(endpoints));
    EXPECT_TRUE(started) << started.error().text();
    address = *started;
  }
  ~HttpServerTest() override { test::run(world, machine, server.stop()); }

  static Task<HttpResponse> failing() { co_return http_error({ErrorCode::kUnknownTopicOrPartition, "orders"}); }

  Task<std::string> exchange(std::vector<std::string> pieces, Duration patience) {
    auto deadline = world.now() + patience;
    auto connection = co_await client.env().network.connect(address, deadline);
    if (!connection) co_return "refused";
    for (auto& piece : pieces) {
      Slices slices{Buffer::copy_of(piece)};
      (void)co_await (*connection)->write(std::move(slices), deadline);
    }
    std::string answer;
    std::array<std::byte, 65536> room{};
    for (;;) {
      auto size = co_await (*connection)->read(room, deadline);
      if (!size) {
        if (size.error().code == ErrorCode::kTimeout) answer += "(silence)";
        break;
      }
      if (*size == 0) break;
      answer += as_text(ByteView(room).first(*size));
    }
    (*connection)->close();
    co_return answer;
  }
  // Everything that comes back until the server closes, or is silent for 30 s.
  std::string ask(std::vector<std::string> pieces, Duration patience = 30s) {
    return test::run(world, client, exchange(std::move(pieces), patience));
  }
  static std::string get(std::string target) { return "GET " + target + " HTTP/1.1\r\nConnection: close\r\n\r\n"; }

  env::SimulatedWorld world;
  env::SimulatedMachine& machine;
  env::SimulatedMachine& client;
  HttpServer server;
  std::vector<std::unique_ptr<MetricsRegistry>> registries;
  std::vector<std::unique_ptr<Counter>> counters;
  std::string missing, degraded;
  env::Endpoint address;
};

std::string status_of(const std::string& answer) { return answer.substr(0, answer.find("\r\n")); }
std::string body_of(const std::string& answer) {
  auto at = answer.find("\r\n\r\n");
  return at == std::string::npos ? "" : answer.substr(at + 4);
}

TEST_F(HttpServerTest, AnswersWithTheDecodedTarget) {
  EXPECT_EQ(body_of(ask({get("/echo?a=1&b=x%20y+z&c")})), "GET /echo  a=1 b=x y z c=");
  EXPECT_EQ(body_of(ask({get("/below/or%2Fders")})), "GET /below/or/ders ");
  EXPECT_EQ(body_of(ask({"POST /echo HTTP/1.1\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhe", "llo"})),
            "POST /echo hello");
}

TEST_F(HttpServerTest, AConnectionServesRequestsOneAfterAnother) {
  auto answer = ask({"GET /health HTTP/1.1\r\n\r\nGET /echo HTTP/1.1\r\nConnection: close\r\n\r\n"});
  EXPECT_NE(answer.find("ok\nHTTP/1.1 200 OK"), std::string::npos) << answer;
  EXPECT_TRUE(answer.ends_with("GET /echo ")) << answer;
}

TEST_F(HttpServerTest, SaysWhatIsNotThere) {
  EXPECT_EQ(status_of(ask({get("/nowhere")})), "HTTP/1.1 404 Not Found");
  EXPECT_EQ(status_of(ask({"DELETE /echo HTTP/1.1\r\nConnection: close\r\n\r\n"})), "HTTP/1.1 405 Method Not Allowed");
  auto answer = ask({get("/fails")});
  EXPECT_EQ(status_of(answer), "HTTP/1.1 404 Not Found");
  EXPECT_NE(body_of(answer).find("orders"), std::string::npos);
}

TEST_F(HttpServerTest, MetricsAreSummedOverTheCores) {
  auto answer = ask({get("/metrics")});
  EXPECT_NE(answer.find("text/plain; version=0.0.4"), std::string::npos);
  EXPECT_NE(body_of(answer).find("forelog_reads_total 3"), std::string::npos) << answer;
}

TEST_F(HttpServerTest, ReadyNamesWhatIsMissing) {
  EXPECT_EQ(status_of(ask({get("/ready")})), "HTTP/1.1 200 OK");
  missing = "no controller";
  auto answer = ask({get("/ready")});
  EXPECT_EQ(status_of(answer), "HTTP/1.1 503 Service Unavailable");
  EXPECT_EQ(body_of(answer), "no controller\n");
}

TEST_F(HttpServerTest, WhatKeepsNoClientAwayIsInHealthAlone) {
  degraded = "another archive";
  EXPECT_EQ(status_of(ask({get("/ready")})), "HTTP/1.1 200 OK");
  auto answer = ask({get("/health")});
  EXPECT_EQ(status_of(answer), "HTTP/1.1 200 OK");
  EXPECT_EQ(body_of(answer), "degraded: another archive\n");
}

TEST_F(HttpServerTest, AStreamComesInChunksAndEnds) {
  EXPECT_EQ(body_of(ask({get("/count")})), "2\r\n1\n\r\n2\r\n2\n\r\n2\r\n3\n\r\n0\r\n\r\n");
}

TEST_F(HttpServerTest, HostileRequestsAreRefusedWithinBounds) {
  EXPECT_EQ(status_of(ask({"nonsense\r\n\r\n"})), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_of(ask({get("/echo?%zz")})), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_of(ask({"GET / HTTP/1.1\r\nX: " + std::string(40000, 'x')})),
            "HTTP/1.1 431 Request Header Fields Too Large");
  EXPECT_EQ(status_of(ask({"POST /echo HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n"})),
            "HTTP/1.1 413 Payload Too Large");
  EXPECT_EQ(status_of(ask({"POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n"})), "HTTP/1.1 400 Bad Request");
  EXPECT_EQ(status_of(ask({get("/health")})), "HTTP/1.1 200 OK");
}

TEST_F(HttpServerTest, AClientThatSaysNothingIsClosedAfterTenSeconds) {
  auto begun = world.now();
  EXPECT_EQ(ask({"GET /hea"}), "");
  EXPECT_GE(world.now() - begun, 9s);
  EXPECT_LE(world.now() - begun, 12s);
}

TEST_F(HttpServerTest, StoppingEndsAStreamThatNeverEnds) {
  auto waiting = std::make_shared<std::optional<std::string>>();
  auto task = exchange({get("/forever")}, 1h);
  client.cores().spawn(CoreId(0), test::detail::keep_result(waiting, std::move(task)));
  world.run_for(3s);
  EXPECT_FALSE(waiting->has_value());
  test::run(world, machine, server.stop());
  EXPECT_TRUE(world.run_until([&] { return waiting->has_value(); }, 10s));
}

TEST(HttpTarget, BrokenEscapesAreRefused) {
  EXPECT_FALSE(parse_target("/a%2"));
  EXPECT_FALSE(parse_target("/a?b=%"));
  EXPECT_EQ(parse_target("/%41?=x&&a=b=c")->query, (std::map<std::string, std::string>{{"a", "b=c"}}));
  EXPECT_EQ(parse_target("/%41")->path, "/A");
}

}  // namespace
}  // namespace forelog::admin
