// Child processes of our own binary, each with one byte stream to its parent. Production: libuv, a socketpair as the
// child's descriptor 3, rlimits, and PR_SET_PDEATHSIG so that it dies with its parent. The codec child is the only user.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace latham::ports {

struct child_limits {
  std::uint64_t address_space_bytes = 0;  // RLIMIT_AS; 0: none (sanitizers need that)
  std::uint32_t cpu_seconds = 0;          // RLIMIT_CPU, of its whole life; 0: none
  std::uint64_t file_bytes = 0;           // RLIMIT_FSIZE: it writes no files
};

struct child_exit {
  int status = 0;  // exit code
  int signal = 0;  // or the signal that ended it
  // The end of what it wrote to its standard error: printable ASCII on one line, last_words_bytes_max at most. It may be a
  // stranger's: a child that was taken over says what it likes.
  std::string last_words{};
};
inline constexpr std::size_t last_words_bytes_max = 1000;

/// One running child. Destroying it kills the child and drops its stream; no callback comes after the destructor.
class child {
public:
  virtual ~child() = default;
  /// Queues bytes for the child, in order. The caller bounds what is under way by its own protocol. Any thread.
  virtual void write(buffer bytes) = 0;
  /// Stops or resumes reading from the child: back-pressure reaches its write(2). Any thread.
  virtual void pause_reading(bool paused) = 0;
  /// From now on the child may use this many more processor seconds, and gets SIGXCPU beyond; what was allowed before is
  /// void. Never more in all than child_limits.cpu_seconds. In force before bytes arrive that are written after it; for a
  /// child that has applied its limits, which one that spoke has. Any thread.
  virtual void allow_cpu_seconds(std::uint32_t seconds) = 0;
  /// SIGKILL. `on_exit` follows.
  virtual void kill() = 0;
  [[nodiscard]] virtual int pid() const noexcept = 0;
};

struct child_events {
  std::function<void(buffer)> on_bytes;      // on the port's thread, in order
  std::function<void(child_exit)> on_exit;   // exactly once, after the last on_bytes
};

class child_spawner {
public:
  virtual ~child_spawner() = default;
  /// Runs this program again with `arguments`. Fails with errc::io or errc::limited.
  [[nodiscard]] virtual expected<std::unique_ptr<child>> spawn(std::vector<std::string> arguments, child_limits limits, child_events events) = 0;
};

}  // namespace latham::ports
