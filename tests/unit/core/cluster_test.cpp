// Placement, identities and claims of shards: the rules by which the nodes of a cluster agree without a leader.
#include "core/cluster/identities.hpp"
#include "core/cluster/placement.hpp"
#include "core/cluster/protocol_versions.hpp"
#include "core/cluster/shard_claim.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

namespace latham {

namespace {

constexpr instant start{3'600'000'000'000};

blob_id blob(std::uint64_t n) { return make_id<blob_id>({1'714'000'000'000}, 0, n * 0x9e3779b97f4a7c15ull); }

const std::vector<node_name> three{"storage-0", "storage-1", "storage-2"};

/// Storage nodes and schedulers that talk without delay.
struct council {
  std::vector<shard_claims> storages{3};

  void round(shard_hold& who, instant now, std::vector<std::size_t> reach = {0, 1, 2}) {
    for (const auto i : reach) {
      const auto asked = who.request(now);
      if (!asked) return;
      who.on_answer(three[i], *asked, storages[i].on_claim(*asked, now).answer, now, now);
    }
  }
};

shard_hold newcomer(std::uint64_t incarnation, shard_claim last = {}) { return {0, "scheduler-0", incarnation, last, three}; }

}  // namespace

TEST(Placement, IsTheSameWhateverTheOrderOfTheMembersAndNamesThemAll) {
  auto members = three;
  const auto order = placement_of(blob(1), members);
  EXPECT_EQ(order.size(), 3u);
  do EXPECT_EQ(placement_of(blob(1), members), order);
  while (std::next_permutation(members.begin(), members.end()));
}

TEST(Placement, WeightsAreGoldenBecauseAChangeWouldMoveEveryBlob) {
  EXPECT_EQ(placement_weight("storage-0", blob(1)), 0x8e418b5fe64df47eull);
  EXPECT_EQ(placement_weight("storage-1", blob(2)), 0x540dcd8cd85760cdull);
}

TEST(Placement, SpreadsEvenlyAndANewMemberTakesOnlyItsPart) {
  std::map<node_name, int> first;
  int moved = 0;
  auto four = three;
  four.push_back("storage-3");
  constexpr int blobs = 4000;
  for (std::uint64_t n = 0; n < blobs; ++n) {
    const auto before = placement_of(blob(n), three), after = placement_of(blob(n), four);
    ++first[before.front()];
    if (before.front() != after.front()) {
      ++moved;
      EXPECT_EQ(after.front(), "storage-3");
    }
    auto kept = after;
    std::erase(kept, "storage-3");
    EXPECT_EQ(kept, before) << "the others keep their order";
  }
  for (const auto& [name, count] : first) EXPECT_NEAR(count, blobs / 3, 150) << name;
  EXPECT_NEAR(moved, blobs / 4, 150);
}

TEST(Identities, TheLaterProcessOfANameWins) {
  identities known{milliseconds{5'000}};
  EXPECT_TRUE(known.on_heard("worker-0", 10, start));
  EXPECT_TRUE(known.on_heard("worker-0", 20, start + seconds{1}));
  EXPECT_FALSE(known.on_heard("worker-0", 10, start + seconds{2}));
  EXPECT_TRUE(known.on_heard("worker-1", 5, start + seconds{2})) << "names do not touch one another";
}

TEST(Identities, ANameThatHasBeenSilentIsAnybodys) {
  identities known{milliseconds{5'000}};
  EXPECT_TRUE(known.on_heard("worker-0", 20, start));
  EXPECT_TRUE(known.on_heard("worker-0", 10, start + milliseconds{5'001})) << "its clock was set back";
}

TEST(Identities, ThatAreNotHeardAreNotRemembered) {
  identities known{milliseconds{5'000}};
  for (int i = 0; i < 1000; ++i) (void)known.on_heard("worker-" + std::to_string(i), 1, start + seconds{i});
  EXPECT_LE(known.size(), 6u);
}

TEST(Identities, AProcessIsOutlivedByALaterOneOfItsNameOnly) {
  EXPECT_TRUE(is_outlived("scheduler-0", 10, "scheduler-0", 11));
  EXPECT_FALSE(is_outlived("scheduler-0", 10, "scheduler-0", 10)) << "itself";
  EXPECT_FALSE(is_outlived("scheduler-0", 10, "scheduler-0", 9)) << "the earlier one is told, not this one";
  EXPECT_FALSE(is_outlived("scheduler-0", 10, "worker-0", 11));
}

TEST(Identities, AnotherAddressIsOneAtWhichThePresentProcessIsNotKnown) {
  const ports::endpoint here{"10.0.0.1", 8020};
  const ports::endpoint there{"10.0.0.2", 8020};
  EXPECT_EQ(other_address({here, there}, {here}), there);
  EXPECT_EQ(other_address({here, there}, {there, here}), std::nullopt) << "one process at two addresses";
  EXPECT_EQ(other_address({}, {here}), std::nullopt) << "a name that points nowhere is no news";
}

TEST(Identities, IncarnationsGrowWithTime) {
  EXPECT_LT(make_incarnation({1000}, ~0ull), make_incarnation({1001}, 0));
  EXPECT_NE(make_incarnation({1000}, 1), make_incarnation({1000}, 2));
}

TEST(ProtocolVersions, NeighboursSpeakTheOlderOne) {
  const protocol_versions before{8, 7};
  const protocol_versions after{9, 8};
  EXPECT_EQ(*agreed_version(after, "worker-0", 9), 9);
  EXPECT_EQ(*agreed_version(after, "worker-0", 8), 8);
  EXPECT_EQ(*agreed_version(before, "worker-0", 9), 8) << "both ends find the same";
}

TEST(ProtocolVersions, APeerTwoReleasesBehindIsRefusedByTheNewerOne) {
  const auto refused = agreed_version({9, 8}, "worker-0", 7);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::unsupported);
  EXPECT_NE(refused.error().message.find("version 7"), std::string::npos) << refused.error().message;
  EXPECT_EQ(*agreed_version({7, 6}, "scheduler-0", 9), 7) << "the older one cannot know";
}

TEST(ShardClaims, AreHeldWithAMajorityOnly) {
  council c;
  auto a = newcomer(1);
  c.round(a, start, {0});
  EXPECT_FALSE(a.holds(start));
  c.round(a, start, {1});
  EXPECT_TRUE(a.holds(start));
  EXPECT_EQ(a.claim().generation, 1u);
}

TEST(ShardClaims, LapseWhenTheyAreNotRenewed) {
  council c;
  auto a = newcomer(1);
  c.round(a, start);
  EXPECT_TRUE(a.holds(start + milliseconds{4'499}));
  EXPECT_FALSE(a.holds(start + milliseconds{4'500}));
  c.round(a, start + seconds{10});
  EXPECT_TRUE(a.holds(start + seconds{10})) << "nobody else asked meanwhile";
  EXPECT_FALSE(a.lost());
}

TEST(ShardClaims, ARestartOnTheSameDiskTakesOverAtOnceWithAGreaterGeneration) {
  council c;
  auto a = newcomer(1);
  c.round(a, start);
  ASSERT_TRUE(a.holds(start));
  auto b = newcomer(2, a.claim());
  c.round(b, start + milliseconds{1});
  EXPECT_TRUE(b.holds(start + milliseconds{1}));
  EXPECT_EQ(b.claim().generation, 2u);
}

TEST(ShardClaims, AfterALostDiskTheGenerationIsStillGreater) {
  council c;
  auto a = newcomer(1, {0, 41, "scheduler-0", 9});
  c.round(a, start);
  ASSERT_TRUE(a.holds(start));
  ASSERT_EQ(a.claim().generation, 42u);
  auto b = newcomer(2);
  for (int s = 1; s <= 7; ++s) c.round(b, start + seconds{s});
  EXPECT_TRUE(b.holds(start + seconds{7}));
  EXPECT_GT(b.claim().generation, 42u);
}

TEST(ShardClaims, ATwinWaitsWhileTheHolderLives) {
  council c;
  auto a = newcomer(1);
  c.round(a, start);
  auto b = newcomer(2);
  for (int s = 1; s < 60; ++s) {
    c.round(a, start + seconds{s});
    c.round(b, start + seconds{s});
    EXPECT_TRUE(a.holds(start + seconds{s}));
    EXPECT_FALSE(b.holds(start + seconds{s}));
  }
  EXPECT_FALSE(a.lost());
}

TEST(ShardClaims, AHolderThatWasCutOffStopsWhenItReturns) {
  council c;
  auto a = newcomer(1);
  c.round(a, start);
  auto b = newcomer(2);
  for (int s = 1; s <= 8; ++s) c.round(b, start + seconds{s});
  ASSERT_TRUE(b.holds(start + seconds{8}));
  EXPECT_FALSE(a.holds(start + seconds{5})) << "it gave up before the other began";
  c.round(a, start + seconds{9});
  EXPECT_TRUE(a.lost());
  EXPECT_FALSE(b.lost());
}

TEST(ShardClaims, ADeadClaimantOfTheSameGenerationDoesNotEndAnOwner) {
  council c;
  auto dead = newcomer(1);
  c.round(dead, start, {2});
  auto a = newcomer(2);
  c.round(a, start + seconds{1}, {0, 1});
  ASSERT_TRUE(a.holds(start + seconds{1}));
  ASSERT_EQ(a.claim().generation, 1u);
  // Its links were slow for a while; the first that answers is the one that the dead one asked.
  c.round(a, start + seconds{30}, {2});
  EXPECT_FALSE(a.lost());
  EXPECT_TRUE(a.outdated()) << "generation 1 is not to be had there";
  auto again = newcomer(2, a.claim());
  c.round(again, start + seconds{31});
  EXPECT_TRUE(again.holds(start + seconds{31}));
  EXPECT_EQ(again.claim().generation, 2u);
}

TEST(ShardClaims, AMinorityDoesNotEndAnOwner) {
  council c;
  auto a = newcomer(1);
  c.round(a, start, {0, 1});
  auto b = newcomer(2);
  c.round(b, start, {2});
  for (int s = 1; s < 30; ++s) {
    c.round(a, start + seconds{s});
    c.round(b, start + seconds{s});
  }
  EXPECT_TRUE(a.holds(start + seconds{29}));
  EXPECT_FALSE(a.lost());
}

TEST(ShardClaims, TwoThatBlockOneAnotherAreNotStuck) {
  // Of two storage nodes each has one: neither has a majority.
  const std::vector<node_name> two{"storage-0", "storage-1"};
  std::array<shard_claims, 2> storages;
  shard_hold older{0, "scheduler-0", 1, {}, two}, newer{0, "scheduler-0", 2, {}, two};
  const auto ask = [&](shard_hold& who, std::size_t i, instant now) {
    if (const auto asked = who.request(now)) who.on_answer(two[i], *asked, storages[i].on_claim(*asked, now).answer, now, now);
  };
  ask(older, 0, start);
  ask(newer, 1, start);
  bool held = false;
  for (int s = 1; s < 60 && !held; ++s) {
    const auto now = start + seconds{s};
    for (std::size_t i : {0u, 1u}) {
      ask(older, i, now);
      ask(newer, i, now);
      EXPECT_FALSE(older.holds(now) && newer.holds(now));
      held = held || newer.holds(now) || older.holds(now);
    }
  }
  EXPECT_TRUE(held);
}

TEST(ShardClaims, AStorageNodeThatRestartsTakesTheHolderToBeAlive) {
  council c;
  auto a = newcomer(1);
  c.round(a, start);
  for (auto& s : c.storages) {
    shard_claims again;
    again.load(*s.find(0), start + seconds{20});
    s = std::move(again);
  }
  auto b = newcomer(2);
  c.round(b, start + seconds{21});
  c.round(b, start + seconds{22});
  EXPECT_FALSE(b.holds(start + seconds{22}));
}

TEST(ShardClaims, WhatIsWrittenIsWhatIsAnswered) {
  shard_claims s;
  const claim_request first{{0, 1, "scheduler-0", 7}, 0};
  auto granted = s.on_claim(first, start);
  ASSERT_TRUE(granted.write);
  EXPECT_EQ(*granted.write, first.wanted);
  EXPECT_FALSE(s.on_claim(first, start).write) << "a renewal costs no disk";
  const auto refused = s.on_claim({{0, 1, "scheduler-0", 8}, 0}, start);
  EXPECT_FALSE(refused.answer.granted);
  EXPECT_FALSE(refused.write);
}

TEST(CopyRules, NamesAreSortedAndCountOnce) {
  EXPECT_EQ(make_copy_rules("b", {"b", "a", "b"}, {}, 0, 0).members, (std::vector<node_name>{"a", "b"}));
  EXPECT_EQ(make_copy_rules("b", {"b", "a", "b"}, {}, 3, 0).copies, 2u);
}

TEST(CopyRules, OnlyStorageNodesAreEmptiedHere) {
  EXPECT_EQ(make_copy_rules("a", {"a", "b"}, {"b", "scheduler-1"}, 0, 0).draining, std::set<node_name>{"b"});
}

TEST(CopyRules, WhenAllAreToBeEmptiedNoneIs) {
  const auto rules = make_copy_rules("a", {"a", "b", "c"}, {"a", "b", "c"}, 3, 2);
  EXPECT_EQ(rules.copies, 3u);
  EXPECT_EQ(rules.acks, 2u);
  EXPECT_TRUE(rules.draining.empty());
}

TEST(Identities, TheSameProcessMayBeHeardAgain) {
  identities known{milliseconds{5'000}};
  EXPECT_TRUE(known.on_heard("worker-0", 10, start));
  EXPECT_TRUE(known.on_heard("worker-0", 10, start + seconds{1}));
  EXPECT_FALSE(known.on_heard("worker-0", 9, start + seconds{1}));
}

// ---- Answers of storage nodes, one by one -----------------------------------------------------------------------------

namespace {

/// A scheduler whose answers are made up by the test. Its proposal is of generation 1 and incarnation 10.
struct claimant {
  shard_hold hold{0, "scheduler-0", 10, {}, three};

  void grant(std::size_t i, instant now) { answer(i, {true, hold.claim(), 0}, now); }
  void refuse(std::size_t i, std::uint32_t generation, std::uint64_t incarnation, std::uint32_t wait_ms, instant now) {
    answer(i, {false, {0, generation, "scheduler-0", incarnation}, wait_ms}, now);
  }
  void answer(std::size_t i, const claim_answer& said, instant now) { hold.on_answer(three[i], {hold.claim(), 0}, said, now, now); }
};

}  // namespace

TEST(ShardClaims, ARefusalSaysHowLongTheHolderMayStillBeSilent) {
  shard_claims s;
  const auto granted = s.on_claim({{0, 1, "a", 7}, 0}, start);
  EXPECT_TRUE(granted.answer.granted);
  EXPECT_EQ(granted.answer.wait_ms, 0u);
  EXPECT_EQ(s.on_claim({{0, 1, "a", 7}, 0}, start).answer.wait_ms, 0u) << "a renewal";
  const auto refused = s.on_claim({{0, 2, "a", 8}, 0}, start + seconds{2});
  EXPECT_FALSE(refused.answer.granted);
  EXPECT_EQ(refused.answer.wait_ms, 3'000u);
  EXPECT_EQ(s.on_claim({{0, 2, "a", 8}, 0}, start + seconds{5} - nanoseconds{1}).answer.wait_ms, 1u);
  const auto stale = s.on_claim({{0, 1, "a", 8}, 0}, start + seconds{5});
  EXPECT_FALSE(stale.answer.granted) << "silent for long enough, but the generation was had already";
  EXPECT_EQ(stale.answer.wait_ms, 0u);
  EXPECT_TRUE(s.on_claim({{0, 2, "a", 8}, 0}, start + seconds{5}).answer.granted);
}

TEST(ShardClaims, OnlyItsOwnEarlierLifeTakesOverAtOnce) {
  shard_claims s;
  ASSERT_TRUE(s.on_claim({{0, 1, "a", 7}, 0}, start).answer.granted);
  EXPECT_FALSE(s.on_claim({{0, 2, "a", 8}, 5}, start).answer.granted) << "an earlier life, but another's";
  EXPECT_TRUE(s.on_claim({{0, 2, "a", 8}, 7}, start).answer.granted);
  ASSERT_TRUE(s.on_claim({{1, 1, "a", 0}, 0}, start).answer.granted);
  EXPECT_FALSE(s.on_claim({{1, 2, "a", 8}, 0}, start).answer.granted) << "no earlier life is none of nought";
}

TEST(ShardClaims, WhatWasHandedOverIsOldOnceALaterLifeOfTheGiverIsKnown) {
  for (const std::uint32_t known : {19u, 20u, 21u}) {
    shard_claims s;
    s.load({0, known, "giver", 9}, start);
    const auto late = start + claim_ttl;  // nobody has to be waited for
    const auto answer = s.on_claim({{0, 30, "receiver", 10}, 0, {8, 20}}, late).answer;
    EXPECT_EQ(answer.granted, known < 20) << "what is of before the hand-over only missed the claim that gave it away";
    EXPECT_EQ(answer.wait_ms, known < 20 ? 0u : 5'000u);
  }
}

TEST(ShardClaims, AreListedFromAShardAndUpToALimit) {
  shard_claims s;
  for (const std::uint16_t shard : {3, 1, 7}) s.load({shard, 1, "a", 7}, start);
  const auto shards = [&](std::uint16_t from, std::size_t limit) {
    std::vector<std::uint16_t> out;
    for (const auto& claim : s.list(from, limit)) out.push_back(claim.shard);
    return out;
  };
  EXPECT_EQ(shards(0, 2), (std::vector<std::uint16_t>{1, 3}));
  EXPECT_EQ(shards(2, 9), (std::vector<std::uint16_t>{3, 7}));
  EXPECT_TRUE(shards(8, 9).empty());
}

TEST(ShardClaims, AStorageNodeThatRefusesCountsNoMore) {
  claimant c;
  c.grant(0, start);
  c.grant(1, start);
  EXPECT_TRUE(c.hold.holds(start));
  c.refuse(1, 0, 5, 100, start);
  EXPECT_FALSE(c.hold.holds(start));
  EXPECT_FALSE(c.hold.lost()) << "whoever it is has a smaller generation";
  EXPECT_FALSE(c.hold.outdated());
  EXPECT_TRUE(c.hold.request(start));
}

TEST(ShardClaims, AnOwnerIsLostToWhoLivesAndOutdatedByWhoDoesNot) {
  for (const std::uint32_t wait_ms : {0u, 1u}) {
    claimant c;
    c.grant(0, start);
    c.grant(1, start);
    c.refuse(0, 2, 11, wait_ms, start);
    EXPECT_EQ(c.hold.lost(), wait_ms > 0);
    EXPECT_EQ(c.hold.outdated(), wait_ms == 0);
    EXPECT_FALSE(c.hold.request(start)) << "it asks nobody any more";
    c.grant(0, start);
    c.grant(2, start);
    EXPECT_FALSE(c.hold.holds(start)) << "late answers do not bring it back";
  }
}

TEST(ShardClaims, AnOwnerIsOutdatedByAnEarlierLifeOfItsOwnAndByAGenerationOfNobody) {
  for (const auto& [incarnation, lost] : {std::pair{std::uint64_t{9}, false}, std::pair{std::uint64_t{10}, true}, std::pair{std::uint64_t{1}, false}, std::pair{std::uint64_t{0}, false}}) {
    claimant c;
    c.grant(0, start);
    c.grant(1, start);
    c.refuse(0, 2, incarnation, 1, start);
    EXPECT_EQ(c.hold.lost(), lost) << incarnation;
    EXPECT_EQ(c.hold.outdated(), !lost) << incarnation;
  }
  claimant c;
  c.grant(0, start);
  c.grant(1, start);
  c.answer(0, {false, {0, 2, "scheduler-1", 1}, 1}, start);
  EXPECT_TRUE(c.hold.lost()) << "another that started earlier lives";
  claimant d;
  d.grant(0, start);
  d.grant(1, start);
  d.answer(0, {false, {0, 2, "scheduler-1", 0}, 1}, start);
  EXPECT_TRUE(d.hold.outdated()) << "nobody does";
}

TEST(ShardClaims, AGenerationThatIsRaisedIsConfirmedAnew) {
  claimant c;
  c.grant(0, start);
  c.grant(1, start);
  for (const std::uint32_t no_more : {0u, 1u}) {
    c.hold.raise(no_more);
    EXPECT_EQ(c.hold.claim().generation, 1u);
    EXPECT_TRUE(c.hold.holds(start)) << no_more;
  }
  c.hold.raise(4);
  EXPECT_EQ(c.hold.claim().generation, 4u);
  c.grant(2, start);
  EXPECT_FALSE(c.hold.holds(start)) << "two confirmed the one before";
  c.refuse(0, 7, 11, 1, start);
  EXPECT_FALSE(c.hold.lost()) << "what it asks for now it never owned";
  EXPECT_EQ(c.hold.claim().generation, 8u);
}

TEST(ShardClaims, OnlyWhatAMemberSaysOfThisClaimCounts) {
  claimant c;
  c.grant(0, start);
  const auto asked = c.hold.claim();
  auto elsewhere = asked;
  elsewhere.shard = 3;
  c.hold.on_answer("stranger", {asked, 0}, {true, asked, 0}, start, start);
  c.hold.on_answer(three[1], {asked, 0}, {true, elsewhere, 0}, start, start);
  EXPECT_FALSE(c.hold.holds(start));
  c.hold.raise(2);
  c.grant(0, start);
  c.hold.on_answer(three[1], {asked, 0}, {true, asked, 0}, start, start);
  EXPECT_FALSE(c.hold.holds(start)) << "what was asked before";
  c.grant(1, start);
  EXPECT_TRUE(c.hold.holds(start));
}

TEST(ShardClaims, OfTheDisksThatAStorageNodeTellsAsManyAreKeptAsThereAreMembers) {
  claimant c;
  const storage_disk later{three[0], 2};
  c.answer(0, {true, c.hold.claim(), 0, 1}, start);
  std::vector<storage_disk> told{{three[0], 1}, {three[1], 1}, {three[2], 1}, later};
  c.answer(1, {true, c.hold.claim(), 0, 1, told}, start);
  EXPECT_TRUE(c.hold.holds(start)) << "the fourth of three is not looked at";
  std::swap(told[2], told[3]);
  c.answer(1, {true, c.hold.claim(), 0, 1, told}, start);
  EXPECT_FALSE(c.hold.holds(start));
  c.answer(1, {true, c.hold.claim(), 0, 1, {{"x", 1}, {"y", 1}, {"z", 1}, later}}, start);
  EXPECT_FALSE(c.hold.holds(start)) << "others than members take no room";
}

TEST(ShardClaims, AGreaterGenerationIsProposedWhenOthersKnowMore) {
  claimant c;
  c.grant(0, start);
  const auto old = c.hold.claim();
  c.refuse(1, 5, 3, 0, start);
  EXPECT_EQ(c.hold.claim().generation, 6u);
  c.grant(1, start);
  EXPECT_FALSE(c.hold.holds(start)) << "what was confirmed was another generation";
  c.grant(2, start);
  EXPECT_TRUE(c.hold.holds(start));
  c.hold.on_answer(three[0], {old, 0}, {true, old, 0}, start, start);
  EXPECT_TRUE(c.hold.holds(start)) << "an answer to an earlier proposal is harmless";
}

TEST(ShardClaims, OfTwoThatBlockOneAnotherTheEarlierStepsBackForTwoTerms) {
  claimant c;
  c.grant(0, start);
  c.refuse(1, 0, 11, 1, start);
  const auto silent = claim_ttl * 2;
  EXPECT_FALSE(c.hold.request(start + silent - nanoseconds{1}));
  EXPECT_TRUE(c.hold.request(start + silent));
  c.grant(2, start);
  EXPECT_FALSE(c.hold.holds(start)) << "its claims lapse: one of three is left";
}

TEST(ShardClaims, NobodyStepsBackForOneThatIsEarlierOrDead) {
  for (const auto& [incarnation, wait_ms] :
       {std::pair{std::uint64_t{10}, 1u}, std::pair{std::uint64_t{9}, 1u}, std::pair{std::uint64_t{11}, 0u}}) {
    claimant c;
    c.grant(0, start);
    c.refuse(1, 0, incarnation, wait_ms, start);
    EXPECT_TRUE(c.hold.request(start)) << incarnation;
    c.grant(2, start);
    EXPECT_TRUE(c.hold.holds(start));
  }
}

}  // namespace latham
