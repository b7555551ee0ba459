#include "core/cluster/shard_holds.hpp"

#include "core/cluster/shard_census.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

const std::vector<node_name> members{"a", "b", "c"};
constexpr instant start{1'000'000'000'000};

/// Each of the nodes answers what it is asked.
void ask_all(shard_holds& holds, std::map<node_name, shard_claims>& storages, instant now) {
  for (const auto& node : members)
    for (const auto& asked : holds.requests(now)) holds.on_answer(node, asked, storages[node].on_claim(asked, now).answer, now, now);
}

}  // namespace

TEST(ShardCensus, WantsAMajorityAndTakesTheNewestClaim) {
  shard_census census{members};
  census.on_claims("a", {{1, 4, "old", 1}, {2, 7, "other", 2}});
  EXPECT_FALSE(census.complete());
  census.on_claims("a", {});
  census.on_claims("stranger", {{1, 9, "nobody", 1}});
  EXPECT_FALSE(census.complete());
  census.on_claims("b", {{1, 5, "new", 3}});
  EXPECT_TRUE(census.complete());
  EXPECT_EQ(census.of("old"), std::vector<std::uint16_t>{});
  EXPECT_EQ(census.of("new"), std::vector<std::uint16_t>{1});
  EXPECT_EQ(census.of("other"), std::vector<std::uint16_t>{2});
  EXPECT_TRUE(census.newest(3).empty());
}

TEST(ShardCensus, ShowsThatTwoClaimantsMeet) {
  shard_census census{members};
  census.on_claims("a", {{1, 5, "one", 1}});
  census.on_claims("b", {{1, 5, "two", 2}});
  EXPECT_EQ(census.newest(1).size(), 2u);
  EXPECT_EQ(census.of("one"), census.of("two"));
}

TEST(ShardHolds, DecideWithOneGenerationAboveAllThatWasEverUsed) {
  std::map<node_name, shard_claims> storages;
  for (const auto& node : members) {
    storages[node].load({1, 3, "me", 7}, start);
    storages[node].load({2, 20, "giver", 8}, start);
  }
  shard_holds holds{"me", 9, {1, 3, "me", 7}, members};
  holds.add(1, 3, {});
  holds.add(2, 20, {8, 20});
  EXPECT_FALSE(holds.holds(start));
  ask_all(holds, storages, start);
  ASSERT_TRUE(holds.holds(start)) << "its own earlier life and the giver's, at once";
  EXPECT_EQ(holds.generation(), 21u);
  EXPECT_EQ(storages["a"].find(1)->generation, 21u);
  EXPECT_EQ(storages["a"].find(2)->generation, 21u);
  EXPECT_EQ(holds.shards(), (std::vector<std::uint16_t>{1, 2}));
}

TEST(ShardHolds, AllRiseWithTheOneThatMust) {
  std::map<node_name, shard_claims> storages;
  for (const auto& node : members) storages[node].load({2, 30, "me", 7}, start);  // further than the census heard
  shard_holds holds{"me", 9, {1, 3, "me", 7}, members};
  holds.add(1, 3, {});
  holds.add(2, 5, {});
  for (int i = 0; i < 3; ++i) ask_all(holds, storages, start);
  ASSERT_TRUE(holds.holds(start));
  EXPECT_EQ(holds.generation(), 31u);
  for (const auto& node : members) EXPECT_EQ(storages[node].find(1)->generation, storages[node].find(2)->generation);
}

TEST(ShardHolds, TheGenerationStaysOnceAllAreOwned) {
  std::map<node_name, shard_claims> storages;
  shard_holds holds{"me", 9, {}, members};
  holds.add(1, 0, {});
  holds.add(2, 0, {});
  ask_all(holds, storages, start);
  ASSERT_TRUE(holds.holds(start));
  const auto used = holds.generation();
  for (const auto& node : members) holds.on_answer(node, {{1, used, "me", 9}, 0}, {false, {1, used + 5, "other", 1}, 0}, start, start);
  EXPECT_EQ(holds.generation(), used);
  EXPECT_TRUE(holds.outdated()) << "it begins anew instead";
}

TEST(ShardHolds, AreOwnedAlsoWhenTheyCameToHoldByTimeAlone) {
  const std::vector<node_name> five{"a", "b", "c", "d", "e"};
  shard_holds holds{"me", 9, {}, five};
  holds.add(1, 0, {});
  const auto grant = [&](const node_name& from, std::uint64_t disk, std::vector<storage_disk> others, instant at) {
    const auto asked = holds.requests(at).front();
    holds.on_answer(from, asked, {true, asked.wanted, 0, disk, std::move(others)}, at, at);
  };
  grant("a", 100, {{"b", 300}, {"c", 300}}, start);
  const auto later = start + seconds{2};
  for (const auto* node : {"b", "c", "d"}) grant(node, 200, {}, later);
  EXPECT_FALSE(holds.holds(later)) << "a knows later disks of b and c";
  const auto silent = start + claim_ttl;  // a's word does not count any more
  ASSERT_TRUE(holds.holds(silent));
  holds.own();
  const auto generation = holds.generation();
  holds.on_answer("e", holds.requests(silent).front(), {false, {1, generation, "other", 8}, 0, 100, {}}, silent, silent);
  EXPECT_EQ(holds.generation(), generation) << "epochs of it may have been given out";
  EXPECT_TRUE(holds.holds(silent));
}

TEST(ShardHolds, NeedEveryOne) {
  std::map<node_name, shard_claims> storages;
  for (const auto& node : members) storages[node].load({2, 5, "other", 70}, start);
  shard_holds holds{"me", 9, {}, members};
  holds.add(1, 0, {});
  holds.add(2, 5, {});
  ask_all(holds, storages, start);
  EXPECT_FALSE(holds.holds(start));
  EXPECT_FALSE(holds.lost());
}

TEST(ShardHolds, WithoutAnyShardHasNothingToWaitFor) {
  shard_holds holds{"me", 9, {4, 3, "me", 7}, members};
  EXPECT_TRUE(holds.holds(start));
  EXPECT_TRUE(holds.requests(start).empty());
  EXPECT_EQ(holds.generation(), 4u);
  holds.on_answer("a", {{5, 9, "me", 9}, 0}, {false, {5, 20, "other", 1}, 1}, start, start);  // of one that it has not got
  EXPECT_EQ(holds.generation(), 4u);
}

TEST(ShardHold, IsNotEndedByAnEarlierLifeOfItsOwn) {
  shard_hold hold{1, "me", 9, {1, 3, "me", 7}, members};
  for (const auto& node : members) hold.on_answer(node, *hold.request(start), {true, hold.claim(), 0}, start, start);
  ASSERT_TRUE(hold.holds(start));
  const auto late = start + claim_ttl;
  ASSERT_FALSE(hold.holds(late));
  // A storage node that has restarted keeps what a dead life of the same generation asked for, as if it had been heard just now.
  auto earlier = hold.claim();
  earlier.incarnation = 8;
  auto of_another = hold;
  hold.on_answer("a", *hold.request(late), {false, earlier, 5'000}, late, late);
  EXPECT_FALSE(hold.lost());
  EXPECT_TRUE(hold.outdated());
  earlier.holder = "other";
  of_another.on_answer("a", *of_another.request(late), {false, earlier, 5'000}, late, late);
  EXPECT_TRUE(of_another.lost());
}

TEST(ShardHold, DoesNotCountAStorageNodeWhoseNameHasMovedToAnotherDisk) {
  shard_hold hold{1, "me", 9, {1, 3, "me", 7}, members};
  const auto grant = [&](const node_name& from, std::uint64_t disk, std::vector<storage_disk> others, instant at) {
    hold.on_answer(from, *hold.request(at), {true, hold.claim(), 0, disk, std::move(others)}, at, at);
  };
  grant("a", 100, {}, start);
  EXPECT_FALSE(hold.holds(start));
  grant("b", 101, {{"a", 100}}, start);
  EXPECT_TRUE(hold.holds(start));
  grant("b", 101, {{"a", 200}}, start);
  EXPECT_FALSE(hold.holds(start)) << "b knows a later disk of a";
  grant("a", 200, {{"b", 101}}, start);
  EXPECT_TRUE(hold.holds(start)) << "and this is its word";
  // Told on by one that is silent itself by now.
  const auto late = start + seconds{3};
  grant("b", 101, {{"a", 300}}, start);
  EXPECT_FALSE(hold.holds(start));
  grant("a", 200, {}, late);
  grant("c", 102, {{"a", 200}}, late);
  EXPECT_TRUE(hold.holds(start + claim_ttl)) << "a later disk that b saw before a's clock was set back must not count for ever";
}

TEST(ShardClaim, OfWhoGotTheShardTakesOverFromThatLifeAlone) {
  shard_claims storage;
  storage.load({1, 5, "giver", 50}, start);
  const claim_request wanted{{1, 7, "receiver", 60}, 0, {50, 5}};
  const auto late = start + seconds{60};
  EXPECT_TRUE(shard_claims{storage}.on_claim(wanted, start).answer.granted) << "at once: that life has promised to be silent";
  storage.load({1, 6, "giver", 51}, start);  // its next life went on
  const auto refused = storage.on_claim(wanted, late);
  EXPECT_FALSE(refused.answer.granted) << "however long it is silent";
  EXPECT_GT(refused.answer.wait_ms, 0u);
  EXPECT_TRUE(storage.on_claim({{1, 7, "anybody", 61}, 0, {}}, late).answer.granted);
  storage.load({1, 4, "giver", 40}, start);
  EXPECT_FALSE(storage.on_claim(wanted, start).answer.granted);
  EXPECT_TRUE(shard_claims{storage}.on_claim(wanted, late).answer.granted) << "an earlier life of it: this node only missed the later claims";
  storage.load({1, 8, "receiver", 59}, start);
  EXPECT_FALSE(storage.on_claim({{1, 9, "receiver", 60}, 0, {50, 5}}, start).answer.granted);
  EXPECT_TRUE(storage.on_claim({{1, 9, "receiver", 60}, 0, {50, 5}}, late).answer.granted) << "an earlier life of its own, which its disk does not name";
}

}  // namespace latham
