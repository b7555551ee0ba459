#include "sim/batch.hpp"

#include "sim/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <map>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace latham::sim {

namespace {

constexpr rlim_t cpu_seconds_max = 120;  // of one run: one that livelocks is a failure, not a wait

struct child {
  pid_t id = -1;
  int from = -1;
  std::string said;
};

child start(const plan& p, const run_options& how) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  std::fflush(nullptr);
  const auto id = ::fork();
  if (id == 0) {
    ::close(ends[0]);
    const rlimit most{cpu_seconds_max, cpu_seconds_max};
    ::setrlimit(RLIMIT_CPU, &most);
    const auto line = to_json(run(p, how), p) + "\n";
    for (std::size_t sent = 0; sent < line.size();) {
      const auto n = ::write(ends[1], line.data() + sent, line.size() - sent);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    ::_exit(0);
  }
  ::close(ends[1]);
  if (id < 0) {
    ::close(ends[0]);
    return {};
  }
  return {id, ends[0], {}};
}

/// False at its end.
bool hear(child& c) {
  char bytes[16384];
  const auto n = ::read(c.from, bytes, sizeof bytes);
  if (n > 0) c.said.append(bytes, static_cast<std::size_t>(n));
  return n > 0;
}

verdict reap(child& c, std::uint64_t seed) {
  int status = 0;
  ::waitpid(c.id, &status, 0);
  ::close(c.from);
  auto v = parse_verdict(c.said);
  v.seed = seed;
  if (WIFSIGNALED(status)) v.what = fmt::format("the simulation's process ended by signal {}{}", WTERMSIG(status), WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL ? ": it takes too long" : "");
  return v;
}

verdict no_process(std::uint64_t seed) {
  verdict v;
  v.seed = seed;
  v.checker = "the_process_lives";
  v.what = "no process could be started for it; see ulimit -u and what memory is left";
  return v;
}

}  // namespace

verdict run_in_child(const plan& p, const run_options& how) {
  auto c = start(p, how);
  if (c.id < 0) return no_process(p.seed);
  while (hear(c)) {
  }
  return reap(c, p.seed);
}

void in_child(const std::function<void()>& what) {
  std::fflush(nullptr);
  const auto id = ::fork();
  if (id == 0) {
    what();
    std::fflush(nullptr);
    ::_exit(0);
  }
  int status = 0;
  if (id > 0) ::waitpid(id, &status, 0);
}

void run_batch(const batch& b) {
  struct running {
    child process;
    plan what;
  };
  std::vector<running> all;
  std::uint64_t next = 0;
  std::uint64_t done = 0;
  std::uint64_t failed = 0;
  std::uint64_t bitten = 0;
  bool go_on = true;
  const auto began = std::chrono::steady_clock::now();
  while (true) {
    while (go_on && next < b.count && all.size() < b.jobs) {
      auto p = b.draw(b.first + next);
      auto c = start(p, {});
      if (c.id < 0) {
        // With others running: again when one of them has ended.
        if (all.empty()) b.ended(p, no_process(p.seed), {}), go_on = false;
        break;
      }
      ++next;
      all.push_back({std::move(c), std::move(p)});
    }
    if (all.empty()) break;
    std::vector<pollfd> waits;
    for (const auto& one : all) waits.push_back({one.process.from, POLLIN, 0});
    ::poll(waits.data(), waits.size(), 1000);
    for (auto i = all.size(); i-- > 0;) {
      if (waits[i].revents == 0 || hear(all[i].process)) continue;
      auto one = std::move(all[i]);
      all.erase(all.begin() + static_cast<std::ptrdiff_t>(i));
      const auto v = reap(one.process, one.what.seed);
      ++done;
      failed += v.passed ? 0 : 1;
      for (const auto& [kind, n] : v.faults) bitten += n.bit;
      go_on &= b.ended(one.what, v, one.process.said);
    }
    if (b.progress) {
      const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
      constexpr int width = 30;
      const auto part = std::max(static_cast<double>(done) / static_cast<double>(b.count), b.lasts_s > 0 ? spent.count() / b.lasts_s : 0);
      const auto full = std::min(width, static_cast<int>(part * width));
      std::fprintf(stderr, "\r[%.*s%*s] %llu of %llu seeds, %.1f a second, %llu faults bit, %llu failed ", full, "##############################", width - full, "",
                   static_cast<unsigned long long>(done), static_cast<unsigned long long>(b.count), static_cast<double>(done) / std::max(0.001, spent.count()), static_cast<unsigned long long>(bitten),
                   static_cast<unsigned long long>(failed));
    }
  }
  if (b.progress) std::fputc('\n', stderr);
}

}  // namespace latham::sim
