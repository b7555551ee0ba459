#include "actors/scheduler/scheduler_map.hpp"

#include "tests/support/link.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>

namespace latham {

class SchedulerMap : public ::testing::Test {
protected:
  /// A scheduler comes, or comes back, and says which shards it has.
  void comes(const node_name& name, std::vector<std::uint16_t> shards, bool takes_uploads = true) {
    auto& handle = handles_[name];
    if (!handle) handle = system_.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](caf::unit_t) {}}; });
    all_.on_change({service_scheduler, name, caf::actor_cast<caf::strong_actor_ptr>(handle)});
    ASSERT_TRUE(all_.on_info(name, caf::actor_cast<scheduler_actor>(handle), {std::move(shards), takes_uploads}));
  }
  void TearDown() override {
    all_.clear();
    for (const auto& [name, handle] : handles_) caf::anon_send_exit(handle, caf::exit_reason::kill);
  }
  [[nodiscard]] bool is_at(std::uint16_t shard, const node_name& name) { return all_.of(shard) == caf::actor_cast<scheduler_actor>(handles_.at(name)); }

  caf::actor_system_config config_;
  caf::actor_system system_{config_};
  std::map<node_name, caf::actor> handles_;
  scheduler_map all_;
};

TEST_F(SchedulerMap, FollowsAShardThatChangesHands) {
  comes("scheduler-0", {0});
  comes("scheduler-1", {1});
  EXPECT_TRUE(is_at(1, "scheduler-1"));
  comes("scheduler-1", {});
  EXPECT_FALSE(all_.of(1));
  comes("scheduler-0", {0, 1});
  EXPECT_TRUE(is_at(1, "scheduler-0"));
  EXPECT_TRUE(all_.all().at("scheduler-1").told) << "that it has none is an answer";
}

TEST_F(SchedulerMap, CallsAShardForeignOnlyWhileEverybodyHasOne) {
  comes("scheduler-0", {0});
  EXPECT_FALSE(all_.is_foreign(7, 2));
  comes("scheduler-1", {1});
  EXPECT_TRUE(all_.is_foreign(7, 2));
  EXPECT_FALSE(all_.is_foreign(1, 2));
  comes("scheduler-1", {});
  EXPECT_FALSE(all_.is_foreign(7, 2)) << "who gave one away gave it to somebody, who may not have said so yet";
}

TEST_F(SchedulerMap, TakesTheHandleOfTheLaterLinkThoughTheyAreEqual) {
  const auto there = system_.spawn([](caf::event_based_actor*) -> caf::behavior { return {[](caf::unit_t) {}}; });
  const auto up = std::make_shared<bool>(true);
  const auto earlier = testing::make_link(system_, there, up), later = testing::make_link(system_, there, up);
  ASSERT_EQ(caf::actor_cast<scheduler_actor>(earlier), caf::actor_cast<scheduler_actor>(later));
  for (const auto& handle : {earlier, later}) {
    all_.on_change({service_scheduler, "scheduler-0", handle});
    ASSERT_TRUE(all_.on_info("scheduler-0", caf::actor_cast<scheduler_actor>(handle), {{0}, true}));
  }
  EXPECT_EQ(caf::actor_cast<caf::strong_actor_ptr>(all_.of(0)).get(), later.get());
  caf::anon_send_exit(there, caf::exit_reason::kill);
}

TEST_F(SchedulerMap, DrawsNoHomeFromThoseThatTakeNothing) {
  comes("scheduler-0", {0, 1});
  comes("scheduler-1", {});
  comes("scheduler-2", {2}, false);
  for (std::uint64_t random = 0; random < 8; ++random) EXPECT_EQ(all_.pick(random, 9), 0);
}

}  // namespace latham
