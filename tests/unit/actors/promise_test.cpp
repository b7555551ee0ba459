// Answers that an actor owes: each once, and all of them when it ends.
#include "actors/promise.hpp"

#include "actors/protocol.hpp"

#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class Promise : public ::testing::Test {
protected:
  void SetUp() override {
    actor_ = system_.spawn([this](caf::event_based_actor* self) -> caf::behavior {
      return {[this, self](int) -> caf::result<int> {
        promises_.push_back(owed_.add(promise<int>{self->make_response_promise<caf::typed_response_promise<int>>()}));
        return promises_.back();
      },
      [](local_call& call) { call.run(); }};
    });
    actors().run();
  }
  void TearDown() override {
    promises_.clear();
    caf::anon_send_exit(actor_, caf::exit_reason::kill);
    actors().run();
  }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void ask() {
    system_.spawn([this](caf::event_based_actor* self) {
      self->request(actor_, caf::infinite, 1).then([this](int value) { heard_.push_back(value); }, [this](const caf::error&) { heard_.push_back(-1); });
    });
    actors().run();
  }

  /// In a turn of the actor. True: something left.
  bool in_turn(std::function<void()> f) {
    caf::anon_send(actor_, local_call{std::move(f)});
    actors().run_once();
    const bool left = actors().has_job();
    actors().run();
    return left;
  }
  void end() {
    in_turn([this] { owed_.answer_all(caf::make_error(caf::sec::runtime_error)); });
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  caf::actor actor_;
  owed_answers owed_;
  std::vector<promise<int>> promises_;
  std::vector<int> heard_;
};

}  // namespace

TEST_F(Promise, OfItsCopiesTheFirstThatAnswersCounts) {
  ask();
  const auto copy = promises_[0];
  EXPECT_TRUE(in_turn([&] { copy.deliver(7); }));
  EXPECT_EQ(heard_, (std::vector<int>{7}));
  const auto again = [&] {
    promises_[0].deliver(8);
    promises_[0].deliver(caf::make_error(caf::sec::runtime_error));
    owed_.answer_all(caf::make_error(caf::sec::runtime_error));
  };
  EXPECT_FALSE(in_turn(again)) << "nothing may leave twice";
}

TEST_F(Promise, WhatIsOwedInTheEndIsAnsweredInTheOrderOfTheQuestions) {
  for (int i = 0; i < 3; ++i) ask();
  in_turn([&] { promises_[1].deliver(7); });
  end();
  EXPECT_EQ(heard_, (std::vector<int>{7, -1, -1}));
  EXPECT_FALSE(in_turn([&] { promises_[0].deliver(8); })) << "a late answer is none";
}

TEST_F(Promise, WhatNobodyWaitsForIsNotKept) {
  caf::anon_send(actor_, 1);
  actors().run();
  ASSERT_EQ(promises_.size(), 1u);
  EXPECT_FALSE(in_turn([&] { promises_[0].deliver(7); }));
  EXPECT_EQ(owed_.kept(), 0u);
}

TEST_F(Promise, WhatIsAnsweredIsForgottenInTime) {
  for (int i = 0; i < 2'000; ++i) {
    ask();
    in_turn([&] { promises_.back().deliver(i); });
    if (i % 2 == 0) promises_.clear();
    EXPECT_LE(owed_.kept(), 64u);
  }
  EXPECT_EQ(heard_.size(), 2'000u);
}

}  // namespace latham
