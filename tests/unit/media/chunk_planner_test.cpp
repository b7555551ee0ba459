#include "media/chunk_planner.hpp"

#include "media/audio_segments.hpp"

#include <gtest/gtest.h>

#include <ostream>

namespace latham {
void PrintTo(rational r, std::ostream* out) { *out << r.num << "/" << r.den; }
}  // namespace latham

namespace latham::media {

namespace {

source_plan film(std::uint64_t frames) {
  source_plan plan;
  plan.time_base = {1, 12288};
  plan.fps = {24, 1};
  plan.frames = frames;
  plan.segment_frames = 48;
  return plan;
}

std::vector<key_frame> keys_at(std::initializer_list<std::int64_t> frames) {
  std::vector<key_frame> out;
  for (const auto n : frames) out.push_back({n * 512, static_cast<std::uint64_t>(n) + 1});
  return out;
}

std::string layout(const std::vector<chunk_plan>& chunks) {
  std::string out;
  for (const auto& c : chunks)
    out += std::to_string(c.first_frame) + "+" + std::to_string(c.frames) + "<" + std::to_string(c.seek_pts / 512) + " ";
  return out;
}

}  // namespace

TEST(ChunkPlanner, KeyFramesAtEverySegmentGiveNominalChunks) {
  std::vector<key_frame> keys;
  for (std::int64_t n = 0; n < 720; n += 48) keys.push_back({n * 512, 0});
  EXPECT_EQ(layout(plan_chunks(film(720), keys, 3)), "0+48<0 48+144<48 192+144<192 336+144<336 480+144<480 624+96<624 ");
}

TEST(ChunkPlanner, BordersMoveToJustAfterAKeyFrame) {
  // Key frames of the well-known clip: 0, 10.42, 11.88, 15.75, 23.04 s.
  EXPECT_EQ(layout(plan_chunks(film(720), keys_at({0, 250, 285, 378, 553}), 3)), "0+48<0 48+96<0 144+144<0 288+96<285 384+192<378 576+144<553 ");
}

TEST(ChunkPlanner, FirstChunkIsOneSegmentSoThatPlayingCanStart) {
  EXPECT_EQ(layout(plan_chunks(film(1), keys_at({0}), 3)), "0+1<0 ");
  EXPECT_EQ(layout(plan_chunks(film(192), keys_at({0}), 3)), "0+48<0 48+144<0 ");
  EXPECT_EQ(layout(plan_chunks(film(48), keys_at({0}), 3)), "0+48<0 ");
}

TEST(ChunkPlanner, TailIsNotLeftAsAStump) {
  for (std::uint64_t frames = 241; frames < 800; ++frames) {
    const auto chunks = plan_chunks(film(frames), keys_at({0}), 3);
    EXPECT_GE(chunks.back().frames, 49u) << frames;
  }
}

TEST(ChunkPlanner, AFewFramesAtTheEndGoToTheLastChunk) {
  EXPECT_EQ(layout(plan_chunks(film(51), keys_at({0}), 3)), "0+51<0 ");
  EXPECT_EQ(layout(plan_chunks(film(52), keys_at({0}), 3)), "0+48<0 48+4<0 ");
  EXPECT_EQ(layout(plan_chunks(film(99), keys_at({0}), 3)), "0+48<0 48+51<0 ");
  EXPECT_EQ(layout(plan_chunks(film(99), keys_at({0, 48, 96}), 1)), "0+48<0 48+51<48 ");
  // Four more segments, the longest chunk there is, and three frames.
  EXPECT_EQ(layout(plan_chunks(film(243), keys_at({0}), 3)), "0+48<0 48+195<0 ");
}

TEST(ChunkPlanner, KeyFrameShownByTheFirstFrameIsUsedAlthoughItsTimeIsLater) {
  // A third of a frame late: frame 48 still shows it.
  auto keys = keys_at({0});
  keys.push_back({48 * 512 + 170, 7});
  const auto chunks = plan_chunks(film(288), keys, 3);
  ASSERT_EQ(chunks[1].first_frame, 48u);
  EXPECT_EQ(chunks[1].seek_pts, 48 * 512 + 170);
  EXPECT_EQ(chunks[1].seek_offset, 7u);
}

TEST(ChunkPlanner, NoKeyFrameMeansFromTheStart) {
  const auto chunks = plan_chunks(film(480), {}, 3);
  for (const auto& c : chunks) EXPECT_EQ(c.seek_pts, 0);
}

TEST(ChunkPlanner, FrameTimesAreExactForNtscOverADay) {
  const rational fps{30000, 1001}, base{1, 90000};
  const std::int64_t origin = 123'456'789'012;
  EXPECT_EQ(pts_of_frame(0, origin, base, fps), origin);
  EXPECT_EQ(pts_of_frame(30000, origin, base, fps), origin + 90000 * 1001);
  EXPECT_EQ(pts_of_frame(2'589'408, origin, base, fps), origin + 2'589'408ll * 3003);
  for (const std::int64_t n : {0ll, 1ll, 47ll, 2'589'408ll}) {
    EXPECT_EQ(first_frame_showing(pts_of_frame(n, origin, base, fps), origin, base, fps), n);
    EXPECT_EQ(first_frame_showing(last_pts_of_frame(n, origin, base, fps), origin, base, fps), n);
    EXPECT_EQ(first_frame_showing(last_pts_of_frame(n, origin, base, fps) + 1, origin, base, fps), n + 1);
  }
}

TEST(ChunkPlanner, FrameRateIsTheContainersWhenAMeasureSupportsIt) {
  EXPECT_EQ(choose_fps({24, 1}, {24, 1}, {24, 1}), (rational{24, 1}));
  EXPECT_EQ(choose_fps({30000, 1001}, {1000, 33}, {29970, 1000}), (rational{30000, 1001})) << "times rounded to milliseconds";
  EXPECT_EQ(choose_fps({30, 1}, {30, 1}, {20, 1}), (rational{30, 1})) << "holes lower the average only";
}

TEST(ChunkPlanner, FrameRateIsMeasuredWhenTheClaimIsNonsense) {
  EXPECT_EQ(choose_fps({1000, 1}, {1000, 40}, {25, 1}), (rational{25, 1}));
  EXPECT_EQ(choose_fps({90000, 1}, {1000, 33}, {2997, 100}), (rational{30000, 1001}));
  EXPECT_EQ(choose_fps({0, 1}, {30, 1}, {11, 1}), (rational{30, 1}));
  EXPECT_EQ(choose_fps({0, 1}, {0, 1}, {0, 1}), (rational{25, 1}));
}

TEST(ChunkPlanner, FastRatesAreHalvedAndSlowOnesDoubled) {
  EXPECT_EQ(choose_fps({120, 1}, {120, 1}, {120, 1}), (rational{60, 1}));
  EXPECT_EQ(choose_fps({120000, 1001}, {120000, 1001}, {120000, 1001}), (rational{60000, 1001}));
  EXPECT_EQ(choose_fps({144, 1}, {144, 1}, {144, 1}), (rational{36, 1}));
  EXPECT_EQ(choose_fps({1, 1}, {1, 1}, {1, 1}), (rational{8, 1}));
  EXPECT_EQ(choose_fps({60, 1}, {60, 1}, {60, 1}), (rational{60, 1}));
}

TEST(ChunkPlanner, SegmentIsTheNearestNumberOfFrames) {
  EXPECT_EQ(segment_frames_of(2000, {24, 1}), 48u);
  EXPECT_EQ(segment_frames_of(2000, {30000, 1001}), 60u);
  EXPECT_EQ(segment_frames_of(500, {25, 1}), 13u);
  EXPECT_EQ(segment_frames_of(100, {5, 1}), 1u);
}

TEST(AudioSegments, StartAtTheFirstAacFrameAtOrAfterTheVideos) {
  const auto plan = film(720);
  EXPECT_EQ(audio_samples(plan, 48000), 1'440'000u);
  EXPECT_EQ(audio_segment_start(plan, 48000, 0), 0u);
  EXPECT_EQ(audio_segment_start(plan, 48000, 1), 96'256u);   // 96 000 is 93.75 frames
  EXPECT_EQ(audio_segment_start(plan, 48000, 4), 384'000u);  // 375 frames exactly
}

TEST(AudioSegments, AreAsManyAsTheVideosAndEndWithThem) {
  for (const auto& [frames, segments] : {std::pair{96u, 2u}, {97u, 2u}, {99u, 2u}, {100u, 3u}}) {
    const auto plan = film(frames);
    EXPECT_EQ(audio_segment_start(plan, 48000, segments - 1), segments == 2 ? 96'256u : 192'512u) << frames;
    EXPECT_LT(audio_segment_start(plan, 48000, segments - 1), audio_samples(plan, 48000)) << frames;
    for (const auto behind : {segments, segments + 1}) {
      EXPECT_GE(audio_segment_start(plan, 48000, behind), audio_samples(plan, 48000)) << frames;
      EXPECT_LT(audio_segment_start(plan, 48000, behind), audio_samples(plan, 48000) + aac_frame_samples) << frames;
    }
  }
}

TEST(TakePart, MovesBothEndsToTheNearestFrame) {
  auto plan = film(720);
  plan.origin_pts = 1024;
  ASSERT_TRUE(take_part(plan, {1'490, 10'021}));  // frames 35.76 and 240.5
  EXPECT_EQ(plan.skipped_frames, 36u);
  EXPECT_EQ(plan.frames, 241u - 36u);
  EXPECT_EQ(plan.origin_pts, 1024 + 36 * 512);
}

TEST(TakePart, GoesNoFurtherThanTheSource) {
  auto plan = film(720);
  ASSERT_TRUE(take_part(plan, {0, 0}));
  EXPECT_EQ(plan, film(720));
  ASSERT_TRUE(take_part(plan, {29'970, 60'000}));  // the last frame is 719
  EXPECT_EQ(plan.frames, 1u);
  auto short_one = film(720);
  ASSERT_TRUE(take_part(short_one, {1'000, 1'001}));
  EXPECT_EQ(short_one.frames, 1u) << "at least one is left";
  auto past = film(720);
  const auto refused = take_part(past, {30'000, 0});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unprocessable);
  EXPECT_NE(refused.error().message.find("30.0 s"), std::string::npos) << refused.error().message;
}

}  // namespace latham::media
