// One peer link: Down -> Dialing -> Hello -> Up. A peer is Up only after an application-level hello reply; then its
// services stand in the directory. Pings go on all the time, because a peer that is cut off gives no sign by itself; on
// Down its services leave the directory at once and the link is dialed again with back-off.
//
// While a link stands its peer's name is looked up again now and then. A name may move to a later process while the earlier
// one lives on, cut off from whoever would end it; links to that one would stand for ever. Of two processes of a name the
// later one becomes the peer, and the earlier one is told to stop (core/cluster/identities).
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"

namespace latham {

[[nodiscard]] caf::actor spawn_connector(caf::event_based_actor* parent, const env& e, directory_actor directory, peer_config peer);

/// The published actor of this node. `outlived` is called in its turn, with the reason in words, when a peer tells of a later
/// process of this node's name: the node must end.
[[nodiscard]] node_root_actor spawn_node_root(caf::actor_system& system, const env& e, directory_actor directory, std::function<void(std::string)> outlived = {});

}  // namespace latham
