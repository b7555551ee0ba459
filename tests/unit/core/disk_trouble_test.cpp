// When a storage node whose disk fails writes takes new blobs again.
#include "core/cluster/disk_trouble.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

using change = disk_trouble::change;

struct DiskTrouble : ::testing::Test {
  void pass(nanoseconds time) { now = now + time; }
  /// To the end of the wait.
  void try_again() {
    pass(rule.wait());
    EXPECT_TRUE(rule.may_try(now));
  }

  instant now{5'000'000'000};
  disk_trouble rule;
};

}  // namespace

TEST_F(DiskTrouble, ADiskThatWritesIsNotTried) {
  EXPECT_FALSE(rule.is_there());
  EXPECT_FALSE(rule.may_try(now));
  EXPECT_EQ(rule.on_written(now), change::none);
}

TEST_F(DiskTrouble, AFailedWriteBeginsItAndTheDiskIsTriedAfterTheFirstWait) {
  EXPECT_EQ(rule.on_failed(now), change::begins);
  EXPECT_TRUE(rule.is_there());
  EXPECT_EQ(rule.wait(), disk_trouble::wait_first);
  EXPECT_FALSE(rule.may_try(now));
  pass(disk_trouble::wait_first - nanoseconds{1});
  EXPECT_FALSE(rule.may_try(now));
  pass(nanoseconds{1});
  EXPECT_TRUE(rule.may_try(now));
  EXPECT_TRUE(rule.is_there()) << "until it is known how that ends";
}

TEST_F(DiskTrouble, ItIsTriedOnceAndAgainAWaitLaterWhenNobodyHeardHowItEnded) {
  rule.on_failed(now);
  try_again();
  EXPECT_FALSE(rule.may_try(now));
  pass(disk_trouble::wait_first - nanoseconds{1});
  EXPECT_FALSE(rule.may_try(now));
  pass(nanoseconds{1});
  EXPECT_TRUE(rule.may_try(now));
}

TEST_F(DiskTrouble, AFailedTrialDoublesTheWaitUpToTheLongest) {
  rule.on_failed(now);
  for (const auto wait : {seconds{60}, seconds{120}, seconds{240}, seconds{480}, seconds{600}, seconds{600}}) {
    try_again();
    EXPECT_EQ(rule.on_failed(now), change::goes_on);
    EXPECT_EQ(rule.wait(), wait);
    EXPECT_FALSE(rule.may_try(now));
  }
}

TEST_F(DiskTrouble, FailuresDuringTheWaitAreKnownAlready) {
  rule.on_failed(now);
  pass(disk_trouble::wait_first - nanoseconds{1});
  EXPECT_EQ(rule.on_failed(now), change::none);
  EXPECT_EQ(rule.wait(), disk_trouble::wait_first);
  pass(nanoseconds{1});
  EXPECT_TRUE(rule.may_try(now)) << "they do not put it off";
}

TEST_F(DiskTrouble, OfOneTrialTwoFailuresDoubleTheWaitOnce) {
  rule.on_failed(now);
  try_again();
  EXPECT_EQ(rule.on_failed(now), change::goes_on);
  EXPECT_EQ(rule.on_failed(now), change::none);
  EXPECT_EQ(rule.wait(), 2 * disk_trouble::wait_first);
}

TEST_F(DiskTrouble, BytesOfTheTrialThatBecomeDurableEndIt) {
  rule.on_failed(now);
  try_again();
  EXPECT_EQ(rule.on_written(now), change::ends);
  EXPECT_FALSE(rule.is_there());
  EXPECT_FALSE(rule.may_try(now));
  EXPECT_EQ(rule.on_written(now), change::none);
}

TEST_F(DiskTrouble, BytesOfABlobThatWasUnderWayEndItAfterTheWait) {
  rule.on_failed(now);
  pass(disk_trouble::wait_first);
  EXPECT_EQ(rule.on_written(now), change::ends) << "no trial is needed";
}

TEST_F(DiskTrouble, BytesOfBeforeTheEndOfTheWaitEndNothing) {
  rule.on_failed(now);
  const auto begun = now + disk_trouble::wait_first - nanoseconds{1};
  EXPECT_EQ(rule.on_written(begun), change::none);
  try_again();
  EXPECT_EQ(rule.on_written(begun), change::none) << "handed over before, and slow";
  EXPECT_TRUE(rule.is_there());
}

TEST_F(DiskTrouble, AfterItsEndTheNextTroubleBeginsWithTheFirstWait) {
  rule.on_failed(now);
  try_again();
  rule.on_failed(now);
  try_again();
  rule.on_written(now);
  EXPECT_EQ(rule.on_failed(now), change::begins);
  EXPECT_EQ(rule.wait(), disk_trouble::wait_first);
}

}  // namespace latham
