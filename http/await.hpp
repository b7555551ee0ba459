// Waiting for ports::service from a request's thread. This is the one room that may block a thread on a completion, and it
// does so with a deadline always: an answer that never comes costs one request, not a thread.
#pragma once

#include "core/ports/completion.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

namespace latham::http {

/// Calls `call(done)` and waits for `done`. Fails with timeout when it does not come in time; it may come later and is
/// then ignored.
template <class T, class Call>
[[nodiscard]] expected<T> await(milliseconds deadline, Call&& call) {
  struct state {
    std::mutex mutex;
    std::condition_variable changed;
    std::optional<expected<T>> result;
  };
  auto shared = std::make_shared<state>();  // shared: a late completion must find it alive
  std::forward<Call>(call)(ports::completion<T>{[shared](expected<T> result) {
    {
      const std::lock_guard lock{shared->mutex};
      shared->result.emplace(std::move(result));
    }
    shared->changed.notify_one();
  }});
  std::unique_lock lock{shared->mutex};
  if (!shared->changed.wait_for(lock, deadline, [&] { return shared->result.has_value(); }))
    return error{errc::timeout, "The service did not answer in time. Try again."};
  return std::move(*shared->result);
}

}  // namespace latham::http
