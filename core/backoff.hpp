// Exponential back-off with jitter: how long to wait before trying again. Pure; chance comes in as an argument.
#pragma once

#include "core/units.hpp"

#include <algorithm>

namespace latham {

struct backoff_policy {
  milliseconds first{200};
  milliseconds max{10'000};
};

/// The wait before attempt `attempt` (1 = the first retry): min(max, first * 2^(attempt-1)), of which the upper half is
/// drawn by `random`, so that many waiters do not come back at once.
[[nodiscard]] constexpr milliseconds backoff(const backoff_policy& policy, std::uint32_t attempt, std::uint64_t random) {
  const auto shift = std::min<std::uint32_t>(attempt == 0 ? 0 : attempt - 1, 20);
  const auto full = std::min<std::int64_t>(policy.max.count(), policy.first.count() << shift);
  const auto half = full / 2;
  return milliseconds{half + static_cast<std::int64_t>(random % static_cast<std::uint64_t>(full - half + 1))};
}

}  // namespace latham
