// What the directory tells those who listen.
#include "actors/cluster/directory.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <vector>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class Directory : public ::testing::Test {
protected:
  void SetUp() override {
    directory_ = spawn_directory(system_, env_);
    service_ = system_.spawn([]() -> caf::behavior { return {[](caf::unit_t) {}}; });
    listener_ = system_.spawn([this]() -> caf::behavior { return {[this](const service_change& change) { heard_.push_back(change); }}; });
    caf::anon_send(directory_, listen_atom::value, std::string{service_scheduler}, listener_);
    run();
  }
  void TearDown() override {
    for (const auto& one : {service_, listener_, caf::actor_cast<caf::actor>(directory_)}) caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
  }
  void run() { dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()).run(); }
  void say(const node_name& node, const caf::strong_actor_ptr& handle) {
    caf::anon_send(directory_, service_change{service_scheduler, node, handle});
    run();
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  env env_;
  directory_actor directory_;
  caf::actor service_, listener_;
  std::vector<service_change> heard_;
};

}  // namespace

/// A link that ends withdraws every service, also those that its peer does not run.
TEST_F(Directory, APeerThatDoesNotRunAServiceWithdrawsNobodys) {
  say("scheduler-0", caf::actor_cast<caf::strong_actor_ptr>(service_));
  say("storage-0", nullptr);
  ASSERT_EQ(heard_.size(), 1u);
  EXPECT_EQ(heard_[0].node, "scheduler-0");
  say("scheduler-0", nullptr);
  ASSERT_EQ(heard_.size(), 2u);
  EXPECT_FALSE(heard_[1].handle);
}

}  // namespace latham
