// Who offers which service right now: services of this node and, while their links are Up, of its peers. Actors ask by
// name and are told of every change; nobody keeps a remote handle beyond what the directory last said.
#pragma once

#include "actors/env.hpp"
#include "actors/protocol.hpp"

namespace latham {

/// Local only.
using directory_actor = caf::typed_actor<
  /// A service started, restarted, or (null handle) ended.
  caf::reacts_to<service_change>,
  /// Tells the subscriber the present and every later state of a service, as service_change. Any number of services.
  caf::reacts_to<listen_atom, std::string, caf::actor>,
  /// What this node itself runs under that name.
  caf::replies_to<resolve_atom, std::string>::with<caf::strong_actor_ptr>>;

[[nodiscard]] directory_actor spawn_directory(caf::actor_system& system, const env& e);

}  // namespace latham
