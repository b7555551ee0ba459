// What a storage node with an empty disk must hear before its word counts.
#include "core/cluster/recollection.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

struct Recollection : ::testing::Test {
  static copy_rules three() { return make_copy_rules("a", {"a", "b", "c"}, {}, 2, 2); }
  static shard_claim claim(std::uint32_t generation) { return {0, generation, "scheduler-0", 7}; }
  const instant start{1'000'000'000};
  const instant later = start + claim_ttl;
  recollection memory;
};

}  // namespace

TEST_F(Recollection, ADiskThatIsNotEmptyKnowsWhatItPromised) {
  memory.begin(three(), false, start);
  EXPECT_TRUE(memory.knows_claims());
  EXPECT_TRUE(memory.knows_marks());
}

TEST_F(Recollection, AloneThereIsNobodyToAsk) {
  memory.begin(make_copy_rules("a", {"a"}, {}, 0, 0), true, start);
  EXPECT_TRUE(memory.knows_claims());
  EXPECT_TRUE(memory.knows_marks());
}

TEST_F(Recollection, OfThreeBothOthersAreHeardAndTheNewestClaimIsKept) {
  memory.begin(three(), true, start);
  EXPECT_FALSE(memory.knows_claims());
  memory.on_claims("b", false, {claim(3)}, later);
  EXPECT_FALSE(memory.may_keep_claims());  // the majority may have been this node and the third
  memory.on_claims("c", false, {claim(5)}, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(5)});
  EXPECT_FALSE(memory.knows_claims());  // not durable yet
  memory.claims_kept();
  EXPECT_TRUE(memory.knows_claims());
}

TEST_F(Recollection, WhatWasSaidWhileItsLastGrantsMayStillCountIsAskedAgain) {
  memory.begin(make_copy_rules("a", {"a", "b"}, {}, 2, 2), true, start);
  memory.on_claims("b", false, {claim(3)}, start + milliseconds{4'999});
  EXPECT_FALSE(memory.may_keep_claims());
  memory.on_claims("b", false, {claim(4)}, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(4)});
}

TEST_F(Recollection, InANewClusterNobodyWaits) {
  memory.begin(three(), true, start);
  memory.on_claims("b", true, {}, start);
  EXPECT_FALSE(memory.knows_marks());
  memory.on_claims("c", true, {}, start);
  EXPECT_TRUE(memory.knows_marks());
  EXPECT_TRUE(memory.may_keep_claims());
  EXPECT_TRUE(memory.claims().empty());
}

TEST_F(Recollection, WhatWasDeletedIsKnownWhenAllWereHeardWhoMayBeTheOnlyOneToKnow) {
  memory.begin(three(), true, start);
  memory.on_claims("b", false, {}, start);
  memory.on_claims("c", false, {}, start);
  EXPECT_FALSE(memory.knows_marks());
  memory.on_marks("b");
  EXPECT_FALSE(memory.knows_marks());
  memory.on_marks("c");
  EXPECT_TRUE(memory.knows_marks());
}

}  // namespace latham
