// What a video's notes say of what its tasks found: one sentence in total, and nothing where nothing is wrong.
#include "core/codec.hpp"
#include "core/findings.hpp"
#include "core/scheduler/records.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

source_plan some_plan() {
  source_plan plan;
  plan.fps = {24, 1};
  plan.frames = 24 * 7200;
  plan.rungs = {{640, 360, 800}};
  return plan;
}

std::vector<std::string> notes(const std::vector<findings>& chunks, const std::vector<std::pair<std::uint32_t, findings>>& sounds = {},
                               const source_plan& plan = some_plan()) {
  findings_sum sum;
  for (const auto& found : chunks) sum.add_chunk(found);
  for (const auto& [stream, found] : sounds) sum.add_sound(stream, found);
  return sum.notes(plan, recipe{});
}

using words = std::vector<std::string>;

}  // namespace

TEST(Findings, SayNothingOfASourceThatIsWhole) {
  EXPECT_TRUE(notes({}).empty());
  EXPECT_TRUE(notes({{}, {}}, {{1, {}}}).empty());
}

TEST(Findings, PicturesAreCountedOverAllChunks) {
  EXPECT_EQ(notes({{1, 24 * 12 + 23, false}}), words{"1 picture could not be decoded and was replaced (at 0:12)."});
  EXPECT_EQ(notes({{2, 24 * 75, false}, {}, {1, 24 * 72, false}}), words{"3 pictures could not be decoded and were replaced (first at 1:12)."});
  EXPECT_EQ(notes({{2, 24 * 3723, false}}), words{"2 pictures could not be decoded and were replaced (first at 1:02:03)."});
}

TEST(Findings, SoundIsSaidInTheSameSentence) {
  EXPECT_EQ(notes({}, {{1, {1, 0, false}}}), words{"0.1 s of sound could not be decoded and was replaced (first at 0:00)."});
  EXPECT_EQ(notes({{3, 24 * 12, false}}, {{1, {48'000 * 2 + 1, 48'000 * 5, false}}}),
            words{"3 pictures and 2.1 s of sound could not be decoded and were replaced (first at 0:05)."});
}

TEST(Findings, OneTrackAtTwoRatesIsLostOnce) {
  const findings lost{48'000, 96'000, false};
  EXPECT_EQ(notes({}, {{1, lost}, {1, lost}}), words{"1.0 s of sound could not be decoded and was replaced (first at 0:02)."});
  EXPECT_EQ(notes({}, {{1, lost}, {2, lost}}), words{"2.0 s of sound could not be decoded and was replaced (first at 0:02)."});
}

TEST(Findings, AChangeOfShapeIsSaidOnceAndNotBesideThePlanners) {
  EXPECT_EQ(notes({{0, 0, true}, {0, 0, true}}), words{std::string{note_reshaped}});
  auto plan = some_plan();
  plan.notes = {std::string{note_resized}};
  EXPECT_EQ(notes({{0, 0, true}}, {}, plan), plan.notes);
}

TEST(Findings, ThePlansNotesComeFirst) {
  auto plan = some_plan();
  plan.notes = {"a", "b"};
  const auto all = notes({{1, 0, true}}, {}, plan);
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[1], "b");
  EXPECT_EQ(all[2], note_reshaped);
}

TEST(Findings, NobodyLosesMoreThanThereIs) {
  const chunk_plan chunk{1, 48, 48, 0, 0};
  EXPECT_TRUE(is_possible_of_chunk({}, chunk));
  EXPECT_TRUE(is_possible_of_chunk({48, 48, true}, chunk));
  EXPECT_TRUE(is_possible_of_chunk({1, 95, false}, chunk));
  EXPECT_FALSE(is_possible_of_chunk({2, 95, false}, chunk));
  EXPECT_FALSE(is_possible_of_chunk({1, 96, false}, chunk));
  EXPECT_FALSE(is_possible_of_chunk({1, 47, false}, chunk));
  EXPECT_FALSE(is_possible_of_chunk({0, 48, false}, chunk)) << "a first one of none";
  EXPECT_FALSE(is_possible_of_chunk({~0ull, 49, false}, chunk));
  auto plan = some_plan();
  plan.frames = 24;
  EXPECT_TRUE(is_possible_of_sound({48'000, 0, false}, plan, 48'000));
  EXPECT_FALSE(is_possible_of_sound({48'002, 0, false}, plan, 48'000));
  EXPECT_FALSE(is_possible_of_sound({1, 0, true}, plan, 48'000)) << "a shape of sound";
  EXPECT_FALSE(is_possible_of_sound({}, source_plan{}, 48'000));
}

TEST(Findings, BytesAreFrozen) {
  EXPECT_EQ(encode(findings{0x0102, 3, true}), std::string("\x02\x01\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x01", 17));
  task_record record;
  record.id = {{1, 2}, task_kind::video, 3};
  record.state = task_state::committed;
  record.chunk = {3, 144, 48, -5, 99};
  record.attempts = 1;
  record.held = {4, 5};
  record.output.store = "storage-0";
  record.found = {2, 150, true};
  const auto bytes = to_record(record);
  EXPECT_EQ(bytes[1], 2);
  EXPECT_EQ(*from_record<task_record>(bytes), record);
  EXPECT_EQ(to_string(sha256::of(bytes)), "c3c64faa45f351088aa7ec2d709492f9c49167150c309c337a3f240e2d39fe77");
}

TEST(Findings, PlacesAreReadLikeAClock) {
  const auto at = [](std::uint64_t s) {
    const auto said = notes({{2, 24 * s, false}}).at(0);
    const auto begin = said.find("first at ") + 9;
    return said.substr(begin, said.find(')') - begin);
  };
  EXPECT_EQ(at(9), "0:09");
  EXPECT_EQ(at(10), "0:10");
  EXPECT_EQ(at(59), "0:59");
  EXPECT_EQ(at(60), "1:00");
  EXPECT_EQ(at(3599), "59:59");
  EXPECT_EQ(at(3600), "1:00:00");
  EXPECT_EQ(at(7199), "1:59:59");
  EXPECT_EQ(at(36'000), "10:00:00");
}

TEST(Findings, OfTwoRatesThatLostAsMuchTheFirstPlaceIsSaidInAnyOrder) {
  const findings early{48'000, 48'000, false}, late{48'000, 96'000, false};
  EXPECT_EQ(notes({}, {{1, early}, {1, late}}), notes({}, {{1, late}, {1, early}}));
  EXPECT_EQ(notes({}, {{1, late}, {1, early}}), words{"1.0 s of sound could not be decoded and was replaced (first at 0:01)."});
}

TEST(Findings, TenthsOfASecondAreRoundedUpAtAnyRate) {
  recipe how;
  how.audio_rate_hz = 8001;
  findings_sum sum;
  sum.add_sound(1, {7201, 0, false});  // one part in 8001 more than 0.9 s
  EXPECT_EQ(sum.notes(some_plan(), how), words{"1.0 s of sound could not be decoded and was replaced (first at 0:00)."});
}

TEST(Findings, SoundOfAGridThatIsNoneFindsNothing) {
  auto plan = some_plan();
  for (const rational nonsense : {rational{24, 0}, rational{0, 1}, rational{-24, 1}, rational{24, -1}}) {
    plan.fps = nonsense;
    EXPECT_FALSE(is_possible_of_sound({}, plan, 48'000)) << nonsense.num << "/" << nonsense.den;
  }
  plan.fps = {1, 1};  // a picture a second
  EXPECT_TRUE(is_possible_of_sound({1, 0, false}, plan, 48'000));
}

}  // namespace latham
