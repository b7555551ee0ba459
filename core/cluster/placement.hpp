// Where a blob lives: rendezvous hashing of its id over the configured storage nodes. Everybody who knows the members
// computes the same order without asking anybody; the first that live hold the copies, and readers ask in that order.
//
// The members are those of the configuration, not those that happen to be up: an order that followed every failure would
// move blobs whenever a node restarts. A member that joins or leaves moves only the blobs that it gains or loses
// (Thaler, Ravishankar: "Using name-based mappings to increase hit rates", 1998).
#pragma once

#include "core/ids.hpp"

#include <cstdint>
#include <set>
#include <vector>

namespace latham {

/// A member's weight for a blob: disk format in effect, since a change would move every blob. Golden values are tested.
[[nodiscard]] std::uint64_t placement_weight(const node_name& member, blob_id blob) noexcept;

/// All members, the one with the greatest weight first; equal weights by name. Deterministic whatever the order of `members`.
[[nodiscard]] std::vector<node_name> placement_of(blob_id blob, std::vector<node_name> members);

/// How many copies there are of what, as configured. Equal on all nodes, but for `self`.
struct copy_rules {
  node_name self;                   // empty on a node without storage
  std::vector<node_name> members;   // the configured storage nodes, not empty
  std::set<node_name> draining;     // members that are to lose what they hold: they get nothing new
  std::uint32_t copies = 1;         // of a blob and of an upload's record
  std::uint32_t acks = 1;           // of them durable before anybody is told
};

/// Fills in what was left out: `members` empty: this node alone; `copies` 0: two, or one for a single member; `acks` 0: as
/// many as copies. Never more than there are members that take copies.
[[nodiscard]] copy_rules make_copy_rules(node_name self, std::vector<node_name> members, std::set<node_name> draining, std::uint32_t copies, std::uint32_t acks);

/// Equal for two nodes that place copies alike: of everything but `self`. While a cluster's configuration changes, node by node,
/// each may take the other's copy for the one that stays; only what these agree on may be given up.
[[nodiscard]] std::uint64_t digest_of(const copy_rules& rules) noexcept;

/// All members in the order in which they get and are asked for the blob: those that are draining last.
[[nodiscard]] std::vector<node_name> placement_of(blob_id blob, const copy_rules& rules);
/// The first `copies` of them: where the blob belongs. `away` are passed over, because they will not be back soon.
[[nodiscard]] std::vector<node_name> homes_of(blob_id blob, const copy_rules& rules, const std::set<node_name>& away = {});

}  // namespace latham
