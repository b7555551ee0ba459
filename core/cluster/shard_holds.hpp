// All shards of one scheduler. It decides while it holds every one of them, and all have one generation: its epochs grow over
// all of its shards, so whoever gets one of them later begins above every epoch that was ever used of it. Pure.
#pragma once

#include "core/cluster/shard_claim.hpp"

namespace latham {

class shard_holds {
public:
  /// `last`: the claim of this scheduler's earlier life, from its disk; generation 0 when there was none.
  shard_holds(node_name self, std::uint64_t incarnation, shard_claim last, std::vector<node_name> members);

  /// Before the first request. `newest`: the greatest generation of it that a storage node keeps. `from`: who handed it
  /// over, nobody when it was held before.
  void add(std::uint16_t shard, std::uint32_t newest, predecessor from);

  [[nodiscard]] std::vector<claim_request> requests(instant now) const;
  void on_answer(const node_name& storage, const claim_request& asked, const claim_answer& answer, instant sent, instant now);

  /// The generation is about to be used. Precondition: holds.
  void own() noexcept;

  /// It may grant, commit and answer. A scheduler without any shard may do so, too: there is nothing that it could decide.
  [[nodiscard]] bool holds(instant now) const;
  [[nodiscard]] bool lost() const noexcept;
  [[nodiscard]] bool outdated() const noexcept;
  [[nodiscard]] bool has(std::uint16_t shard) const { return holds_.contains(shard); }
  [[nodiscard]] std::vector<std::uint16_t> shards() const;
  [[nodiscard]] std::uint32_t generation() const noexcept { return generation_; }
  /// To be durable before the first epoch of its generation is used.
  [[nodiscard]] shard_claim claim() const;

private:
  void raise(std::uint32_t generation);

  node_name self_;
  std::uint64_t incarnation_;
  shard_claim last_;
  std::vector<node_name> members_;
  std::map<std::uint16_t, shard_hold> holds_;
  std::uint32_t generation_;
};

}  // namespace latham
