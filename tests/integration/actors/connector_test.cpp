// A connector between processes of one name: real CAF systems joined by socketpairs, a resolver that can be told where the
// name points to.
#include "actors/cluster/attach.hpp"
#include "actors/cluster/connector.hpp"
#include "actors/cluster/directory.hpp"
#include "actors/node.hpp"
#include "actors/supervisor.hpp"

#include <caf/all.hpp>
#include <gtest/gtest.h>

#include <atomic>
#include <deque>
#include <mutex>
#include <sys/socket.h>
#include <thread>

namespace latham {

namespace {

constexpr seconds patience{10};

class zero_random final : public ports::random {
public:
  std::uint64_t next() override { return 0; }
};

/// A process that answers under some name.
struct process {
  process(node_name name, std::uint64_t incarnation) {
    e.config.name = std::move(name);
    e.config.incarnation = incarnation;
    directory = spawn_directory(system, e);
    root = spawn_node_root(system, e, directory, [this](const std::string&) { told_to_stop = true; });
  }
  ~process() {
    caf::anon_send_exit(root, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(directory, caf::exit_reason::user_shutdown);
  }

  env e;
  caf_config config{2};
  caf::actor_system system{config};
  std::atomic<bool> told_to_stop{false};
  directory_actor directory;
  node_root_actor root;
};

/// The network: an address is a process.
class switchboard final : public ports::peer_links, public ports::resolver {
public:
  void on_accept(std::function<void(ports::control_stream)>) override {}
  void close(std::uint64_t) override {}
  void resolve(node_name, ports::completion<std::vector<ports::endpoint>> done) override {
    const std::lock_guard guard{mutex_};
    ++looks_;
    done(std::vector{ports::endpoint{points_to_, 8020}});
  }
  /// How often the name was looked up.
  int looks() {
    const std::lock_guard guard{mutex_};
    return looks_;
  }
  void dial(ports::endpoint where, node_name expected, ports::completion<ports::control_stream> done) override {
    const std::lock_guard guard{mutex_};
    const auto at = processes_.find(where.host);
    if (at == processes_.end()) return done(error{errc::unavailable, "refused"});
    int ends[2] = {-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return done(error{errc::io, "socketpair"});
    ++dials_[where.host];
    attach_accepted(at->second->system, {1, "worker-0", ends[0]}, caf::actor_cast<caf::strong_actor_ptr>(at->second->root));
    done(ports::control_stream{++streams_, expected, ends[1]});
  }

  void listens(const std::string& address, process& who) {
    const std::lock_guard guard{mutex_};
    processes_[address] = &who;
  }
  void point(std::string address) {
    const std::lock_guard guard{mutex_};
    points_to_ = std::move(address);
  }
  int dials(const std::string& address) {
    const std::lock_guard guard{mutex_};
    return dials_[address];
  }

private:
  std::mutex mutex_;  // dialed from CAF's threads, told from the test's
  std::map<std::string, process*> processes_;
  int looks_ = 0;
  std::map<std::string, int> dials_;
  std::string points_to_;
  std::uint64_t streams_ = 0;
};

class Connector : public ::testing::Test {
protected:
  void SetUp() override {
    env_.config.name = "worker-0";
    env_.config.incarnation = 5;
    env_.config.ping_period = milliseconds{20};
    env_.config.name_look_period = milliseconds{20};
    env_.random = &random_;
    env_.links = &net_;
    env_.resolver = &net_;
    env_.attach_dialed = attach_dialed;
    directory_ = spawn_directory(system_, env_);
  }

  void TearDown() override {
    caf::anon_send_exit(tree_, caf::exit_reason::user_shutdown);
    caf::anon_send_exit(directory_, caf::exit_reason::user_shutdown);
  }

  void start() {
    tree_ = spawn_supervisor(system_, env_, "node", {}, {{"connector", [this](caf::event_based_actor* s) { return spawn_connector(s, env_, directory_, {"scheduler-0", true}); }, restart_type::permanent}});
  }

  process& listens(const std::string& address, std::uint64_t incarnation) {
    net_.listens(address, processes_.emplace_back("scheduler-0", incarnation));
    return processes_.back();
  }

  template <class Condition>
  static bool comes_true(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!condition() && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return condition();
  }
  bool dialed(const std::string& address) {
    return comes_true([&] { return net_.dials(address) > 0; });
  }

  std::deque<process> processes_;  // outlive whoever dials them
  zero_random random_;
  switchboard net_;
  env env_;
  caf_config config_{2};
  caf::actor_system system_{config_};
  directory_actor directory_;
  caf::actor tree_;
};

}  // namespace

TEST_F(Connector, TellsTheEarlierProcessOfANameThatMoved) {
  auto& earlier = listens("a", 10);
  auto& later = listens("b", 20);
  net_.point("a");
  start();
  ASSERT_TRUE(dialed("a"));
  net_.point("b");
  EXPECT_TRUE(comes_true([&] { return earlier.told_to_stop.load(); }));
  EXPECT_TRUE(comes_true([&] { return net_.dials("b") == 2; })) << "once to look, once to stay";
  EXPECT_FALSE(later.told_to_stop);
}

TEST_F(Connector, TellsTheEarlierProcessWhereANamePoints) {
  auto& earlier = listens("a", 10);
  auto& later = listens("b", 20);
  net_.point("b");
  start();
  ASSERT_TRUE(dialed("b"));
  net_.point("a");
  EXPECT_TRUE(comes_true([&] { return earlier.told_to_stop.load(); }));
  EXPECT_FALSE(later.told_to_stop);
  EXPECT_EQ(net_.dials("b"), 1) << "the link to the later one stands";
}

TEST_F(Connector, KeepsItsLinkToAProcessThatListensAtAnotherAddressToo) {
  auto& only = listens("a", 10);
  net_.listens("b", only);
  net_.point("a");
  start();
  ASSERT_TRUE(dialed("a"));
  net_.point("nowhere");
  net_.point("b");
  ASSERT_TRUE(dialed("b"));
  const auto before = net_.looks();
  ASSERT_TRUE(comes_true([&] { return net_.looks() >= before + 10; }));
  EXPECT_EQ(net_.dials("a"), 1);
  EXPECT_EQ(net_.dials("b"), 1) << "it is known to be the same process";
  EXPECT_FALSE(only.told_to_stop);
}

}  // namespace latham
