// Where a task's processor time goes. One stage is current at a time; entering another charges the time since the last
// change to the one that was left, so nested stages are not counted twice and the sum is the thread's time.
//
// A change costs one clock_gettime of the thread's clock, some 200 ns, a few dozen times per frame: nothing beside a frame.
#pragma once

#include "core/ports/media_engine.hpp"

#include <chrono>
#include <cstdint>
#include <ctime>
#include <utility>

namespace latham::media {

class stage_clock {
public:
  using counter = std::uint64_t ports::engine_usage::*;

  /// While it lives, time is charged to `stage`.
  class scope {
  public:
    scope(stage_clock& clock, counter stage) : clock_{clock}, before_{clock.enter(stage)} {}
    ~scope() { (void)clock_.enter(before_); }
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;

  private:
    stage_clock& clock_;
    const counter before_;
  };

  /// While it lives, nothing is charged but the wall-clock time to wait_us.
  class waiting {
  public:
    explicit waiting(stage_clock& clock) : clock_{clock} {}
    ~waiting() {
      clock_.usage_.wait_us += static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin_).count());
    }
    waiting(const waiting&) = delete;
    waiting& operator=(const waiting&) = delete;

  private:
    stage_clock& clock_;
    const std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  };

  /// What was charged since the last call.
  [[nodiscard]] ports::engine_usage take() {
    (void)enter(current_);
    return std::exchange(usage_, {});
  }

private:
  static std::uint64_t thread_us() {
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000;
  }
  counter enter(counter stage) {
    const auto now = thread_us();
    usage_.*current_ += now - since_;
    since_ = now;
    return std::exchange(current_, stage);
  }

  ports::engine_usage usage_;
  counter current_ = &ports::engine_usage::other_us;
  std::uint64_t since_ = thread_us();
};

}  // namespace latham::media
