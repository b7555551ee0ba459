// Which shards a scheduler has, as the storage nodes keep it: their claims, heard from a majority. It is asked for when a
// scheduler starts, because its own disk may be gone, and because a shard may have been handed over meanwhile. Pure.
#pragma once

#include "core/cluster/shard_claim.hpp"

namespace latham {

class shard_census {
public:
  /// `members`: the configured storage nodes.
  explicit shard_census(std::vector<node_name> members) : members_{members.begin(), members.end()} {}

  /// All claims that `node` keeps. It must know that they are all: one that lost its disk does not.
  void on_claims(const node_name& node, const std::vector<shard_claim>& claims);
  /// A majority was heard, so every claim that counts is among them.
  [[nodiscard]] bool complete() const noexcept { return heard_.size() >= members_.size() / 2 + 1; }

  /// The newest claims of a shard: none, one, or several of one generation when claimants meet.
  [[nodiscard]] std::vector<shard_claim> newest(std::uint16_t shard) const;
  /// The shards of which one of the newest claims is `name`'s.
  [[nodiscard]] std::vector<std::uint16_t> of(const node_name& name) const;

private:
  std::set<node_name> members_;
  std::set<node_name> heard_;
  std::map<std::uint16_t, std::vector<shard_claim>> newest_;
};

}  // namespace latham
