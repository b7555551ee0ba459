// The storage role: upload sessions, write tokens, the outbox towards the scheduler, and the reaper of output blobs that
// nobody refers to. Bytes never pass here: writers bring their token to the blob store.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"
#include "actors/protocol.hpp"

namespace latham {

/// Loads its records, then registers itself with the directory; until then requests fail with errc::unavailable.
[[nodiscard]] caf::actor spawn_storage(caf::event_based_actor* parent, const env& e, directory_actor directory);

}  // namespace latham
