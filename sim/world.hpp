// A cluster in one thread: whole nodes, started by the very `node` of production, on simulated ports. Each step runs one
// message of one actor, or one due event, chosen by the seed; when nothing can run, virtual time moves to the next thing
// that will happen.
//
// A run has two parts. In the first the faults of the plan come and go, and what must hold at all times is checked. Then
// everything heals, and within a bound of virtual time all that was begun must have ended, and nothing be left behind.
//
// It covers a model of the codecs and none of net's threads: a run that passes says nothing about those.
// One world per process when it matters: CAF's systems are entangled at tear-down, so a world is leaked on purpose and
// batches of seeds run in forked processes.
#pragma once

#include "sim/ledger.hpp"
#include "sim/scenario.hpp"
#include "sim/trace.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

namespace latham::sim {

struct verdict {
  bool passed = false;
  std::string checker;             // the invariant that was violated
  std::string what;
  std::uint64_t seed = 0;
  std::uint64_t hash = 0;
  std::uint64_t steps = 0;
  double virtual_s = 0;
  double virtual_end_s = 0;
  std::map<std::string, ledger::count> faults;
  std::map<std::string, std::uint64_t> counts;
  std::map<std::string, std::uint64_t> kinds;  // of steps, when they were counted: who ran what
  std::vector<std::string> reached;      // marks of product code (core/reach.hpp)
  std::vector<std::string> nodes;
  std::deque<trace::entry> last;         // when the trace was kept
};

struct run_options {
  bool keep_trace = false;   // changes nothing but what the verdict holds
  bool count_kinds = false;  // likewise
  double for_virtual_s = 0;  // ends after so long without judging liveness: for measuring
};

/// Runs one plan to its end. A world that has ended is not freed; see above.
[[nodiscard]] verdict run(const plan& p, const run_options& how = {});

}  // namespace latham::sim
