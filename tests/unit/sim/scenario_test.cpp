// Scenarios and plans as data: what is read, what is refused, and that a plan says all of a run.
#include "sim/scenario.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace latham::sim {

namespace {

std::string why(const std::string& json) {
  const auto parsed = parse_scenario(json);
  return parsed ? "" : parsed.error().message;
}

}  // namespace

TEST(Scenario, WhatIsNotUnderstoodIsRefusedWithItsPlace) {
  EXPECT_EQ(why(R"({"name": "calm"})"), "");
  EXPECT_NE(why("{"), "");
  EXPECT_NE(why("[]"), "");
  const std::pair<const char*, const char*> unknown[] = {
    {"nodez", R"({"name": "x", "nodez": {}})"},
    {"gatewey", R"({"name": "x", "nodes": {"gatewey": 1}})"},
    {"slotz", R"({"name": "x", "knobs": {"slotz": 1}})"},
    {"kil", R"({"name": "x", "faults": [{"kind": "kil"}]})"},
    {"whom", R"({"name": "x", "faults": [{"kind": "kill", "whom": "worker-0"}]})"},
    {"plane", R"({"name": "x", "stories": ["plane"]})"},
  };
  for (const auto& [word, json] : unknown) EXPECT_NE(why(json).find(word), std::string::npos) << word << ": " << why(json);
}

TEST(Scenario, ASeedDrawsOnePlanAndThatPlanIsAScenarioOfItself) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const auto drawn = to_json(draw_plan(random_scenario(), seed));
    EXPECT_EQ(drawn, to_json(draw_plan(random_scenario(), seed)));
    EXPECT_NE(drawn, to_json(draw_plan(random_scenario(), seed + 1)));
    const auto again = parse_scenario(drawn);
    ASSERT_TRUE(again) << again.error().message << drawn;
    EXPECT_EQ(to_json(draw_plan(*again, seed)), drawn);
  }
}

TEST(Scenario, ARangeIsDrawnFromAndBothItsEndsAreReached) {
  const auto parsed = parse_scenario(R"({"name": "x", "nodes": {"worker": [1, 3]}, "knobs": {"slots": [2, 3]}, "faults": [{"kind": "kill", "role": "worker", "times": [0, 2]}]})");
  ASSERT_TRUE(parsed) << parsed.error().message;
  std::set<std::int64_t> workers, slots;
  std::set<std::size_t> faults;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const auto p = draw_plan(*parsed, seed);
    workers.insert(p.nodes.workers);
    slots.insert(p.knobs.slots);
    faults.insert(p.faults.size());
    for (const auto& f : p.faults) EXPECT_EQ(f.nodes.at(0).substr(0, 7), "worker-");
  }
  EXPECT_EQ(workers, (std::set<std::int64_t>{1, 2, 3}));
  EXPECT_EQ(slots, (std::set<std::int64_t>{2, 3}));
  EXPECT_EQ(faults, (std::set<std::size_t>{0, 1, 2}));
}

TEST(Scenario, NodesAreNamedByTheirRoles) {
  EXPECT_EQ(node_names({1, 2, 1, 1, 0}).size(), 5u);
  const auto names = node_names({1, 2, 1, 1, 0});
  EXPECT_NE(std::find(names.begin(), names.end(), "storage-1"), names.end());
}

}  // namespace latham::sim
