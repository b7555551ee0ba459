// The media engine as a worker has it: one codec child per slot, spoken to by media/child_protocol.hpp.
//
// Codecs meet bytes from strangers, so they run in a child of this same binary. A child is spawned when its slot gets
// its first task, kept for many tasks (a spawn costs 50 ms of CPU), and replaced after a crash, a breach of protocol, a
// cancelled task, or `tasks_per_child_max` tasks, which bounds what a leak can do. The child is not trusted: every message
// is checked against the task it was given, and the first breach kills it and ends the task with errc::crashed. One that is
// not contained (its hello says so) is refused like a breach, unless `unsafe_codecs` is set.
//
// Every task brings its processor seconds (core/task_budget.hpp); a child whose life may be too short for the next task is
// replaced before it. A child that uses them up ends by SIGXCPU, and its task with errc::timeout.
//
// What this class does not do: it sets no wall-clock limit and notices no stall; its caller has the clock and cancels by
// destroying the session. It caches nothing: on_read goes to the caller. Back-pressure: an engine that waits for a read
// makes no pieces, so a caller that cannot keep up with on_piece delays `supply`.
//
// Threads. `start` and a session's `supply` and destructor may be called from any thread, also from inside a listener
// call. Listener calls come on the spawner's thread, but for one: when no child can be spawned, on_end comes from inside
// `start`. Destroying a session waits for a listener call that is running on another thread, so do not hold a lock there
// that the listener takes. Destroy all sessions before the engine, the engine before its spawner, and not from a listener call.
#pragma once

#include "core/model.hpp"
#include "core/ports/log_sink.hpp"
#include "core/ports/media_engine.hpp"
#include "core/ports/process.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace latham::media {

struct child_engine_options {
  std::vector<std::string> arguments{"codec-child"};
  // Of a ladder up to 2160p from ten bits of HDR a child needs 1.9 GiB, and more from larger pictures. The CPU limit is for
  // a child's whole life.
  ports::child_limits limits{3ull * 1024 * 1024 * 1024, 24 * 3600, 0};
  std::uint32_t tasks_per_child_max = 32;
  std::uint32_t task_cpu_seconds_max = 24 * 3600;  // of one task; core/task_budget.hpp says less for most
  bool unsafe_codecs = false;  // a child that is not contained gets work all the same
  ports::log_sink* log = nullptr;  // outlives the engine; is told what a child said before it ended by itself
};

class child_engine final : public ports::media_engine {
public:
  /// `id` is what media/av's engine_identity() says; a child that says otherwise is refused. `spawner` outlives this.
  child_engine(ports::child_spawner& spawner, engine_id id, child_engine_options options = {});
  ~child_engine() override;
  child_engine(const child_engine&) = delete;
  child_engine& operator=(const child_engine&) = delete;

  [[nodiscard]] engine_id id() const override;

  /// See ports::media_engine. A slot whose session has neither ended nor been destroyed is busy: starting it is a bug.
  [[nodiscard]] std::unique_ptr<ports::engine_session> start(std::uint32_t slot, ports::engine_task task,
                                                             std::shared_ptr<ports::engine_listener> listener) override;

private:
  class core;
  std::shared_ptr<core> core_;  // shared with sessions and with the callbacks of children
};

}  // namespace latham::media
