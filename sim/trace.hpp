// What happened, as lines and as one running hash: two runs of one seed are the same run if and only if the hashes agree.
#pragma once

#include "core/units.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace latham::sim {

class trace {
public:
  /// Counts into the hash only.
  void note(std::uint64_t value) noexcept {
    for (int i = 0; i < 8; ++i) hash_ = (hash_ ^ (value >> (8 * i) & 0xff)) * 1099511628211ull;  // FNV-1a
  }
  void note(std::string_view text) noexcept {
    for (unsigned char c : text) hash_ = (hash_ ^ c) * 1099511628211ull;
  }
  /// A line for people, kept for the report of a failure (the last `lines_max`), and hashed.
  void say(nanoseconds when, std::string line) {
    note(static_cast<std::uint64_t>(when.count()));
    note(line);
    if (lines_.size() == lines_max) lines_.pop_front();
    lines_.push_back({when, std::move(line)});
  }

  struct entry {
    nanoseconds when;
    std::string text;
  };
  [[nodiscard]] const std::deque<entry>& lines() const noexcept { return lines_; }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }

private:
  static constexpr std::size_t lines_max = 400;
  std::uint64_t hash_ = 1469598103934665603ull;
  std::deque<entry> lines_;
};

}  // namespace latham::sim
