#include "actors/journal.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

/// A store that commits when told to.
class Journal : public ::testing::Test {
protected:
  void SetUp() override {
    journal_.open(
      [this](ports::kv_batch batch, std::function<void(expected<void>)> done) {
        batches_.push_back(std::move(batch));
        done_.push_back(std::move(done));
      },
      [this](const error& e) { failed_ = e.code; }, [this](std::function<void()> again) { waiting_.push_back(std::move(again)); },
      [this](std::size_t count) { told_ = count; }, {commit_bytes_max, 4, 5000});
  }
  void note(const std::string& what) { happened_ += what; }
  void finish(expected<void> result = {}) {
    auto done = done_.front();
    done_.erase(done_.begin());
    done(std::move(result));
  }

  /// A decision of so many records, of which two and a half fit into a batch.
  static ports::kv_batch records(const std::string& name, std::size_t count = 1) {
    ports::kv_batch out;
    for (std::size_t i = 0; i < count; ++i) out.push_back({name + std::to_string(i), std::string(commit_bytes_max * 2 / 5 - 20, 'v')});
    return out;
  }
  [[nodiscard]] std::string keys(std::size_t batch) const {
    std::string out;
    for (const auto& write : batches_.at(batch)) out += write.key + " ";
    return out;
  }

  static constexpr std::size_t commit_bytes_max = 1000;
  journal journal_;
  std::vector<ports::kv_batch> batches_;
  std::vector<std::function<void(expected<void>)>> done_;
  std::vector<std::function<void()>> waiting_;
  std::string happened_;
  std::size_t told_ = 0;
  errc failed_ = errc::none;
};

}  // namespace

TEST_F(Journal, EffectsWaitUntilTheirRecordsAreDurable) {
  journal_.join({{"k", "v"}}, [this] { note("a"); });
  EXPECT_EQ(happened_, "");
  finish();
  EXPECT_EQ(happened_, "a");
}

TEST_F(Journal, WhatComesWhileABatchIsInFlightSharesTheNext) {
  journal_.join({{"1", "v"}}, [this] { note("a"); });
  journal_.join({{"2", "v"}}, [this] { note("b"); });
  journal_.join({{"3", "v"}}, [this] { note("c"); });
  EXPECT_EQ(batches_.size(), 1u);
  finish();
  EXPECT_EQ(batches_.size(), 2u);
  EXPECT_EQ(batches_[1].size(), 2u);
  EXPECT_EQ(happened_, "a");
  finish();
  EXPECT_EQ(happened_, "abc");
}

TEST_F(Journal, AReadIsNotAnsweredBeforeTheChangeThatItSaw) {
  journal_.join({{"1", "v"}}, [this] { note("write"); });
  journal_.join({}, [this] { note(" read"); });
  EXPECT_EQ(happened_, "");
  finish();
  EXPECT_EQ(happened_, "write read");
}

TEST_F(Journal, AReadAloneIsAnsweredAtOnce) {
  journal_.join({}, [this] { note("read"); });
  EXPECT_EQ(happened_, "read");
}

TEST_F(Journal, EffectsThatJoinAgainComeAfterTheirElders) {
  journal_.join({{"1", "v"}}, [this] {
    note("a");
    journal_.join({}, [this] { note("c"); });
  });
  journal_.join({}, [this] { note("b"); });
  finish();
  EXPECT_EQ(happened_, "abc");
}

TEST_F(Journal, ABatchThatWasRefusedIsSaidAgainBeforeAnythingLeaves) {
  journal_.join({{"1", "v"}}, [this] { note("a"); });
  journal_.join({{"2", "v"}}, [this] { note("b"); });
  finish({errc::disk_full, "no space"});
  EXPECT_EQ(happened_, "");
  EXPECT_EQ(failed_, errc::none);
  ASSERT_EQ(waiting_.size(), 1u);
  waiting_[0]();
  ASSERT_EQ(batches_.size(), 2u);
  EXPECT_EQ(batches_[1], batches_[0]);
  finish();
  finish();
  EXPECT_EQ(happened_, "ab");
}

TEST_F(Journal, WhatPiledUpLeavesInSeveralBatchesAndItsEffectsWithTheirOwn) {
  journal_.join({{"first", "v"}}, [this] { note("first"); });
  for (const auto* name : {"a", "b", "c", "d", "e"}) journal_.join(records(name), [this, name] { note(name); });
  journal_.join({}, [this] { note("!"); });
  finish({errc::disk_full, "no space"});
  waiting_[0]();
  finish();
  EXPECT_EQ(keys(2), "a0 b0 ");
  EXPECT_EQ(happened_, "first");
  finish();
  EXPECT_EQ(keys(3), "c0 d0 ");
  EXPECT_EQ(happened_, "firstab");
  finish();
  EXPECT_EQ(keys(4), "e0 ");
  EXPECT_EQ(happened_, "firstabcd");
  finish();
  EXPECT_EQ(happened_, "firstabcde!");
  EXPECT_EQ(batches_.size(), 5u);
}

TEST_F(Journal, WhatIsDecidedAtOnceIsNeverParted) {
  journal_.join({{"first", "v"}}, [] {});
  journal_.join(records("a"), [] {});
  journal_.join(records("b", 2), [] {});
  journal_.join(records("c", 5), [this] { note("c"); });
  journal_.join(records("d"), [] {});
  for (int i = 0; i < 4; ++i) finish();
  EXPECT_EQ(keys(1), "a0 ");
  EXPECT_EQ(keys(2), "b0 b1 ");
  EXPECT_EQ(keys(3), "c0 c1 c2 c3 c4 ") << "though it is larger than a batch should be";
  EXPECT_EQ(happened_, "c");
  EXPECT_EQ(keys(4), "d0 ");
}

TEST_F(Journal, NoMoreRequestsAreTakenThanMayWait) {
  EXPECT_TRUE(journal_.takes());
  for (const auto* name : {"a", "b", "c"}) journal_.join({{name, "v"}}, [] {});
  EXPECT_TRUE(journal_.takes());
  journal_.join({}, [] {});
  ASSERT_FALSE(journal_.takes()) << "what reads waits as well, and so does what is in flight";
  EXPECT_EQ(journal_.takes().error().code, errc::limited);
  EXPECT_EQ(told_, 4u);
  journal_.join({{"d", "v"}}, [this] { note("d"); });
  finish();
  EXPECT_FALSE(journal_.takes());
  finish();
  EXPECT_TRUE(journal_.takes());
  EXPECT_EQ(happened_, "d") << "what the owner decides by itself joins all the same";
  EXPECT_EQ(told_, 0u);
}

TEST_F(Journal, NoMoreBytesAreTakenThanMayWait) {
  journal_.join(records("a", 14), [] {});
  EXPECT_FALSE(journal_.takes());
  journal_.drop();
  EXPECT_TRUE(journal_.takes());
}

TEST_F(Journal, ADecisionThatNoStoreTakesEndsTheOwner) {
  journal_.join(records("a", 100), [this] { note("a"); });
  finish({errc::too_large, "more than the store takes at once"});
  EXPECT_EQ(failed_, errc::too_large);
  EXPECT_TRUE(waiting_.empty()) << "no further try makes it smaller";
  EXPECT_EQ(happened_, "");
}

TEST_F(Journal, AFailedCommitStopsTheOwnerAndReleasesNothing) {
  journal_.join({{"1", "v"}}, [this] { note("a"); });
  journal_.join({}, [this] { note("b"); });
  finish({errc::io, "disk"});
  EXPECT_EQ(failed_, errc::io);
  EXPECT_EQ(happened_, "");
}

}  // namespace latham
