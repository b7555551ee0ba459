// Which version of the cluster's protocol two nodes speak on a link. A cluster is upgraded node by node, so each release
// works with the one before it: it knows the oldest version that it still speaks, and speaks the older one of the two.
#pragma once

#include "core/expected.hpp"
#include "core/ids.hpp"

#include <cstdint>

namespace latham {

/// Grows with each message that a node of the release before would not understand. Whoever sends such a message looks at the
/// version that the link agreed on.
inline constexpr std::uint16_t protocol_version = 8;
/// Of the peers that this release still works with. Neither version 7 nor 8 was released yet: messages change as they have to.
inline constexpr std::uint16_t protocol_oldest = 8;

struct protocol_versions {
  std::uint16_t newest = protocol_version;
  std::uint16_t oldest = protocol_oldest;
};

/// What to speak with a peer whose newest version is `theirs`. Fails with unsupported when the peer is too old. A peer that is
/// newer decides the same for itself: only it knows the oldest version that it speaks.
[[nodiscard]] expected<std::uint16_t> agreed_version(const protocol_versions& own, const node_name& peer, std::uint16_t theirs);

}  // namespace latham
