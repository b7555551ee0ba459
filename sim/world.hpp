// A cluster in one thread: whole nodes, started by the very start_node of production, on simulated ports. Each step runs
// one message of one actor, or one due event, chosen by the seed; when nothing can run, virtual time moves to the next
// thing that will happen.
//
// It covers a model of the codecs and none of net's threads: a run that passes says nothing about those.
// One world per process when it matters: CAF's systems are entangled at tear-down, so a world is leaked on purpose and
// batches of seeds run in forked processes.
#pragma once

#include "core/expected.hpp"
#include "sim/scenario.hpp"
#include "sim/trace.hpp"

#include <cstdint>
#include <map>
#include <string>

namespace latham::sim {

struct verdict {
  bool passed = false;
  std::string checker;             // the invariant that was violated
  std::string what;
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;
  std::uint64_t steps = 0;
  double virtual_s = 0;
  std::map<std::string, std::uint64_t> counts;   // faults injected and how many of them bit, packets, commits, ...
  std::deque<trace::entry> last_lines;
};

/// Runs one seed to its end. Never returns twice in one process with live systems in between being freed; see above.
[[nodiscard]] verdict run(const scenario& s, std::uint64_t seed);

/// The next "random" node identity of CAF in this process: set from the seed, so that runs repeat.
[[nodiscard]] std::string next_uuid();

}  // namespace latham::sim
