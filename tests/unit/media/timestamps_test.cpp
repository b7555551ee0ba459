#include "media/timestamps.hpp"

#include <gtest/gtest.h>

namespace latham::media {

namespace {

constexpr std::int64_t second = 90'000;
constexpr std::int64_t picture = 3600;
constexpr time_bounds broadcast{second * 7 / 10, second, 10 * second, true};
constexpr time_bounds file{second * 7 / 10, 60 * second, 10 * second, false};

struct outcome {
  std::vector<std::int64_t> times;  // believed, in pictures
  std::vector<time_shift> shifts;
  std::uint64_t disbelieved = 0;
};

/// Packet n lies at byte 100 n.
outcome run(const std::vector<std::int64_t>& times, time_bounds bounds) {
  time_line line{bounds};
  outcome out;
  const auto take = [&](const time_line::verdict& v) {
    if (v.believed) out.times.push_back(v.packet.time / picture);
  };
  for (std::size_t i = 0; i < times.size(); ++i)
    if (const auto v = line.push({100 * i, times[i] * picture, picture, 0})) take(*v);
  while (const auto v = line.finish()) take(*v);
  out.shifts = line.shifts();
  out.disbelieved = line.disbelieved();
  return out;
}

std::vector<std::int64_t> run_of(std::int64_t from, std::int64_t count) {
  std::vector<std::int64_t> out;
  for (std::int64_t i = 0; i < count; ++i) out.push_back(from + i);
  return out;
}

std::vector<std::int64_t> joined(std::vector<std::int64_t> a, const std::vector<std::int64_t>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST(Timestamps, OrderedTimesAreLeftAlone) {
  for (const auto& bounds : {broadcast, file}) {
    const auto out = run(run_of(5, 100), bounds);
    EXPECT_EQ(out.times, run_of(5, 100));
    EXPECT_TRUE(out.shifts.empty());
  }
}

TEST(Timestamps, ReorderingIsNoBreak) {
  const std::vector<std::int64_t> times{0, 16, 8, 4, 2, 1, 3, 6, 5, 7, 12, 10, 9, 11, 14, 13, 15, 32, 24, 20, 18, 17};
  const auto out = run(times, broadcast);
  EXPECT_EQ(out.times, times);
  EXPECT_TRUE(out.shifts.empty());
}

TEST(Timestamps, OneThatStandsAloneIsNotBelieved) {
  for (const std::int64_t wrong : {-1'000'000, -1000, 1000, 1'000'000'000})
    for (const std::size_t at : {0, 1, 50, 98, 99}) {
      SCOPED_TRACE(std::to_string(wrong) + " at " + std::to_string(at));
      auto times = run_of(0, 100);
      auto expected = times;
      times[at] = wrong;
      expected.erase(expected.begin() + static_cast<std::ptrdiff_t>(at));
      const auto out = run(times, broadcast);
      EXPECT_EQ(out.times, expected);
      EXPECT_TRUE(out.shifts.empty());
      EXPECT_EQ(out.disbelieved, 1u);
    }
}

TEST(Timestamps, SeveralPacketsOfOneDamagedHeaderAreNotBelieved) {
  auto times = run_of(0, 100);
  for (std::size_t i = 40; i < 46; ++i) times[i] = 500'000 + static_cast<std::int64_t>(i);
  EXPECT_EQ(run(times, broadcast).times, joined(run_of(0, 40), run_of(46, 54)));
}

TEST(Timestamps, ClockThatStartsAnewRunsOn) {
  for (const std::int64_t start : {-500, 0, 30, 90'000}) {
    SCOPED_TRACE(start);
    const auto out = run(joined(run_of(100, 60), run_of(start, 60)), broadcast);
    EXPECT_EQ(out.times, run_of(100, 120));
    ASSERT_EQ(out.shifts.size(), 1u);
    EXPECT_EQ(out.shifts[0].offset, 6000u);
    EXPECT_EQ(out.shifts[0].add, (160 - start) * picture);
    EXPECT_EQ(shift_at(out.shifts, 5999), 0);
    EXPECT_EQ(shift_at(out.shifts, 6000), out.shifts[0].add);
  }
}

TEST(Timestamps, HoldIsBelieved) {
  const auto times = joined(run_of(0, 60), run_of(200, 60));
  for (const auto& bounds : {broadcast, file}) EXPECT_EQ(run(times, bounds).times, times);
  const auto longer = joined(run_of(0, 60), run_of(100'000, 60));
  EXPECT_EQ(run(longer, file).times, longer);
}

TEST(Timestamps, HoldAmongReorderedPicturesIsBelieved) {
  std::vector<std::int64_t> times{0, 3, 1, 2, 150, 4, 5, 153, 151, 152, 156, 154, 155, 159, 157, 158};
  EXPECT_EQ(run(times, broadcast).times, times);
}

TEST(Timestamps, PicturesMinutesApartAreBelievedInAFile) {
  std::vector<std::int64_t> times;
  for (std::int64_t i = 0; i < 50; ++i) times.push_back(i * 25 * 120);
  EXPECT_EQ(run(times, file).times, times);
}

TEST(Timestamps, NearShiftOfAnotherStreamIsTheOneInStep) {
  const std::vector<time_shift> shifts{{1000, 500'000}, {2000, 900'000}};
  EXPECT_EQ(shift_near(shifts, 900, 10, 500'000), 500'000) << "new already, though it lies before";
  EXPECT_EQ(shift_near(shifts, 1100, 480'000, 490'000), 0) << "still old, though it lies behind";
  EXPECT_EQ(shift_near(shifts, 1500, 10, std::nullopt), 500'000);
  EXPECT_EQ(shift_near({}, 1500, 10, 7), 0);
}

}  // namespace latham::media
