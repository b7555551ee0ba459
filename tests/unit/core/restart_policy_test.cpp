#include "core/supervise/restart_policy.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {
const std::vector<restart_type> three(3, restart_type::permanent);
}

TEST(RestartPolicy, TypesDecideWhoComesBack) {
  restart_policy policy{{}, {restart_type::permanent, restart_type::transient, restart_type::temporary}};
  EXPECT_EQ(policy.on_exit(0, true, {}, 1).start.size(), 1u);
  EXPECT_TRUE(policy.on_exit(1, true, {}, 1).start.empty());
  EXPECT_EQ(policy.on_exit(1, false, {}, 1).start.size(), 1u);
  EXPECT_TRUE(policy.on_exit(2, false, {}, 1).start.empty());
}

TEST(RestartPolicy, StrategiesDecideWhoElse) {
  restart_policy one{{restart_strategy::one_for_one}, three};
  EXPECT_TRUE(one.on_exit(1, false, {}, 1).stop.empty());
  restart_policy rest{{restart_strategy::rest_for_one}, three};
  auto d = rest.on_exit(1, false, {}, 1);
  EXPECT_EQ(d.stop, (std::vector<std::size_t>{2}));
  EXPECT_EQ(d.start, (std::vector<std::size_t>{1, 2}));
  restart_policy all{{restart_strategy::one_for_all}, three};
  d = all.on_exit(1, false, {}, 1);
  EXPECT_EQ(d.stop, (std::vector<std::size_t>{2, 0}));  // reverse order of start
  EXPECT_EQ(d.start, (std::vector<std::size_t>{0, 1, 2}));
}

TEST(RestartPolicy, TooManyInThePeriodEscalateAndOldOnesAreForgotten) {
  supervision how;
  how.max_restarts = 3;
  how.period = seconds{10};
  restart_policy policy{how, three};
  instant now;
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(policy.on_exit(0, false, now, 1).escalate);
  EXPECT_TRUE(policy.on_exit(0, false, now, 1).escalate);
  restart_policy patient{how, three};
  for (int i = 0; i < 20; ++i) EXPECT_FALSE(patient.on_exit(0, false, now = now + seconds{5}, 1).escalate);
}

TEST(Backoff, GrowsToItsCapWithJitterInTheUpperHalf) {
  const backoff_policy policy{milliseconds{100}, milliseconds{1000}};
  for (std::uint32_t attempt = 1; attempt < 40; ++attempt)
    for (std::uint64_t random : {0ull, 1ull, ~0ull}) {
      const auto wait = backoff(policy, attempt, random);
      const auto full = std::min<std::int64_t>(1000, 100ll << std::min(attempt - 1, 20u));
      EXPECT_GE(wait.count(), full / 2);
      EXPECT_LE(wait.count(), full);
    }
}

TEST(RestartPolicy, EachRestartWaitsLongerThanTheOneBefore) {
  supervision how;
  how.wait = {milliseconds{200}, milliseconds{10'000}};
  how.max_restarts = 10;
  restart_policy policy{how, three};
  EXPECT_EQ(policy.on_exit(0, false, {}, 0).delay, milliseconds{100});
  EXPECT_EQ(policy.on_exit(0, false, {}, 0).delay, milliseconds{200});
  EXPECT_EQ(policy.on_exit(1, false, {}, 0).delay, milliseconds{400}) << "whoever it is";
}

TEST(RestartPolicy, WhatIsAsOldAsThePeriodStillCounts) {
  supervision how;
  how.max_restarts = 1;
  how.period = seconds{10};
  restart_policy policy{how, three};
  const instant now{1};
  EXPECT_FALSE(policy.on_exit(0, false, now, 0).escalate);
  EXPECT_TRUE(policy.on_exit(0, false, now + seconds{10}, 0).escalate);
}

}  // namespace latham
