// A verdict as JSON and back: forked children hand it to their parent so, and --json prints it.
#pragma once

#include "sim/world.hpp"

#include <string>
#include <string_view>

namespace latham::sim {

/// Of the tree that this was built from, "-dirty" when it had changes.
[[nodiscard]] std::string_view commit() noexcept;

/// One line. With what the plan settled: its knobs.
[[nodiscard]] std::string to_json(const verdict& v, const plan& p);
/// Of what `to_json` wrote; the trace is not in it. A line that is none gives a verdict that did not pass.
[[nodiscard]] verdict parse_verdict(const std::string& line);

}  // namespace latham::sim
