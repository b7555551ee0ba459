// SIGTERM and SIGINT as an event on a loop: the polite requests to stop. The second one is the caller's to count: an
// operator who asks twice means it.
#pragma once

#include "net/loop.hpp"

#include <functional>
#include <memory>

namespace latham::net {

class signals {
public:
  /// Calls `asked` with the signal's number on the loop's thread, until destroyed. Any thread; not on the loop's.
  signals(loop& where, std::function<void(int)> asked);
  /// The default action of both signals is back afterwards.
  ~signals();
  signals(const signals&) = delete;
  signals& operator=(const signals&) = delete;

private:
  struct state;
  loop& where_;
  std::shared_ptr<state> state_;  // shared with closures on the loop
};

}  // namespace latham::net
