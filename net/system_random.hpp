// ports::random from the kernel's generator: write tokens are secrets, so nothing weaker will do. No pool of our own: a
// fork would share it, and one system call per id is nothing.
#pragma once

#include "core/assert.hpp"
#include "core/ports/random.hpp"

#include <sys/random.h>

#include <cerrno>

namespace latham::net {

class system_random final : public ports::random {
public:
  [[nodiscard]] std::uint64_t next() override {
    std::uint64_t bits = 0;
    for (;;) {
      const auto n = ::getrandom(&bits, sizeof bits, 0);
      if (n == static_cast<ssize_t>(sizeof bits)) return bits;
      LATHAM_ASSERT(n < 0 && errno == EINTR);  // nothing else can happen to so short a request
    }
  }
};

}  // namespace latham::net
