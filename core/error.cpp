#include "core/assert.hpp"
#include "core/expected.hpp"

#include <array>
#include <cstdio>
#include <cstdlib>

namespace latham {

std::string_view to_string(errc code) noexcept {
  static constexpr std::array<std::string_view, 20> names = {
    "none",        "invalid_argument", "not_found", "conflict", "offset_mismatch", "too_large", "unsupported",
    "unprocessable", "limited",        "disk_full", "unavailable", "timeout",      "fenced",    "corrupt",
    "io",          "newer_format",     "cancelled", "bad_range", "crashed",        "internal"};
  const auto index = static_cast<std::size_t>(code);
  return index < names.size() ? names[index] : std::string_view{"unknown"};
}

bool is_transient(errc code) noexcept {
  switch (code) {
    case errc::limited:
    case errc::disk_full:
    case errc::unavailable:
    case errc::timeout:
    case errc::io:
    case errc::crashed: return true;
    default: return false;
  }
}

namespace detail {
void assertion_failed(const char* expression, const char* file, int line) noexcept {
  std::fprintf(stderr, "bug: %s does not hold at %s:%d\n", expression, file, line);
  std::fflush(stderr);
  std::abort();
}
}  // namespace detail

}  // namespace latham
