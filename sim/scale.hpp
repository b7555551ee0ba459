// Scale on paper: thousands of workers against several shards, by the pure rules alone. CAF has no part in it, because its
// node ids wrap at 256 systems in a process; so this is a model of events, not of a cluster: every message arrives after
// the same latency, every chunk takes its cost, and a disk takes its time to sync. What is real: core/scheduler,
// core/scheduler/slot_offers, the encoding of every message, and the records that are written.
//
// The rules take no virtual time. How much processor time they took is measured beside it: where it nears the virtual time
// of the run, a shard on a machine like this one could not keep up, and the makespan is no longer to be had.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace latham::sim {

struct scale_options {
  std::uint32_t workers = 10;
  std::uint32_t shards = 1;
  std::uint32_t chunks = 100'000;
  std::uint32_t slots = 4;          // of each worker
  std::uint64_t seed = 1;
};

struct scale_result {
  scale_options how;
  std::uint64_t videos = 0;
  std::uint64_t tasks = 0;
  double ideal_s = 0;               // all work spread evenly over all slots from the first moment on, or the longest track of sound
  double makespan_s = 0;
  double rules_s = 0;               // processor time in the rules, all shards
  double busiest = 0;               // the busiest shard's processor time per virtual second
  std::uint64_t decisions = 0;      // events that the rules were asked about
  double first_chunk_s = 0;         // mean over the videos: from upload to the first committed chunk
  std::uint64_t memory_bytes = 0;   // kept by the schedulers when all is done
  std::uint64_t store_bytes = 0;    // keys and values of all that was written
  std::uint64_t store_records = 0;
  std::uint64_t syncs = 0;

  struct traffic {
    std::uint64_t messages = 0;
    std::uint64_t bytes = 0;
  };
  std::map<std::string, traffic> messages;       // by what they say
  struct effort {
    std::uint64_t calls = 0;
    double s = 0;
  };
  std::map<std::string, effort> rules;           // the profile: by what the rules were asked
};

/// Deterministic but for the processor time. One at a time: memory is measured over the process.
[[nodiscard]] scale_result run_scale(const scale_options& how);

[[nodiscard]] std::string to_json(const scale_result& r);
/// One line of a Markdown table, and its head.
[[nodiscard]] std::string scale_table_head();
[[nodiscard]] std::string to_table_row(const scale_result& r);
/// How each quantity grows with the workers, a line for each number of shards.
[[nodiscard]] std::string scale_plots(const std::vector<scale_result>& all);

}  // namespace latham::sim
