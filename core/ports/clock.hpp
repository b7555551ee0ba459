// Time. Production: the kernel's monotonic clock. Simulation: virtual, one per node, with skew.
#pragma once

#include "core/units.hpp"

namespace latham::ports {

class clock {
public:
  virtual ~clock() = default;
  /// Monotonic; any thread.
  [[nodiscard]] virtual instant now() const noexcept = 0;
  /// For people and ids only; may jump. Any thread.
  [[nodiscard]] virtual utc_ms wall() const noexcept = 0;
};

}  // namespace latham::ports
