#include "http/ranges.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>

namespace latham::http {

namespace {
range_answer ask(std::string range, std::uint64_t size = 100) { return answer_range({std::move(range), {}, {}}, "tag", size); }
}  // namespace

TEST(Ranges, AreAnsweredWithThePart) {
  const auto part = ask("bytes=10-19");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.offset, 10u);
  EXPECT_EQ(part.bytes, 10u);
  EXPECT_EQ(part.content_range, "bytes 10-19/100");
  EXPECT_EQ(ask("bytes=90-").bytes, 10u);
  EXPECT_EQ(ask("bytes=-5").offset, 95u);
  EXPECT_EQ(ask("bytes=-500").bytes, 100u);
}

TEST(Ranges, AreClippedAtTheEnd) {
  EXPECT_EQ(ask("bytes=50-9999").content_range, "bytes 50-99/100");
  EXPECT_EQ(ask("bytes=50-99999999999999999999999").content_range, "bytes 50-99/100");
}

TEST(Ranges, OutsideAre416WithTheSize) {
  for (const auto* range : {"bytes=100-", "bytes=100-200", "bytes=-0"}) {
    EXPECT_EQ(ask(range).status, 416) << range;
    EXPECT_EQ(ask(range).content_range, "bytes */100") << range;
  }
  EXPECT_EQ(ask("bytes=0-", 0).status, 416);
}

TEST(Ranges, ThatAreMalformedOrManyGetTheWhole) {
  for (const auto* range : {"bytes=0-1,5-6", "bytes=5-4", "bytes=a-b", "bytes=-", "bytes=", "bytes", "items=0-1", "bytes=1", "bytes=--1"}) {
    EXPECT_EQ(ask(range).status, 200) << range;
    EXPECT_EQ(ask(range).bytes, 100u) << range;
  }
}

TEST(Ranges, NeverLeaveTheResource) {
  EXPECT_TRUE(rc::check("inside", [](std::uint64_t a, std::uint64_t b, std::uint16_t size) {
    const auto part = ask("bytes=" + std::to_string(a % 70000) + "-" + std::to_string(b % 70000), size);
    RC_ASSERT(part.offset + part.bytes <= size || part.status == 416);
    if (part.status == 206) RC_ASSERT(part.bytes > 0u);
  }));
}

TEST(Conditions, NotModifiedWinsOverRange) {
  EXPECT_EQ(answer_range({"bytes=0-1", {}, "\"tag\""}, "tag", 100).status, 304);
  EXPECT_EQ(answer_range({{}, {}, "\"x\", W/\"tag\""}, "tag", 100).status, 304);
  EXPECT_EQ(answer_range({{}, {}, "*"}, "tag", 100).status, 304);
  EXPECT_EQ(answer_range({{}, {}, "\"other\""}, "tag", 100).status, 200);
  EXPECT_EQ(answer_range({{}, {}, "tag"}, "tag", 100).status, 200);
}

TEST(Conditions, IfRangeOfAnotherVersionGetsTheWhole) {
  EXPECT_EQ(answer_range({"bytes=0-1", "\"tag\"", {}}, "tag", 100).status, 206);
  EXPECT_EQ(answer_range({"bytes=0-1", "\"old\"", {}}, "tag", 100).status, 200);
  EXPECT_EQ(answer_range({"bytes=0-1", "W/\"tag\"", {}}, "tag", 100).status, 200);
  EXPECT_EQ(answer_range({"bytes=0-1", "Sun, 06 Nov 1994 08:49:37 GMT", {}}, "tag", 100).status, 200);
}

}  // namespace latham::http
