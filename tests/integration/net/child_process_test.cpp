#include "net/child_process.hpp"
#include "net/child_setup.hpp"
#include "tests/support/await.hpp"

#include <dirent.h>
#include <gtest/gtest.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <csignal>
#include <fstream>
#include <mutex>

namespace latham::net {
namespace {

using latham::testing::answer_deadline;
using latham::testing::code_of;

/// Collects what a child says and how it ends.
struct witness {
  std::mutex mutex;
  std::condition_variable changed;
  std::string said;
  std::vector<ports::child_exit> exits;

  ports::child_events events() {
    return {[this](buffer bytes) {
              const std::lock_guard guard{mutex};
              EXPECT_TRUE(exits.empty());
              said += bytes.view();
              changed.notify_all();
            },
            [this](ports::child_exit how) {
              const std::lock_guard guard{mutex};
              exits.push_back(how);
              changed.notify_all();
            }};
  }
  template <class Predicate>
  bool wait(Predicate p) {
    std::unique_lock guard{mutex};
    return changed.wait_for(guard, answer_deadline, p);
  }
  bool wait_for_exit() {
    return wait([this] { return !exits.empty(); });
  }
};

std::size_t descriptors_open() {
  std::size_t count = 0;
  DIR* directory = ::opendir("/proc/self/fd");
  while (::readdir(directory) != nullptr) ++count;
  ::closedir(directory);
  return count;
}

class ChildProcess : public ::testing::Test {
protected:
  ChildProcess() { where.start(); }
  expected<std::unique_ptr<ports::child>> spawn(witness& w, const std::string& behaviour, ports::child_limits limits = {}) {
    return spawner.spawn({"test-child", behaviour}, limits, w.events());
  }
  loop where{"test"};
  child_process_spawner spawner{where};
};

TEST_F(ChildProcess, BytesTravelBothWays) {
  witness w;
  auto child = spawn(w, "echo");
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_GT((*child)->pid(), 0);
  std::string sent;
  for (int i = 0; i < 64; ++i) {
    std::string part(50'000, static_cast<char>('a' + i % 26));
    sent += part;
    (*child)->write(buffer{std::move(part)});
  }
  ASSERT_TRUE(w.wait([&] { return w.said.size() == sent.size(); }));
  EXPECT_EQ(w.said, sent);
}

TEST_F(ChildProcess, ItsEndIsReportedOnceAfterItsLastBytes) {
  witness w;
  auto child = spawn(w, "last-words");
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.said.size(), 3'000'000u);
  EXPECT_EQ(w.exits[0].status, 5);
  EXPECT_EQ(w.exits[0].signal, 0);
}

TEST_F(ChildProcess, ExitCodesAndSignalsAreTold) {
  witness code;
  auto first = spawn(code, "exit-7");
  witness crash;
  auto second = spawn(crash, "abort");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(code.wait_for_exit());
  ASSERT_TRUE(crash.wait_for_exit());
  EXPECT_EQ(code.exits[0].status, 7);
  EXPECT_EQ(crash.exits[0].signal, SIGABRT);
}

#ifndef LATHAM_SANITIZED  // there it is ours
TEST_F(ChildProcess, WhatItSaidBeforeItsEndIsToldOnOneLine) {
  witness w;
  auto child = spawn(w, "complain");
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.exits[0].signal, SIGABRT);
  EXPECT_EQ(w.exits[0].last_words, "bug:?[31m x == y does not hold ??");
}

TEST_F(ChildProcess, OneThatNeverStopsTalkingIsNoLongerListenedTo) {
  witness w;
  auto child = spawn(w, "shout");
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.exits[0].status, 4) << "and lives on";
  EXPECT_LT(std::stoul(w.said), 2'000'000u) << "what the kernel holds, and what we read";
  EXPECT_EQ(w.exits[0].last_words, std::string(ports::last_words_bytes_max, 'z'));
}
#endif

TEST_F(ChildProcess, KillEndsIt) {
  witness w;
  auto child = spawn(w, "wait");
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait([&] { return w.said == "ready"; }));
  (*child)->kill();
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.exits[0].signal, SIGKILL);
  (*child)->write(buffer{std::string{"too late"}});
}

TEST_F(ChildProcess, PausedReadingHoldsTheChildBack) {
  witness w;
  auto child = spawn(w, "echo");
  ASSERT_TRUE(child);
  (*child)->pause_reading(true);
  (*child)->write(buffer{std::string(4'000'000, 'x')});
  // The closures of this loop run in order; by then the pause is in force and nothing was delivered.
  std::promise<void> reached;
  where.post([&] { reached.set_value(); });
  reached.get_future().wait();
  {
    const std::lock_guard guard{w.mutex};
    EXPECT_LT(w.said.size(), 4'000'000u);
  }
  (*child)->pause_reading(false);
  ASSERT_TRUE(w.wait([&] { return w.said.size() == 4'000'000; }));
}

TEST_F(ChildProcess, DestroyingItKillsItWithoutACallback) {
  witness w;
  auto child = spawn(w, "wait");
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait([&] { return w.said == "ready"; }));
  const auto pid = (*child)->pid();
  child->reset();
  while (spawner.children() > 0) std::this_thread::yield();
  EXPECT_EQ(::kill(pid, 0), -1);  // not even a zombie
  EXPECT_TRUE(w.exits.empty());
}

TEST_F(ChildProcess, SeesNeitherOurDescriptorsNorOurSecrets) {
  ::setenv("LATHAM_TEST_SECRET", "token", 1);
  const int leaky = ::dup(2);  // not closed on exec
  witness descriptors;
  auto first = spawn(descriptors, "descriptors");
  witness environment;
  auto second = spawn(environment, "environment");
  ASSERT_TRUE(first && second);
  ASSERT_TRUE(descriptors.wait_for_exit());
  ASSERT_TRUE(environment.wait_for_exit());
  ::close(leaky);
  ::unsetenv("LATHAM_TEST_SECRET");
  EXPECT_EQ(descriptors.said, "0 1 2 3 ");
  EXPECT_EQ(environment.said, "clean");
}

TEST_F(ChildProcess, LimitsHold) {
  witness file;
  auto first = spawn(file, "file");
  ASSERT_TRUE(first);
  ASSERT_TRUE(file.wait_for_exit());
  EXPECT_EQ(file.said, "refused");
#ifndef LATHAM_SANITIZED
  witness memory;
  ports::child_limits small;
  small.address_space_bytes = 1ull << 30;
  auto second = spawn(memory, "memory", small);
  ASSERT_TRUE(second);
  ASSERT_TRUE(memory.wait_for_exit());
  EXPECT_EQ(memory.said, "refused");
#endif
  witness spin;
  ports::child_limits brief;
  brief.cpu_seconds = 1;
  auto third = spawn(spin, "spin", brief);
  ASSERT_TRUE(third);
  ASSERT_TRUE(spin.wait_for_exit());
  EXPECT_EQ(spin.exits[0].signal, SIGKILL);  // soft and hard limit are the same
}

TEST_F(ChildProcess, ProcessorSecondsAreGrantedAnewAndCountedFromThen) {
  witness w;
  ports::child_limits life;
  life.cpu_seconds = 100;
  auto child = spawn(w, "burn", life);
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait([&] { return w.said == "ready"; }));
  w.said.clear();
  // More in all than any one grant.
  for (std::size_t i = 1; i <= 5; ++i) {
    (*child)->allow_cpu_seconds(1);
    (*child)->write(buffer{std::string{"b"}});
    ASSERT_TRUE(w.wait([&] { return w.said.size() == i || !w.exits.empty(); }));
    ASSERT_TRUE(w.exits.empty());
  }
  (*child)->allow_cpu_seconds(1);
  (*child)->write(buffer{std::string(20, 'b')});
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.exits[0].signal, SIGXCPU);
  (*child)->allow_cpu_seconds(1);  // too late, and no harm
}

TEST_F(ChildProcess, NoGrantIsLongerThanTheChildsLife) {
  witness w;
  ports::child_limits life;
  life.cpu_seconds = 1;
  auto child = spawn(w, "burn", life);
  ASSERT_TRUE(child);
  ASSERT_TRUE(w.wait([&] { return w.said == "ready"; }));
  (*child)->allow_cpu_seconds(1000);
  (*child)->write(buffer{std::string(20, 'b')});
  ASSERT_TRUE(w.wait_for_exit());
  EXPECT_EQ(w.exits[0].signal, SIGKILL);
}

TEST_F(ChildProcess, DiesWithItsParent) {
  // A process in between spawns the child, tells us its pid, and is killed.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);  // so that the orphan is ours to wait for
  const auto between = ::fork();
  if (between == 0) {
    loop own{"between"};
    own.start();
    child_process_spawner inner{own};
    witness w;
    auto child = inner.spawn({"test-child", "wait"}, {}, w.events());
    if (!child || !w.wait([&] { return w.said == "ready"; })) ::_exit(1);
    const int pid = (*child)->pid();
    (void)!::write(ends[1], &pid, sizeof pid);
    for (;;) ::pause();
  }
  ::close(ends[1]);  // or the read below would wait for a process in between that has died
  int orphan = 0;
  ASSERT_EQ(::read(ends[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  ::kill(between, SIGKILL);
  int status = 0;
  EXPECT_EQ(::waitpid(between, &status, 0), between);
  EXPECT_EQ(::waitpid(orphan, &status, 0), orphan);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  ::close(ends[0]);
}

TEST_F(ChildProcess, ChildrenLeaveNoDescriptorsBehind) {
  {
    witness warm_up;
    auto child = spawn(warm_up, "exit-7");
    ASSERT_TRUE(child);
    ASSERT_TRUE(warm_up.wait_for_exit());
  }
  const auto settle = [&] {
    std::promise<void> reached;
    where.post([&] { reached.set_value(); });
    reached.get_future().wait();
  };
  settle();
  settle();
  const auto before = descriptors_open();
  for (int i = 0; i < 40; ++i) {
    witness w;
    auto child = spawn(w, i % 2 == 0 ? "exit-7" : "wait");
    ASSERT_TRUE(child);
    if (i % 2 == 0) {
      ASSERT_TRUE(w.wait_for_exit());
    }
  }
  while (spawner.children() > 0) std::this_thread::yield();
  settle();
  settle();
  EXPECT_EQ(descriptors_open(), before);
}

TEST_F(ChildProcess, AMissingProgramAndTooManyChildrenAreErrors) {
  child_process_options options;
  options.program = "/nowhere/latham";
  child_process_spawner missing{where, options};
  witness w;
  EXPECT_EQ(code_of(missing.spawn({"x"}, {}, w.events())), errc::io);
  EXPECT_EQ(missing.children(), 0u);
  options = {};
  options.children_max = 1;
  child_process_spawner lonely{where, options};
  auto first = lonely.spawn({"test-child", "wait"}, {}, w.events());
  ASSERT_TRUE(first);
  EXPECT_EQ(code_of(lonely.spawn({"test-child", "wait"}, {}, w.events())), errc::limited);
}

TEST(ChildSetup, TheLineOfLimitsRoundTripsAndIsChecked) {
  ports::child_limits limits;
  limits.address_space_bytes = 1ull << 40;
  limits.cpu_seconds = 77;
  limits.file_bytes = 3;
  const auto line = child_limits_line(1234, limits);
  EXPECT_EQ(line, "1 1234 1099511627776 77 3");
  const auto parsed = parse_child_limits(line);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->parent_pid, 1234);
  EXPECT_EQ(parsed->limits.cpu_seconds, 77u);
  for (const char* bad :
       {"", "1", "1 2 3 4", "2 1 0 0 0", "1 0 0 0 0", "1 2 3 4 5 ", "1 2 3 4 5 6", "1 2 x 4 5", "1  2 3 4 5", "1 2 3 99999999999 5"})
    EXPECT_FALSE(parse_child_limits(bad)) << bad;
}

TEST(ChildSetup, RefusesToRunWithoutOrders) {
  EXPECT_EQ(code_of(apply_child_limits()), errc::invalid_argument);
}

}  // namespace
}  // namespace latham::net
