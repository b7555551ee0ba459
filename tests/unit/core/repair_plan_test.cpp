// What a storage node does about a copy of its own, by what the others say they have.
#include "core/cluster/repair_plan.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

using own_copy = repair_plan::own_copy;

struct Repair : ::testing::Test {
  Repair() {
    own.blob = make_id<blob_id>({1'714'000'000'000}, 0, 77);
    own.bytes = 10;
    own.sealed = true;
    own.digest = sha256::of("x");
    order = placement_of(own.blob, members);
  }
  /// The plan of the node at that place in the order.
  repair_plan plan(std::size_t place, std::map<node_name, ports::blob_look> heard, std::set<node_name> away = {}, std::set<node_name> draining = {}, bool abandoned = false) {
    std::set<node_name> agreed;
    for (const auto& [node, look] : heard)
      if (!elsewise.contains(node)) agreed.insert(node);
    return plan_repair(own, make_copy_rules(order[place], members, std::move(draining), 2, 2), heard, away, agreed, abandoned);
  }
  ports::blob_look has() const { return {ports::blob_presence::sealed, own}; }
  static ports::blob_look is(ports::blob_presence p) { return {p, {}}; }

  const std::vector<node_name> members{"a", "b", "c", "d"};
  std::vector<node_name> order;
  ports::blob_stat own;
  std::set<node_name> elsewise;  // have another configuration
  const ports::blob_look missing = is(ports::blob_presence::missing);
};

}  // namespace

TEST_F(Repair, AHomeThatLacksItGetsItFromTheFirstThatHasIt) {
  EXPECT_EQ(plan(0, {{order[1], missing}, {order[2], missing}}).push, std::vector<node_name>{order[1]});
  EXPECT_EQ(plan(0, {{order[1], missing}}).lacking, 1u);
  // The second home leaves it to the first, a stand-in to either.
  EXPECT_TRUE(plan(2, {{order[0], has()}, {order[1], missing}}).push.empty());
  EXPECT_EQ(plan(2, {{order[0], missing}, {order[1], missing}}).push, (std::vector<node_name>{order[0], order[1]}));
  EXPECT_EQ(plan(1, {{order[0], missing}}).push, std::vector<node_name>{order[0]});
}

TEST_F(Repair, APartIsNoCopy) { EXPECT_EQ(plan(0, {{order[1], is(ports::blob_presence::open)}}).push, std::vector<node_name>{order[1]}); }

TEST_F(Repair, NobodyIsPushedToWhoDidNotAnswer) {
  const auto quiet = plan(0, {{order[2], missing}});
  EXPECT_TRUE(quiet.push.empty());
  EXPECT_EQ(quiet.own, own_copy::keep);
}

TEST_F(Repair, ATombstoneAnywhereIsADeleteThatWasMissed) {
  EXPECT_EQ(plan(0, {{order[1], has()}, {order[3], is(ports::blob_presence::dead)}}).own, own_copy::remove);
  own.sealed = false;
  EXPECT_EQ(plan(0, {{order[3], is(ports::blob_presence::dead)}}).own, own_copy::remove);
}

TEST_F(Repair, NothingIsGivenUpToAHomeOfAnotherConfiguration) {
  elsewise = {order[1]};
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], has()}}).own, own_copy::keep);
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], missing}}).lacking, 1u) << "and it is pushed to all the same";
  elsewise = {order[3]};  // who is no home promises nothing
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], has()}, {order[3], has()}}).own, own_copy::give_up);
}

TEST_F(Repair, ACopyInExcessGoesOnlyWhenEveryHomeHasOne) {
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], has()}}).own, own_copy::give_up);
  EXPECT_EQ(plan(2, {{order[0], has()}}).own, own_copy::keep);
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], is(ports::blob_presence::open)}}).own, own_copy::keep);
  EXPECT_EQ(plan(1, {{order[0], has()}, {order[2], has()}}).own, own_copy::keep);
}

TEST_F(Repair, OtherBytesAreNeitherOverwrittenNorTakenForACopy) {
  auto other = has();
  other.about.digest = sha256::of("y");
  const auto found = plan(0, {{order[1], other}});
  EXPECT_TRUE(found.push.empty());
  EXPECT_EQ(found.different, std::vector<node_name>{order[1]});
  EXPECT_EQ(plan(2, {{order[0], has()}, {order[1], other}}).own, own_copy::keep);
}

TEST_F(Repair, AHomeThatIsAwayForLongIsStoodInForAndStillAHome) {
  EXPECT_EQ(plan(0, {{order[2], missing}, {order[3], missing}}, {order[1]}).push, std::vector<node_name>{order[2]});
  // The stand-in keeps its copy until the home has one again.
  EXPECT_EQ(plan(2, {{order[0], has()}}, {order[1]}).own, own_copy::keep);
}

TEST_F(Repair, ANodeThatIsDrainedPushesToTheNewHomesAndThenGivesUp) {
  const auto first = plan(0, {{order[1], has()}, {order[2], missing}, {order[3], missing}}, {}, {order[0]});
  EXPECT_EQ(first.own, own_copy::keep);
  EXPECT_EQ(plan(1, {{order[0], has()}, {order[2], missing}}, {}, {order[0]}).push, std::vector<node_name>{order[2]});
  EXPECT_EQ(plan(0, {{order[1], missing}, {order[2], missing}}, {}, {order[0]}).push, (std::vector<node_name>{order[1], order[2]}));
  EXPECT_EQ(plan(0, {{order[1], has()}, {order[2], has()}}, {}, {order[0]}).own, own_copy::give_up);
}

TEST_F(Repair, AnOpenCopyGoesWhenItIsSealedElsewhereOrNobodyCanComeBackToIt) {
  own.sealed = false;
  const auto sealed = is(ports::blob_presence::sealed);
  EXPECT_EQ(plan(2, {{order[0], sealed}, {order[1], sealed}}).own, own_copy::give_up);
  EXPECT_EQ(plan(1, {{order[0], sealed}, {order[2], sealed}}).own, own_copy::keep);  // a home: it is pushed to
  const std::map<node_name, ports::blob_look> nobody{{order[0], missing}, {order[2], missing}, {order[3], missing}};
  EXPECT_EQ(plan(1, nobody).own, own_copy::keep);
  EXPECT_EQ(plan(1, nobody, {}, {}, true).own, own_copy::abandon);
  EXPECT_EQ(plan(1, {{order[0], missing}}, {}, {}, true).own, own_copy::keep);
}

TEST_F(Repair, PartsDoNotKeepEachOtherWhenTheFirstHomeHasNothing) {
  own.sealed = false;
  const auto part = is(ports::blob_presence::open);
  EXPECT_EQ(plan(1, {{order[0], missing}, {order[2], part}, {order[3], missing}}, {}, {}, true).own, own_copy::abandon);
  EXPECT_EQ(plan(2, {{order[0], missing}, {order[1], part}, {order[3], missing}}, {}, {}, true).own, own_copy::abandon);
  // A writer who is still there, and a copy that will be pushed here.
  EXPECT_EQ(plan(1, {{order[0], part}, {order[2], missing}, {order[3], missing}}, {}, {}, true).own, own_copy::keep);
  EXPECT_EQ(plan(1, {{order[0], missing}, {order[2], is(ports::blob_presence::sealed)}, {order[3], missing}}, {}, {}, true).own, own_copy::keep);
  // The first home's own part is the storage actor's business.
  EXPECT_EQ(plan(0, {{order[1], part}, {order[2], missing}, {order[3], missing}}, {}, {}, true).own, own_copy::keep);
}

TEST_F(Repair, WhoPushesTheSameBytesHasTheSameToken) {
  const auto token = push_token(own);
  EXPECT_EQ(token, push_token(own));
  EXPECT_EQ(token.bytes_max, 10u);
  auto other = own;
  other.digest = sha256::of("y");
  EXPECT_NE(token.nonce, push_token(other).nonce);
  own.bytes = 0;
  EXPECT_EQ(push_token(own).bytes_max, 1u);
}

}  // namespace latham
