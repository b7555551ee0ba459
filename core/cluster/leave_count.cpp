#include "core/cluster/leave_count.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace latham {

leave_count::leave_count(copy_rules rules, const std::vector<upload_mark>& own, const std::vector<shard_claim>& claims) : rules_{std::move(rules)} {
  for (const auto& mark : own)
    if (mark.state == upload_state::receiving) ++receiving_;
    else uploads_[mark] = 0;
  for (const auto& claim : claims) claims_[claim.shard] = {claim, 0};
}

void leave_count::on_rules(const node_name& node, std::uint64_t digest) {
  if (digest != digest_of(rules_)) differ_.insert(node);
}

void leave_count::on_marks(const node_name& node, const std::vector<upload_mark>& marks) {
  if (rules_.draining.contains(node)) return;
  for (const auto& mark : marks) {
    const auto at = uploads_.find(mark);
    if (at != uploads_.end() && mark.state >= at->first.state) ++at->second;
  }
}

void leave_count::on_claims(const node_name& node, const std::vector<shard_claim>& claims) {
  if (rules_.draining.contains(node)) return;
  for (const auto& claim : claims) {
    const auto at = claims_.find(claim.shard);
    if (at != claims_.end() && claim.generation >= at->second.first.generation) ++at->second.second;
  }
}

leave_report leave_count::report(std::uint64_t blobs, std::uint64_t changes) const {
  leave_report out;
  const auto because = [&](const char* what, std::uint64_t count, std::string detail) { out.reasons.push_back({what, count, std::move(detail)}); };
  if (!rules_.draining.contains(rules_.self)) {
    if (rules_.members.size() < 2) because("only_node", 0, fmt::format("{} is the only storage node; add others that can take over what it keeps", rules_.self));
    else because("not_draining", 0, fmt::format("{} is not being emptied; start all nodes with it, but not with all storage nodes, in --draining", rules_.self));
    return out;
  }
  std::vector<node_name> away;
  std::size_t stay = 0;
  for (const auto& member : rules_.members) {
    stay += rules_.draining.contains(member) ? 0 : 1;
    if (member != rules_.self && !heard_.contains(member)) away.push_back(member);
  }
  if (!away.empty()) because("nodes_away", away.size(), fmt::format("{} did not answer; start what is down, so that it can tell what it keeps", fmt::join(away, ", ")));
  if (!differ_.empty())
    because("nodes_differ", differ_.size(), fmt::format("{} runs with another --storage, --draining, --copies or --ack-copies; restart it with those of {}", fmt::join(differ_, ", "), rules_.self));
  if (receiving_ > 0) because("uploads_receiving", receiving_, "uploads are still coming in here; they end, or expire when nobody sends any more");
  if (changes > 0) because("changes", changes, "records and deletes came in just now; ask again in a second");
  if (blobs > 0) because("blobs", blobs, "blobs are on this node's disk; they go once the others have their copies");
  const auto lacking = static_cast<std::uint64_t>(std::count_if(uploads_.begin(), uploads_.end(), [this](const auto& u) { return u.second < rules_.copies; }));
  if (lacking > 0) because("uploads", lacking, "records of uploads and deletes are on too few of the nodes that stay; they are handed over");
  const auto needed = stay - (stay / 2 + 1) + 1;
  const auto unknown = static_cast<std::uint64_t>(std::count_if(claims_.begin(), claims_.end(), [needed](const auto& c) { return c.second.second < needed; }));
  if (unknown > 0) because("claims", unknown, "too few of the nodes that stay know who owns some shards; their schedulers have to reach them");
  out.may_leave = out.reasons.empty();
  return out;
}

}  // namespace latham
