// Names and numbers that come from outside: exactly what may be one, at both sides of each border.
#include "core/ids.hpp"

#include <gtest/gtest.h>

namespace latham {

TEST(NodeNames, AreUpTo63LettersDigitsAndHyphensWithin) {
  for (const std::string& good : {std::string{"a"}, std::string{"z"}, std::string{"0"}, std::string{"9"}, std::string{"storage-0"},
                                  std::string{"a--z"}, std::string(63, 'a')})
    EXPECT_TRUE(is_valid_node_name(good)) << good;
  for (const std::string& bad :
       {std::string{}, std::string(64, 'a'), std::string{"-"}, std::string{"-a"}, std::string{"a-"}, std::string{"A"}, std::string{"a_b"},
        std::string{"a.b"}, std::string{"a b"}, std::string{"a`b"}, std::string{"a{b"}, std::string{"a/b"}, std::string{"a:b"}})
    EXPECT_FALSE(is_valid_node_name(bad)) << bad;
}

TEST(Ids, TextIsReadInEitherCase) {
  const auto id = make_id<video_id>(utc_ms{1'700'000'000'000}, 3, 0x0123456789abcdefull);
  EXPECT_EQ(parse_id<video_id>("01hf7yat00001g28t5cy4tqkff"), id);
  EXPECT_EQ(parse_id<video_id>("0000000000000000000000000a"), parse_id<video_id>("0000000000000000000000000A"));
  EXPECT_EQ(parse_id<video_id>("0000000000000000000000000z"), (video_id{0, 31}));
  for (const char c : {'`', '{', '@', '[', '/', ':', 'i', 'l', 'o', 'u'})
    EXPECT_FALSE(parse_id<video_id>("0000000000000000000000000" + std::string{c})) << c;
}

TEST(Ids, TheGreatestIsReadAndNothingBeyondIt) {
  EXPECT_EQ(parse_id<video_id>("7ZZZZZZZZZZZZZZZZZZZZZZZZZ"), (video_id{~0ull, ~0ull}));
  EXPECT_FALSE(parse_id<video_id>("80000000000000000000000000"));
  EXPECT_FALSE(parse_id<video_id>("000000000000000000000000000"));
}

}  // namespace latham
