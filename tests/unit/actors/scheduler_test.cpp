// The scheduler actor while storage does not answer, in virtual time, on CAF's own test scheduler.
#include "actors/scheduler/scheduler_actor.hpp"

#include "actors/cluster/directory.hpp"
#include "store/memory_kv.hpp"
#include "tests/support/link.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace latham {

namespace {

struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

class fixed_clock final : public ports::clock {
public:
  [[nodiscard]] instant now() const noexcept override { return at; }
  instant at{1};
  [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000}; }
};

class zero_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return 0; }
};

class Scheduler : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "scheduler-0";
    env_.config.storages = names();
    env_.config.incarnation = 7;
    env_.records = &records_;
    env_.clock = &clock_;
    env_.random = &random_;
    directory_ = spawn_directory(system_, env_);
    system_.spawn([this](caf::event_based_actor* parent) { actor_ = spawn_scheduler(parent, env_, directory_); });
    run();
    for (const auto& name : names()) {
      storages_.push_back(system_.spawn([this, name](caf::event_based_actor* self) -> caf::behavior {
        return {[this, self](const claim_request& asked) -> caf::result<claim_answer> {
                  if (!grants_) return self->make_response_promise<claim_answer>();  // says nothing
                  return claim_answer{true, asked.wanted, 0};
                },
                [this](recall_atom, std::uint16_t) { return kept_claims{false, true, claims_}; },
                [this, name](again_atom, std::uint16_t) -> caf::result<bool> {
                  if (silent_.contains(name)) return to_caf({errc::unavailable, "it is asking the others what it has lost"});
                  return true;
                },
                [this, name](remove_atom, const blob_list&) -> caf::result<bool> {
                  removed_at_.push_back(name);
                  if (gone_.contains(name)) return to_caf({errc::unavailable, "the node is away"});
                  return true;
                },
                [this, name](forget_atom, video_id) -> caf::result<bool> {
                  if (!forget_.contains(name)) return to_caf({errc::io, "the disk failed"});
                  return true;
                }};
      }));
      caf::anon_send(caf::actor_cast<scheduler_actor>(actor_), storage_up_atom::value, name, caf::actor_cast<caf::strong_actor_ptr>(storages_.back()));
    }
    run();
  }
  void TearDown() override {
    for (const auto& one : {actor_, caf::actor_cast<caf::actor>(directory_)}) caf::anon_send_exit(one, caf::exit_reason::kill);
    for (const auto& one : storages_) caf::anon_send_exit(one, caf::exit_reason::kill);
    run();
    actors().clock().advance_time(std::chrono::hours{1});
    run();
  }
  [[nodiscard]] virtual std::vector<node_name> names() const { return {"storage-0"}; }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  void run() {
    do {
      actors().run();
      disk_.run_all();
    } while (actors().has_job());
  }
  void pass(seconds time) {
    for (auto left = time; left > seconds{0}; left -= seconds{1}) {
      actors().clock().advance_time(seconds{1});
      run();
    }
  }
  template <class T, class... Args>
  errc ask(const Args&... args) {
    auto code = std::make_shared<errc>(errc::internal);  // the answer may come when nobody waits any more
    system_.spawn([&](caf::event_based_actor* self) {
      self->request(actor_, seconds{5}, args...).then([code](const T&) { *code = errc::none; }, [code](const caf::error& e) { *code = from_caf(e).code; });
    });
    run();
    return *code;
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  store::closure_queue disk_;
  store::memory_kv records_{disk_.adder()};
  fixed_clock clock_;
  zero_random random_;
  env env_;
  directory_actor directory_;
  caf::actor actor_;
  std::vector<caf::actor> storages_;
  bool grants_ = true;
  std::vector<shard_claim> claims_;    // that the storage nodes keep when they are asked
  std::vector<node_name> removed_at_;  // who was asked to remove blobs, in order
  std::set<node_name> gone_;           // who cannot
  std::set<node_name> silent_;         // who do not tell of their uploads
  std::set<node_name> forget_;  // who have a tombstone when they are asked for one; the others' disks fail
};

class SchedulerOfThreeStorages : public Scheduler {
protected:
  [[nodiscard]] std::vector<node_name> names() const override { return {"storage-0", "storage-1", "storage-2"}; }
};

/// It has lost its disk, and one storage node does not tell it yet what it had.
class SchedulerOfANewDisk : public SchedulerOfThreeStorages {
protected:
  void SetUp() override {
    silent_ = {"storage-2"};
    SchedulerOfThreeStorages::SetUp();
  }
};

media_ready upload() {
  media_ready event;
  event.video = make_id<video_id>({1}, 0, 1);
  event.tenant = "default";
  event.source.bytes = 10;
  return event;
}

}  // namespace

TEST_F(Scheduler, ThatDoesNotOwnItsShardDecidesNothingButAnswersWhoLooks) {
  const auto list = [this] { return ask<view_list>(list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10}); };
  ASSERT_EQ(list(), errc::none);
  grants_ = false;
  pass(seconds{10});
  EXPECT_EQ(ask<errc>(upload()), errc::unavailable);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ((ask<video_view>(find_atom::value, make_id<video_id>({1}, 0, 2))), errc::not_found) << "a look must not end it";
    EXPECT_EQ(list(), errc::unavailable) << "another may have been told of more";
  }
  grants_ = true;
  pass(seconds{10});
  EXPECT_EQ(list(), errc::none);
  EXPECT_EQ(ask<errc>(upload()), errc::none) << "its shard is its own again, without a restart";
}

namespace {

struct last_gauges final : ports::metrics {
  std::map<std::string, double, std::less<>> values;
  void add(std::string_view, double, const ports::labels&) override {}
  void set(std::string_view gauge, double value, const ports::labels&) override { values[std::string{gauge}] = value; }
  void observe(std::string_view, double, const ports::labels&) override {}
};

class SchedulerWithAFullDisk : public Scheduler {
protected:
  void SetUp() override {
    env_.config.records.waiting_max = 4;
    env_.metrics = &metrics_;
    Scheduler::SetUp();
    records_.fail_commits(errc::disk_full);
    ASSERT_EQ(ask<errc>(upload()), errc::internal) << "it waits";
  }
  [[nodiscard]] double waiting() const { return metrics_.values.at("latham_records_waiting"); }
  last_gauges metrics_;
};

}  // namespace

TEST_F(SchedulerWithAFullDisk, DecidesNothingWithEachTickThatWouldWait) {
  pass(seconds{60});
  EXPECT_EQ(waiting(), 1);
}

TEST_F(SchedulerWithAFullDisk, RefusesWhatCouldOnlyWaitAsWell) {
  std::map<errc, int> answers;
  for (int i = 0; i < 10; ++i) ++answers[ask<video_view>(find_atom::value, upload().video)];
  EXPECT_EQ(answers, (std::map<errc, int>{{errc::internal, 3}, {errc::limited, 7}})) << "three wait";
  EXPECT_EQ(ask<errc>(upload()), errc::limited);
  EXPECT_EQ((ask<view_list>(list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10})), errc::limited);
  EXPECT_EQ(waiting(), 4);
  records_.fail_commits(errc::none);
  pass(seconds{2});
  EXPECT_EQ(waiting(), 0);
  EXPECT_EQ(ask<video_view>(find_atom::value, upload().video), errc::none);
}

namespace {

/// One worker of one slot has a lease, and then no record can be written any more, beginning with that of another video.
class SchedulerOfALeaseWithAFullDisk : public Scheduler {
protected:
  void SetUp() override {
    Scheduler::SetUp();
    worker_ = system_.spawn([this]() -> caf::behavior {
      return {[this](const grant_list& all) { granted_.insert(granted_.end(), all.begin(), all.end()); }};
    });
    ASSERT_EQ(ask<work_answer>(work_request{"worker-0", 1, "model", 1}, caf::actor_cast<caf::strong_actor_ptr>(worker_)), errc::none);
    ASSERT_EQ(ask<errc>(upload()), errc::none);
    ASSERT_EQ(granted_.size(), 1u);
    records_.fail_commits(errc::disk_full);
    auto another = upload();
    another.video = make_id<video_id>({1}, 0, 2);
    ASSERT_EQ(ask<errc>(another), errc::internal) << "it waits";
  }
  void TearDown() override {
    caf::anon_send_exit(worker_, caf::exit_reason::kill);
    Scheduler::TearDown();
  }
  void pass(seconds time) {
    for (auto left = time; left > seconds{0}; left -= seconds{1}) {
      clock_.at = clock_.at + seconds{1};
      Scheduler::pass(seconds{1});
    }
  }
  std::vector<work_grant> granted_;
  caf::actor worker_;
};

}  // namespace

TEST_F(SchedulerOfALeaseWithAFullDisk, UsesUpNoAttemptsThatNobodyHearsOf) {
  pass(seconds{120});
  EXPECT_EQ(ask<work_answer>(work_request{"worker-0", 1, "model", 1}, caf::actor_cast<caf::strong_actor_ptr>(worker_)), errc::limited);
  records_.fail_commits(errc::none);
  pass(seconds{3});
  auto state = video_state::failed;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, seconds{5}, find_atom::value, upload().video).then([&](const video_view& view) { state = view.state; }, [](const caf::error&) {});
  });
  run();
  EXPECT_EQ(state, video_state::planning);
  EXPECT_LE(granted_.size(), 2u) << "its lease has run out, once";
}

TEST_F(SchedulerOfALeaseWithAFullDisk, TakesTheEndOfALeaseThatIsNotSaidTwice) {
  pass(seconds{2});
  const auto& lease = granted_.front();
  EXPECT_EQ(ask<errc>(task_failure{{lease.video, lease.kind, lease.first}, lease.held, errc::unavailable, "storage is away"}), errc::internal) << "it waits for the disk";
  records_.fail_commits(errc::none);
  pass(seconds{5});
  EXPECT_EQ(granted_.size(), 2u) << "long before the lease would have run out";
}

/// Its machine lost power: nobody has told the scheduler yet that the earlier process is gone.
TEST_F(Scheduler, GrantsToTheLaterOfTwoProcessesOfAWorker) {
  std::vector<int> granted(2);
  std::vector<caf::actor> processes;
  for (int& count : granted)
    processes.push_back(system_.spawn([&count]() -> caf::behavior {
      return {[&count](const grant_list& all) { count += static_cast<int>(all.size()); }};
    }));
  const auto offers = [&](std::size_t process) {
    return ask<work_answer>(work_request{"worker-0", process + 1, "model", 1}, caf::actor_cast<caf::strong_actor_ptr>(processes[process]));
  };
  ASSERT_EQ(offers(0), errc::none);
  ASSERT_EQ(offers(1), errc::none);
  ASSERT_EQ(ask<errc>(upload()), errc::none);
  EXPECT_EQ(granted, (std::vector<int>{0, 1}));
  for (const auto& one : processes) caf::anon_send_exit(one, caf::exit_reason::kill);
  run();
}

/// It may have given that shard away, with the commit that it is told of once more.
TEST_F(Scheduler, RemovesNothingOfAShardThatItDoesNotHave) {
  task_commit commit;
  commit.task = {make_id<video_id>({1}, 5, 1), task_kind::video, 0};
  commit.held = {1, 1};
  commit.output.store = "storage-0";
  commit.output.blob = {1, 2};
  EXPECT_EQ(ask<errc_list>(commit_list{commit}), errc::unavailable);
  EXPECT_TRUE(removed_at_.empty());
  EXPECT_EQ(ask<errc_list>(renewal_list{{commit.task.video, commit.held, 0, 1}}), errc::unavailable);
  EXPECT_EQ(ask<errc>(task_failure{commit.task, commit.held, errc::cancelled, "x"}), errc::unavailable);
  plan_page page;
  page.video = commit.task.video;
  EXPECT_EQ(ask<errc>(page), errc::unavailable);
}

TEST_F(Scheduler, AnswersAWorkerThatTakesNothingAnyMoreThoughItMayNotDecide) {
  grants_ = false;
  pass(seconds{10});
  const auto worker = caf::actor_cast<caf::strong_actor_ptr>(storages_[0]);
  EXPECT_EQ(ask<work_answer>(work_request{"worker-0", 1, "model", 1}, worker), errc::unavailable);
  EXPECT_EQ(ask<work_answer>(work_request{"worker-0", 1, "model", 0}, worker), errc::none) << "else it waits until it is cut off";
}

TEST_F(Scheduler, ClaimsItsShardByTheLaterOfTwoLinksThoughTheyAreEqual) {
  const auto comes = [&](const std::shared_ptr<bool>& up) {
    caf::anon_send(caf::actor_cast<scheduler_actor>(actor_), storage_up_atom::value, node_name{"storage-0"}, testing::make_link(system_, storages_[0], up));
    pass(seconds{10});
  };
  const auto earlier = std::make_shared<bool>(true);
  comes(earlier);
  ASSERT_EQ(ask<errc>(upload()), errc::none);
  *earlier = false;
  pass(seconds{10});
  ASSERT_EQ(ask<errc>(upload()), errc::unavailable);
  comes(std::make_shared<bool>(true));
  EXPECT_EQ(ask<errc>(upload()), errc::none);
}

TEST_F(SchedulerOfANewDisk, ListsNothingBeforeEveryStorageNodeHasToldOfItsUploads) {
  const auto list = [&] { return ask<view_list>(list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10}); };
  pass(seconds{10});
  ASSERT_EQ(ask<errc>(upload()), errc::none) << "its shard is its own";
  EXPECT_EQ(list(), errc::unavailable);
  silent_ = {};
  pass(seconds{3});
  EXPECT_EQ(list(), errc::none);
}

TEST_F(SchedulerOfThreeStorages, AnswersADeleteWhenAsManyHaveItsTombstoneAsKeepABlob) {
  const auto video = upload().video;
  ASSERT_EQ(ask<errc>(upload()), errc::none);
  forget_ = {"storage-0"};
  auto code = errc::internal;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, seconds{10}, remove_atom::value, video).then([&](bool) { code = errc::none; }, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  pass(seconds{2});
  EXPECT_EQ(code, errc::internal) << "one tombstone is too few";
  forget_.insert("storage-2");
  pass(seconds{2});
  EXPECT_EQ(code, errc::none);
  EXPECT_EQ(ask<bool>(remove_atom::value, video), errc::none) << "again, while the third has not forgotten it yet";
  EXPECT_EQ(ask<video_view>(find_atom::value, video), errc::none);
  forget_.insert("storage-1");
  pass(seconds{2});
  EXPECT_EQ(ask<video_view>(find_atom::value, video), errc::not_found);
}

/// No time passes here: a caller that had to wait for its deadline would not hear anything.
TEST_F(Scheduler, ThatEndsWithItsStoreAnswersWhoeverWaits) {
  ASSERT_EQ(ask<errc>(upload()), errc::none);
  std::vector<errc> answers;
  const auto hear = [&](errc code) { answers.push_back(code); };
  auto other = upload();
  other.video = make_id<video_id>({1}, 0, 2);
  records_.fail_commits(errc::io);
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, seconds{5}, other).then([=](errc) { hear(errc::none); }, [=](const caf::error& e) { hear(from_caf(e).code); });
    // Behind a record that is on its way: what it reads may not be durable yet.
    self->request(actor_, seconds{5}, find_atom::value, other.video).then([=](const video_view&) { hear(errc::none); }, [=](const caf::error& e) { hear(from_caf(e).code); });
    self->request(actor_, seconds{5}, list_atom::value, std::string{"default"}, video_id{}, std::uint32_t{10})
      .then([=](const view_list&) { hear(errc::none); }, [=](const caf::error& e) { hear(from_caf(e).code); });
  });
  run();
  EXPECT_EQ(answers, (std::vector<errc>{errc::unavailable, errc::unavailable, errc::unavailable}));
}

TEST_F(Scheduler, ThatEndsAnswersADeleteThatWaitsForStorage) {
  ASSERT_EQ(ask<errc>(upload()), errc::none);
  auto code = errc::internal;
  system_.spawn([&](caf::event_based_actor* self) {
    self->request(actor_, seconds{5}, remove_atom::value, upload().video).then([&](bool) { code = errc::none; }, [&](const caf::error& e) { code = from_caf(e).code; });
  });
  run();
  EXPECT_EQ(code, errc::internal) << "the storage node's disk fails";
  caf::anon_send_exit(actor_, caf::exit_reason::user_shutdown);
  run();
  EXPECT_EQ(code, errc::unavailable);
}

/// Of a cluster that has shrunk to one node.
TEST_F(Scheduler, AsksTheOnlyStorageNodeForWhatOneThatLeftHadAlsoAfterAnAnswerThatDidNotCome) {
  task_commit commit;
  commit.task = {upload().video, task_kind::video, 0};
  commit.held = {99, 1};
  commit.output.store = "storage-9";
  commit.output.blob = {1, 2};
  gone_ = {"storage-0"};
  ASSERT_EQ(ask<errc_list>(commit_list{commit}), errc::none);
  EXPECT_EQ(removed_at_.size(), 1u);
  gone_ = {};
  ASSERT_EQ(ask<errc_list>(commit_list{commit}), errc::none);
  EXPECT_EQ(removed_at_.size(), 2u);
}

/// A node that does not come back must not be asked for ever: any other answers for what all of them hold.
TEST_F(SchedulerOfThreeStorages, AsksAnotherStorageNodeWhenOneDoesNotAnswer) {
  const auto fenced = [&] {
    task_commit commit;
    commit.task = {upload().video, task_kind::video, 0};
    commit.held = {99, 1};
    commit.output.store = "storage-1";
    commit.output.blob = {1, 2};
    return ask<errc_list>(commit_list{commit});
  };
  gone_ = {"storage-1"};
  ASSERT_EQ(fenced(), errc::none);
  ASSERT_EQ(fenced(), errc::none);
  EXPECT_EQ(removed_at_, (std::vector<node_name>{"storage-1", "storage-0"}));
  gone_ = {};
  caf::anon_send(caf::actor_cast<scheduler_actor>(actor_), storage_up_atom::value, node_name{"storage-1"}, caf::actor_cast<caf::strong_actor_ptr>(storages_[1]));
  run();
  ASSERT_EQ(fenced(), errc::none);
  EXPECT_EQ(removed_at_.back(), "storage-1") << "it is here again";
}

}  // namespace latham
