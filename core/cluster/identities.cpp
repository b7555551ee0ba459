#include "core/cluster/identities.hpp"

namespace latham {

bool identities::on_heard(const node_name& name, std::uint64_t incarnation, instant now) {
  // Names come from peers, so their number is bounded by what is remembered for so long.
  std::erase_if(known_, [&](const auto& entry) { return now - entry.second.heard > memory_; });
  auto& k = known_[name];
  if (incarnation < k.incarnation) return false;
  k = {incarnation, now};
  return true;
}

}  // namespace latham
