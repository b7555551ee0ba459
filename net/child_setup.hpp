// The child's half of net/child_process: what a child of our own binary does before anything else. libuv can neither set
// resource limits nor a parent-death signal between fork and exec, so the parent writes them into one environment variable
// and the child applies them to itself. It is our own binary: it may be trusted to, before it reads a byte of input.
#pragma once

#include "core/expected.hpp"
#include "core/ports/process.hpp"

#include <string>
#include <string_view>

namespace latham::net {

inline constexpr const char* child_limits_variable = "LATHAM_CHILD_LIMITS";
/// The child's end of its stream to the parent.
inline constexpr int child_stream_descriptor = 3;

/// "1 <parent pid> <address space> <cpu seconds> <file bytes>"; the first number is the version of this line.
[[nodiscard]] std::string child_limits_line(int parent_pid, const ports::child_limits& limits);

struct child_orders {
  int parent_pid = 0;
  ports::child_limits limits;
};
/// Fails with errc::invalid_argument.
[[nodiscard]] expected<child_orders> parse_child_limits(std::string_view line);

/// Call first in the child's main, with one thread only. Dies with its parent from here on (SIGKILL), closes every
/// descriptor but 0 to 3, applies the limits, leaves no core dump. Fails when the variable is absent or malformed, when
/// the parent is already gone, or when a limit is refused: the child must then exit.
[[nodiscard]] expected<void> apply_child_limits();

}  // namespace latham::net
