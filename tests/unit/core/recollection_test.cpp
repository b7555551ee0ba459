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

  /// It has known of this disk from the beginning.
  void hear(const node_name& node, const std::vector<shard_claim>& claims, instant sent) {
    memory.on_claims(node, {false, true, {claim(1)}}, start - seconds{1}, start);
    memory.on_claims(node, {false, true, claims}, sent, sent);
  }
};

}  // namespace

TEST_F(Recollection, ADiskThatIsNotEmptyKnowsWhatItPromised) {
  memory.begin(three(), false);
  EXPECT_TRUE(memory.knows_claims());
  EXPECT_TRUE(memory.knows_marks());
}

TEST_F(Recollection, AloneThereIsNobodyToAsk) {
  memory.begin(make_copy_rules("a", {"a"}, {}, 0, 0), true);
  EXPECT_TRUE(memory.knows_claims());
  EXPECT_TRUE(memory.knows_marks());
}

TEST_F(Recollection, OfThreeBothOthersAreHeardAndTheNewestClaimIsKept) {
  memory.begin(three(), true);
  EXPECT_FALSE(memory.knows_claims());
  hear("b", {claim(3)}, later);
  EXPECT_FALSE(memory.may_keep_claims());  // the majority may have been this node and the third
  hear("c", {claim(5)}, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(5)});
  EXPECT_FALSE(memory.knows_claims());  // not durable yet
  memory.claims_kept();
  EXPECT_TRUE(memory.knows_claims());
}

TEST_F(Recollection, WhatWasSaidWhileItsLastGrantsMayStillCountIsAskedAgain) {
  memory.begin(make_copy_rules("a", {"a", "b"}, {}, 2, 2), true);
  hear("b", {claim(3)}, start + milliseconds{4'999});
  EXPECT_FALSE(memory.may_keep_claims());
  hear("b", {claim(4)}, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(4)});
}

TEST_F(Recollection, WhoHearsLateOfThisDiskIsAskedAgainAfterWhatItHadGrantedHasLapsed) {
  // An earlier process of this name lives on: one claimant has its word and b's, another one c's. b is reached late.
  const std::vector<node_name> members{"a", "b", "c"};
  shard_hold x{0, "x", 7, {}, members}, y{0, "y", 8, {}, members};
  const auto grant = [](shard_hold& hold, const node_name& node, std::uint64_t disk, std::vector<storage_disk> others, instant at) {
    hold.on_answer(node, *hold.request(at), {true, hold.claim(), 0, disk, std::move(others)}, at, at);
  };
  y.raise(2);
  memory.begin(three(), true);
  const auto first = start + seconds{6};
  hear("c", {y.claim()}, first);
  grant(x, "a", 1, {}, first - milliseconds{10});
  grant(x, "b", 1, {{"a", 1}}, first - milliseconds{10});
  memory.on_claims("b", {false, true, {x.claim()}}, first, first);
  ASSERT_TRUE(x.holds(first + seconds{4})) << "for what it was told before b knew";
  EXPECT_FALSE(memory.may_keep_claims());
  memory.on_claims("b", {false, true, {x.claim()}}, first + milliseconds{4'999}, first + seconds{5});
  EXPECT_FALSE(memory.may_keep_claims());
  const auto late = first + claim_ttl;
  EXPECT_FALSE(x.holds(late));
  grant(x, "a", 1, {}, late);
  grant(x, "b", 1, {{"a", 2}}, late);
  EXPECT_FALSE(x.holds(late));
  memory.on_claims("b", {false, true, {x.claim()}}, late, late);
  EXPECT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{y.claim()});
}

TEST_F(Recollection, OfTwoHoldersOfOneGenerationNeitherGetsItAgain) {
  // This name's earlier disk and b were x's majority; y had c's word alone, and has not heard of b's.
  memory.begin(three(), true);
  const shard_claim x{0, 3, "scheduler-0", 7}, y{0, 3, "scheduler-0", 8};
  hear("c", {y}, later);
  hear("b", {x}, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), (std::vector<shard_claim>{{0, 3, "scheduler-0", 0}}));
  shard_claims kept;
  for (const auto& claim : memory.claims()) kept.load(claim, later);
  for (const auto& wanted : {x, y}) {
    EXPECT_FALSE(kept.on_claim({wanted, 0}, later).answer.granted);
    EXPECT_FALSE(kept.on_claim({wanted, 0}, later + claim_ttl).answer.granted);
  }
  EXPECT_TRUE(kept.on_claim({{0, 4, "scheduler-0", 8}, 0}, later + claim_ttl).answer.granted);
}

TEST_F(Recollection, AnEarlierDiskAsksWhatWasPromisedSinceAndKeepsTheNewestOfAll) {
  memory.begin(three(), false);
  memory.begin_again(three(), {claim(4)});
  EXPECT_FALSE(memory.knows_claims());
  EXPECT_FALSE(memory.knows_marks());
  for (const auto* node : {"b", "c"}) {
    EXPECT_FALSE(memory.may_keep_claims());
    hear(node, {claim(3)}, later);
  }
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(4)});
  // Once more, and all of them count anew.
  memory.claims_kept();
  memory.begin_again(three(), {claim(4)});
  memory.on_claims("b", {false, true, {claim(5)}}, later + claim_ttl, later + claim_ttl);
  EXPECT_FALSE(memory.may_keep_claims());
}

TEST_F(Recollection, WhoAsksItselfTellsWhatItHasAndDoesNotCount) {
  memory.begin(make_copy_rules("a", {"a", "b"}, {}, 2, 2), true);
  hear("b", {}, start - seconds{1});
  memory.begin_again(make_copy_rules("a", {"a", "b"}, {}, 2, 2), {});
  for (const auto at : {start, later}) memory.on_claims("b", {false, false, {claim(3)}}, at, at);
  EXPECT_FALSE(memory.may_keep_claims());
  memory.on_claims("b", {false, true, {claim(2)}}, later, later);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(3)});
}

TEST_F(Recollection, WhatAnEarlierProcessOfANameToldIsAskedOfTheLaterAgain) {
  memory.begin(three(), true);
  hear("b", {claim(3)}, later);
  memory.on_marks("b");
  memory.take_back("b");
  hear("c", {claim(3)}, later);
  memory.on_marks("c");
  EXPECT_FALSE(memory.may_keep_claims());
  EXPECT_FALSE(memory.knows_marks());
  memory.on_claims("b", {false, true, {claim(5)}}, later, later);
  EXPECT_FALSE(memory.may_keep_claims()) << "it has only just heard of this disk";
  memory.on_claims("b", {false, true, {claim(5)}}, later + claim_ttl, later + claim_ttl);
  ASSERT_TRUE(memory.may_keep_claims());
  EXPECT_EQ(memory.claims(), std::vector<shard_claim>{claim(5)});
}

TEST_F(Recollection, InANewClusterNobodyWaits) {
  memory.begin(three(), true);
  memory.on_claims("b", {true, true, {}}, start, start);
  EXPECT_FALSE(memory.knows_marks());
  memory.on_claims("c", {true, true, {}}, start, start);
  EXPECT_TRUE(memory.knows_marks());
  EXPECT_TRUE(memory.may_keep_claims());
  EXPECT_TRUE(memory.claims().empty());
}

TEST_F(Recollection, WhatWasDeletedIsKnownWhenAllWereHeardWhoMayBeTheOnlyOneToKnow) {
  memory.begin(three(), true);
  memory.on_claims("b", {false, true, {}}, start, start);
  memory.on_claims("c", {false, true, {}}, start, start);
  EXPECT_FALSE(memory.knows_marks());
  memory.on_marks("b");
  EXPECT_FALSE(memory.knows_marks());
  memory.on_marks("c");
  EXPECT_TRUE(memory.knows_marks());
}

TEST_F(Recollection, TheMoreDisksADeleteIsOnTheFewerHaveToBeHeard) {
  for (const auto& [acks, others] : {std::pair{1u, 2}, std::pair{2u, 2}, std::pair{3u, 1}}) {
    recollection asked;
    asked.begin(make_copy_rules("a", {"a", "b", "c"}, {}, 3, acks), true);
    if (others == 2) asked.on_marks("b");
    EXPECT_FALSE(asked.knows_marks()) << acks;
    asked.on_marks("c");
    EXPECT_TRUE(asked.knows_marks()) << acks;
  }
}

TEST(DiskAbove, OnlyOfAProcessThatStartedLaterOrWhoseClockWasSetBack) {
  const auto at = [](std::int64_t ms) { return make_incarnation({ms}, 5); };
  EXPECT_EQ(disk_above(at(1'000), at(2'000), false, {2'500}, 7), at(2'000));
  EXPECT_EQ(disk_above(at(2'000), at(1'000), false, {2'500}, 7), 0u) << "the earlier of two";
  EXPECT_EQ(disk_above(at(2'000), at(1'000), true, {2'500}, 7), 0u) << "also with nothing on its disk";
  EXPECT_EQ(disk_above(at(2'000), at(1'000), true, {1'500}, 7), at(2'000) + 8) << "the later one began in its future";
  EXPECT_EQ(disk_above(at(2'000), at(1'000), false, {1'500}, 7), 0u);
  EXPECT_NE(disk_above(at(2'000), at(1'000), true, {1'500}, 1), disk_above(at(2'000), at(1'000), true, {1'500}, 2));
}

}  // namespace latham
