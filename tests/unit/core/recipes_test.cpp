#include "core/recipes.hpp"

#include <gtest/gtest.h>

namespace latham {

TEST(Recipes, SecondsAreReadToTheMillisecond) {
  EXPECT_EQ(*parse_seconds_ms("0"), 0u);
  EXPECT_EQ(*parse_seconds_ms("83.5"), 83'500u);
  EXPECT_EQ(*parse_seconds_ms("3600.007"), 3'600'007u);
  for (const char* bad : {"", ".", "1.", ".5", "-1", "+1", "1e3", "1.0000", "12:30", " 1", "1 ", "1234567890", "one"}) {
    const auto parsed = parse_seconds_ms(bad);
    ASSERT_FALSE(parsed) << bad;
    EXPECT_EQ(parsed.error().code, errc::invalid_argument);
  }
}

TEST(Recipes, APartHasALengthAndLiesWithinADay) {
  EXPECT_EQ(make_recipe({}, {1000, 2000})->part, (trim{1000, 2000}));
  EXPECT_TRUE(make_recipe({}, {1000, 0}));
  EXPECT_FALSE(make_recipe({}, {2000, 2000}));
  EXPECT_FALSE(make_recipe({}, {2000, 1000}));
  EXPECT_FALSE(make_recipe({}, {86'400'001, 0}));
  EXPECT_FALSE(make_recipe({}, {0, 86'400'001}));
}

TEST(Recipes, TheEndsOfTheLadderHaveALowerRateFactorAndNoneIsBelowTheLeast) {
  recipe how;
  EXPECT_EQ(crf_tenths_of(how, {256, 144, 0}), 225u);
  EXPECT_EQ(crf_tenths_of(how, {240, 426, 0}), 230u) << "a portrait's short side counts";
  EXPECT_EQ(crf_tenths_of(how, {1280, 720, 0}), 235u);
  EXPECT_EQ(crf_tenths_of(how, {1920, 1080, 0}), 230u);
  how.crf_tenths = 12;
  EXPECT_EQ(crf_tenths_of(how, {256, 144, 0}), 10u);
}

TEST(Recipes, TheDefaultLadderIsAsDocumented) {
  EXPECT_EQ(default_ladder(), (std::vector<rung>{{256, 144, 200},
                                                 {426, 240, 400},
                                                 {640, 360, 800},
                                                 {854, 480, 1400},
                                                 {1280, 720, 2800},
                                                 {1920, 1080, 5000},
                                                 {2560, 1440, 9000},
                                                 {3840, 2160, 18000}}));
}

TEST(Recipes, RatesOfOtherSizesFollowTheNearestOfTheLadder) {
  const auto rate = [](std::uint32_t width, std::uint32_t height) { return make_recipe({{width, height, 0}})->rungs.at(0).maxrate_kbit; };
  EXPECT_EQ(rate(1024, 576), 1840u) << "1.44 times the pixels of 480p, to the power of three quarters, in tens";
  EXPECT_EQ(rate(360, 640), 800u) << "pixels count, not their shape";
  EXPECT_EQ(rate(16, 16), 50u) << "never less";
}

TEST(Recipes, SidesAreEvenAndFrom16To3840) {
  for (const rung& good :
       {rung{16, 16, 0}, rung{3840, 3840, 0}, rung{16, 3840, 0}, rung{3840, 16, 0}, rung{640, 362, 0}, rung{638, 360, 0}})
    EXPECT_TRUE(make_recipe({good})) << to_string(good);
  for (const rung& bad : {rung{14, 16, 0}, rung{16, 14, 0}, rung{3842, 16, 0}, rung{16, 3842, 0}, rung{641, 360, 0}, rung{640, 361, 0}})
    EXPECT_EQ(make_recipe({bad}).error().code, errc::invalid_argument) << to_string(bad);
}

TEST(Recipes, ALadderHasUpTo16RungsByPixelsAndThenByWidth) {
  std::vector<rung> asked;
  for (std::uint32_t i = 0; i < 16; ++i) asked.push_back({640 - 16 * i, 360, 0});
  const auto full = make_recipe(asked);
  ASSERT_TRUE(full);
  EXPECT_EQ(full->rungs.front().width, 400u);
  EXPECT_EQ(full->rungs.back().width, 640u);
  asked.push_back({800, 360, 0});
  EXPECT_FALSE(make_recipe(asked));
  const auto same_pixels = make_recipe({{640, 360, 0}, {360, 640, 0}});
  ASSERT_TRUE(same_pixels);
  EXPECT_EQ(same_pixels->rungs.front().width, 360u);
}

TEST(Recipes, APartMayReachToTheEndOfTheDay) {
  EXPECT_TRUE(make_recipe({}, {86'400'000, 0}));
  EXPECT_TRUE(make_recipe({}, {0, 86'400'000}));
}

TEST(Recipes, TheRateFactorChangesAtTheseSizes) {
  const auto crf = [](std::uint32_t lines) { return crf_tenths_of({}, {3840, lines, 0}); };
  EXPECT_EQ(crf(160), 225u);
  EXPECT_EQ(crf(161), 230u);
  EXPECT_EQ(crf(270), 230u);
  EXPECT_EQ(crf(271), 235u);
  EXPECT_EQ(crf(720), 235u);
  EXPECT_EQ(crf(721), 230u);
}

TEST(Recipes, SecondsHaveUpToNineDigits) {
  EXPECT_EQ(*parse_seconds_ms("999999999"), 999'999'999'000u);
  EXPECT_EQ(*parse_seconds_ms("0.999"), 999u);
}

}  // namespace latham
