// How asynchronous ports answer. A call hands over a completion that is called exactly once, from a thread of the port's
// choosing (production) or from the event queue (simulation), never before the call returned. Whoever owns state turns
// it into a message to itself. A completion must not block and must not throw.
#pragma once

#include "core/expected.hpp"
#include "core/units.hpp"

#include <atomic>
#include <functional>
#include <memory>

namespace latham::ports {

template <class T>
using completion = std::function<void(expected<T>)>;

/// Given up by the caller: a port that has not started the work answers errc::cancelled instead. Copies share state.
class cancel_token {
public:
  cancel_token() : cancelled_{std::make_shared<std::atomic<bool>>(false)} {}
  void cancel() noexcept { cancelled_->store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool cancelled() const noexcept { return cancelled_->load(std::memory_order_relaxed); }

private:
  std::shared_ptr<std::atomic<bool>> cancelled_;  // shared: the caller's copy and the port's
};

/// Deadline and cancel of one call. After `timeout` a port answers errc::timeout; the work may or may not have happened.
struct call_options {
  milliseconds timeout{10'000};
  cancel_token cancel;
};

}  // namespace latham::ports
