// A whole node in one process: the production tree on memory twins, driven by one thread that runs their completions. For
// what needs several roles together, and for how the tree ends; the simulation has the same actors under faults.
#include "actors/cluster/attach.hpp"
#include "actors/node.hpp"
#include "core/codec.hpp"
#include "core/upload/output_grant.hpp"
#include "store/memory_blobs.hpp"
#include "store/memory_kv.hpp"
#include "store/schema.hpp"
#include "tests/support/await.hpp"
#include "tests/support/inline_executor.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <set>
#include <thread>

namespace latham {

namespace {

using testing::await;
using testing::code_of;

constexpr seconds patience{30};

/// Runs what the twins put off, in order, on a thread of its own.
class completion_thread {
public:
  ~completion_thread() {
    {
      const std::lock_guard guard{mutex_};
      stopped_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }
  [[nodiscard]] store::run_later adder() {
    return [this](std::function<void()> work) {
      {
        const std::lock_guard guard{mutex_};
        if (stopped_) return;
        queue_.push_back(std::move(work));
      }
      changed_.notify_one();
    };
  }

private:
  void run() {
    std::unique_lock lock{mutex_};
    for (;;) {
      changed_.wait(lock, [this] { return stopped_ || !queue_.empty(); });
      if (stopped_) return;
      auto work = std::move(queue_.front());
      queue_.pop_front();
      lock.unlock();
      work();
      work = nullptr;
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> queue_;
  bool stopped_ = false;
  std::thread thread_{[this] { run(); }};
};

class steady : public ports::clock {
public:
  [[nodiscard]] instant now() const noexcept override { return {std::chrono::steady_clock::now().time_since_epoch().count()}; }
  [[nodiscard]] utc_ms wall() const noexcept override {
    return {std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
  }
};

class counting_random : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override { return 0x9e3779b97f4a7c15ull * ++count_; }

private:
  std::atomic<std::uint64_t> count_{0};
};

class one_store : public ports::blob_transport {
public:
  explicit one_store(std::shared_ptr<ports::blob_store> store) : store_{std::move(store)} {}
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name&) override { return store_; }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name&) override { return store_; }

private:
  std::shared_ptr<ports::blob_store> store_;
};

class restart_counter : public ports::metrics {
public:
  void add(std::string_view counter, double amount, const ports::labels&) override {
    if (counter == "latham_actor_restarts_total") restarts += static_cast<int>(amount);
  }
  void set(std::string_view, double, const ports::labels&) override {}
  void observe(std::string_view, double, const ports::labels&) override {}

  std::atomic<int> restarts{0};
};

/// An engine whose tasks never end by themselves.
class endless_engine final : public ports::media_engine {
public:
  struct session final : ports::engine_session {
    explicit session(endless_engine& e) : of{e} {}
    ~session() override { of.ended.set_value(); }
    void supply(std::uint64_t, expected<buffer>) override {}
    endless_engine& of;
  };
  [[nodiscard]] engine_id id() const override { return "endless"; }
  [[nodiscard]] std::unique_ptr<ports::engine_session> start(std::uint32_t, ports::engine_task, std::shared_ptr<ports::engine_listener>) override {
    begun.set_value();
    return std::make_unique<session>(*this);
  }
  std::promise<void> begun, ended;
};

class Node : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "one";
    env_.config.incarnation = 7;
    env_.config.roles = {node_role::storage, node_role::scheduler, node_role::gateway};
    env_.clock = &clock_;
    env_.random = &random_;
    env_.metrics = &metrics_;
    env_.records = &records_;
    env_.blobs = blobs_.get();
    env_.transport = &transport_;
  }

  void start() {
    ended_ = failure_.get_future();
    node_ = std::make_unique<node>(system_, env_, [this](std::string why) { failure_.set_value(std::move(why)); });
  }

  void start_and_join() {
    start();
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!node_->service().ready() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    ASSERT_TRUE(node_->service().ready());
  }

  void commit(const std::string& key, std::string value) {
    ASSERT_TRUE(await<void>([&](auto done) { records_.commit({{key, std::move(value)}}, done); }));
  }

  /// Uploads a few bytes; the video stays queued, as there is no worker.
  video_id upload(const std::string& title) {
    auto& s = node_->service();
    auto view = await<video_view>([&](auto done) { s.create({"default", title, 5, {}, priority_class::normal}, done); });
    EXPECT_TRUE(view) << view.error().message;
    EXPECT_TRUE(await<std::uint64_t>([&](auto done) { s.append(view->id, 0, buffer{"bytes"}, done); }));
    EXPECT_TRUE(await<video_view>([&](auto done) { s.finish(view->id, 5, done); }));
    return view->id;
  }

  void work() {
    env_.config.roles.insert(node_role::worker);
    env_.config.slots = 1;
    env_.engine = &engine_;
    env_.executor = &executor_;
  }
  /// Whether it was drained in time; nothing when that was not said at all.
  std::optional<bool> drain(milliseconds deadline) {
    auto answer = std::make_shared<std::promise<bool>>();  // shared with who answers, perhaps late
    node_->drain(deadline, [answer](bool in_time) { answer->set_value(in_time); });
    auto said = answer->get_future();
    if (said.wait_for(patience) != std::future_status::ready) return std::nullopt;
    return said.get();
  }

  steady clock_;
  counting_random random_;
  endless_engine engine_;
  testing::inline_executor executor_;
  restart_counter metrics_;
  completion_thread completions_;
  store::memory_kv records_{completions_.adder()};
  std::shared_ptr<store::memory_blobs> blobs_ = std::make_shared<store::memory_blobs>(completions_.adder());
  one_store transport_{blobs_};
  env env_;
  caf_config config_{2};
  caf::actor_system system_{config_};
  std::promise<std::string> failure_;
  std::future<std::string> ended_;
  std::unique_ptr<node> node_;
};

}  // namespace

TEST_F(Node, AListIsAsLongAsAskedThoughAMessageHoldsLess) {
  start_and_join();
  std::set<video_id> sent;
  for (int i = 0; i < 130; ++i) sent.insert(upload("video " + std::to_string(i)));
  ASSERT_EQ(sent.size(), 130u);
  auto& s = node_->service();
  const auto whole = await<ports::video_page>([&](auto done) { s.list("default", "", 200, done); });
  ASSERT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(whole->videos.size(), 130u);
  EXPECT_EQ(whole->next, "");

  // Walking by cursor meets each of them once, newest first.
  std::vector<video_id> walked;
  std::string cursor;
  do {
    const auto page = await<ports::video_page>([&](auto done) { s.list("default", cursor, 60, done); });
    ASSERT_TRUE(page) << page.error().message;
    ASSERT_LE(page->videos.size(), 60u);
    for (const auto& v : page->videos) walked.push_back(v.id);
    cursor = page->next;
  } while (!cursor.empty() && walked.size() < 1000);
  EXPECT_EQ(std::set<video_id>(walked.begin(), walked.end()), sent);
  EXPECT_EQ(walked.size(), sent.size());
  EXPECT_TRUE(std::is_sorted(walked.begin(), walked.end(), std::greater<>{}));
}

constexpr std::chrono::hours for_ever{1};  // longer than any test waits

TEST_F(Node, DrainsAnIdleWorkerAtOnce) {
  work();
  start_and_join();
  EXPECT_EQ(drain(for_ever), true);
}

TEST_F(Node, WithoutAWorkerIsDrained) {
  start_and_join();
  EXPECT_EQ(drain(for_ever), true);
}

TEST_F(Node, HandsBackWhatRunsAtTheDrainDeadline) {
  work();
  start_and_join();
  (void)upload("long");
  ASSERT_EQ(engine_.begun.get_future().wait_for(patience), std::future_status::ready);
  EXPECT_EQ(drain(milliseconds{1}), false);
  EXPECT_EQ(engine_.ended.get_future().wait_for(patience), std::future_status::ready);
}

/// There is no worker any more that could answer.
TEST_F(Node, ThatHasGivenUpIsNotWaitedFor) {
  work();
  start_and_join();
  records_.fail_commits(errc::io);
  (void)await<video_view>([&](auto done) { node_->service().create({"default", "after", 5, {}, priority_class::normal}, done); });
  ASSERT_EQ(ended_.wait_for(patience), std::future_status::ready);
  EXPECT_EQ(drain(for_ever), false);
}

TEST_F(Node, ARecordThatCannotBeReadEndsTheProcessInsteadOfBeingForgotten) {
  commit(store::output_key(make_id<blob_id>({1}, 0, 1)), "not a record");
  start();
  ASSERT_EQ(ended_.wait_for(patience), std::future_status::ready) << "the supervisor never escalated";
  EXPECT_NE(ended_.get().find("storage"), std::string::npos) << "it says which child failed";
  EXPECT_EQ(metrics_.restarts, 5) << "it was tried again, a bounded number of times";
  EXPECT_EQ(code_of(await<video_view>([&](auto done) { node_->service().create({"default", "late", 5, {}, priority_class::normal}, done); })), errc::unavailable);
}

TEST_F(Node, ADiskThatFailsTellsNobodyYesAndEndsTheProcess) {
  start_and_join();
  const auto kept = upload("before");
  const auto before = records_.contents();
  records_.fail_commits(errc::io);
  const auto refused = await<video_view>([&](auto done) { node_->service().create({"default", "after", 5, {}, priority_class::normal}, done); });
  EXPECT_FALSE(refused);
  ASSERT_EQ(ended_.wait_for(patience), std::future_status::ready) << "the supervisor never escalated";
  EXPECT_EQ(metrics_.restarts, 0) << "an actor started on a store of unknown content";
  // What had been acknowledged is as it was; what had not is not there.
  EXPECT_EQ(records_.contents().count(store::upload_key(kept)), 1u);
  for (const auto& [key, value] : records_.contents())
    EXPECT_TRUE(before.contains(key) || !key.starts_with(store::prefix_uploads)) << key;
}

}  // namespace latham
