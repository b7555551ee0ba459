// What a supervisor does when a child ends, in Erlang/OTP's terms (supervisor(3)): child specs, permanent / transient /
// temporary, one_for_one / rest_for_one / one_for_all, at most `max_restarts` in `period`, back-off with jitter, and
// escalation. Pure: the shell in actors/supervisor tells it what happened and does what it says.
#pragma once

#include "core/backoff.hpp"
#include "core/units.hpp"

#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace latham {

enum class restart_type : std::uint8_t {
  permanent,  // always restarted
  transient,  // restarted unless it ended normally
  temporary   // never restarted
};

enum class restart_strategy : std::uint8_t { one_for_one, rest_for_one, one_for_all };

struct supervision {
  restart_strategy strategy = restart_strategy::one_for_one;
  std::uint32_t max_restarts = 5;
  milliseconds period{30'000};
  backoff_policy wait{milliseconds{50}, milliseconds{5'000}};
};

/// What to do about one ended child.
struct restart_decision {
  bool escalate = false;               // too many restarts: stop everything and end with an error
  std::vector<std::size_t> stop;       // children still running that must be stopped first, last started first
  std::vector<std::size_t> start;      // children to start afterwards, in start order
  milliseconds delay{0};               // before starting
};

class restart_policy {
public:
  restart_policy(supervision how, std::vector<restart_type> children) : how_{how}, children_{std::move(children)} {}

  /// Child `index` ended. `normal`: it meant to. `random` feeds the jitter.
  [[nodiscard]] restart_decision on_exit(std::size_t index, bool normal, instant now, std::uint64_t random);

private:
  supervision how_;
  std::vector<restart_type> children_;
  std::deque<instant> restarts_;  // within the last period; at most max_restarts + 1
};

}  // namespace latham
