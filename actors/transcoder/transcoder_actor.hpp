// The worker role: asks the scheduler for work while it has free slots, runs a slot per lease, renews all leases in one
// message, and passes plans and commits on in batches. It keeps nothing that matters: a worker that dies loses nothing.
//
// It fences itself: a lease that could not be renewed within its ttl, counted from when the renewal was *sent*, is given
// up, so a cut-off worker stops burning CPU on work that now belongs to another.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"

namespace latham {

[[nodiscard]] caf::actor spawn_transcoder(caf::event_based_actor* parent, const env& e, directory_actor directory);

}  // namespace latham
