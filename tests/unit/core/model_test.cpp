// The words of the product: states and their edges, codes of errors.
#include "core/model.hpp"
#include "core/assert.hpp"
#include "core/expected.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <set>
#include <utility>

namespace latham {

TEST(VideoStates, MoveAlongTheEdgesOfTheDrawingAndNoOthers) {
  using enum video_state;
  constexpr video_state all[] = {receiving, queued, planning, encoding, finishing, ready, failed, deleting};
  std::set<std::pair<video_state, video_state>> edges{{receiving, queued},   {queued, planning}, {planning, encoding},
                                                      {encoding, finishing}, {finishing, ready}, {failed, queued}};
  for (const auto from : {receiving, queued, planning, encoding, finishing}) edges.emplace(from, failed);
  for (const auto from : all)
    if (from != deleting) edges.emplace(from, deleting);
  for (const auto from : all)
    for (const auto to : all) EXPECT_EQ(is_edge(from, to), edges.contains({from, to})) << to_string(from) << " to " << to_string(to);
}

TEST(Errors, AreTransientWhereWaitingHelps) {
  const std::set<errc> transient{errc::limited, errc::disk_full, errc::unavailable, errc::timeout, errc::io, errc::crashed};
  for (int code = 0; code <= static_cast<int>(errc::internal); ++code)
    EXPECT_EQ(is_transient(static_cast<errc>(code)), transient.contains(static_cast<errc>(code))) << code;
}

TEST(Errors, HaveEachAWordOfItsOwn) {
  std::set<std::string_view> words;
  for (int code = 0; code <= static_cast<int>(errc::internal); ++code) words.insert(to_string(static_cast<errc>(code)));
  EXPECT_EQ(words.size(), static_cast<std::size_t>(errc::internal) + 1);
  EXPECT_FALSE(words.contains("unknown"));
  EXPECT_EQ(to_string(errc::internal), "internal");
  EXPECT_EQ(to_string(static_cast<errc>(static_cast<int>(errc::internal) + 1)), "unknown");
}

TEST(AssertionsDeathTest, EndTheProcessAndSayWhere) {
  const auto one = [] { return 1; };
  EXPECT_EXIT(LATHAM_ASSERT(one() == 2), ::testing::KilledBySignal(SIGABRT), "bug: one\\(\\) == 2 does not hold at .*model_test.cpp");
}

}  // namespace latham
