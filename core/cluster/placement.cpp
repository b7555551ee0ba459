#include "core/cluster/placement.hpp"

#include <algorithm>

namespace latham {

namespace {

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

std::uint64_t hash_of(const node_name& member) noexcept {
  std::uint64_t name = 0xcbf29ce484222325ull;  // FNV-1a
  for (const auto c : member) name = (name ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix(name);
}

}  // namespace

std::uint64_t placement_weight(const node_name& member, blob_id blob) noexcept { return mix(mix(hash_of(member) ^ blob.high) ^ blob.low); }

std::uint64_t digest_of(const copy_rules& rules) noexcept {
  auto out = mix(std::uint64_t{rules.copies} << 32 | rules.acks);
  for (const auto& member : rules.members) out = mix(out ^ hash_of(member)) + (rules.draining.contains(member) ? 1 : 0);
  return out;
}

std::vector<node_name> placement_of(blob_id blob, std::vector<node_name> members) {
  std::sort(members.begin(), members.end(), [blob](const node_name& a, const node_name& b) {
    const auto wa = placement_weight(a, blob), wb = placement_weight(b, blob);
    return wa != wb ? wa > wb : a < b;
  });
  return members;
}

copy_rules make_copy_rules(node_name self, std::vector<node_name> members, std::set<node_name> draining, std::uint32_t copies, std::uint32_t acks) {
  if (members.empty()) members.push_back(self);
  std::sort(members.begin(), members.end());
  members.erase(std::unique(members.begin(), members.end()), members.end());
  std::uint32_t taking = 0;
  for (const auto& member : members) taking += draining.contains(member) ? 0 : 1;
  if (taking == 0) {  // all of them are to be emptied, and there is nowhere to go: as if none were
    draining.clear();
    taking = static_cast<std::uint32_t>(members.size());
  }
  copy_rules out{std::move(self), std::move(members), std::move(draining), std::min(copies == 0 ? 2 : copies, taking), 1};
  out.acks = std::min(acks == 0 ? out.copies : acks, out.copies);
  return out;
}

std::vector<node_name> placement_of(blob_id blob, const copy_rules& rules) {
  auto order = placement_of(blob, rules.members);
  std::stable_partition(order.begin(), order.end(), [&](const node_name& member) { return !rules.draining.contains(member); });
  return order;
}

std::vector<node_name> homes_of(blob_id blob, const copy_rules& rules, const std::set<node_name>& away) {
  std::vector<node_name> homes;
  for (auto& member : placement_of(blob, rules)) {
    if (homes.size() == rules.copies || rules.draining.contains(member)) break;
    if (!away.contains(member)) homes.push_back(std::move(member));
  }
  return homes;
}

}  // namespace latham
