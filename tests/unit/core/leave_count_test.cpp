// When a storage node that is being emptied may be switched off.
#include "core/cluster/leave_count.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

struct Leaving : ::testing::Test {
  const copy_rules rules = make_copy_rules("a", {"a", "b", "c"}, {"a"}, 2, 2);
  const upload_mark complete{{1, 1}, upload_state::complete};
  const upload_mark removed{{1, 2}, upload_state::removed};
  const shard_claim claim{0, 5, "scheduler-0", 7};

  /// All others have all of it.
  leave_count all_well() const {
    leave_count count{rules, {complete, removed}, {claim}};
    for (const auto* node : {"b", "c"}) hear(count, node, {complete, removed}, {claim});
    return count;
  }
  void hear(leave_count& count, const node_name& node, const std::vector<upload_mark>& marks, const std::vector<shard_claim>& claims) const {
    count.on_rules(node, digest_of(rules));
    count.on_marks(node, marks);
    count.on_claims(node, claims);
    count.on_heard(node);
  }
  static std::vector<std::string> why(const leave_report& report) {
    std::vector<std::string> out;
    for (const auto& reason : report.reasons) out.push_back(reason.what + " " + std::to_string(reason.count));
    return out;
  }
  using words = std::vector<std::string>;
};

}  // namespace

TEST_F(Leaving, WhatAllOthersHaveHoldsNobodyBack) { EXPECT_EQ(all_well().report(0, 0), (leave_report{true, {}})); }

TEST_F(Leaving, WhatIsOnTheDiskDoes) {
  EXPECT_EQ(why(all_well().report(3, 0)), words{"blobs 3"});
  EXPECT_EQ(why(all_well().report(1, 0)), words{"blobs 1"});
  EXPECT_EQ(why(all_well().report(0, 1)), words{"changes 1"});
}

TEST_F(Leaving, AnUploadThatStillComesInDoes) {
  leave_count count{rules, {{{1, 1}, upload_state::receiving}}, {}};
  for (const auto* node : {"b", "c"}) hear(count, node, {}, {});
  EXPECT_EQ(why(count.report(0, 0)), words{"uploads_receiving 1"});
}

TEST_F(Leaving, ARecordIsCountedWhereItSaysAsMuch) {
  leave_count count{rules, {complete, removed}, {}};
  hear(count, "b", {complete, {removed.video, upload_state::complete}}, {});  // missed the delete
  hear(count, "c", {{complete.video, upload_state::removed}, removed}, {});
  EXPECT_EQ(why(count.report(0, 0)), words{"uploads 1"});
}

TEST_F(Leaving, WhoDidNotAnswerMayHaveAnotherConfiguration) {
  leave_count count{rules, {}, {}};
  hear(count, "b", {}, {});
  EXPECT_EQ(why(count.report(0, 0)), words{"nodes_away 1"});
  count.on_rules("c", digest_of(make_copy_rules("c", {"a", "b", "c"}, {}, 2, 2)));
  count.on_heard("c");
  EXPECT_EQ(why(count.report(0, 0)), words{"nodes_differ 1"});
}

TEST_F(Leaving, WhatAnotherNodeHasThatLeavesTooDoesNotCount) {
  const auto one_stays = make_copy_rules("a", {"a", "b", "c"}, {"a", "b"}, 0, 0);
  leave_count count{one_stays, {complete}, {claim}};
  for (const auto* node : {"b", "c"}) {
    count.on_rules(node, digest_of(one_stays));
    count.on_heard(node);
  }
  count.on_marks("b", {complete});
  count.on_claims("b", {claim});
  EXPECT_EQ(why(count.report(0, 0)), (words{"uploads 1", "claims 1"}));
  count.on_marks("c", {complete});
  count.on_claims("c", {claim});
  EXPECT_TRUE(count.report(0, 0).may_leave);
}

TEST_F(Leaving, AnyMajorityOfThoseThatStayMustKnowAGeneration) {
  const auto three_stay = make_copy_rules("a", {"a", "b", "c", "d"}, {"a"}, 2, 2);
  leave_count count{three_stay, {}, {claim}};
  for (const auto* node : {"b", "c", "d"}) {
    count.on_rules(node, digest_of(three_stay));
    count.on_heard(node);
  }
  auto older = claim;
  --older.generation;
  count.on_claims("b", {claim});
  count.on_claims("c", {older});
  EXPECT_EQ(why(count.report(0, 0)), words{"claims 1"});
  count.on_claims("d", {claim});
  EXPECT_TRUE(count.report(0, 0).may_leave);
}

TEST_F(Leaving, OfTwoThatStayOneThatKnowsAGenerationIsEnough) {
  leave_count count{rules, {}, {claim}};
  hear(count, "b", {}, {claim});
  hear(count, "c", {}, {});
  EXPECT_TRUE(count.report(0, 0).may_leave) << "their majority is both";
}

TEST_F(Leaving, NobodyLeavesUnasked) {
  EXPECT_EQ(why(leave_count{make_copy_rules("a", {"a", "b"}, {}, 2, 2), {}, {}}.report(0, 0)), words{"not_draining 0"});
  EXPECT_EQ(why(leave_count{make_copy_rules("a", {"a", "b"}, {"a", "b"}, 2, 2), {}, {}}.report(0, 0)), words{"not_draining 0"});
  EXPECT_EQ(why(leave_count{make_copy_rules("a", {"a"}, {"a"}, 0, 0), {}, {}}.report(0, 0)), words{"only_node 0"});
}

TEST(Placement, TheDigestOfTheRulesIsOfAllThatMovesACopy) {
  const auto digest = [](std::vector<node_name> members, std::set<node_name> draining, std::uint32_t copies, std::uint32_t acks, node_name self = "a") {
    return digest_of(make_copy_rules(std::move(self), std::move(members), std::move(draining), copies, acks));
  };
  const auto plain = digest({"a", "b", "c"}, {}, 2, 2);
  EXPECT_EQ(plain, digest({"c", "b", "a"}, {}, 0, 0, "b")) << "the same rules, said otherwise by another node";
  EXPECT_NE(plain, digest({"a", "b", "c"}, {"c"}, 2, 2));
  EXPECT_NE(digest({"a", "b", "c"}, {"b"}, 2, 2), digest({"a", "b", "c"}, {"c"}, 2, 2));
  EXPECT_NE(plain, digest({"a", "b"}, {}, 2, 2));
  EXPECT_NE(plain, digest({"a", "b", "c"}, {}, 3, 2));
  EXPECT_NE(plain, digest({"a", "b", "c"}, {}, 2, 1));
}

TEST(Placement, TheDigestOfTheRulesIsFrozenBecauseNeighbouringReleasesCompareIt) {
  EXPECT_EQ(digest_of(make_copy_rules("a", {"a", "b", "c"}, {"b"}, 2, 1)), 0xc23dd6a35ea625fbull);
}

}  // namespace latham
