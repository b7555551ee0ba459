#include "core/cluster/recollection.hpp"

#include "core/reach.hpp"

#include <algorithm>

namespace latham {

void recollection::begin(const copy_rules& rules, bool empty) {
  const auto members = rules.members.size();
  claims_known_ = marks_known_ = !empty || members < 2;
  const auto majority = members / 2 + 1;
  claims_needed_ = members - majority + 1;
  marks_needed_ = std::min(members - 1, members + 1 - rules.acks);
}

void recollection::begin_again(const copy_rules& rules, const std::vector<shard_claim>& own) {
  *this = {};
  begin(rules, true);
  for (const auto& claim : own) note(claim);
}

void recollection::note(const shard_claim& claim) {
  auto& newest = newest_.try_emplace(claim.shard, claim).first->second;
  if (newest.generation < claim.generation) newest = claim;
  else if (LATHAM_REACHED_IF("two_holders_of_a_generation_told", newest.generation == claim.generation && newest != claim)) newest.incarnation = 0;
}

void recollection::on_claims(const node_name& node, const answer& told, instant sent, instant now) {
  for (const auto& claim : told.claims) note(claim);
  const auto since = knows_us_.try_emplace(node, now).first->second;
  // Who keeps no claim at all has not lived with a scheduler yet, or has lost its disk as well.
  if (told.claims.empty() || (told.known && sent >= since + claim_ttl)) told_claims_.insert(node);
  if (told.blank) on_marks(node);
}

void recollection::take_back(const node_name& node) {
  knows_us_.erase(node);
  told_claims_.erase(node);
  told_marks_.erase(node);
}

void recollection::on_marks(const node_name& node) {
  told_marks_.insert(node);
  marks_known_ = marks_known_ || told_marks_.size() >= marks_needed_;
}

bool recollection::may_keep_claims() const noexcept { return !claims_known_ && told_claims_.size() >= claims_needed_; }

std::vector<shard_claim> recollection::claims() const {
  std::vector<shard_claim> out;
  for (const auto& [shard, claim] : newest_) out.push_back(claim);
  return out;
}

}  // namespace latham
