// ports::clock from the kernel.
#pragma once

#include "core/ports/clock.hpp"

#include <chrono>

namespace latham::net {

class system_clock final : public ports::clock {
public:
  [[nodiscard]] instant now() const noexcept override {
    return {std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()};
  }
  [[nodiscard]] utc_ms wall() const noexcept override {
    return {std::chrono::duration_cast<milliseconds>(std::chrono::system_clock::now().time_since_epoch()).count()};
  }
};

}  // namespace latham::net
