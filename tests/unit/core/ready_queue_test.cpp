#include "core/scheduler/ready_queue.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

constexpr milliseconds ageing{1'000};
constexpr instant begin{1'000'000'000'000};
constexpr video_id a{1, 1}, b{1, 2}, c{1, 3};

}  // namespace

TEST(ReadyQueues, ClassThenTheTenantWithTheFewestLeasesThenAge) {
  ready_queue q{ageing};
  EXPECT_FALSE(q.best("e"));
  q.put(b, "", "x", priority_class::normal, begin);
  q.put(a, "", "x", priority_class::normal, begin);
  EXPECT_EQ(q.best("e"), a);
  q.put(c, "", "y", priority_class::normal, begin);
  EXPECT_EQ(q.best("e"), a);
  q.began("x");
  EXPECT_EQ(q.best("e"), c);
  q.ended("x");
  q.erase(a);
  EXPECT_EQ(q.best("e"), b);
  q.put(a, "", "z", priority_class::low, begin);
  EXPECT_EQ(q.best("e"), b);
}

TEST(ReadyQueues, AJobOfAnotherEngineIsNotSeen) {
  ready_queue q{ageing};
  q.put(a, "other", "x", priority_class::high, begin);
  EXPECT_FALSE(q.best("e"));
  q.put(b, "e", "x", priority_class::low, begin);
  EXPECT_EQ(q.best("e"), b);
  EXPECT_EQ(q.best("other"), a);
  q.put(a, "e", "x", priority_class::high, begin);
  EXPECT_EQ(q.best("e"), a);
  EXPECT_FALSE(q.best("other"));
}

TEST(ReadyQueues, WaitingLiftsAJobClassByClassAndAGrantPutsItBack) {
  ready_queue q{ageing};
  q.put(a, "", "x", priority_class::low, begin);
  q.put(b, "", "x", priority_class::normal, begin + ageing - nanoseconds{1});
  q.age(begin + ageing - nanoseconds{1});
  EXPECT_EQ(q.best("e"), b);
  q.age(begin + ageing);
  EXPECT_EQ(q.best("e"), a) << "both normal, and it is older";
  q.put(c, "", "x", priority_class::high, begin + ageing);
  EXPECT_EQ(q.best("e"), c);
  q.granted(b, begin + ageing);
  q.age(begin + ageing * 2 - nanoseconds{1});
  EXPECT_EQ(q.best("e"), c);
  q.age(begin + ageing * 2);
  EXPECT_EQ(q.best("e"), a) << "the highest class is as far as it gets, and there it is the oldest";
  q.granted(a, begin + ageing * 2);
  EXPECT_EQ(q.best("e"), b) << "it waited for one class, too";
  q.granted(b, begin + ageing * 2);
  EXPECT_EQ(q.best("e"), c);
}

TEST(ReadyQueues, AJobThatIsPutAgainKeepsItsWait) {
  ready_queue q{ageing};
  q.put(a, "", "x", priority_class::low, begin);
  q.put(a, "", "x", priority_class::low, begin + ageing / 2);
  q.put(a, "e", "x", priority_class::low, begin + ageing / 2);
  q.put(b, "", "x", priority_class::normal, begin);
  q.granted(b, begin + ageing / 2);
  q.age(begin + ageing);
  EXPECT_EQ(q.best("e"), a);
}

TEST(ReadyQueues, WithoutAgeingAClassIsForEver) {
  ready_queue q{milliseconds{0}};
  q.put(a, "", "x", priority_class::low, begin);
  q.put(b, "", "x", priority_class::normal, begin + seconds{1000});
  q.age(begin + seconds{1000});
  EXPECT_EQ(q.best(""), b);
  q.put(c, "", "x", priority_class::high, begin + seconds{1000});
  EXPECT_EQ(q.best(""), c);
}

TEST(ReadyQueues, TheShortestAgeingIsOneToo) {
  ready_queue q{milliseconds{1}};
  q.put(a, "", "x", priority_class::low, begin);
  q.put(b, "", "x", priority_class::normal, begin + milliseconds{1} - nanoseconds{1});
  q.age(begin + milliseconds{1} - nanoseconds{1});
  EXPECT_EQ(q.best(""), b);
  q.age(begin + milliseconds{1});
  EXPECT_EQ(q.best(""), a) << "as high now, and older";
}

}  // namespace latham
