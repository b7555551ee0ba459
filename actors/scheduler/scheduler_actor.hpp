// The scheduler role: core/scheduler/scheduler.hpp as an actor. It persists what the rules decide, then does it. The only
// writer of its videos; everything it knows is loaded again after a restart.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"

namespace latham {

/// Loads its records, takes a new generation, then registers itself with the directory; until then requests fail with
/// errc::unavailable.
[[nodiscard]] caf::actor spawn_scheduler(caf::event_based_actor* parent, const env& e, directory_actor directory);

}  // namespace latham
