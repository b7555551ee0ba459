// The queue against one that looks at every job each time, over random histories.
#include "core/scheduler/ready_queue.hpp"

#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

namespace latham {

namespace {

constexpr milliseconds ageing{1'000};

class plain_queue {
public:
  struct job {
    engine_id engine;
    std::string tenant;
    int priority = 0;
    instant since;
  };
  std::map<video_id, job> jobs;
  std::map<std::string, std::uint32_t> running;

  [[nodiscard]] std::optional<video_id> best(const engine_id& engine, instant now) const {
    std::optional<std::tuple<int, std::uint32_t, video_id>> first;
    for (const auto& [id, j] : jobs) {
      if (!j.engine.empty() && j.engine != engine) continue;
      const auto aged = std::min<std::int64_t>(2, j.priority + (now - j.since) / ageing);
      const auto order = std::tuple{-static_cast<int>(aged), running.contains(j.tenant) ? running.at(j.tenant) : 0, id};
      if (!first || order < *first) first = order;
    }
    return first ? std::optional{std::get<2>(*first)} : std::nullopt;
  }
};

}  // namespace

RC_GTEST_PROP(ReadyQueueHistories, TheNextJobIsTheOneThatASearchFinds, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  ready_queue q{ageing};
  plain_queue plain;
  instant now{1'000'000'000'000};
  for (int i = 0; i < 300; ++i) {
    const video_id id{1, random() % 12};
    const auto tenant = "t" + std::to_string(id.low % 3);
    switch (random() % 6) {
      case 0:
      case 1: {
        const auto engine = std::array{"", "e", "f"}[random() % 3];
        const auto priority = static_cast<int>(id.low % 3);
        q.put(id, engine, tenant, static_cast<priority_class>(priority), now);
        auto& j = plain.jobs.try_emplace(id, plain_queue::job{engine, tenant, priority, now}).first->second;
        j.engine = engine;
        break;
      }
      case 2:
        q.erase(id);
        plain.jobs.erase(id);
        break;
      case 3:
        if (const auto next = q.best("e")) {
          q.granted(*next, now);
          q.began(plain.jobs.at(*next).tenant);
          ++plain.running[plain.jobs.at(*next).tenant];
          plain.jobs.at(*next).since = now;
        }
        break;
      case 4:
        q.ended(tenant);
        if (plain.running[tenant] > 0) --plain.running[tenant];
        break;
      default: now = now + milliseconds{random() % 700}; break;
    }
    q.age(now);
    for (const auto* engine : {"e", "f", "g"}) RC_ASSERT(q.best(engine) == plain.best(engine, now));
  }
}

/// Whatever the highest class brings: each job is granted something within `ageing` for each class below it, and one grant
/// for each job that waits likewise.
RC_GTEST_PROP(ReadyQueueHistories, NobodyStarves, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  ready_queue q{ageing};
  instant now{1'000'000'000'000};
  constexpr std::uint64_t jobs = 10;
  constexpr milliseconds step{10};
  std::map<video_id, instant> waits;
  for (std::uint64_t i = 0; i < jobs; ++i) {
    q.put({1, i}, "", "t", static_cast<priority_class>(random() % 2), now);
    waits[{1, i}] = now;
  }
  // At each grant there are fresh jobs of the highest class.
  for (std::uint64_t i = jobs; i < 1'000; ++i) {
    now = now + step;
    q.put({1, i}, "", "t", priority_class::high, now);
    q.age(now);
    const auto next = q.best("e");
    RC_ASSERT(next.has_value());
    if (waits.contains(*next)) {
      q.granted(*next, now);
      waits[*next] = now;
    } else {
      q.erase(*next);
    }
    for (const auto& [id, since] : waits) RC_ASSERT(now - since <= ageing * 2 + step * static_cast<int>(jobs));
  }
}

}  // namespace latham
