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

}  // namespace latham
