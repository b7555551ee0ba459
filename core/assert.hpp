// Bugs. An assertion is always on: a node with a broken invariant ends at once and is restarted from what it persisted,
// which is safer than going on. Never use it for input: bad input is an `error`.
#pragma once

namespace latham::detail {
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line) noexcept;
}

#define LATHAM_ASSERT(expression) \
  (static_cast<bool>(expression) ? void(0) : ::latham::detail::assertion_failed(#expression, __FILE__, __LINE__))
