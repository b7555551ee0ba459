// Virtual time: a queue of things that will happen, ordered by when and then by when they were said. Everything random in
// a run is drawn here, from the seed, so that a seed is a run.
#pragma once

#include "core/units.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <random>
#include <utility>

namespace latham::sim {

class events {
public:
  explicit events(std::uint64_t seed) : random_{seed} {}

  [[nodiscard]] nanoseconds now() const noexcept { return now_; }

  void at(nanoseconds when, std::function<void()> what) { queue_.emplace(std::pair{std::max(when, now_), next_++}, std::move(what)); }
  void after(nanoseconds wait, std::function<void()> what) { at(now_ + wait, std::move(what)); }

  [[nodiscard]] bool empty() const noexcept { return queue_.empty(); }
  [[nodiscard]] nanoseconds next_time() const { return queue_.begin()->first.first; }

  /// Moves time on; never back.
  void advance(nanoseconds to) { now_ = std::max(now_, to); }

  /// Runs the first event that is due; false when none is.
  bool run_due() {
    if (queue_.empty() || queue_.begin()->first.first > now_) return false;
    auto what = std::move(queue_.begin()->second);
    queue_.erase(queue_.begin());
    what();
    return true;
  }

  [[nodiscard]] std::uint64_t draw() { return random_(); }
  /// 0..limit-1.
  [[nodiscard]] std::uint64_t draw(std::uint64_t limit) { return random_() % limit; }
  [[nodiscard]] nanoseconds draw(nanoseconds from, nanoseconds to) {
    return from + nanoseconds{static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>((to - from).count() + 1))};
  }

private:
  std::mt19937_64 random_;
  nanoseconds now_{seconds{3600}};
  std::uint64_t next_ = 0;
  std::map<std::pair<nanoseconds, std::uint64_t>, std::function<void()>> queue_;
};

}  // namespace latham::sim
