// One peer link: Down -> Dialing -> Hello -> Up. A peer is Up only after an application-level hello reply; then its
// services stand in the directory. Pings go on all the time, because a peer that is cut off gives no sign by itself; on
// Down its services leave the directory at once and the link is dialed again with back-off.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"

namespace latham {

[[nodiscard]] caf::actor spawn_connector(caf::event_based_actor* parent, const env& e, directory_actor directory, peer_config peer);

/// The published actor of this node.
[[nodiscard]] node_root_actor spawn_node_root(caf::actor_system& system, const env& e, directory_actor directory);

}  // namespace latham
