#include "media/ladder.hpp"

#include <gtest/gtest.h>

namespace latham::media {

namespace {

const std::vector<rung> boxes = {{256, 144, 200},   {426, 240, 400},    {640, 360, 800},   {854, 480, 1400},
                                 {1280, 720, 2800}, {1920, 1080, 5000}, {2560, 1440, 9000}};

std::string ladder(std::uint32_t width, std::uint32_t height) {
  std::string out;
  for (const auto& r : fit_ladder(boxes, width, height)) out += (out.empty() ? "" : " ") + to_string(r);
  return out;
}

}  // namespace

TEST(Ladder, FullHdGetsEveryBoxUpToItself) {
  EXPECT_EQ(ladder(1920, 1080), "256x144 426x240 640x360 854x480 1280x720 1920x1080");
}

TEST(Ladder, NothingIsUpscaled) {
  EXPECT_EQ(ladder(640, 360), "256x144 426x240 640x360");
  EXPECT_EQ(ladder(1279, 719), "256x144 426x240 640x360 854x480 1278x718");
}

TEST(Ladder, PortraitKeepsItsShape) { EXPECT_EQ(ladder(1080, 1920), "144x256 240x426 360x640 480x854 720x1280 1080x1920"); }

TEST(Ladder, OtherShapesFitIntoTheBoxes) {
  EXPECT_EQ(ladder(1920, 800), "256x106 426x178 640x266 854x356 1280x534 1920x800");
  EXPECT_EQ(ladder(640, 480), "192x144 320x240 480x360 640x480");
  EXPECT_EQ(ladder(500, 500), "144x144 240x240 360x360 480x480");
}

TEST(Ladder, SourceBelowEveryBoxGetsOneRungOfItsOwnSize) {
  EXPECT_EQ(ladder(100, 60), "100x60");
  EXPECT_EQ(ladder(101, 61), "100x60");
  EXPECT_EQ(ladder(2, 2), "2x2");
}

TEST(Ladder, ExtremeShapesStayEvenAndWithinTheSource) {
  EXPECT_EQ(ladder(8192, 16), "256x2 426x2 640x2 854x2 1280x2 1920x4 2560x6");
}

TEST(Ladder, BitRateIsTheBoxs) {
  const auto fitted = fit_ladder(boxes, 640, 360);
  EXPECT_EQ(fitted.back().maxrate_kbit, 800u);
  EXPECT_EQ(fit_ladder(boxes, 64, 36).front().maxrate_kbit, 200u);
}

TEST(Ladder, OrderOfTheBoxesDoesNotMatter) {
  auto backwards = boxes;
  std::reverse(backwards.begin(), backwards.end());
  EXPECT_EQ(fit_ladder(backwards, 1920, 1080), fit_ladder(boxes, 1920, 1080));
}

}  // namespace latham::media
