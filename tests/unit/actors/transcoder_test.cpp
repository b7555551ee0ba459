// A worker that is drained, against a scheduler and a storage node that the test plays, in virtual time on CAF's own test
// scheduler.
#include "actors/transcoder/transcoder_actor.hpp"

#include "actors/cluster/directory.hpp"
#include "store/memory_blobs.hpp"
#include "tests/support/inline_executor.hpp"
#include "tests/support/link.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <vector>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

/// An engine whose tasks never end by themselves.
class puppet_engine final : public ports::media_engine {
public:
  struct session final : ports::engine_session {
    void supply(std::uint64_t, expected<buffer>) override {}
  };
  [[nodiscard]] engine_id id() const override { return "puppet"; }
  [[nodiscard]] std::unique_ptr<ports::engine_session> start(std::uint32_t, ports::engine_task, std::shared_ptr<ports::engine_listener> l) override {
    listener = std::move(l);
    return std::make_unique<session>();
  }
  std::shared_ptr<ports::engine_listener> listener;
};

class no_blobs final : public ports::blob_transport {
public:
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name& node) override {
    asked.push_back(node);
    return store_;
  }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name&) override { return store_; }
  std::vector<node_name> asked;  // for, in order

private:
  std::shared_ptr<store::memory_blobs> store_ = std::make_shared<store::memory_blobs>([](const std::function<void()>&) {});
};

class counting_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return ++count_; }

private:
  std::uint64_t count_ = 0;
};

class Transcoder : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "worker-0";
    env_.config.slots = 2;
    env_.engine = &engine_;
    env_.transport = &transport_;
    env_.random = &random_;
    env_.executor = &executor_;
    directory_ = spawn_directory(system_, env_);
    system_.spawn([this](caf::event_based_actor* parent) { worker_ = spawn_transcoder(parent, env_, directory_); });
    scheduler_ = system_.spawn([this](caf::event_based_actor* self) -> caf::behavior {
      return {[this, self](shards_atom) -> caf::result<shard_info> {
                if (!tells_shards_) return self->make_response_promise<shard_info>();
                return shard_info{shards_, true};
              },
              [this, self](const work_request& what, const caf::strong_actor_ptr&) -> caf::result<work_answer> {
                offered_ = what.slots;
                log_.push_back("offer");
                if (holds_answers_) {
                  held_.push_back(self->make_response_promise<work_answer>());
                  return held_.back();
                }
                if (!answers_) return caf::sec::runtime_error;
                return work_answer{};
              },
              [this](std::uint64_t which, std::uint32_t granted) { held_[which].deliver(work_answer{granted, 0}); },
              [](const renewal_list& all) { return errc_list(all.size(), errc::none); },
              [this](const task_failure& failure) {
                log_.push_back("back");
                given_back_.push_back(failure);
                return errc::none;
              }};
    });
    storage_ = spawn_storage("storage-0");
    waiting_ = system_.spawn([this]() -> caf::behavior { return {[this](caf::unit_t) { ++told_; }}; });
    announce(service_storage, "storage-0", storage_);
    announce(service_scheduler, "scheduler-0", scheduler_);
  }
  void TearDown() override {
    for (const auto& one : {worker_, scheduler_, storage_, waiting_, caf::actor_cast<caf::actor>(directory_)}) caf::anon_send_exit(one, caf::exit_reason::kill);
    actors().run();
    actors().clock().advance_time(std::chrono::hours{100});
    actors().run();
  }
  /// It never answers: what is asked of it waits until its deadline.
  caf::actor spawn_storage(const node_name& name) {
    return system_.spawn([this, name](caf::event_based_actor* self) -> caf::behavior {
      return {[this, name, self](output_atom, video_id, std::uint64_t) {
        asked_for_tickets_.push_back(name);
        return self->make_response_promise<output_ticket>();
      }};
    });
  }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void announce(const char* service, const node_name& node, const caf::actor& who) {
    caf::anon_send(directory_, service_change{service, node, caf::actor_cast<caf::strong_actor_ptr>(who)});
    actors().run();
  }
  void answer_held(std::uint64_t which, std::uint32_t granted) {
    caf::anon_send(scheduler_, which, granted);
    actors().run();
  }
  void grant(std::uint32_t counter, std::uint32_t chunks = 0) {
    work_grant g;
    if (chunks > 0) g.kind = task_kind::video;
    for (std::uint32_t i = 0; i < chunks; ++i) g.chunks.push_back({i, i * 50, 50, static_cast<std::int64_t>(i) * 50, 0});
    g.plan.fps = {25, 1};
    g.plan.frames = 50 * chunks;
    g.plan.segment_frames = 50;
    g.plan.width = 640;
    g.plan.height = 360;
    g.plan.rungs = {{640, 360, 800}};
    g.held = {1, counter};
    g.video = {1 << 16, counter};
    g.ttl_ms = 10'000;
    g.source = {{9, 9}, "storage-0", 1'000'000, {}};
    caf::anon_send(worker_, grant_list{g});
    actors().run();
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  puppet_engine engine_;
  no_blobs transport_;
  counting_random random_;
  testing::inline_executor executor_;
  env env_;
  directory_actor directory_;
  caf::actor worker_, scheduler_, storage_, waiting_;
  std::optional<std::uint32_t> offered_;
  bool answers_ = true;
  bool tells_shards_ = true;
  std::vector<std::uint16_t> shards_{0};
  bool holds_answers_ = false;
  std::vector<caf::typed_response_promise<work_answer>> held_;
  std::vector<std::string> log_;  // what the scheduler heard, in order
  std::vector<task_failure> given_back_;
  int told_ = 0;
  std::vector<node_name> asked_for_tickets_;
};

}  // namespace

TEST_F(Transcoder, AnIdleWorkerIsDrainedAtOnceAndOffersNothingAnyMore) {
  ASSERT_EQ(offered_, 2u);
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(offered_, 0u);
}

/// The next chunk must not wait for the deadline of a node that is known to be away, nor by a handle of a link that was cut.
TEST_F(Transcoder, TellsWhatRunsWhichStorageNodesAreAwayOrHere) {
  const auto chunk_done = [&](std::uint32_t chunk) {
    engine_.listener->on_piece(chunk, {track_kind::video, 0, output_entry::init_segment, 0, buffer{std::string{"avcC\1\x64\0\x1f", 8}}});
    engine_.listener->on_piece(chunk, {track_kind::video, 0, chunk, 50, buffer{std::string{"segment"}}});
    engine_.listener->on_chunk_done(chunk, {});
    actors().run();
  };
  const auto other = spawn_storage("storage-1");
  const auto comes = [&](const std::shared_ptr<bool>& up) {
    caf::anon_send(directory_, service_change{service_storage, "storage-1", testing::make_link(system_, other, up)});
    actors().run();
  };
  const auto earlier = std::make_shared<bool>(true);
  comes(earlier);
  grant(1, 3);
  ASSERT_TRUE(engine_.listener);
  chunk_done(0);
  ASSERT_EQ(asked_for_tickets_, (std::vector<node_name>{"storage-0"})) << "its source is there";
  announce(service_storage, "storage-0", {});
  chunk_done(1);
  EXPECT_EQ(asked_for_tickets_, (std::vector<node_name>{"storage-0", "storage-1"}));

  *earlier = false;
  comes(std::make_shared<bool>(true));
  chunk_done(2);
  EXPECT_EQ(asked_for_tickets_.size(), 3u);
  caf::anon_send_exit(other, caf::exit_reason::kill);
}

TEST_F(Transcoder, DrainingWaitsForWhatRunsAndGivesBackWhatComes) {
  grant(1);
  ASSERT_TRUE(engine_.listener);
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(told_, 0);
  EXPECT_EQ(offered_, 0u);
  grant(2);
  ASSERT_EQ(given_back_.size(), 1u);
  EXPECT_EQ(given_back_[0].held, (epoch{1, 2}));
  EXPECT_EQ(given_back_[0].code, errc::cancelled) << "no attempt of the task's";
  engine_.listener->on_end({errc::unprocessable, "no film"});
  actors().run();
  EXPECT_EQ(given_back_.size(), 2u);
  EXPECT_EQ(told_, 1);
}

TEST_F(Transcoder, IsNotDrainedBeforeItsSchedulerKnows) {
  answers_ = false;
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(offered_, 0u);
  EXPECT_EQ(told_, 0) << "what was granted before it heard may still be on its way";
  grant(1);
  EXPECT_EQ(given_back_.size(), 1u);
  answers_ = true;
  actors().clock().advance_time(seconds{10});
  actors().run();
  EXPECT_EQ(told_, 1);
}

/// What it had granted before it heard of the drain comes behind that answer.
TEST_F(Transcoder, IsNotDrainedByTheAnswerToAnEarlierQuestion) {
  holds_answers_ = true;
  announce(service_storage, "storage-0", storage_);
  ASSERT_EQ(held_.size(), 1u) << "it asks, and is not answered yet";
  announce(service_drain, "worker-0", waiting_);
  ASSERT_EQ(held_.size(), 2u);
  answer_held(0, 1);
  EXPECT_EQ(told_, 0);
  answer_held(1, 0);
  EXPECT_EQ(told_, 1);
}

/// Behind a slow disk answers take longer than it takes to ask again.
TEST_F(Transcoder, IsDrainedByAnAnswerThatComesAfterItHasAskedAgain) {
  holds_answers_ = true;
  announce(service_drain, "worker-0", waiting_);
  ASSERT_EQ(held_.size(), 1u);
  actors().clock().advance_time(seconds{2});
  actors().run();
  ASSERT_GT(held_.size(), 1u);
  answer_held(0, 0);
  EXPECT_EQ(told_, 1);
}

TEST_F(Transcoder, WaitsOnlyForSchedulersThatHaveAShard) {
  tells_shards_ = false;
  shards_ = {};
  announce(service_scheduler, "scheduler-0", scheduler_);
  answers_ = false;
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(told_, 0) << "it has not said that it has none";
  tells_shards_ = true;
  announce(service_scheduler, "scheduler-0", scheduler_);
  EXPECT_EQ(told_, 1);
}

TEST_F(Transcoder, WaitsForASchedulerThatHasNotSaidWhatItHas) {
  tells_shards_ = false;
  announce(service_scheduler, "scheduler-1", scheduler_);
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(told_, 0) << "it may grant what it was offered";
  tells_shards_ = true;
  shards_ = {};
  announce(service_scheduler, "scheduler-1", scheduler_);
  EXPECT_EQ(told_, 1);
}

TEST_F(Transcoder, ThatStartsDuringADrainOffersNothing) {
  announce(service_drain, "worker-0", waiting_);
  caf::anon_send_exit(worker_, caf::exit_reason::kill);
  announce(service_drain, "worker-0", waiting_);  // at the deadline
  offered_.reset();
  system_.spawn([this](caf::event_based_actor* parent) { worker_ = spawn_transcoder(parent, env_, directory_); });
  actors().run();
  EXPECT_EQ(offered_, 0u);
}

/// Its node has another service now, so all are named again.
TEST_F(Transcoder, GivesBackWhileItsSchedulerIsAskedForItsShardsAgain) {
  grant(1);
  ASSERT_TRUE(engine_.listener);
  tells_shards_ = false;
  announce(service_scheduler, "scheduler-0", scheduler_);
  engine_.listener->on_end({errc::unprocessable, "no film"});
  actors().run();
  EXPECT_EQ(given_back_.size(), 1u);
}

TEST_F(Transcoder, HandsBackWhatRunsWhenNobodyWaitsAnyLonger) {
  grant(1);
  ASSERT_TRUE(engine_.listener);
  announce(service_drain, "worker-0", waiting_);
  EXPECT_EQ(told_, 0);
  announce(service_drain, "worker-0", waiting_);
  ASSERT_EQ(given_back_.size(), 1u);
  EXPECT_EQ(given_back_[0].code, errc::cancelled);
  EXPECT_EQ(told_, 1);
}

TEST_F(Transcoder, GivesBackWhatItHasNoRoomFor) {
  for (std::uint32_t i = 1; i <= 2 * env_.config.slots; ++i) grant(i);
  EXPECT_TRUE(given_back_.empty()) << "a slot may be free in a moment";
  log_.clear();
  grant(9);
  EXPECT_EQ(log_, (std::vector<std::string>{"offer", "back"})) << "else the slot that this frees is granted again at once";
  ASSERT_EQ(given_back_.size(), 1u);
  EXPECT_EQ(given_back_[0].held, (epoch{1, 9}));
  EXPECT_EQ(given_back_[0].code, errc::cancelled);
}

TEST_F(Transcoder, IsNotDrainedForAnotherNode) {
  announce(service_drain, "worker-1", waiting_);
  EXPECT_EQ(offered_, 2u);
  EXPECT_EQ(told_, 0);
}

}  // namespace latham
