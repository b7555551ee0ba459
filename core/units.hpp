// Time, media time and byte counts, each in a type that cannot be mistaken for another.
//
// `instant` is a reading of the monotonic clock and never leaves the process: durations (ttl_ms) go over the wire and to
// disk. `utc_ms` is for people only; no rule compares it. Media time is rational: never a floating point second.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <numeric>

namespace latham {

using milliseconds = std::chrono::milliseconds;
using seconds = std::chrono::seconds;
using nanoseconds = std::chrono::nanoseconds;

inline constexpr std::uint64_t kib = 1024;
inline constexpr std::uint64_t mib = 1024 * kib;
inline constexpr std::uint64_t gib = 1024 * mib;

/// A point on this process's monotonic clock.
struct instant {
  std::int64_t ns = 0;

  friend constexpr auto operator<=>(instant, instant) = default;
  friend constexpr instant operator+(instant t, nanoseconds d) { return {t.ns + d.count()}; }
  friend constexpr instant operator-(instant t, nanoseconds d) { return {t.ns - d.count()}; }
  friend constexpr nanoseconds operator-(instant a, instant b) { return nanoseconds{a.ns - b.ns}; }
};

/// Milliseconds since 1970-01-01 UTC. For display and for ids; never for a decision.
struct utc_ms {
  std::int64_t value = 0;
  friend constexpr auto operator<=>(utc_ms, utc_ms) = default;
};

/// Exact media time or rate. The denominator is positive; compare with ==, not by field, after `reduced()`.
struct rational {
  std::int64_t num = 0;
  std::int64_t den = 1;

  [[nodiscard]] constexpr double to_double() const { return den == 0 ? 0.0 : static_cast<double>(num) / static_cast<double>(den); }
  [[nodiscard]] constexpr rational reduced() const {
    const auto g = std::gcd(num, den);
    return g == 0 ? *this : rational{num / g, den / g};
  }
  friend constexpr bool operator==(rational a, rational b) = default;
};

}  // namespace latham
