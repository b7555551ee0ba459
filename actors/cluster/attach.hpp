// CAF over a stream that somebody else owns: a descriptor that net hands over becomes a connection of CAF's broker,
// without any listening or dialing by CAF (docs/adr says why).
//
// Relies on two messages of CAF 0.17.6's own broker, (publish_atom, scribe, port, actor, signatures) to serve a stream
// and (connect_atom, scribe, port) to use one; CMake pins the version and tests/integration/actors pins the behaviour.
#pragma once

#include "core/ids.hpp"
#include "core/ports/completion.hpp"
#include "core/ports/peer_links.hpp"

#include <caf/fwd.hpp>

#include <string>

namespace latham {

/// Serves this node's root to the peer at the other end. Takes the descriptor.
void attach_accepted(caf::actor_system& system, const ports::control_stream& stream, const caf::strong_actor_ptr& root);

/// Answers with the peer's root, or unavailable. Takes the descriptor. `done` runs in an actor of CAF's.
void attach_dialed(caf::actor_system& system, const ports::control_stream& stream, ports::completion<caf::strong_actor_ptr> done);

/// What makes a restarted process another CAF node: CAF derives node ids from MAC addresses and the process id, which in
/// a container are the same after each restart. app and sim define caf::detail::get_root_uuid with this.
[[nodiscard]] std::string fresh_uuid();

}  // namespace latham
