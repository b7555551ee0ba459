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
      [this](const error& e) { failed_ = e.code; }, [this](std::function<void()> again) { waiting_.push_back(std::move(again)); });
  }
  void note(const std::string& what) { happened_ += what; }
  void finish(expected<void> result = {}) {
    auto done = done_.front();
    done_.erase(done_.begin());
    done(std::move(result));
  }

  journal journal_;
  std::vector<ports::kv_batch> batches_;
  std::vector<std::function<void(expected<void>)>> done_;
  std::vector<std::function<void()>> waiting_;
  std::string happened_;
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

TEST_F(Journal, AFailedCommitStopsTheOwnerAndReleasesNothing) {
  journal_.join({{"1", "v"}}, [this] { note("a"); });
  journal_.join({}, [this] { note("b"); });
  finish({errc::io, "disk"});
  EXPECT_EQ(failed_, errc::io);
  EXPECT_EQ(happened_, "");
}

}  // namespace latham
