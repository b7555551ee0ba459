#include "core/cluster/shard_holds.hpp"

#include <algorithm>

namespace latham {

shard_holds::shard_holds(node_name self, std::uint64_t incarnation, shard_claim last, std::vector<node_name> members)
  : self_{std::move(self)}, incarnation_{incarnation}, last_{std::move(last)}, members_{std::move(members)}, generation_{last_.generation + 1} {}

void shard_holds::add(std::uint16_t shard, std::uint32_t newest, predecessor from) {
  holds_.insert_or_assign(shard, shard_hold{shard, self_, incarnation_, last_, members_, from});
  raise(std::max(generation_, newest + 1));
}

void shard_holds::raise(std::uint32_t generation) {
  generation_ = generation;
  for (auto& [shard, hold] : holds_) hold.raise(generation);
}

std::vector<claim_request> shard_holds::requests(instant now) const {
  std::vector<claim_request> out;
  for (const auto& [shard, hold] : holds_)
    if (auto asked = hold.request(now)) out.push_back(std::move(*asked));
  return out;
}

void shard_holds::on_answer(const node_name& storage, const claim_request& asked, const claim_answer& answer, instant sent, instant now) {
  const auto at = holds_.find(asked.wanted.shard);
  if (at == holds_.end()) return;
  at->second.on_answer(storage, asked, answer, sent, now);
  // Each that was owned stays where it is, so once all of them were the generation does.
  raise(std::max(generation_, at->second.claim().generation));
}

void shard_holds::own() noexcept {
  for (auto& [shard, hold] : holds_) hold.own();
}

bool shard_holds::holds(instant now) const {
  return std::all_of(holds_.begin(), holds_.end(), [&](const auto& h) { return h.second.holds(now); });
}

bool shard_holds::lost() const noexcept {
  return std::any_of(holds_.begin(), holds_.end(), [](const auto& h) { return h.second.lost(); });
}

bool shard_holds::outdated() const noexcept {
  return std::any_of(holds_.begin(), holds_.end(), [](const auto& h) { return h.second.outdated(); });
}

std::vector<std::uint16_t> shard_holds::shards() const {
  std::vector<std::uint16_t> out;
  for (const auto& [shard, hold] : holds_) out.push_back(shard);
  return out;
}

shard_claim shard_holds::claim() const { return {holds_.empty() ? last_.shard : holds_.begin()->first, generation_, self_, incarnation_}; }

}  // namespace latham
