// A scenario and a plan are the same data (sim/scenarios/*.json). A scenario leaves things open: ranges, how many, which
// nodes, or everything; `draw_plan` settles them from the seed. A plan has nothing open, so it can be written to a file,
// cut down by hand or by --shrink, and run again. Both have one format; docs/simulation.md lists its words.
#pragma once

#include "core/expected.hpp"
#include "core/units.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace latham::sim {

struct range {
  std::int64_t from = 0;
  std::int64_t to = 0;
};

// ---- The cluster -----------------------------------------------------------------------------------------------------

/// How many nodes of each role. Nodes are called role-i.
struct topology {
  std::int64_t gateways = 1;
  std::int64_t storages = 1;
  std::int64_t schedulers = 1;
  std::int64_t workers = 2;
  std::int64_t near = 0;  // so many of the storage nodes are workers, too
};

/// Everything tunable that a run draws: of the product's configuration and of the world.
struct knobs {
  // -- The product's
  std::int64_t slots = 2;
  std::int64_t lease_ttl_ms = 10'000;
  std::int64_t renew_ms = 700;
  std::int64_t ping_period_ms = 500;
  std::int64_t ping_timeout_ms = 1'500;
  std::int64_t request_timeout_ms = 5'000;
  std::int64_t stall_timeout_ms = 20'000;
  std::int64_t output_grace_ms = 20'000;
  std::int64_t upload_idle_ms = 40'000;
  std::int64_t attempts = 5;
  // -- The world's
  std::int64_t latency_us = 500;        // of a packet: half to one and a half of it
  std::int64_t disk_us = 500;           // of an operation, likewise
  std::int64_t chunk_ms = 1'000;        // mean time of a chunk on one rung of average complexity
  std::int64_t piece_bytes = 262'144;   // what an uploader sends at once
  std::int64_t skew_ppm = 200;          // each node's clock runs at most so much too fast or too slow
  std::int64_t media_read_every_ms = 2'000;
  std::int64_t repair_period_ms = 10'000;
  std::int64_t scrub_rest_ms = 60'000;  // the product's
  std::int64_t space_percent = 0;       // of each disk, of what all videos take of one, until the world heals; 0: endless
  std::int64_t drain_ms = 20'000;       // a process that is told to stop has so long for its requests, and then for its tasks
  std::int64_t copies = 0;              // of each blob; 0: as the product says
  std::int64_t ack_copies = 0;          // durable before anybody is told; 0: all of them
  std::int64_t stand_in_after_ms = 600'000;
  std::int64_t ageing_ms = 600'000;     // a job that waits so long rises by a class
  std::int64_t new_engine = 0;          // 1: the later of two releases encodes to other bytes
};

struct knob {
  const char* name;
  std::int64_t knobs::*where;
  range drawn;  // by a seed that is left free; wide on purpose, absurd at the ends
  std::size_t one_in = 2;  // seeds; the others keep the usual value
};
[[nodiscard]] const std::vector<knob>& all_knobs();

// ---- The workload ----------------------------------------------------------------------------------------------------

/// One uploader and what becomes of its video.
struct work_item {
  std::int64_t at_ms = 500;
  std::string tenant = "default";
  std::string priority = "normal";
  std::int64_t chunks = 4;
  std::int64_t rungs = 2;
  std::int64_t audio = 1;
  std::int64_t text = 0;
  std::int64_t bytes = 500'000;
  /// plain | stall (a pause while sending) | abandon (stops for ever) | abort | delete (some time after it was accepted) |
  /// poison (the codec crashes on it every time) | garbage (not a video)
  std::string story = "plain";
  std::int64_t wait_ms = 2'000;  // the stall, or until the delete
};
[[nodiscard]] bool is_story(std::string_view word) noexcept;

// ---- Faults ----------------------------------------------------------------------------------------------------------

/// One fault. What `nodes`, `others` and `amount` mean depends on the kind: see `fault_kinds`.
struct fault {
  std::string kind;
  std::vector<std::string> nodes;
  std::vector<std::string> others;   // of faults between nodes; empty: all the rest
  std::int64_t at_ms = 0;
  std::int64_t for_ms = 1'000;
  std::int64_t amount = 0;
};

struct fault_kind {
  const char* name;
  const char* amount;   // what it means; empty: nothing
  range amounts;        // drawn when the scenario does not say
  range lasts_ms;       // likewise
  const char* roles;    // whose nodes are drawn: initials of g, s(torage), c (scheduler), w
  std::int64_t weight;  // in the free draw; 0: only where a scenario asks for it
};
[[nodiscard]] const std::vector<fault_kind>& fault_kinds();
[[nodiscard]] const fault_kind* find_fault_kind(std::string_view name) noexcept;

// ---- Plan and scenario -----------------------------------------------------------------------------------------------

struct plan {
  std::string name;
  std::uint64_t seed = 1;
  topology nodes;
  sim::knobs knobs;
  std::vector<work_item> items;
  std::vector<fault> faults;
  std::int64_t trouble_ms = 60'000;  // faults end, and everything heals, at this time
  std::int64_t bound_ms = 300'000;   // after that everything must have ended by itself
};

/// Faults to be drawn: a template. Nodes that are not named are drawn from `role`.
struct fault_template {
  std::string kind;                  // "random": any, by weight
  std::string role;                  // "": as the kind says
  std::vector<std::string> nodes;
  std::vector<std::string> others;
  range times{1, 1};
  range at_ms{500, 40'000};
  std::optional<range> for_ms;
  std::optional<range> amount;
};

struct scenario {
  std::string name;
  std::optional<std::uint64_t> seed;
  range gateways{1, 1};
  range storages{1, 1};
  range schedulers{1, 1};
  range workers{1, 4};
  range near;
  bool draw_knobs = false;                                    // those that are not given
  std::vector<std::pair<const knob*, range>> given_knobs;
  range videos{2, 6};
  range chunks{1, 8};
  std::vector<std::string> stories;                           // empty: any
  std::optional<std::vector<work_item>> items;                // given one by one
  std::vector<fault_template> faults;
  std::int64_t trouble_ms = 60'000;
  std::int64_t bound_ms = 300'000;
};

/// Fails with invalid_argument and the place.
[[nodiscard]] expected<scenario> parse_scenario(const std::string& json);
/// Settles what is open. A scenario with nothing open gives the same plan for every seed (the run still draws from it).
[[nodiscard]] plan draw_plan(const scenario& s, std::uint64_t seed);
[[nodiscard]] std::string to_json(const plan& p);
/// What the sources and outputs of all videos take of one disk, at most.
[[nodiscard]] std::int64_t space_bytes(const plan& p);
/// How long all slots of a plan have to do when nothing goes wrong.
[[nodiscard]] std::int64_t work_ms(const plan& p);

/// What runs without a scenario: everything is drawn.
[[nodiscard]] scenario random_scenario();

/// The names of all nodes of a plan, in the order in which they start.
[[nodiscard]] std::vector<std::string> node_names(const topology& t);

}  // namespace latham::sim
