// The public server over real loopback sockets, with an in-memory service behind it.
#include "http/admin.hpp"
#include "http/client.hpp"
#include "http/commands.hpp"
#include "http/metrics.hpp"
#include "http/server.hpp"
#include "tests/support/fake_service.hpp"
#include "tests/support/raw_http.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <thread>

namespace latham::http {

namespace {

using testing::fake_service;
using testing::raw_http;
using testing::raw_response;

std::string code_of_body(const raw_response& r) {
  const auto json = nlohmann::json::parse(r.body, nullptr, false);
  return json.is_object() ? json.value("code", "") : "";
}

std::string form(const std::string& content, const std::string& fields = {}) {
  return fields + "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n" + content + "\r\n--b--\r\n";
}
std::string field(const std::string& name, const std::string& value) {
  return "--b\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n";
}
const std::string form_type = "Content-Type: multipart/form-data; boundary=b\r\n";
const std::string raw_type = "Content-Type: video/mp4\r\n";

std::size_t rss_kib() {
  std::ifstream status{"/proc/self/status"};
  std::string line;
  while (std::getline(status, line))
    if (line.rfind("VmRSS:", 0) == 0) return std::stoul(line.substr(6));
  return 0;
}

class Server : public ::testing::Test {
protected:
  void start(server_options o = {}) {
    o.addresses = {"127.0.0.1"};
    o.port = 0;
    o.version = "1.2.3";
    server = std::make_unique<http_server>(o);
    const auto bound = server->start(service, numbers);
    ASSERT_TRUE(bound) << bound.error().message;
    port = *bound;
  }
  raw_http connect() { return raw_http{port}; }
  video_view a_video(video_state state = video_state::ready) {
    video_view v;
    v.id = make_id<video_id>({1'714'000'000'000}, 1, ++videos);
    v.title = "video";
    v.state = state;
    v.playable = state == video_state::ready;
    service.put(v);
    return v;
  }
  raw_response post(const std::string& body, const std::string& type = form_type, const std::string& path = "/api/v1/videos") {
    return connect().ask("POST " + path, type, body);
  }

  fake_service service;
  prometheus_metrics numbers;
  std::unique_ptr<http_server> server;
  std::uint16_t port = 0;
  std::uint64_t videos = 0;
};

}  // namespace

// ---- Routes and statuses ----

TEST_F(Server, AnswersTheRoutesOfTheApi) {
  start();
  const auto v = a_video();
  const auto id = to_string(v.id);
  auto c = connect();
  EXPECT_EQ(nlohmann::json::parse(c.ask("GET /version").body)["version"], "1.2.3");
  auto r = c.ask("GET /api/v1/videos/" + id);
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields["content-type"], "application/json");
  EXPECT_EQ(nlohmann::json::parse(r.body)["id"], id);
  EXPECT_EQ(nlohmann::json::parse(c.ask("GET /api/v1/videos?limit=1").body)["videos"].size(), 1u);
  EXPECT_EQ(c.ask("GET /openapi.yaml").status, 200);
  r = c.ask("GET /");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields["cache-control"], "no-cache");
  EXPECT_EQ(c.ask("GET /", "If-None-Match: " + r.fields["etag"] + "\r\n").status, 304);
  EXPECT_EQ(c.ask("DELETE /api/v1/videos/" + id).status, 204);
  EXPECT_EQ(c.ask("GET /api/v1/videos/" + id).status, 404);
}

TEST_F(Server, PagesThroughTheList) {
  start();
  for (int i = 0; i < 5; ++i) a_video();
  auto c = connect();
  std::string cursor;
  std::size_t seen = 0;
  do {
    const auto page = nlohmann::json::parse(c.ask("GET /api/v1/videos?limit=2&cursor=" + cursor).body);
    seen += page["videos"].size();
    cursor = page["next"].is_null() ? "" : page["next"].get<std::string>();
  } while (!cursor.empty());
  EXPECT_EQ(seen, 5u);
  for (const auto* bad : {"0", "201", "x", "-1", ""}) EXPECT_EQ(c.ask(std::string{"GET /api/v1/videos?limit="} + bad).status, 400) << bad;
}

TEST_F(Server, SaysWhatIsWrongWithARequest) {
  start();
  auto c = connect();
  auto r = c.ask("PUT /api/v1/videos");
  EXPECT_EQ(r.status, 405);
  EXPECT_EQ(r.fields["allow"], "POST, GET, HEAD");
  EXPECT_EQ(code_of_body(r), "method_not_allowed");
  r = c.ask("GET /nowhere");
  EXPECT_EQ(r.status, 404);
  EXPECT_EQ(r.fields["content-type"], "application/problem+json");
  EXPECT_EQ(c.ask("GET /api/v1/videos/nonsense").status, 404);
  EXPECT_EQ(c.ask("PROPFIND /").status, 405);
  EXPECT_EQ(c.ask("POST /api/v1/events").status, 405);
  const auto ready = to_string(a_video().id);
  EXPECT_EQ(c.ask("POST /api/v1/videos/" + ready + "/retry").status, 409);
  EXPECT_EQ(c.ask("POST /api/v1/videos/" + to_string(a_video(video_state::failed).id) + "/retry").status, 200);
}

TEST_F(Server, PassesOnTheErrorsOfTheService) {
  start();
  auto c = connect();
  for (const auto& [code, status] : {std::pair{errc::unavailable, 503}, {errc::limited, 429}, {errc::io, 500}, {errc::timeout, 504}}) {
    service.fail("list", {code, "Why."});
    const auto r = c.ask("GET /api/v1/videos");
    EXPECT_EQ(r.status, status);
    EXPECT_EQ(r.fields.contains("retry-after"), status == 503 || status == 429);
  }
}

TEST_F(Server, AsksForTheTokenUnderApiOnly) {
  server_options o;
  o.token = "secret";
  start(o);
  auto c = connect();
  auto r = c.ask("GET /api/v1/videos");
  EXPECT_EQ(r.status, 401);
  EXPECT_EQ(r.fields["www-authenticate"], "Bearer");
  EXPECT_EQ(c.ask("GET /api/v1/videos", "Authorization: Bearer secret\r\n").status, 200);
  EXPECT_EQ(c.ask("GET /version").status, 200);
  EXPECT_EQ(connect().ask("GET /api/v1/events").status, 401);
  EXPECT_EQ(connect().ask("POST /api/v1/videos", form_type, form("x")).status, 401);
  EXPECT_TRUE(service.uploads().empty());
}

TEST_F(Server, RefusesChangesFromPagesOfOtherSites) {
  start();
  EXPECT_EQ(connect().ask("POST /api/v1/videos", form_type + "Sec-Fetch-Site: cross-site\r\n", form("x")).status, 403);
  EXPECT_EQ(connect().ask("POST /api/v1/videos", form_type + "Sec-Fetch-Site: same-origin\r\n", form("x")).status, 201);
}

// ---- Uploads ----

TEST_F(Server, TakesAForm) {
  start();
  const auto r = post(form("content", field("title", " My\ttitle ") + field("ladder", "256x144 640x360") + field("priority", "high") + field("start", "1.5") + field("end", "83")),
                      form_type, "/api/video/upload");
  ASSERT_EQ(r.status, 201) << r.body;
  const auto json = nlohmann::json::parse(r.body);
  EXPECT_EQ(r.fields.at("location"), json["links"]["self"]);
  const auto all = service.uploads();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].bytes, "content");
  EXPECT_EQ(all[0].request.title, "My title");
  EXPECT_EQ(all[0].request.ladder.size(), 2u);
  EXPECT_EQ(all[0].request.priority, priority_class::high);
  EXPECT_EQ(all[0].request.part, (trim{1500, 83'000}));
}

TEST_F(Server, TakesARawBody) {
  start();
  const auto r = post("content", raw_type, "/api/v1/videos?title=a%20b&ladder=256x144");
  ASSERT_EQ(r.status, 201) << r.body;
  EXPECT_EQ(service.uploads()[0].request.title, "a b");
  EXPECT_EQ(service.uploads()[0].request.bytes_expected, 7u);
  EXPECT_EQ(service.uploads()[0].bytes, "content");
}

TEST_F(Server, TakesAChunkedUploadAndThenTheNextRequest) {
  start();
  auto c = connect();
  const auto body = form("0123456789");
  char size[16];
  std::string chunks;
  for (std::size_t at = 0; at < body.size(); at += 7) {
    const auto piece = body.substr(at, 7);
    std::snprintf(size, sizeof size, "%zx;x=y\r\n", piece.size());
    chunks += size + piece + "\r\n";
  }
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + form_type + "\r\n" + chunks +
        "0\r\nTrailer: x\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(c.hear().status, 201);
  EXPECT_EQ(service.uploads()[0].bytes, "0123456789");
  EXPECT_EQ(c.hear().status, 200);
}

TEST_F(Server, RefusesMalformedChunks) {
  start();
  auto c = connect();
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" + raw_type + "\r\nzz\r\nabc\r\n");
  EXPECT_EQ(c.hear().status, 400);
  EXPECT_TRUE(c.closed());
}

TEST_F(Server, SaysWhatIsWrongWithAForm) {
  server_options o;
  o.upload.bytes_max = 1 * mib;
  start(o);
  EXPECT_EQ(post("x", "Content-Type: text/plain\r\n").status, 415);
  EXPECT_EQ(post("x", "").status, 415);
  EXPECT_EQ(post("x", "Content-Type: multipart/form-data\r\n").status, 400);
  EXPECT_EQ(post("x", raw_type + "Content-Encoding: gzip\r\n").status, 415);
  EXPECT_EQ(post(field("title", "x") + "--b--\r\n").status, 400);
  EXPECT_EQ(post(form("x").substr(0, form("x").size() - 5)).status, 400);
  EXPECT_EQ(post(form("")).status, 422);
  EXPECT_EQ(connect().ask("POST /api/v1/videos", raw_type + "Content-Length: 0\r\n").status, 422);
  EXPECT_EQ(post(form("x", field("ladder", "huge"))).status, 400);
  EXPECT_EQ(post(form("x", field("ladder", "255x144"))).status, 400);
  EXPECT_EQ(post(form("x", field("priority", "urgent"))).status, 400);
  EXPECT_EQ(post(form("x", field("start", "one"))).status, 400);
  EXPECT_EQ(post(form("x", field("start", "5") + field("end", "5"))).status, 400);
  EXPECT_EQ(post(form("x", field("end", "0"))).status, 400);
  EXPECT_EQ(post(form("x", field("title", std::string(5000, 'x')))).status, 413);
  EXPECT_EQ(post(form("x").substr(0, form("x").size() - 4) + "\r\n" + field("title", "late") + "--b--\r\n").status, 400);
  // Too large: said by the length at once, and found out while it comes.
  EXPECT_EQ(connect().ask("POST /api/v1/videos", raw_type + "Content-Length: 99999999999\r\n").status, 413);
  EXPECT_EQ(post(form(std::string(1 * mib + 1, 'x'))).status, 413);
  EXPECT_EQ(post(std::string(1 * mib + 1, 'x'), raw_type).status, 413);
  ASSERT_TRUE(service.wait_for_aborts(1));
  EXPECT_EQ(post(form(std::string(1 * mib, 'x'))).status, 201);
}

TEST_F(Server, PassesOnTheErrorsOfAnUpload) {
  start();
  for (const auto& [what, code, status] : {std::tuple{"create", errc::disk_full, 507},
                                           {"create", errc::limited, 429},
                                           {"create", errc::unavailable, 503},
                                           {"append", errc::disk_full, 507},
                                           {"finish", errc::unavailable, 503},
                                           {"create", errc::too_large, 413}}) {
    service.fail(what, {code, "Why."});
    EXPECT_EQ(post(form("content")).status, status) << what;
  }
  EXPECT_TRUE(service.wait_for_aborts(2));
  EXPECT_TRUE(service.uploads().empty());
}

TEST_F(Server, AbortsTheUploadOfAClientThatLeaves) {
  start();
  {
    auto c = connect();
    c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 9000000\r\n" + form_type + "\r\n" +
          form(std::string(3 * mib, 'x')).substr(0, 2 * mib));
    ASSERT_TRUE(service.wait_for_uploads(1));
  }
  EXPECT_TRUE(service.wait_for_aborts(1));
  EXPECT_TRUE(service.uploads().empty());
}

TEST_F(Server, AbortsTheUploadOfAClientThatIsTooSlow) {
  server_options o;
  o.site.front.pace.window = milliseconds{200};
  start(o);
  auto c = connect();
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 900000\r\n" + raw_type + "\r\nabc");
  EXPECT_EQ(c.hear().status, 408);
  EXPECT_TRUE(c.closed());
  EXPECT_TRUE(service.wait_for_aborts(1));
}

TEST_F(Server, StopsReadingWhenTheStoreIsBehind) {
  start();
  service.hold_appends();
  auto c = connect();
  std::thread sender{[&] {
    c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 41943040\r\n" + raw_type + "\r\n" + std::string(40 * mib, 'x'));
  }};
  ASSERT_TRUE(service.wait_for_held(8));
  service.release();
  sender.join();
  EXPECT_EQ(c.hear().status, 201);
  EXPECT_LE(service.in_flight_max(), 8u);
  EXPECT_EQ(service.uploads()[0].length, 40 * mib);
}

TEST_F(Server, SendsContinueOnlyWhenItWantsTheBody) {
  start();
  auto c = connect();
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\n" + raw_type + "\r\n");
  ASSERT_TRUE(c.hear_until("HTTP/1.1 100 Continue\r\n\r\n"));
  c.say("content");
  EXPECT_EQ(c.hear().status, 201);
  auto refused = connect();
  refused.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 7\r\nContent-Type: text/plain\r\n\r\n");
  std::string seen;
  ASSERT_TRUE(refused.hear_until("\r\n\r\n", &seen));
  EXPECT_EQ(seen.rfind("HTTP/1.1 415", 0), 0u);
}

TEST(BigUpload, OfThreeHundredMegabytesTakesConstantMemory) {
  fake_service service{false};
  prometheus_metrics numbers;
  server_options o;
  o.addresses = {"127.0.0.1"};
  o.port = 0;
  http_server server{o};
  const auto port = server.start(service, numbers);
  ASSERT_TRUE(port);
  raw_http c{*port};
  const std::string piece(1 * mib, 'x');
  const std::size_t pieces = 300;
  const auto head = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.mp4\"\r\n\r\n";
  const std::string tail = "\r\n--b--\r\n";
  const auto before = rss_kib();
  auto highest = before;
  const auto began = std::chrono::steady_clock::now();
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\n" + form_type + "Content-Length: " +
        std::to_string(std::string_view{head}.size() + pieces * piece.size() + tail.size()) + "\r\n\r\n" + head);
  for (std::size_t i = 0; i < pieces; ++i) {
    ASSERT_TRUE(c.say(piece));
    if (i % 10 == 0) highest = std::max(highest, rss_kib());
  }
  c.say(tail);
  ASSERT_EQ(c.hear(false, milliseconds{60'000}).status, 201);
  const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  std::printf("300 MiB in %.2f s, %.0f MiB/s, RSS + %zu KiB\n", took, static_cast<double>(pieces) / took, highest - before);
  EXPECT_EQ(service.uploads()[0].length, pieces * piece.size());
#ifndef LATHAM_SANITIZED  // which keeps what was freed
  EXPECT_LT(highest - before, 64 * 1024u);
#endif
}

// ---- The connection ----

TEST_F(Server, KeepsConnectionsAndAnswersPipelinesInOrder) {
  start();
  auto c = connect();
  std::string three;
  for (const auto* path : {"/version", "/nowhere", "/version"}) three += std::string{"GET "} + path + " HTTP/1.1\r\nHost: x\r\n\r\n";
  c.say(three);
  EXPECT_EQ(c.hear().status, 200);
  EXPECT_EQ(c.hear().status, 404);
  EXPECT_EQ(c.hear().status, 200);
  for (int i = 0; i < 200; ++i) ASSERT_EQ(c.ask("GET /version").status, 200);
  EXPECT_EQ(c.ask("GET /version", "Connection: close\r\n").fields["connection"], "close");
  EXPECT_TRUE(c.closed());
}

TEST_F(Server, NeverTakesAnUnreadBodyForTheNextRequest) {
  start();
  const std::string smuggled = "GET /version HTTP/1.1\r\nHost: x\r\n\r\n";
  auto c = connect();
  EXPECT_EQ(c.ask("POST /nowhere", "", smuggled).status, 404);  // small: it is thrown away, the connection lives
  EXPECT_EQ(c.ask("GET /nowhere").status, 404);
  auto large = connect();
  EXPECT_EQ(large.ask("POST /api/v1/videos", "Content-Type: text/plain\r\n", smuggled + std::string(200'000, 'x')).status, 415);
  EXPECT_TRUE(large.closed());
}

TEST_F(Server, RefusesSmugglingAndLies) {
  start();
  for (const std::string fields :
       {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 3\r\nContent-Length: 3\r\n", "Content-Length: x\r\n"}) {
    auto c = connect();
    EXPECT_EQ(c.ask("POST /api/v1/videos", fields).status, 400) << fields;
    EXPECT_TRUE(c.closed());
  }
  auto none = connect();
  none.say("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(none.hear().status, 400);
  auto bare = connect();
  bare.say("GET / HTTP/1.1\nHost: x\n\n");
  EXPECT_EQ(bare.hear().status, 400);
  auto long_head = connect();
  long_head.say("GET / HTTP/1.1\r\nHost: x\r\nX: " + std::string(20'000, 'x'));
  EXPECT_EQ(long_head.hear().status, 431);
  // A length that promises more than comes: the upload is given up, not finished.
  {
    auto liar = connect();
    liar.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n" + form_type + "\r\n" + form("short"));
    ASSERT_TRUE(service.wait_for_uploads(1));
  }
  EXPECT_TRUE(service.wait_for_aborts(1));
}

TEST_F(Server, AnswersHeadWithoutABody) {
  start();
  auto c = connect();
  const auto get = c.ask("GET /version");
  auto head = c.ask("HEAD /version");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.fields["content-length"], std::to_string(get.body.size()));
  EXPECT_EQ(c.ask("GET /version").status, 200);
}

TEST_F(Server, GivesUpOnSlowHeadsAndIdleConnections) {
  server_options o;
  o.site.limits.head_deadline = milliseconds{300};
  o.site.limits.idle_deadline = milliseconds{300};
  start(o);
  auto slow = connect();
  slow.say("GET / HT");
  EXPECT_EQ(slow.hear().status, 408);
  auto idle = connect();
  EXPECT_TRUE(idle.closed());
}

TEST_F(Server, CapsConnectionsPerAddress) {
  server_options o;
  o.site.limits.connections_per_address_max = 2;
  start(o);
  auto a = connect(), b = connect();
  EXPECT_EQ(a.ask("GET /version").status, 200);
  EXPECT_EQ(b.ask("GET /version").status, 200);
  EXPECT_EQ(connect().hear().status, 503);
}

TEST_F(Server, AnswersOthersWhileManyAreSlowOrIdle) {
  server_options o;
  o.site.limits.connections_per_address_max = 5'000;
  start(o);
  const auto p99_ms = [&] {
    auto c = connect();
    std::vector<double> times;
    for (int i = 0; i < 300; ++i) {
      const auto began = std::chrono::steady_clock::now();
      EXPECT_EQ(c.ask("GET /version").status, 200);
      times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count());
    }
    std::sort(times.begin(), times.end());
    return times[times.size() * 99 / 100];
  };
  const auto calm = p99_ms();
  std::vector<raw_http> others;
  for (int i = 0; i < 1000; ++i) others.push_back(connect());
  const auto idle = p99_ms();
  for (int i = 0; i < 200; ++i) {
    others.push_back(connect());
    others.back().say("GET / HTTP/1.1\r\nHo");
  }
  const auto heads = p99_ms();
  for (int i = 0; i < 8; ++i) {
    others.push_back(connect());
    others.back().say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n" + raw_type + "\r\nslow");
  }
  ASSERT_TRUE(service.wait_for_uploads(8));
  const auto bodies = p99_ms();
  std::printf("p99 of GET: calm %.2f ms; 1000 idle %.2f; and 200 slow heads %.2f; and 8 slow bodies %.2f\n", calm, idle, heads, bodies);
  // Generous: the machine is shared. A server that gives a thread to each of them needs seconds.
  for (const auto busy : {idle, heads, bodies}) EXPECT_LT(busy, 50 * std::max(calm, 2.0));
}

TEST_F(Server, SaysBusyWhenTheQueueOfALaneIsFull) {
  server_options o;
  o.site.upload_threads = 1;
  o.site.queue_max = 1;
  start(o);
  const auto upload = "POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n" + raw_type + "\r\nslow";
  auto first = connect();
  first.say(upload);
  ASSERT_TRUE(service.wait_for_uploads(1));
  auto second = connect();
  second.say(upload);
  while (server->counts().running < 2) std::this_thread::yield();  // one runs, one is in the queue
  auto third = connect();
  third.say(upload);
  const auto r = third.hear();
  EXPECT_EQ(r.status, 503);
  EXPECT_TRUE(r.fields.contains("retry-after"));
  EXPECT_EQ(connect().ask("GET /version").status, 200);
}

TEST_F(Server, DrainsWithinItsDeadline) {
  start();
  auto idle = connect();
  EXPECT_EQ(idle.ask("GET /version").status, 200);
  auto upload = connect();
  upload.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n" + raw_type + "\r\nslow");
  ASSERT_TRUE(service.wait_for_uploads(1));
  EXPECT_FALSE(server->drain(milliseconds{200}));
  EXPECT_TRUE(idle.closed());
  EXPECT_EQ(service.subscribers(), 0u);
  EXPECT_TRUE(service.wait_for_aborts(1));
  EXPECT_FALSE(connect().connected());
}

TEST_F(Server, LetsARunningRequestFinishWhenItDrains) {
  start();
  service.hold_appends();
  auto c = connect();
  c.say("POST /api/v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n" + raw_type + "\r\ncontent");
  ASSERT_TRUE(service.wait_for_held(1));
  bool calm = false;
  std::thread drainer{[&] { calm = server->drain(milliseconds{20'000}); }};
  while (connect().connected()) std::this_thread::yield();  // the listener is closed: it drains
  service.release();
  const auto r = c.hear();
  EXPECT_EQ(r.status, 201);
  c.close();
  drainer.join();
  EXPECT_TRUE(calm);
}

// ---- Events ----

TEST_F(Server, StreamsASnapshotThenChangesAndResumes) {
  start();
  auto v = a_video(video_state::encoding);
  auto c = connect();
  c.say("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
  std::string seen;
  ASSERT_TRUE(c.hear_until("event: snapshot\n", &seen));
  EXPECT_NE(seen.find("text/event-stream"), std::string::npos);
  ASSERT_TRUE(c.hear_until(to_string(v.id)));
  v.progress_mille = 500;
  service.put(v);
  ASSERT_TRUE(c.hear_until("event: video\n", &seen));
  const auto at = seen.rfind("id: ");
  const auto id = seen.substr(at + 4, seen.find('\n', at) - at - 4);
  ASSERT_TRUE(c.hear_until("\"progress\":0.5"));
  c.close();
  v.state = video_state::ready;
  service.put(v);
  auto again = connect();
  again.say("GET /api/v1/events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: " + id + "\r\n\r\n");
  ASSERT_TRUE(again.hear_until("\"state\":\"ready\"", &seen));
  EXPECT_EQ(seen.find("event: snapshot"), std::string::npos);
}

TEST_F(Server, KeepsStreamsAliveAndDropsReadersThatDoNotRead) {
  server_options o;
  o.events.heartbeat = milliseconds{50};
  o.events.flush_interval = milliseconds{1};
  o.events.backlog_bytes_high = 1 * gib;  // never joined: the connection layer must drop it
  o.site.limits.stream_backlog_bytes_max = 64 * kib;
  start(o);
  auto good = connect();
  good.say("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(good.hear_until(": still here\n\n"));
  raw_http bad{port, 4096};
  bad.say("GET /api/v1/events HTTP/1.1\r\nHost: x\r\n\r\n");
  ASSERT_TRUE(bad.hear_until("event: snapshot"));
  auto v = a_video(video_state::encoding);
  v.error_message = std::string(16'000, 'x');
  v.error_code = "io";
  for (int i = 0; i < 5'000 && server->counts().dropped_streams == 0; ++i) {
    service.put(v);
    ASSERT_TRUE(good.hear_until("event: video"));
  }
  EXPECT_EQ(server->counts().dropped_streams, 1u);
}

// ---- Media ----

TEST_F(Server, ServesMediaWithRangesAndConditions) {
  start();
  const auto v = a_video();
  const auto base = "/media/" + to_string(v.id) + "/";
  std::string content(3 * mib + 17, '\0');
  for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<char>(i * 7 >> 3);
  service.put_media(v.id, "640x360/1.m4s", {"video/mp4", "seg", true, {}, {}}, content);
  service.put_media(v.id, "master.m3u8", {"application/vnd.apple.mpegurl", "list", false, "#EXTM3U\n", {}});
  auto c = connect();
  auto r = c.ask("GET " + base + "640x360/1.m4s");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, content);
  EXPECT_EQ(r.fields["cache-control"], "public, max-age=31536000, immutable");
  EXPECT_EQ(r.fields["access-control-allow-origin"], "*");
  EXPECT_EQ(r.fields["etag"], "\"seg\"");
  r = c.ask("GET " + base + "640x360/1.m4s", "Range: bytes=1048570-2097160\r\n");
  EXPECT_EQ(r.status, 206);
  EXPECT_EQ(r.body, content.substr(1048570, 2097160 - 1048570 + 1));
  EXPECT_EQ(r.fields["content-range"], "bytes 1048570-2097160/" + std::to_string(content.size()));
  EXPECT_EQ(c.ask("GET " + base + "640x360/1.m4s", "Range: bytes=99999999-\r\n").status, 416);
  EXPECT_EQ(c.ask("GET " + base + "640x360/1.m4s", "If-None-Match: \"seg\"\r\n").status, 304);
  EXPECT_EQ(c.ask("GET " + base + "640x360/1.m4s", "Range: bytes=0-1\r\nIf-Range: \"old\"\r\n").status, 200);
  r = c.ask("HEAD " + base + "640x360/1.m4s");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.fields["content-length"], std::to_string(content.size()));
  r = c.ask("GET " + base + "master.m3u8");
  EXPECT_EQ(r.body, "#EXTM3U\n");
  EXPECT_EQ(r.fields["cache-control"], "no-cache");
  EXPECT_EQ(c.ask("GET " + base + "none.m4s").status, 404);
  EXPECT_EQ(c.ask("GET " + base + "../../x").status, 404);
  EXPECT_EQ(c.ask("OPTIONS " + base + "master.m3u8").status, 204);
}

TEST_F(Server, AnswersAStoreThatIsAwayBeforeTheFirstByte) {
  start();
  const auto v = a_video();
  service.put_media(v.id, "1.m4s", {"video/mp4", "seg", true, {}, {}}, "content");
  service.fail("read", {errc::unavailable, "Away."});
  EXPECT_EQ(connect().ask("GET /media/" + to_string(v.id) + "/1.m4s").status, 503);
}

// ---- The client and the admin server ----

TEST_F(Server, IsUnderstoodByOurClient) {
  start();
  const auto path = ::testing::TempDir() + "latham client test \"1\".mp4";
  const std::string content(3 * mib + 5, 'c');
  std::ofstream{path, std::ios::binary} << content;
  api_client client{{"http://127.0.0.1:" + std::to_string(port), "", milliseconds{5'000}, milliseconds{5'000}}};
  std::uint64_t last = 0;
  const auto made = client.submit({path, "", {"256x144", "640x360"}, "low"}, [&](std::uint64_t sent, std::uint64_t total) {
    EXPECT_GE(sent, last);
    EXPECT_EQ(total, content.size());
    last = sent;
    return true;
  });
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_EQ(last, content.size());
  EXPECT_EQ(service.uploads()[0].bytes, content);
  EXPECT_EQ(service.uploads()[0].request.title, "latham client test \"1\".mp4");
  EXPECT_EQ(service.uploads()[0].request.ladder.size(), 2u);
  const auto id = (*made)["id"].get<std::string>();
  EXPECT_EQ((*client.get(id))["id"], id);
  EXPECT_EQ((*client.list())["videos"].size(), 1u);
  EXPECT_EQ(client.retry(id).error().code, errc::conflict);
  EXPECT_EQ(client.get("nonsense").error().code, errc::not_found);
  const auto followed = client.events([&](std::string_view name, const nlohmann::json& data) {
    EXPECT_EQ(name, "snapshot");
    EXPECT_EQ(data["videos"][0]["id"], id);
    return false;
  });
  EXPECT_TRUE(followed) << followed.error().message;
  EXPECT_TRUE(client.remove(id));
  EXPECT_EQ(client.submit({path, "", {}, ""}, [](std::uint64_t, std::uint64_t) { return false; }).error().code, errc::cancelled);
  EXPECT_EQ(client.submit({"/nonexistent", "", {}, ""}).error().code, errc::io);
  api_client nobody{{"http://127.0.0.1:1", "", milliseconds{500}, milliseconds{500}}};
  EXPECT_EQ(nobody.version().error().code, errc::unavailable);
  std::remove(path.c_str());
}

TEST(Admin, AnswersOrchestrators) {
  expected<void> ready{errc::unavailable, "No storage yet."};
  prometheus_metrics numbers;
  numbers.add("latham_things_total", 1, {});
  admin_options o;
  o.addresses = {"127.0.0.1", "::1"};
  o.port = 0;
  o.ready = [&] { return ready; };
  o.metrics = [&] { return numbers.text(); };
  admin_server admin{o};
  const auto port = admin.start();
  ASSERT_TRUE(port) << port.error().message;
  raw_http c{*port};
  EXPECT_EQ(c.ask("GET /live").status, 200);
  auto r = c.ask("GET /ready");
  EXPECT_EQ(r.status, 503);
  EXPECT_NE(r.body.find("No storage yet."), std::string::npos);
  ready = {};
  EXPECT_EQ(c.ask("GET /ready").status, 200);
  EXPECT_NE(c.ask("GET /metrics").body.find("latham_things_total 1"), std::string::npos);
  EXPECT_EQ(c.ask("GET /api/v1/videos").status, 404);
}

TEST(Admin, SaysWhatHoldsANodeBack) {
  leave_report report{false, {{"blobs", 3, "blobs are on this node's disk"}}};
  admin_options o;
  o.addresses = {"127.0.0.1"};
  o.port = 0;
  o.leave = [&](ports::completion<leave_report> done) { done(report); };
  admin_server admin{o};
  const auto port = admin.start();
  ASSERT_TRUE(port) << port.error().message;
  api_client node{{"http://127.0.0.1:" + std::to_string(*port), ""}};
  EXPECT_EQ(node.leave()->dump(), R"({"may_leave":false,"reasons":[{"count":3,"detail":"blobs are on this node's disk","what":"blobs"}]})");
  const leave_command command{"127.0.0.1:" + std::to_string(*port), false, true};
  EXPECT_EQ(run_leave(command), 1);
  report = {true, {}};
  EXPECT_EQ(run_leave(command), 0);
  report = {false, {{"not_draining", 0, "it is not being emptied"}}};
  auto waiting = command;
  waiting.wait = true;
  EXPECT_EQ(run_leave(waiting), 1) << "there is nothing to wait for";

  o.leave = {};
  admin_server keeps_nothing{o};
  const auto other = keeps_nothing.start();
  ASSERT_TRUE(other);
  EXPECT_EQ((api_client{{"http://127.0.0.1:" + std::to_string(*other), ""}}.leave().error().code), errc::unsupported);
}

TEST(Listening, FailsWithASentenceWhenThePortIsTaken) {
  fake_service service;
  prometheus_metrics numbers;
  server_options o;
  o.addresses = {"127.0.0.1"};
  o.port = 0;
  http_server first{o};
  const auto port = first.start(service, numbers);
  ASSERT_TRUE(port);
  o.port = *port;
  http_server second{o};
  EXPECT_EQ(second.start(service, numbers).error().code, errc::conflict);
  o.addresses = {"localhost"};
  EXPECT_EQ(http_server{o}.start(service, numbers).error().code, errc::invalid_argument);
}

}  // namespace latham::http
