#include "http/multipart.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <string>
#include <vector>

namespace latham::http {

namespace {

struct part {
  part_head head;
  std::string bytes;
  bool ended = false;
};

struct outcome {
  std::vector<part> parts;
  bool complete = false;
  errc failure = errc::none;
};

outcome run(std::string_view boundary, const std::vector<std::string_view>& pieces) {
  outcome result;
  multipart_parser parser{boundary,
                          {[&](part_head head) -> expected<void> {
                             result.parts.push_back({std::move(head), "", false});
                             return {};
                           },
                           [&](std::string_view bytes) -> expected<void> {
                             EXPECT_FALSE(bytes.empty());
                             result.parts.back().bytes += bytes;
                             return {};
                           },
                           [&]() -> expected<void> {
                             result.parts.back().ended = true;
                             return {};
                           }}};
  for (const auto piece : pieces)
    if (auto fed = parser.feed(piece); !fed) {
      result.failure = fed.error().code;
      return result;
    }
  result.complete = parser.complete();
  return result;
}

// Content with everything that looks like a boundary but is none.
const std::string tricky = "\r\n--b\r\n-\r\n--\r\n--boundar\r\n--boundarX\r\r\n\n--boundary-\r\n--";
const std::string form =
  "preamble to ignore\r\n--boundary\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nHello\r\n--boundary \t\r\n"
  "content-disposition: form-data; name=\"file\"; filename=\"a \\\"b\\\".mp4\"\r\nContent-Type: video/mp4\r\n\r\n" +
  tricky + "\r\n--boundary\r\nContent-Disposition: form-data; name=empty\r\n\r\n\r\n--boundary--\r\nepilogue\r\n--boundary\r\n";

void expect_form(const outcome& result, const std::string& where) {
  ASSERT_EQ(result.failure, errc::none) << where;
  ASSERT_TRUE(result.complete) << where;
  ASSERT_EQ(result.parts.size(), 3u) << where;
  EXPECT_EQ(result.parts[0].head.name, "title") << where;
  EXPECT_FALSE(result.parts[0].head.filename) << where;
  EXPECT_EQ(result.parts[0].bytes, "Hello") << where;
  EXPECT_EQ(result.parts[1].head.filename, "a \"b\".mp4") << where;
  EXPECT_EQ(result.parts[1].head.content_type, "video/mp4") << where;
  EXPECT_EQ(result.parts[1].bytes, tricky) << where;
  EXPECT_EQ(result.parts[2].head.name, "empty") << where;
  EXPECT_EQ(result.parts[2].bytes, "") << where;
  for (const auto& p : result.parts) EXPECT_TRUE(p.ended) << where;
}

}  // namespace

TEST(Multipart, IsTheSameAtEverySplitPosition) {
  const std::string_view all = form;
  for (std::size_t at = 0; at <= all.size(); ++at) expect_form(run("boundary", {all.substr(0, at), all.substr(at)}), std::to_string(at));
}

TEST(Multipart, IsTheSameByteByByte) {
  std::vector<std::string_view> pieces;
  for (std::size_t i = 0; i < form.size(); ++i) pieces.push_back(std::string_view{form}.substr(i, 1));
  expect_form(run("boundary", pieces), "bytes");
}

TEST(Multipart, GivesBackAnyContentHoweverItIsCut) {
  EXPECT_TRUE(rc::check("content survives", [] {
    // Few letters, so that pieces of boundaries are likely.
    const auto content = *rc::gen::container<std::string>(rc::gen::element('\r', '\n', '-', 'b', 'x', '\0'));
    RC_PRE(("\r\n" + content).find("\r\n--bb") == std::string::npos);
    const auto all = "--bb\r\nContent-Disposition: form-data; name=\"f\"; filename=\"\"\r\n\r\n" + content + "\r\n--bb--";
    std::vector<std::string_view> pieces;
    for (std::size_t at = 0; at < all.size();) {
      const auto size = *rc::gen::inRange<std::size_t>(1, 12);
      pieces.push_back(std::string_view{all}.substr(at, size));
      at += size;
    }
    const auto result = run("bb", pieces);
    RC_ASSERT(result.complete);
    RC_ASSERT(result.parts.size() == 1u);
    RC_ASSERT(result.parts[0].bytes == content);
  }));
}

TEST(Multipart, HasLimitsOnWhatASenderDecides) {
  const std::string start = "--b\r\nContent-Disposition: form-data; name=\"a\"\r\n";
  EXPECT_EQ(run("b", {start + "X: " + std::string(part_head_bytes_max, 'x') + "\r\n\r\n"}).failure, errc::too_large);
  std::string many;
  for (std::size_t i = 0; i <= parts_max; ++i) many += start + "\r\nx\r\n";
  EXPECT_EQ(run("b", {many}).failure, errc::too_large);
  EXPECT_EQ(run("b", {"--b" + std::string(100, ' ') + "\r\n"}).failure, errc::invalid_argument);
}

TEST(Multipart, RefusesMalformedParts) {
  EXPECT_EQ(run("b", {"--bX\r\n\r\n"}).failure, errc::invalid_argument);
  EXPECT_EQ(run("b", {"--b\r\n\r\ncontent\r\n--b--"}).failure, errc::invalid_argument);
  EXPECT_EQ(run("b", {"--b\r\nno colon\r\n\r\n"}).failure, errc::invalid_argument);
  EXPECT_EQ(run("b", {"--b\r\nContent-Disposition: attachment; name=a\r\n\r\n"}).failure, errc::invalid_argument);
  EXPECT_FALSE(run("b", {"--b\r\nContent-Disposition: form-data; name=a\r\n\r\nnever ends"}).complete);
}

TEST(Multipart, FindsTheBoundary) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\""), "a b");
  EXPECT_FALSE(multipart_boundary("multipart/form-data"));
  EXPECT_FALSE(multipart_boundary("multipart/form-data; boundary="));
  EXPECT_FALSE(multipart_boundary("multipart/mixed; boundary=abc"));
  EXPECT_FALSE(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'a')));
}

TEST(Multipart, ReadsNamesAsBrowsersWriteThem) {
  EXPECT_EQ(disposition_parameter("form-data; name=\"x\"; filename=\"a%22b.mp4\"", "filename"), "a\"b.mp4");
  EXPECT_EQ(disposition_parameter("form-data; filename=\"C:\\dir\\a.mp4\"", "filename"), "C:\\dir\\a.mp4");
  EXPECT_EQ(disposition_parameter("form-data; filename=\"x\"; filename*=UTF-8''%e2%82%ac.mp4", "filename"), "\xe2\x82\xac.mp4");
  EXPECT_EQ(disposition_parameter("form-data; name=plain ; other=1", "name"), "plain");
  EXPECT_FALSE(disposition_parameter("form-data; name=\"x\"", "filename"));
}

}  // namespace latham::http
