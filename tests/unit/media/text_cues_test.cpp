#include "media/text_cues.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace latham::media {

TEST(TextCues, WordsOfAnAssEventAreWithoutItsMarkup) {
  EXPECT_EQ(words_of_ass("{\\b1\\pos(10,20)}Hello{\\b0}, world\\Nsecond\\hline\\nthird"), "Hello, world\nsecond line\nthird");
  EXPECT_EQ(words_of_ass("{\\p1}m 0 0 l 100 0{\\p0}words"), "words");
  EXPECT_EQ(words_of_ass("{\\an8\\p2}m 0 0\\Nl 1 1{\\r}still drawn"), "");
  EXPECT_EQ(words_of_ass("{\\pbo5}a{\\pos(1,2)}b"), "ab");
  EXPECT_EQ(words_of_ass("\\{not markup\\} a\\b {never closed"), "{not markup} a\\b {never closed");
  EXPECT_EQ(words_of_ass("a\\"), "a\\");
  EXPECT_EQ(words_of_ass(""), "");
}

TEST(TextCues, TextIsMadeClean) {
  EXPECT_EQ(clean_cue("  a \r\n\r\n\t\nb\x01\x7f\n"), "a\nb");
  EXPECT_EQ(clean_cue("caf\xe9"), "caf\xef\xbf\xbd");
  EXPECT_EQ(clean_cue("\xc0\x80 \xed\xa0\x80 \xf8"), "\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd \xef\xbf\xbd");
  EXPECT_EQ(clean_cue("\xe2\x80\xa8x\xe2\x80\xa9\xef\xbb\xbf\xc2\x85y"), "xy") << "line separators, a byte order mark, a C1 control";
  EXPECT_EQ(clean_cue("\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x8e\xac"), "\xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x8e\xac");
  EXPECT_EQ(clean_cue("\xe2\x82"), "\xef\xbf\xbd\xef\xbf\xbd") << "cut off";
  EXPECT_EQ(clean_cue(std::string_view{"a\0b", 3}), "ab");
  EXPECT_EQ(clean_cue(" \n\n "), "");
}

TEST(TextCues, TextHasLimits) {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "line\n";
  const auto clean = clean_cue(lines);
  EXPECT_EQ(static_cast<std::size_t>(std::count(clean.begin(), clean.end(), '\n')) + 1, cue_lines_max);
  std::string euros;
  for (int i = 0; i < 5000; ++i) euros += "\xe2\x82\xac";
  EXPECT_LE(clean_cue(euros).size(), cue_text_bytes_max);
  EXPECT_EQ(clean_cue(euros).size() % 3, 0u) << "no character is cut";
  EXPECT_LE(clean_title(euros).size(), track_title_bytes_max);
  EXPECT_EQ(clean_title("  one\ntwo"), "one");
}

TEST(TextCues, BytesAreFrozen) {
  std::uint32_t written = 0;
  EXPECT_EQ(webvtt({{2000, 3500, "a --> b\n<script>&amp;"}, {500, 1250, "first"}}, 3'600'000 * 30ll, &written),
            "WEBVTT\n"
            "\n00:00:00.500 --> 00:00:01.250\nfirst\n"
            "\n00:00:02.000 --> 00:00:03.500\na --&gt; b\n&lt;script&gt;&amp;amp;\n");
  EXPECT_EQ(written, 2u);
  EXPECT_EQ(webvtt({{3'600'000 * 25ll + 61'001, 3'600'000 * 26ll, "late"}}, 3'600'000 * 30ll), "WEBVTT\n\n25:01:01.001 --> 26:00:00.000\nlate\n");
  EXPECT_EQ(webvtt({}, 1000, &written), "WEBVTT\n");
  EXPECT_EQ(written, 0u);
}

TEST(TextCues, CuesAreClippedToTheVideo) {
  EXPECT_EQ(webvtt({{-500, 200, "early"}, {-500, 0, "before"}, {900, 5000, "late"}, {1000, 2000, "after"}, {300, 300, "never"}, {300, 400, ""}}, 1000),
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.200\nearly\n\n00:00:00.900 --> 00:00:01.000\nlate\n");
}

TEST(TextCues, TheSameCueAgainIsLeftOut) {
  EXPECT_EQ(webvtt({{0, 100, "glow"}, {0, 100, "glow"}, {0, 100, "words"}, {100, 200, "glow"}}, 1000),
            "WEBVTT\n\n00:00:00.000 --> 00:00:00.100\nglow\n\n00:00:00.000 --> 00:00:00.100\nwords\n\n00:00:00.100 --> 00:00:00.200\nglow\n");
}

}  // namespace latham::media
