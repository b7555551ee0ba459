#include "core/cluster/shard_census.hpp"

#include <algorithm>

namespace latham {

void shard_census::on_claims(const node_name& node, const std::vector<shard_claim>& claims) {
  if (!members_.contains(node)) return;
  heard_.insert(node);
  for (const auto& claim : claims) {
    auto& newest = newest_[claim.shard];
    if (!newest.empty() && newest.front().generation < claim.generation) newest.clear();
    if (newest.empty() || (newest.front().generation == claim.generation && std::find(newest.begin(), newest.end(), claim) == newest.end())) newest.push_back(claim);
  }
}

std::vector<shard_claim> shard_census::newest(std::uint16_t shard) const {
  const auto at = newest_.find(shard);
  return at == newest_.end() ? std::vector<shard_claim>{} : at->second;
}

std::vector<std::uint16_t> shard_census::of(const node_name& name) const {
  std::vector<std::uint16_t> out;
  for (const auto& [shard, claims] : newest_)
    if (std::any_of(claims.begin(), claims.end(), [&](const shard_claim& c) { return c.holder == name; })) out.push_back(shard);
  return out;
}

}  // namespace latham
