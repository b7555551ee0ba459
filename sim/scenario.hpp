// A scenario: the shape of the cluster, the workload and the faults, as data (sim/scenarios/*.json). What a file leaves
// open (when, how often, how long) is drawn from the seed.
#pragma once

#include "core/expected.hpp"
#include "core/units.hpp"

#include <string>
#include <vector>

namespace latham::sim {

struct range_ms {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

struct fault_plan {
  std::string kind;           // "kill"
  std::string role;           // whose node: "worker"
  range_ms times{1, 1};       // how many
  range_ms at_ms;             // after the workload starts
  range_ms restart_ms;        // after the kill
};

struct scenario {
  std::string name;
  std::uint32_t workers = 2;
  std::uint32_t slots = 2;
  std::uint32_t videos = 3;
  range_ms chunks{2, 8};
  range_ms chunk_ms{500, 4000};    // mean virtual time of a chunk
  std::vector<fault_plan> faults;
  std::int64_t bound_ms = 300'000; // virtual time by which everything must have ended
};

/// Fails with invalid_argument and the place.
[[nodiscard]] expected<scenario> parse_scenario(const std::string& json);
/// The built-in one: a worker is killed while chunks are running.
[[nodiscard]] const char* default_scenario();

}  // namespace latham::sim
