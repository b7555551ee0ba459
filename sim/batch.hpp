// Runs in forked children, because a world is not freed and a violated assertion ends its process: one, or many on all
// cores with a line of progress.
#pragma once

#include "sim/world.hpp"

#include <functional>
#include <string>

namespace latham::sim {

/// One run in a child of its own, which is given so many seconds of real time.
[[nodiscard]] verdict run_in_child(const plan& p, const run_options& how = {});

/// Runs `what` in a child, for its output.
void in_child(const std::function<void()>& what);

struct batch {
  std::uint64_t first = 1;
  std::uint64_t count = 1;
  unsigned jobs = 1;
  bool progress = false;                                        // on stderr
  double lasts_s = 0;                                           // at most so long, as `ended` sees to; 0: until the last seed
  std::function<plan(std::uint64_t seed)> draw;
  /// In the order in which they end. False: no further seed is begun.
  std::function<bool(const plan& p, const verdict& v, const std::string& json)> ended;
};

void run_batch(const batch& b);

}  // namespace latham::sim
