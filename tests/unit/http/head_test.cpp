#include "http/head.hpp"

#include <gtest/gtest.h>

namespace latham::http {

namespace {
constexpr auto incomplete = head_scan::state::incomplete;
constexpr auto complete = head_scan::state::complete;
constexpr auto refused = head_scan::state::refused;
}  // namespace

TEST(Heads, ReadMethodTargetAndFields) {
  const auto scan = scan_head("GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Thing:  one two \r\n\r\nrest");
  ASSERT_EQ(scan.what, complete);
  EXPECT_EQ(scan.head.method, "GET");
  EXPECT_EQ(scan.head.target, "/a?b=c");
  EXPECT_EQ(scan.head.path(), "/a");
  ASSERT_NE(scan.head.field("x-thing"), nullptr);
  EXPECT_EQ(*scan.head.field("x-thing"), "one two");
  EXPECT_TRUE(scan.head.keep_alive);
  EXPECT_FALSE(scan.head.has_body());
  EXPECT_EQ(scan.head.bytes, std::string_view{"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Thing:  one two \r\n\r\n"}.size());
}

TEST(Heads, MeanTheSameHoweverTheyAreCut) {
  const std::string head = "\r\nPOST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc";
  for (std::size_t first = 1; first < head.size(); ++first) {
    const auto early = scan_head(std::string_view{head}.substr(0, first), 0);
    if (early.what == complete) continue;
    ASSERT_EQ(early.what, incomplete) << first;
    const auto late = scan_head(head, first);
    ASSERT_EQ(late.what, complete) << first;
    EXPECT_EQ(late.head.content_length, 3u);
    EXPECT_TRUE(late.head.expects_continue);
    EXPECT_EQ(late.head.bytes, head.size() - 3);
  }
}

TEST(Heads, ThatTwoProgramsCouldReadDifferentlyAreRefused) {
  const std::string start = "POST / HTTP/1.1\r\nHost: x\r\n";
  for (const std::string bad : {"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
                                "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
                                "Content-Length: 3\r\nContent-Length: 3\r\n",
                                "Content-Length: 3\r\nContent-Length: 4\r\n",
                                "Content-Length: 3, 3\r\n",
                                "Content-Length: +3\r\n",
                                "Content-Length: -1\r\n",
                                "Content-Length: 0x3\r\n",
                                "Content-Length: \r\n",
                                "Content-Length: 99999999999999999999\r\n",
                                "Transfer-Encoding: gzip, chunked\r\n",
                                "Transfer-Encoding: xchunked\r\n",
                                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                                "Content-Length : 3\r\n",
                                "X: a\r\n folded\r\n",
                                "X: a\r\n\tfolded\r\n",
                                "X: a\nY: b\r\n",
                                "Host: y\r\n",
                                "X\r\n",
                                "Expect: a miracle\r\n"}) {
    const auto scan = scan_head(start + bad + "\r\n");
    EXPECT_EQ(scan.what, refused) << bad;
    EXPECT_GE(scan.status, 400) << bad;
  }
}

TEST(Heads, NeedExactlyOneHostButInHttp10) {
  EXPECT_EQ(scan_head("GET / HTTP/1.1\r\n\r\n").status, 400);
  EXPECT_EQ(scan_head("GET / HTTP/1.0\r\n\r\n").what, complete);
  EXPECT_FALSE(scan_head("GET / HTTP/1.0\r\n\r\n").head.keep_alive);
}

TEST(Heads, OfOtherProtocolsAreRefusedAtTheirFirstByte) {
  EXPECT_EQ(scan_head("\x16\x03\x01").what, refused);
  EXPECT_EQ(scan_head("get / HTTP/1.1\r\n").what, refused);
  EXPECT_EQ(scan_head("").what, incomplete);
  EXPECT_EQ(scan_head("\r\n").what, incomplete);
  EXPECT_EQ(scan_head("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").what, refused);
}

TEST(Heads, HaveLimits) {
  EXPECT_EQ(scan_head("GET /" + std::string(target_bytes_max, 'a') + " HTTP/1.1\r\nHost: x\r\n\r\n").status, 414);
  std::string many = "GET / HTTP/1.1\r\nHost: x\r\n";
  for (std::size_t i = 0; i <= head_fields_max; ++i) many += "A: b\r\n";
  EXPECT_EQ(scan_head(many + "\r\n").status, 431);
}

TEST(Heads, InTheFormForProxiesAreUnderstood) {
  EXPECT_EQ(scan_head("GET http://x/y?z HTTP/1.1\r\nHost: x\r\n\r\n").head.target, "/y?z");
  EXPECT_EQ(scan_head("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n").head.target, "/");
}

}  // namespace latham::http
