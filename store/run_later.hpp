// How the memory twins put off their completions: they hand a closure to whoever owns the time. A simulation puts it into
// its event queue under a delay of its choosing; a unit test into a `closure_queue` that it empties by hand.
#pragma once

#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <utility>

namespace latham::store {

/// Runs the closure later, exactly once, or never when the node it belongs to is killed. Never inside the call.
using run_later = std::function<void(std::function<void()>)>;

/// The simplest owner of time: a queue that runs closures in order when told to. Any thread may add.
class closure_queue {
public:
  [[nodiscard]] run_later adder() {
    return [this](std::function<void()> work) {
      const std::lock_guard guard{mutex_};
      queue_.push_back(std::move(work));
    };
  }
  /// Runs one closure; false when there is none.
  bool run_one() {
    std::function<void()> work;
    {
      const std::lock_guard guard{mutex_};
      if (queue_.empty()) return false;
      work = std::move(queue_.front());
      queue_.pop_front();
    }
    work();
    return true;
  }
  /// Runs until nothing is left, including what the closures add.
  void run_all() {
    while (run_one()) {
    }
  }
  [[nodiscard]] std::size_t size() const {
    const std::lock_guard guard{mutex_};
    return queue_.size();
  }

private:
  mutable std::mutex mutex_;
  std::deque<std::function<void()>> queue_;
};

}  // namespace latham::store
