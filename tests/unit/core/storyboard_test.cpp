#include "core/manifest/storyboard.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

source_plan plan_of(std::uint32_t width, std::uint32_t height, std::uint64_t frames) {
  source_plan plan;
  plan.width = width;
  plan.height = height;
  plan.fps = {24, 1};
  plan.frames = frames;
  plan.segment_frames = 48;
  plan.rungs = {{width, height, 800}};
  return plan;
}

}  // namespace

TEST(Storyboard, TilesKeepTheShapeOfThePicture) {
  EXPECT_EQ(tile_size_of(plan_of(1920, 1080, 1)), (tile_size{160, 90}));
  EXPECT_EQ(tile_size_of(plan_of(1080, 1920, 1)), (tile_size{90, 160}));
  EXPECT_EQ(tile_size_of(plan_of(640, 480, 1)), (tile_size{160, 120}));
  EXPECT_EQ(tile_size_of(plan_of(64, 64, 1)), (tile_size{160, 160}));
  EXPECT_EQ(tile_size_of(plan_of(8192, 2, 1)), (tile_size{160, 2})) << "never without height";
}

TEST(Storyboard, PosterIsTheStartOfASegmentATenthIntoTheVideo) {
  EXPECT_EQ(poster_frame(plan_of(640, 360, 1)), 0u);
  EXPECT_EQ(poster_frame(plan_of(640, 360, 9 * 48)), 0u);
  EXPECT_EQ(poster_frame(plan_of(640, 360, 100 * 48)), 10u * 48);
}

TEST(Storyboard, NamesTheTileOfEachMoment) {
  output_table table;
  table.plan = plan_of(640, 360, 48 + 100);
  table.chunks[0].first = {0, 0, 48, 0, 0};
  table.chunks[1].first = {1, 48, 100, 0, 0};
  EXPECT_EQ(storyboard_vtt(table, "/media/x"),
            "WEBVTT\n"
            "\n00:00:00.000 --> 00:00:02.000\n/media/x/storyboard/1.jpg#xywh=0,0,160,90\n"
            "\n00:00:02.000 --> 00:00:04.000\n/media/x/storyboard/2.jpg#xywh=0,0,160,90\n"
            "\n00:00:04.000 --> 00:00:06.000\n/media/x/storyboard/2.jpg#xywh=160,0,160,90\n"
            "\n00:00:06.000 --> 00:00:06.167\n/media/x/storyboard/2.jpg#xywh=320,0,160,90\n");
}

TEST(Storyboard, FramesThatAreJoinedToTheLastSegmentHaveNoTile) {
  output_table table;
  table.plan = plan_of(640, 360, 48 + 51);
  table.chunks[0].first = {0, 0, 48, 0, 0};
  table.chunks[1].first = {1, 48, 51, 0, 0};
  EXPECT_EQ(tile_count(table.plan, table.chunks[1].first), 1u);
  EXPECT_EQ(storyboard_vtt(table, "/media/x"),
            "WEBVTT\n"
            "\n00:00:00.000 --> 00:00:02.000\n/media/x/storyboard/1.jpg#xywh=0,0,160,90\n"
            "\n00:00:02.000 --> 00:00:04.125\n/media/x/storyboard/2.jpg#xywh=0,0,160,90\n");
}

TEST(Storyboard, PathsAreExactlyThoseThatAreGivenOut) {
  const auto plan = plan_of(640, 360, 480);
  EXPECT_EQ(parse_media_path("poster.jpg", plan)->kind, media_path::what::poster);
  EXPECT_EQ(parse_media_path("storyboard.vtt", plan)->kind, media_path::what::storyboard);
  const auto sheet = parse_media_path("storyboard/12.jpg", plan);
  ASSERT_TRUE(sheet);
  EXPECT_EQ(sheet->kind, media_path::what::sheet);
  EXPECT_EQ(sheet->segment, 11u);
  for (const char* path : {"storyboard", "storyboard/", "storyboard/0.jpg", "storyboard/01.jpg", "storyboard/1.png", "storyboard/1.jpg/", "storyboard/-1.jpg", "poster.png", "640x360/1.jpg"})
    EXPECT_FALSE(parse_media_path(path, plan)) << path;
}

TEST(Storyboard, MomentsAreReadLikeAClockAndLieOnTheGrid) {
  output_table table;
  table.plan = plan_of(640, 360, 24 * 7200);
  table.chunks[0].first = {0, 24 * 3598, 96, 0, 0};
  EXPECT_EQ(storyboard_vtt(table, "/media/x"),
            "WEBVTT\n"
            "\n00:59:58.000 --> 01:00:00.000\n/media/x/storyboard/1.jpg#xywh=0,0,160,90\n"
            "\n01:00:00.000 --> 01:00:02.000\n/media/x/storyboard/1.jpg#xywh=160,0,160,90\n");
  table.plan.fps = {30'000, 1001};
  table.plan.frames = 60;
  table.plan.segment_frames = 60;
  table.chunks[0].first = {0, 0, 60, 0, 0};
  EXPECT_EQ(storyboard_vtt(table, "/media/x"), "WEBVTT\n\n00:00:00.000 --> 00:00:02.002\n/media/x/storyboard/1.jpg#xywh=0,0,160,90\n");
}

TEST(Storyboard, ThePosterIsTheLargestRungThatIsNoLargerThan1280) {
  auto plan = plan_of(1920, 1080, 1);
  EXPECT_EQ(poster_rung(plan), 0u) << "there is no smaller one";
  plan.rungs = {{256, 144, 1}, {640, 360, 1}, {1280, 720, 1}, {1920, 1080, 1}};
  EXPECT_EQ(poster_rung(plan), 2u);
  plan.rungs = {{640, 360, 1}, {1280, 720, 1}};
  EXPECT_EQ(poster_rung(plan), 1u) << "the last one";
  plan.rungs = {{640, 360, 1}, {1920, 1080, 1}};
  EXPECT_EQ(poster_rung(plan), 0u);
  plan.rungs = {{640, 360, 1}, {1280, 720, 1}, {2560, 1440, 1}};
  EXPECT_EQ(poster_rung(plan), 1u);
  plan.rungs = {{144, 256, 1}, {720, 1280, 1}, {1080, 1920, 1}};
  EXPECT_EQ(poster_rung(plan), 1u) << "upright";
  plan.rungs.clear();
  EXPECT_EQ(poster_rung(plan), 0u);
}

TEST(Storyboard, ATileOfTheSmallestPictureIsAsLargeAsOthers) {
  EXPECT_EQ(tile_size_of(plan_of(1, 1, 1)), (tile_size{160, 160}));
}

}  // namespace latham
