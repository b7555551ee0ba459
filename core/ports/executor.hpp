// A bounded pool for work that blocks or burns CPU for long, so that actors and loops do neither.
#pragma once

#include <functional>

namespace latham::ports {

class executor {
public:
  virtual ~executor() = default;
  /// Queues `work`; false when the queue is full (the caller answers errc::limited). Any thread.
  [[nodiscard]] virtual bool post(std::function<void()> work) = 0;
};

}  // namespace latham::ports
