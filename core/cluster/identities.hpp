// Who may speak as a node. A name belongs to one process at a time, but two may live: Kubernetes deletes a pod by force
// while its machine is only cut off, and starts another. The one that started later is the one that is wanted: it wins
// wherever both are heard, and the other is told to stop itself: by the peers that it dials, in their answers, and by those
// that dial it, once they have found the later one where the name points to now (actors/cluster/connector).
//
// This is a courtesy that ends twins soon. What makes them harmless is elsewhere: leases and shard claims are fenced.
#pragma once

#include "core/ids.hpp"
#include "core/ports/peer_links.hpp"
#include "core/units.hpp"

#include <map>
#include <optional>
#include <vector>

namespace latham {

/// Grows with each start of a node: UTC milliseconds, then 16 bits of chance for two that start at once.
[[nodiscard]] constexpr std::uint64_t make_incarnation(utc_ms wall, std::uint64_t random) noexcept {
  return static_cast<std::uint64_t>(wall.value) << 16 | (random & 0xffff);
}

/// As the clock of its machine said then.
[[nodiscard]] constexpr utc_ms began(std::uint64_t incarnation) noexcept { return {static_cast<std::int64_t>(incarnation >> 16)}; }

/// Somebody says hello under this process's own name: a peer that tells it of a later process. It must stop.
[[nodiscard]] inline bool is_outlived(const node_name& self, std::uint64_t incarnation, const node_name& said, std::uint64_t said_incarnation) noexcept {
  return said == self && said_incarnation > incarnation;
}

/// Where a name points to besides the addresses at which its present process is known to listen. Another process may be there.
[[nodiscard]] std::optional<ports::endpoint> other_address(const std::vector<ports::endpoint>& found, const std::vector<ports::endpoint>& known);

class identities {
public:
  /// A name that has been silent for `memory` is anybody's: else a node whose clock was set back could never return.
  explicit identities(milliseconds memory) : memory_{memory} {}

  /// A process says that it is `name`. False: a later one of that name was heard within `memory`, this one must stop.
  [[nodiscard]] bool on_heard(const node_name& name, std::uint64_t incarnation, instant now);

  [[nodiscard]] std::size_t size() const noexcept { return known_.size(); }

private:
  struct known {
    std::uint64_t incarnation = 0;
    instant heard;
  };
  const milliseconds memory_;
  std::map<node_name, known> known_;
};

}  // namespace latham
