#include "http/assets.hpp"
#include "http/client.hpp"
#include "http/json_views.hpp"
#include "http/problem.hpp"
#include "http/server.hpp"
#include "http/uploads.hpp"
#include "tests/support/fake_service.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>
#include <sstream>

namespace latham::http {

TEST(Views, ShowAVideo) {
  video_view v;
  v.id = make_id<video_id>({1'714'564'800'123}, 1, 42);
  v.title = "A \xff title";
  v.state = video_state::encoding;
  v.playable = true;
  v.created_ms = 1'714'564'800'123;
  v.progress_mille = 250;
  v.rungs = {{{640, 360, 800}, 500}};
  v.duration_ms = 1500;
  v.width = 1280;
  v.height = 720;
  v.fps = {30000, 1001};
  const auto json = nlohmann::json::parse(to_json(v));
  const auto id = to_string(v.id);
  EXPECT_EQ(json["id"], id);
  EXPECT_EQ(json["title"], "A \xef\xbf\xbd title");
  EXPECT_EQ(json["state"], "encoding");
  EXPECT_EQ(json["progress"], 0.25);
  EXPECT_EQ(json["eta_s"], nullptr);
  EXPECT_EQ(json["created"], "2024-05-01T12:00:00.123Z");
  EXPECT_EQ(json["bytes_total"], nullptr);
  EXPECT_EQ(json["rungs"][0]["name"], "640x360");
  EXPECT_EQ(json["rungs"][0]["progress"], 0.5);
  EXPECT_EQ(json["plan"]["duration_s"], 1.5);
  EXPECT_EQ(json["error"], nullptr);
  EXPECT_EQ(json["links"]["self"], "/api/v1/videos/" + id);
  EXPECT_EQ(json["links"]["hls"], "/media/" + id + "/master.m3u8");
}

TEST(Views, PromisePicturesOnlyWhereThereAreSome) {
  video_view v;
  v.state = video_state::ready;
  v.playable = true;
  v.duration_ms = 3008;
  auto json = nlohmann::json::parse(to_json(v));
  EXPECT_NE(json["links"]["hls"], nullptr);
  EXPECT_EQ(json["links"]["poster"], nullptr);
  EXPECT_EQ(json["links"]["storyboard"], nullptr);
  EXPECT_EQ(json["plan"]["width"], 0);
  EXPECT_EQ(json["plan"]["fps"], 0);
  v.rungs = {{{640, 360, 800}, 1000}};
  json = nlohmann::json::parse(to_json(v));
  EXPECT_EQ(json["links"]["poster"], nullptr) << "made by a recipe without pictures";
  v.pictures = true;
  json = nlohmann::json::parse(to_json(v));
  EXPECT_EQ(json["links"]["poster"], "/media/" + to_string(v.id) + "/poster.jpg");
  EXPECT_EQ(json["links"]["storyboard"], "/media/" + to_string(v.id) + "/storyboard.vtt");
}

TEST(Views, PromiseNoPlaylistsBeforeThereAreAny) {
  video_view v;
  v.state = video_state::encoding;  // but not a chunk of it is done
  v.error_code = "io";
  v.error_message = "why";
  const auto json = nlohmann::json::parse(to_json(v));
  EXPECT_EQ(json["links"]["hls"], nullptr);
  EXPECT_EQ(json["plan"], nullptr);
  EXPECT_EQ(json["error"]["code"], "io");
}

TEST(Titles, AreCleaned) {
  EXPECT_EQ(clean_title("  a\r\n b\x01\x7f  c\t"), "a b c");
  EXPECT_EQ(clean_title("\xc0\x80x"), "\xef\xbf\xbd\xef\xbf\xbdx");  // an overlong form is not a character
  EXPECT_EQ(clean_title("\xed\xa0\x80"), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");  // a surrogate neither
  EXPECT_EQ(clean_title("\xc2\x85y"), "y");                              // C1 controls
  std::string longest;
  for (int i = 0; i < 100; ++i) longest += "\xe2\x82\xac";
  EXPECT_EQ(clean_title(longest).size(), 198u);  // 66 whole characters
  EXPECT_EQ(title_of_file("C:\\videos\\a.mp4"), "a.mp4");
  EXPECT_EQ(title_of_file("../../etc/a.mp4"), "a.mp4");
  EXPECT_EQ(clean_title("\x01\x02"), "");
}

TEST(Problems, HaveTheStatusOfTheirCode) {
  EXPECT_EQ(status_of(errc::disk_full), 507);
  EXPECT_EQ(status_of(errc::limited), 429);
  EXPECT_EQ(status_of(errc::unprocessable), 422);
  const auto p = to_problem(error{errc::unavailable, "Wait."});
  EXPECT_GT(p.retry_after_s, 0);
  const auto json = nlohmann::json::parse(to_json(p));
  EXPECT_EQ(json["status"], 503);
  EXPECT_EQ(json["code"], "unavailable");
  EXPECT_EQ(json["detail"], "Wait.");
  EXPECT_EQ(json["type"], "about:blank");
}

TEST(Problems, AreSentences) {
  EXPECT_EQ(to_problem(error{errc::disk_full, "no space; delete something"}).detail, "No space; delete something.");
  EXPECT_EQ(to_sentence("It is one."), "It is one.");
  EXPECT_EQ(to_sentence("4 of 5 are missing!"), "4 of 5 are missing!");
  EXPECT_EQ(to_sentence(""), "");
}

TEST(Problems, ComeBackAsTheSameCode) {
  for (auto i = 1; i <= static_cast<int>(errc::internal); ++i) {
    const auto code = static_cast<errc>(i);
    EXPECT_EQ(code_of(status_of(code), to_string(code)), code);
  }
  EXPECT_EQ(code_of(503, "made_up"), errc::unavailable);
}

TEST(Fields, LadderAndPriorityAreParsed) {
  const auto ladder = parse_ladder(" 256x144, 640x360\t1280x720 ");
  ASSERT_TRUE(ladder);
  ASSERT_EQ(ladder->size(), 3u);
  EXPECT_EQ((*ladder)[1].width, 640u);
  EXPECT_TRUE(parse_ladder("")->empty());
  for (const auto* bad : {"640", "640x", "x360", "640x360x2", "-640x360", "big"}) EXPECT_FALSE(parse_ladder(bad)) << bad;
  std::string many;
  for (std::size_t i = 0; i <= rungs_max; ++i) many += "64x" + std::to_string(36 + 2 * i) + " ";
  EXPECT_FALSE(parse_ladder(many));
  EXPECT_EQ(*parse_priority("high"), priority_class::high);
  EXPECT_FALSE(parse_priority("urgent"));
}

TEST(Tokens, AreAskedForOnlyWhenConfigured) {
  request_head head;
  EXPECT_FALSE(check_token("", head));
  EXPECT_EQ(check_token("secret", head)->status, 401);
  head.fields = {{"authorization", "Bearer secret"}};
  EXPECT_FALSE(check_token("secret", head));
  for (const auto* bad : {"Bearer secre", "Bearer secrets", "Bearer ", "Bearer", "Basic secret", "secret"}) {
    head.fields = {{"authorization", bad}};
    EXPECT_TRUE(check_token("secret", head)) << bad;
  }
}

TEST(Router, TellsWrongMethodFromWrongPath) {
  router table;
  table.add({"GET", "/a/{id}", "a", lane::api, false, nullptr});
  table.add({"DELETE", "/a/{id}", "b", lane::api, false, nullptr});
  table.add({"GET", "/m/{id}/{path...}", "c", lane::media, false, nullptr});
  EXPECT_EQ(table.match("GET", "/a/1").found->name, "a");
  EXPECT_EQ(table.match("HEAD", "/a/1").found->name, "a");
  EXPECT_EQ(table.match("DELETE", "/a/1").parameters, std::vector<std::string>{"1"});
  EXPECT_EQ(table.match("PUT", "/a/1").allow, "GET, HEAD, DELETE");
  EXPECT_EQ(table.match("GET", "/m/1/x/y.m4s").parameters, (std::vector<std::string>{"1", "x/y.m4s"}));
  for (const auto* path : {"/a/", "/a", "/a/1/", "/b", "/m/1", ""}) {
    EXPECT_EQ(table.match("GET", path).found, nullptr) << path;
    EXPECT_EQ(table.match("GET", path).allow, "") << path;
  }
}

TEST(OpenApi, DescribesExactlyTheRegisteredRoutes) {
  testing::fake_service service;
  const auto table = make_routes(service, {});
  std::set<std::string> registered;
  for (const auto& r : table.routes()) {
    auto pattern = r.pattern;
    if (const auto dots = pattern.find("..."); dots != std::string::npos) pattern.erase(dots, 3);
    registered.insert(r.method + " " + pattern);
  }
  const auto* file = find_asset("/openapi.yaml");
  ASSERT_NE(file, nullptr);
  // The file keeps a plain shape: paths at two blanks, methods at four.
  std::set<std::string> described;
  std::istringstream lines{std::string{file->bytes}};
  std::string line, path;
  bool in_paths = false;
  while (std::getline(lines, line)) {
    if (!line.empty() && line.front() != ' ') in_paths = line == "paths:";
    if (!in_paths) continue;
    if (line.rfind("  /", 0) == 0) path = line.substr(2, line.size() - 3);
    for (const auto* method : {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}) {
      std::string lower = method;
      for (auto& c : lower) c = static_cast<char>(c - 'A' + 'a');
      if (line == "    " + lower + ":") described.insert(std::string{method} + " " + path);
    }
  }
  EXPECT_EQ(described, registered);
}

}  // namespace latham::http
