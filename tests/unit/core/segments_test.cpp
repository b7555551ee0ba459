#include "core/manifest/manifests.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace latham {

namespace {

source_plan film(std::uint64_t frames, std::uint32_t segment_frames = 50) {
  source_plan plan;
  plan.fps = {25, 1};
  plan.frames = frames;
  plan.segment_frames = segment_frames;
  return plan;
}

std::vector<std::uint32_t> segments_of(const source_plan& plan) {
  std::vector<std::uint32_t> out;
  for (std::uint32_t n = 0; n < segment_count(plan, plan.frames); ++n) out.push_back(segment_frames_of(plan, n));
  EXPECT_EQ(segment_frames_of(plan, static_cast<std::uint32_t>(out.size())), 0u) << "there is none of that number";
  return out;
}

using frames = std::vector<std::uint32_t>;

}  // namespace

TEST(Segments, AFewFramesAtTheEndBelongToTheLastSegment) {
  EXPECT_EQ(segments_of(film(100)), (frames{50, 50}));
  EXPECT_EQ(segments_of(film(101)), (frames{50, 51}));
  EXPECT_EQ(segments_of(film(103)), (frames{50, 53}));
  EXPECT_EQ(segments_of(film(104)), (frames{50, 50, 4}));
  EXPECT_EQ(segments_of(film(149)), (frames{50, 50, 49}));
}

TEST(Segments, AVideoLittleLongerThanASegmentHasOne) {
  for (const std::uint32_t n : {1u, 3u, 4u, 49u, 50u, 51u, 53u}) EXPECT_EQ(segments_of(film(n)), (frames{n}));
  EXPECT_EQ(segments_of(film(54)), (frames{50, 4}));
  EXPECT_EQ(segment_count(film(0), 0), 0u);
  EXPECT_EQ(segment_count(film(100, 0), 100), 0u) << "not planned yet";
}

TEST(Segments, ShorterThanTheLeastThatTheLastMayHaveAreJoinedUntilItHasThat) {
  EXPECT_EQ(segments_of(film(7, 1)), (frames{1, 1, 1, 4}));
  EXPECT_EQ(segments_of(film(4, 1)), (frames{4}));
  EXPECT_EQ(segments_of(film(11, 3)), (frames{3, 3, 5}));
}

TEST(Segments, OfAPrefixAndOfAChunkAreThoseThatLieInThem) {
  const auto plan = film(203);
  EXPECT_EQ(segment_count(plan, 50), 1u);
  EXPECT_EQ(segment_count(plan, 150), 3u) << "nothing is joined but the end";
  EXPECT_EQ(segment_count(plan, 203), 4u);
  EXPECT_EQ(segment_count(plan, chunk_plan{0, 0, 50, 0, 0}), 1u);
  EXPECT_EQ(segment_count(plan, chunk_plan{1, 50, 100, 0, 0}), 2u);
  EXPECT_EQ(segment_count(plan, chunk_plan{2, 150, 53, 0, 0}), 1u);
  EXPECT_EQ(segment_count(plan, chunk_plan{2, 200, 3, 0, 0}), 0u) << "starts within the last one";
  const auto fine = film(7, 1);
  EXPECT_EQ(segment_count(fine, chunk_plan{0, 0, 2, 0, 0}), 2u);
  EXPECT_EQ(segment_count(fine, chunk_plan{1, 2, 5, 0, 0}), 2u);
}

TEST(Segments, AChunkOfAVideoThatIsNotPlannedHasNone) {
  EXPECT_EQ(segment_count(film(100, 0), chunk_plan{0, 0, 50, 0, 0}), 0u);
}

}  // namespace latham
