// A slot against an engine that a file has taken over: however it pretends to be alive, the slot is given back. In virtual
// time, on CAF's own test scheduler.
#include "actors/transcoder/slot_actor.hpp"

#include "core/task_budget.hpp"
#include "store/memory_blobs.hpp"

#include <caf/all.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <utility>

namespace latham {

namespace {

/// Without CAF's network: its broker would use the virtual clock from a thread of its own, or, on the testing backend, never
/// be freed. Nothing here leaves the process.
struct virtual_time : caf::actor_system_config {
  virtual_time() { set("scheduler.policy", caf::atom("testing")); }
};

/// An engine that does nothing by itself; the test speaks for it.
class puppet_engine final : public ports::media_engine {
public:
  struct session final : ports::engine_session {
    explicit session(bool& ended) : gone{ended} {}
    ~session() override { gone = true; }
    void supply(std::uint64_t, expected<buffer>) override {}
    bool& gone;
  };
  [[nodiscard]] engine_id id() const override { return "puppet"; }
  [[nodiscard]] std::unique_ptr<ports::engine_session> start(std::uint32_t, ports::engine_task t, std::shared_ptr<ports::engine_listener> l) override {
    task = std::move(t);
    listener = std::move(l);
    return std::make_unique<session>(cancelled);
  }
  ports::engine_task task;
  std::shared_ptr<ports::engine_listener> listener;
  bool cancelled = false;
};

/// Storage that fails at once with what the test says.
class failing_blobs final : public ports::blob_store {
public:
  explicit failing_blobs(errc code) : why_{code, "storage is in trouble"} {}
  void reserve(ports::write_token, ports::completion<void> done) override { done(why_); }
  void open_write(ports::write_token, ports::completion<std::uint64_t> done) override { done(why_); }
  void append(ports::write_token, std::uint64_t, buffer, std::uint32_t, ports::completion<std::uint64_t> done) override { done(why_); }
  void truncate(ports::write_token, std::uint64_t, ports::completion<void> done) override { done(why_); }
  void seal(ports::write_token, std::uint64_t, ports::completion<ports::blob_stat> done) override { done(why_); }
  void read(blob_id, std::uint64_t, std::uint32_t, ports::completion<buffer> done) override { done(why_); }
  void stat(blob_id, ports::completion<ports::blob_stat> done) override { done(why_); }
  void remove(blob_id, ports::completion<void> done) override { done(why_); }
  void list(blob_id, std::uint32_t, ports::completion<std::vector<ports::blob_stat>> done) override { done(why_); }

private:
  error why_;
};

/// Storage that never answers, or fails.
class no_blobs final : public ports::blob_transport {
public:
  ~no_blobs() override { queue_.run_all(); }  // what waits holds the store
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name&) override { return failing ? failing : store_; }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name&) override { return failing ? failing : store_; }
  std::shared_ptr<ports::blob_store> failing;

private:
  store::closure_queue queue_;
  std::shared_ptr<store::memory_blobs> store_ = std::make_shared<store::memory_blobs>(queue_.adder());
};

class counting_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return ++count_; }

private:
  std::uint64_t count_ = 0;
};

class Slot : public ::testing::Test {
protected:
  void start(task_kind kind) {
    env_.engine = &engine_;
    env_.transport = &transport_;
    env_.random = &random_;
    work_grant grant;
    grant.kind = kind;
    grant.source.bytes = 1'000'000;
    grant.plan.fps = {25, 1};
    grant.plan.frames = 200;
    grant.plan.segment_frames = 50;
    grant.plan.width = 640;
    grant.plan.height = 360;
    grant.plan.rungs = {{640, 360, 800}};
    if (kind == task_kind::video) grant.chunks = {{0, 0, 200, 0, 0}};
    parent_ = system_.spawn([this](slot_parent::pointer) -> slot_parent::behavior_type {
      return {[](const plan_page&) { return errc::none; }, [](const task_commit&) { return errc::none; },
              [this](const task_failure& f) { ended_ = f; }, [](const lease_renewal&) {}};
    });
    slot_ = spawn_slot(self_.ptr(), env_, 0, grant, {}, {}, parent_);
    actors().run();
    ASSERT_TRUE(engine_.listener);
    begin_ = actors().clock().now();
  }
  /// Actors that never ran to their end are never freed, nor what a timer holds.
  void TearDown() override {
    caf::anon_send_exit(parent_, caf::exit_reason::kill);
    caf::anon_send_exit(slot_, caf::exit_reason::kill);
    actors().run();
    actors().clock().advance_time(std::chrono::hours{100});
    actors().run();
  }
  caf::scheduler::test_coordinator& actors() { return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler()); }
  /// Lets `speak` speak every ten seconds until the slot ends, and answers after how long; nothing after two days.
  template <class Speak>
  std::optional<seconds> lives_while(Speak speak) {
    while (!ended_) {
      const auto passed = std::chrono::duration_cast<seconds>(actors().clock().now() - begin_);
      if (passed > std::chrono::hours{48}) return std::nullopt;
      speak(*engine_.listener);
      actors().run();
      actors().clock().advance_time(seconds{10});
      actors().run();
    }
    return std::chrono::duration_cast<seconds>(actors().clock().now() - begin_);
  }

  virtual_time config_;
  caf::actor_system system_{config_};
  caf::scoped_actor self_{system_};
  puppet_engine engine_;
  no_blobs transport_;
  counting_random random_;
  env env_;
  caf::actor slot_;
  slot_parent parent_;
  std::optional<task_failure> ended_;
  caf::actor_clock::time_point begin_;
};

}  // namespace

TEST_F(Slot, SilenceEndsItAfterTheStallTimeout) {
  start(task_kind::video);
  const auto lived = lives_while([](ports::engine_listener&) {});
  ASSERT_TRUE(lived);
  EXPECT_EQ(ended_->code, errc::timeout);
  EXPECT_LE(*lived, env_.config.stall_timeout * 3 / 2);
  EXPECT_TRUE(engine_.cancelled) << "the child is ended with it";
}

TEST_F(Slot, ReadingForEverEndsAtTheTasksLimit) {
  for (const auto kind : {task_kind::plan, task_kind::video, task_kind::audio}) {
    ended_.reset();
    start(kind);
    std::uint64_t read = 0;
    const auto lived = lives_while([&](ports::engine_listener& to) { to.on_read(++read, 0, 1); });
    ASSERT_TRUE(lived) << "a slot is held for ever";
    EXPECT_EQ(ended_->code, errc::timeout);
    const auto limit = budget_of(engine_.task).whole;
    EXPECT_GE(*lived, limit);
    EXPECT_LE(*lived, limit + env_.config.stall_timeout);
    EXPECT_TRUE(engine_.cancelled);
  }
}

TEST_F(Slot, ProgressForEverEndsAtTheTasksLimit) {
  start(task_kind::video);
  std::uint64_t done = 0;
  const auto lived = lives_while([&](ports::engine_listener& to) { to.on_progress(++done); });
  ASSERT_TRUE(lived);
  EXPECT_LE(*lived, budget_of(engine_.task).whole + env_.config.stall_timeout);
}

TEST_F(Slot, ThatCannotReadItsSourceSaysThatStorageIsAway) {
  for (const auto code : {errc::timeout, errc::io, errc::unavailable}) {
    ended_.reset();
    transport_.failing = std::make_shared<failing_blobs>(code);
    start(task_kind::video);
    bool asked = false;
    const auto lived = lives_while([&](ports::engine_listener& to) {
      if (!std::exchange(asked, true)) to.on_read(1, 0, 1'000);
    });
    ASSERT_TRUE(lived);
    EXPECT_EQ(ended_->code, errc::unavailable) << "which costs no attempt: the file is not to blame for " << to_string(code);
    EXPECT_EQ(ended_->message, "the source could not be read: storage is in trouble");
    EXPECT_LT(*lived, env_.config.stall_timeout);
  }
}

TEST_F(Slot, HoldsNoMoreOfAnEngineThanItsTaskCanHave) {
  start(task_kind::video);
  const auto most = budget_of(engine_.task).output_bytes;
  ASSERT_LT(most, 10'000'000u) << "eight seconds at 800 kbit/s";
  const buffer piece{std::string(500'000, 'x')};
  std::uint64_t sent = 0;
  while (!ended_ && sent < 100'000'000) {
    engine_.listener->on_piece(0, {track_kind::video, 0, 0, 50, piece});
    sent += piece.size();
    actors().run();
  }
  ASSERT_TRUE(ended_);
  EXPECT_GT(sent, most);
  EXPECT_LE(sent, most + piece.size());
  EXPECT_TRUE(engine_.cancelled) << "its child is ended";
}

}  // namespace latham
