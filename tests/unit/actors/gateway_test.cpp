// The gateway's answers while a part of the cluster is away, in virtual time, on CAF's own test scheduler.
#include "actors/gateway/gateway.hpp"

#include "actors/cluster/directory.hpp"
#include "actors/protocol.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <optional>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class Gateway : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "gateway-0";
    directory_ = spawn_directory(system_, env_);
    system_.spawn([this](caf::event_based_actor* parent) { gateway_ = spawn_gateway(parent, env_, directory_, door_); });
    service_ = make_service(env_, door_);
    // A scheduler that knows no video.
    scheduler_ = system_.spawn([](caf::event_based_actor*) -> caf::behavior {
      return {[](shards_atom) { return shard_info{{1}, true}; },
              [](find_atom, video_id) -> caf::result<video_view> { return to_caf({errc::not_found, "there is no such video"}); },
              [](remove_atom, video_id) -> caf::result<bool> { return to_caf({errc::not_found, "there is no such video"}); },
              [](listen_atom, const caf::strong_actor_ptr&) {}};
    });
    caf::anon_send(directory_, service_change{service_scheduler, "scheduler-0", caf::actor_cast<caf::strong_actor_ptr>(scheduler_)});
    actors().run();
  }
  void TearDown() override {
    service_.reset();
    for (const auto& one : {gateway_, scheduler_, caf::actor_cast<caf::actor>(directory_)}) caf::anon_send_exit(one, caf::exit_reason::kill);
    actors().run();
    actors().clock().advance_time(std::chrono::hours{100});
    actors().run();
  }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }

  virtual_time config_;
  caf::actor_system system_{config_};
  env env_;
  directory_actor directory_;
  std::shared_ptr<gateway_door> door_ = std::make_shared<gateway_door>();
  caf::actor gateway_;
  caf::actor scheduler_;
  std::unique_ptr<ports::service> service_;
};

/// Blobs are beside the point here.
class no_blobs final : public ports::blob_transport {
public:
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name&) override { return nullptr; }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name&) override { return nullptr; }
};

class zero_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return 0; }
};

}  // namespace

TEST_F(Gateway, AnUploadWhoseFinishWasNotAnsweredIsWhatStorageSays) {
  no_blobs transport;
  zero_random random;
  env_.transport = &transport;
  env_.random = &random;
  const video_id id{1, 2};
  // Storage accepts it, but its answers to `finish` are lost.
  auto storage = system_.spawn([id](caf::event_based_actor*) -> caf::behavior {
    video_view accepted;
    accepted.id = id;
    accepted.state = video_state::queued;
    upload_ticket ticket;
    ticket.view.id = id;
    ticket.store = "storage-0";
    return {[ticket](begin_atom, const upload_request&) { return ticket; },
            [](finish_atom, video_id, std::uint64_t) -> caf::result<video_view> { return to_caf({errc::unavailable, "the link ended"}); },
            [accepted](find_atom, video_id) { return accepted; }};
  });
  caf::anon_send(directory_, service_change{service_storage, "storage-0", caf::actor_cast<caf::strong_actor_ptr>(storage)});
  actors().run();
  bool created = false;
  service_->create({}, [&](const expected<video_view>& v) { created = v.has_value(); });
  actors().run();
  ASSERT_TRUE(created);
  auto code = errc::none;
  service_->finish(id, 1, [&](const expected<video_view>& v) { code = v ? errc::none : v.error().code; });
  for (int i = 0; i < 20; ++i) {
    actors().run();
    actors().clock().advance_time(seconds{1});
  }
  actors().run();
  ASSERT_EQ(code, errc::unavailable);
  auto state = video_state::receiving;
  service_->get(id, [&](const expected<video_view>& v) { state = v ? v->state : video_state::receiving; });
  actors().run();
  EXPECT_EQ(state, video_state::queued);
  caf::anon_send_exit(storage, caf::exit_reason::kill);
}

TEST_F(Gateway, VideoThatStorageMayHaveIsNotCalledUnknownWhileStorageIsAway) {
  auto code = errc::none;
  service_->get({1, 2}, [&](const expected<video_view>& found) { code = found ? errc::none : found.error().code; });
  actors().run();
  EXPECT_EQ(code, errc::unavailable);
}

TEST_F(Gateway, VideoThatStorageMayHaveIsNotCalledDeletedWhileStorageIsAway) {
  auto code = errc::none;
  service_->remove({1, 2}, [&](const expected<void>& gone) { code = gone ? errc::none : gone.error().code; });
  actors().run();
  EXPECT_EQ(code, errc::unavailable);
}

TEST_F(Gateway, WhatNobodyKnowsIsUnknownOnlyWhenTooFewAreAwayToHideIt) {
  zero_random random;
  env_.random = &random;
  env_.config.storages = {"storage-0", "storage-1", "storage-2"};
  std::vector<caf::actor> storages;
  const auto join = [&](const node_name& name) {
    storages.push_back(system_.spawn([](caf::event_based_actor*) -> caf::behavior {
      return {[](find_atom, video_id) -> caf::result<video_view> { return to_caf({errc::not_found, "there is no such video"}); },
              [](resume_atom, video_id) -> caf::result<upload_ticket> { return to_caf({errc::not_found, "there is no such upload"}); },
              [](abort_atom, video_id) -> caf::result<bool> { return to_caf({errc::not_found, "there is no such upload"}); }};
    }));
    caf::anon_send(directory_, service_change{service_storage, name, caf::actor_cast<caf::strong_actor_ptr>(storages.back())});
    actors().run();
  };
  struct codes {
    errc get = errc::none, offset = errc::none, remove = errc::none;
    bool operator==(const codes&) const = default;
  };
  const auto ask = [&] {
    codes out;
    service_->get({1, 2}, [&](const expected<video_view>& found) { out.get = found ? errc::none : found.error().code; });
    service_->offset({1, 2}, [&](const expected<std::uint64_t>& bytes) { out.offset = bytes ? errc::none : bytes.error().code; });
    service_->remove({1, 2}, [&](const expected<void>& gone) { out.remove = gone ? errc::none : gone.error().code; });
    actors().run();
    return out;
  };
  join("storage-0");
  EXPECT_EQ(ask(), (codes{errc::unavailable, errc::unavailable, errc::unavailable}));
  // Complete uploads are at two of the three; one that is not complete may be at the third alone.
  join("storage-1");
  EXPECT_EQ(ask(), (codes{errc::not_found, errc::unavailable, errc::unavailable}));
  join("storage-2");
  EXPECT_EQ(ask(), (codes{errc::not_found, errc::not_found, errc::not_found}));
  for (const auto& one : storages) caf::anon_send_exit(one, caf::exit_reason::kill);
}

TEST_F(Gateway, AStorageNodeThatComesWhileTheOthersAreAskedDoesNotCountAsAsked) {
  zero_random random;
  env_.random = &random;
  env_.config.storages = {"storage-0", "storage-1", "storage-2"};
  const auto join = [this](const node_name& name, const caf::actor& who) { caf::anon_send(directory_, service_change{service_storage, name, caf::actor_cast<caf::strong_actor_ptr>(who)}); };
  const auto knows = system_.spawn([]() -> caf::behavior { return {[](abort_atom, video_id) { return true; }}; });
  std::vector<caf::actor> storages{knows};
  for (const auto* name : {"storage-0", "storage-1"}) {
    storages.push_back(system_.spawn([join, knows]() -> caf::behavior {
      return {[join, knows](abort_atom, video_id) -> caf::result<bool> {
        join("storage-2", knows);
        return to_caf({errc::not_found, "there is no such upload"});
      }};
    }));
    join(name, storages.back());
  }
  actors().run();
  const auto remove = [&] {
    auto code = errc::internal;
    service_->remove({1, 2}, [&](const expected<void>& gone) { code = gone ? errc::none : gone.error().code; });
    actors().run();
    return code;
  };
  EXPECT_EQ(remove(), errc::unavailable);
  EXPECT_EQ(remove(), errc::none) << "it is asked, and was the one that knew";
  for (const auto& one : storages) caf::anon_send_exit(one, caf::exit_reason::kill);
}

}  // namespace latham
