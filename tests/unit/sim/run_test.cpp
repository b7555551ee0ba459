// Runs within one process, where all others have one each; and their verdicts as lines.
#include "sim/machine.hpp"
#include "sim/report.hpp"
#include "sim/world.hpp"

#include <gtest/gtest.h>

namespace caf::detail {
std::string get_root_uuid() { return latham::sim::next_uuid(); }
}  // namespace caf::detail

namespace latham::sim {

TEST(Run, TheSameSeedHasTheSameHashWithinAProcess) {
  for (const std::uint64_t seed : {5u, 11u}) {
    const auto p = draw_plan(random_scenario(), seed);
    const auto first = run(p, {}), second = run(p, {}), traced = run(p, {true, false, 0});
    EXPECT_TRUE(first.passed) << first.what;
    EXPECT_EQ(first.hash, second.hash);
    EXPECT_EQ(first.steps, second.steps);
    EXPECT_EQ(first.hash, traced.hash);
  }
}

TEST(Report, AVerdictComesBackFromItsLine) {
  const auto p = draw_plan(random_scenario(), 3);
  verdict v;
  v.seed = 3;
  v.passed = false;
  v.checker = "owners_grant";
  v.what = "a \"quoted\" line\nand another";
  v.hash = 0xfedcba9876543210;
  v.steps = 7;
  v.virtual_s = 61.5;
  v.faults["kill"] = {2, 1};
  v.counts["uploads"] = 4;
  v.reached = {"lease_expired"};
  const auto line = to_json(v, p);
  EXPECT_EQ(line.find('\n'), line.npos);
  const auto back = parse_verdict(line);
  EXPECT_EQ(to_json(back, p), line);
  EXPECT_FALSE(parse_verdict(line.substr(0, line.size() / 2)).passed);
  EXPECT_EQ(parse_verdict("").checker, "the_process_lives");
}

}  // namespace latham::sim
