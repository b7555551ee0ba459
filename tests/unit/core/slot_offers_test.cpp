// A worker's slots among several schedulers.
#include "core/scheduler/slot_offers.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <vector>

namespace latham {

namespace {

/// Two schedulers with more work than can be done, and a worker that ends a lease at a time.
std::map<node_name, int> run_long(std::uint32_t slots, const std::vector<node_name>& names, int ends) {
  slot_offers offers{slots};
  std::map<node_name, std::uint32_t> held;
  std::map<node_name, int> done;
  for (const auto& n : names) offers.add(n);
  for (int i = 0; i < ends; ++i) {
    for (const auto& n : names) {
      offers.on_answer(n, 100);
      while (held[n] < offers.allowance(n)) {
        ++held[n];
        offers.on_granted(n);
        offers.on_answer(n, 100);
      }
    }
    const auto& n = names[static_cast<std::size_t>(i) % names.size()];
    const auto& who = held[n] > 0 ? n : std::find_if(held.begin(), held.end(), [](const auto& h) { return h.second > 0; })->first;
    --held[who];
    ++done[who];
    offers.on_ended(who);
  }
  return done;
}

}  // namespace

TEST(SlotOffers, OneSchedulerMayHaveThemAll) {
  slot_offers offers{4};
  offers.add("a");
  EXPECT_EQ(offers.allowance("a"), 4u);
  offers.on_granted("a");
  EXPECT_EQ(offers.allowance("a"), 4u);
  EXPECT_EQ(offers.free(), 3u);
}

TEST(SlotOffers, WhileNobodyHasWorkEveryFreeSlotIsOfferedToAll) {
  slot_offers offers{2};
  offers.add("a");
  offers.add("b");
  EXPECT_EQ(offers.allowance("a"), 2u);
  EXPECT_EQ(offers.allowance("b"), 2u);
}

TEST(SlotOffers, TwoThatHaveWorkGetEqualParts) {
  slot_offers offers{4};
  offers.add("a");
  offers.add("b");
  offers.on_answer("a", 50);
  EXPECT_EQ(offers.allowance("a"), 4u) << "alone in having work";
  EXPECT_EQ(offers.allowance("b"), 0u);
  offers.on_answer("b", 50);
  EXPECT_EQ(offers.allowance("a"), 2u);
  EXPECT_EQ(offers.allowance("b"), 2u);
}

TEST(SlotOffers, NothingIsTakenAway) {
  slot_offers offers{2};
  offers.add("a");
  offers.add("b");
  offers.on_answer("a", 9);
  offers.on_granted("a");
  offers.on_granted("a");
  offers.on_answer("b", 9);
  EXPECT_EQ(offers.allowance("b"), 0u) << "nothing is free";
  EXPECT_EQ(offers.allowance("a"), 1u) << "it gets no second one when one ends";
  offers.on_ended("a");
  EXPECT_EQ(offers.allowance("b"), 1u);
}

TEST(SlotOffers, ASingleSlotGoesAround) {
  const auto done = run_long(1, {"a", "b", "c"}, 300);
  for (const auto& [name, count] : done) EXPECT_NEAR(count, 100, 2) << name;
}

TEST(SlotOffers, UnevenSlotsAreSharedOverTime) {
  const auto done = run_long(3, {"a", "b"}, 400);
  EXPECT_NEAR(done.at("a"), done.at("b"), 20);
}

TEST(SlotOffers, WhatASchedulerThatIsAwayHoldsStaysCounted) {
  slot_offers offers{2};
  offers.add("a");
  offers.add("b");
  offers.on_granted("a");
  offers.remove("a");
  EXPECT_EQ(offers.free(), 1u);
  EXPECT_EQ(offers.allowance("b"), 1u);
  offers.on_ended("a");
  EXPECT_EQ(offers.free(), 2u);
  EXPECT_EQ(offers.allowance("never seen"), 0u);
}

TEST(SlotOffers, AGrantIsTakenFromWhatWaits) {
  slot_offers offers{4};
  offers.add("a");
  offers.add("b");
  offers.on_answer("a", 1);
  EXPECT_EQ(offers.allowance("b"), 0u);
  offers.on_granted("a");
  EXPECT_EQ(offers.allowance("b"), 3u) << "nobody has work any more: what is free is offered to all";
  offers.on_granted("a");  // without having been announced
  EXPECT_EQ(offers.allowance("b"), 2u);
  EXPECT_EQ(offers.allowance("a"), 4u);
}

TEST(SlotOffers, WhatOthersKeepIsNotShared) {
  slot_offers offers{8};
  for (const auto* name : {"a", "b", "c"}) offers.add(name);
  offers.on_granted("c");
  offers.on_granted("c");
  offers.on_granted("c");  // and has no more to do
  offers.on_answer("a", 9);
  offers.on_answer("b", 9);
  EXPECT_EQ(offers.allowance("a"), 3u) << "of five, the one that does not divide goes to the first";
  EXPECT_EQ(offers.allowance("b"), 2u);
  offers.on_granted("a");
  EXPECT_EQ(offers.allowance("a"), 2u);
  EXPECT_EQ(offers.allowance("b"), 3u);
}

TEST(SlotOffers, ASchedulerThatIsAwayIsForgottenWithItsLastLease) {
  slot_offers offers{2};
  offers.add("a");
  offers.add("b");
  offers.on_answer("a", 5);
  EXPECT_EQ(offers.allowance("b"), 0u);
  offers.remove("a");
  offers.remove("never seen");
  EXPECT_EQ(offers.allowance("a"), 0u) << "it is not known";
  EXPECT_EQ(offers.allowance("b"), 2u) << "its work waits for it";
  offers.on_granted("b");
  offers.on_answer("b", 5);
  offers.remove("b");
  EXPECT_EQ(offers.allowance("b"), 2u) << "its lease goes on";
  EXPECT_EQ(offers.free(), 1u);
  offers.on_ended("b");
  offers.on_ended("b");
  offers.on_ended("never seen");
  EXPECT_EQ(offers.free(), 2u) << "a lease ends once";
  EXPECT_EQ(offers.allowance("b"), 2u);
}

TEST(SlotOffers, TheWorkOfASchedulerThatIsAwayHoldsNobodyBack) {
  slot_offers offers{3};
  offers.add("a");
  offers.add("b");
  offers.on_granted("a");
  offers.on_answer("a", 5);
  EXPECT_EQ(offers.allowance("b"), 0u);
  offers.remove("a");
  EXPECT_EQ(offers.allowance("b"), 2u);
}

TEST(SlotOffers, WhatIsHeldIsPartOfTheOffer) {
  slot_offers offers{4};
  offers.add("a");
  offers.add("b");
  offers.on_answer("a", 9);
  offers.on_answer("b", 9);
  offers.on_granted("a");
  offers.on_granted("a");
  offers.on_granted("b");
  EXPECT_EQ(offers.allowance("a"), 2u);
  EXPECT_EQ(offers.allowance("b"), 2u);
}

}  // namespace latham
