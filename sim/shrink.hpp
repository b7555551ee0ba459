// Makes a failing plan smaller: faults go, then clients, then fault by fault what is left of its length, as long as the
// same checker still fails. Greedy: what remains is not the smallest plan, but one in which nothing can be left out.
#pragma once

#include "sim/scenario.hpp"

#include <functional>
#include <string>

namespace latham::sim {

/// `checker`: the invariant that must go on being violated. `said` is told of each step that helped.
[[nodiscard]] plan shrink(plan p, const std::string& checker, const std::function<void(const std::string&)>& said);

}  // namespace latham::sim
