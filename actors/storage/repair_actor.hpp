// Brings blobs back to as many copies as there are to be, and finds those that rot. One per storage node of several.
//
// Repair: when a storage node comes, and from time to time, every own blob is looked at, page by page: the others say what
// they have, core/cluster/repair_plan says what that means, and here it is done. Bytes are pushed, never fetched: a node
// that returns empty need not know what it lacks. A push that breaks off goes on from there in the next round.
//
// Scrub: own sealed blobs are read all the time, slowly, because a disk does not tell of a block that nobody reads. A
// damaged block is written anew from another node's copy, in place.
//
// It keeps nothing: whatever it did not finish is found again.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"
#include "actors/protocol.hpp"

namespace latham {

[[nodiscard]] caf::actor spawn_repair(caf::event_based_actor* parent, const env& e, directory_actor directory);

}  // namespace latham
