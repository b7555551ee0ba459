// Chance: ids, jitter, tokens. Production: the kernel's generator (tokens are secrets). Simulation: the seed's.
#pragma once

#include <cstdint>

namespace latham::ports {

class random {
public:
  virtual ~random() = default;
  /// 64 uniformly distributed bits; any thread.
  [[nodiscard]] virtual std::uint64_t next() = 0;
};

}  // namespace latham::ports
