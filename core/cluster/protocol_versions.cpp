#include "core/cluster/protocol_versions.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace latham {

expected<std::uint16_t> agreed_version(const protocol_versions& own, const node_name& peer, std::uint16_t theirs) {
  if (theirs < own.oldest)
    return {errc::unsupported, fmt::format("{} speaks version {} of the cluster's protocol, and the oldest that works with this node is {}; upgrade {}, release by release", peer, theirs, own.oldest, peer)};
  return std::min(own.newest, theirs);
}

}  // namespace latham
