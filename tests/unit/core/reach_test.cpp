#include "core/reach.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace latham {

namespace {

std::map<std::string, bool> marks() {
  std::map<std::string, bool> out;
  reach_mark::for_each([&](const reach_mark& m) { out[std::string{m.name()}] = m.was_reached(); });
  return out;
}

void never_called() { LATHAM_REACHED("test_never"); }

}  // namespace

TEST(ReachMarks, AreListedBeforeTheyAreReached) {
  volatile bool no = false;
  if (no) never_called();
  ASSERT_TRUE(marks().contains("test_never"));
  EXPECT_FALSE(marks()["test_never"]);
}

TEST(ReachMarks, OneNameIsOneMark) {
  LATHAM_REACHED("test_twice");
  EXPECT_FALSE(LATHAM_REACHED_IF("test_twice", false));
  EXPECT_TRUE(marks()["test_twice"]);
}

TEST(ReachMarks, ConditionMarksOnlyWhenItHolds) {
  EXPECT_FALSE(LATHAM_REACHED_IF("test_condition", 1 > 2));
  EXPECT_FALSE(marks()["test_condition"]);
  EXPECT_TRUE(LATHAM_REACHED_IF("test_condition", 2 > 1));
  EXPECT_TRUE(marks()["test_condition"]);
}

}  // namespace latham
