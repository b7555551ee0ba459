// Who may speak as a node. A name belongs to one process at a time, but two may live: Kubernetes deletes a pod by force
// while its machine is only cut off, and starts another. The one that started later is the one that is wanted: it wins
// wherever both are heard, and the other is told to stop itself.
//
// This is a courtesy that ends twins soon. What makes them harmless is elsewhere: leases and shard claims are fenced.
#pragma once

#include "core/ids.hpp"
#include "core/units.hpp"

#include <map>

namespace latham {

/// Grows with each start of a node: UTC milliseconds, then 16 bits of chance for two that start at once.
[[nodiscard]] constexpr std::uint64_t make_incarnation(utc_ms wall, std::uint64_t random) noexcept {
  return static_cast<std::uint64_t>(wall.value) << 16 | (random & 0xffff);
}

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
