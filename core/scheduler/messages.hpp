// What workers and the scheduler say to each other. Plain values; actors/protocol gives them their place on the wire.
// Durations travel as milliseconds; instants never do.
#pragma once

#include "core/scheduler/records.hpp"

namespace latham {

inline constexpr std::uint32_t batch_max = 64;       // grants, renewals or commits in one message
inline constexpr std::uint32_t lease_chunks_max = 4; // chunks in one lease

/// "I am here and can run this much": said again and again; it replaces the worker's earlier word. The scheduler knows how
/// many leases the worker holds, so a request that crosses a grant on the way does no harm. Zero slots: no more work.
struct work_request {
  node_name worker;
  std::uint64_t incarnation = 0;  // a new one proves that the old process, and its leases, are gone
  engine_id engine;
  std::uint32_t slots = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, work_request& x) {
  return f(x.worker, x.incarnation, x.engine, x.slots);
}

/// A lease and all that its holder needs. The holder counts `ttl_ms` from when it sent its request.
struct work_grant {
  epoch held;
  video_id video;
  task_kind kind = task_kind::plan;
  std::uint32_t first = 0;            // index of the first task; video tasks are chunks[i].index
  std::uint32_t ttl_ms = 0;
  source_ref source;
  recipe how;
  source_plan plan;
  std::vector<chunk_plan> chunks;
  friend bool operator==(const work_grant&, const work_grant&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, work_grant& x) {
  return f(x.held, x.video, x.kind, x.first, x.ttl_ms, x.source, x.how, x.plan, x.chunks);
}

/// Still at it. `done` is frames or samples of the running task, for the progress bar only.
struct lease_renewal {
  video_id video;
  epoch held;
  std::uint32_t index = 0;
  std::uint64_t done = 0;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, lease_renewal& x) {
  return f(x.video, x.held, x.index, x.done);
}

/// A page of the plan: append-only, idempotent by first_chunk.
struct plan_page {
  video_id video;
  epoch held;
  source_plan plan;
  std::uint32_t first_chunk = 0;
  std::vector<chunk_plan> chunks;
  bool complete = false;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, plan_page& x) {
  return f(x.video, x.held, x.plan, x.first_chunk, x.chunks, x.complete);
}

struct task_commit {
  task_id task;
  epoch held;
  output_ref output;
  findings found;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_commit& x) {
  return f(x.task, x.held, x.output, x.found);
}

/// The holder gives the rest of its lease back. Errors that are the input's fault end the job.
struct task_failure {
  task_id task;
  epoch held;
  errc code = errc::internal;
  std::string message;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_failure& x) {
  return f(x.task, x.held, x.code, x.message);
}

}  // namespace latham
