// Where a blob lives: rendezvous hashing of its id over the configured storage nodes. Everybody who knows the members
// computes the same order without asking anybody; the first that live hold the copies, and readers ask in that order.
//
// The members are those of the configuration, not those that happen to be up: an order that followed every failure would
// move blobs whenever a node restarts. A member that joins or leaves moves only the blobs that it gains or loses
// (Thaler, Ravishankar: "Using name-based mappings to increase hit rates", 1998).
#pragma once

#include "core/ids.hpp"

#include <cstdint>
#include <vector>

namespace latham {

/// A member's weight for a blob: disk format in effect, since a change would move every blob. Golden values are tested.
[[nodiscard]] std::uint64_t placement_weight(const node_name& member, blob_id blob) noexcept;

/// All members, the one with the greatest weight first; equal weights by name. Deterministic whatever the order of `members`.
[[nodiscard]] std::vector<node_name> placement_of(blob_id blob, std::vector<node_name> members);

}  // namespace latham
