// ports::child_spawner by libuv: runs our own binary again, with one end of a socketpair as its descriptor 3.
//
// The child applies its limits itself (net/child_setup.hpp). It gets a short list of environment variables, because ours
// may hold secrets and it reads hostile input. Its standard output is nothing; its standard error is a stream of its own to
// us, of which the end is kept for whoever hears of its exit: a failed assertion says there what failed. One that says more
// than any honest child finds that stream closed, so it can neither fill our log nor keep us busy.
//
// PR_SET_PDEATHSIG fires when the *thread* that spawned ends, not the process: the loop must outlive its children, and so
// must this object, whose destructor kills and reaps what is left. It must not leave a zombie or a descriptor behind.
#pragma once

#include "core/ports/process.hpp"
#include "net/loop.hpp"

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

namespace latham::net {

struct child_process_options {
  std::string program = "/proc/self/exe";  // resolved in the child: our own binary even when the file was replaced
  std::size_t children_max = 64;           // more fail with errc::limited
  std::size_t bytes_queued_max = 64 * 1024 * 1024;  // for one child; one that does not read that much is killed
#ifdef LATHAM_SANITIZED
  bool inherit_errors = true;  // a sanitizer's report is longer than last words
#else
  bool inherit_errors = false;
#endif
};

class child_process_spawner final : public ports::child_spawner {
public:
  /// `where` outlives this object.
  explicit child_process_spawner(loop& where, child_process_options options = {});
  /// Kills the children that are left and waits until they are reaped. Not on the loop's thread.
  ~child_process_spawner() override;

  /// Waits for the loop's thread, a few milliseconds. Any thread. Callbacks of `events` may come before it returns. A
  /// child destroyed on another thread than the loop's waits for a callback that is running: do not hold a lock then that
  /// the callback takes.
  [[nodiscard]] expected<std::unique_ptr<ports::child>> spawn(std::vector<std::string> arguments, ports::child_limits limits,
                                                              ports::child_events events) override;

  /// Not yet reaped.
  [[nodiscard]] std::size_t children() const;

  struct family;

private:
  std::shared_ptr<family> family_;  // shared with the children's callbacks
};

}  // namespace latham::net
