#include "core/cluster/identities.hpp"

#include <algorithm>

namespace latham {

std::optional<ports::endpoint> other_address(const std::vector<ports::endpoint>& found, const std::vector<ports::endpoint>& known) {
  const auto at = std::find_if(found.begin(), found.end(), [&](const auto& one) { return std::find(known.begin(), known.end(), one) == known.end(); });
  return at == found.end() ? std::nullopt : std::optional{*at};
}

bool identities::on_heard(const node_name& name, std::uint64_t incarnation, instant now) {
  // Names come from peers, so their number is bounded by what is remembered for so long.
  std::erase_if(known_, [&](const auto& entry) { return now - entry.second.heard > memory_; });
  auto& k = known_[name];
  if (incarnation < k.incarnation) return false;
  k = {incarnation, now};
  return true;
}

}  // namespace latham
