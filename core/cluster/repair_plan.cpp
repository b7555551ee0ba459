#include "core/cluster/repair_plan.hpp"

#include "core/reach.hpp"

#include <algorithm>

namespace latham {

namespace {

bool same(const ports::blob_stat& own, const ports::blob_look& there) {
  return there.presence == ports::blob_presence::sealed && there.about.bytes == own.bytes && there.about.digest == own.digest;
}

repair_plan plan_open(const ports::blob_stat& own, const copy_rules& rules, const std::map<node_name, ports::blob_look>& heard, const std::set<node_name>& agreed, bool abandoned) {
  // Written here right now, or left behind by a writer who went on elsewhere. Whose first home is here has a record that
  // says so; the storage actor expires it.
  repair_plan out;
  const auto order = placement_of(own.blob, rules);
  std::size_t sealed = 0;
  for (const auto& [node, there] : heard) sealed += agreed.contains(node) && there.presence == ports::blob_presence::sealed ? 1 : 0;
  const auto homes = homes_of(own.blob, rules);
  const bool is_home = std::find(homes.begin(), homes.end(), rules.self) != homes.end();
  if (!is_home && sealed >= homes.size()) out.own = repair_plan::own_copy::give_up;
  // Bytes come from the first home, which has them before anybody else: where it has nothing, nothing more will come. Other
  // parts like this one are no reason to keep it. Without a tombstone, should the writer be somewhere else after all.
  const bool all_heard = heard.size() + 1 == rules.members.size() && std::all_of(heard.begin(), heard.end(), [&](const auto& h) { return agreed.contains(h.first); });
  const auto first = heard.find(order.front());
  if (abandoned && all_heard && sealed == 0 && first != heard.end() && first->second.presence == ports::blob_presence::missing) out.own = repair_plan::own_copy::abandon;
  return out;
}

}  // namespace

repair_plan plan_repair(const ports::blob_stat& own, const copy_rules& rules, const std::map<node_name, ports::blob_look>& heard,
                        const std::set<node_name>& away, const std::set<node_name>& agreed, bool abandoned) {
  repair_plan out;
  for (const auto& [node, there] : heard) {
    if (there.presence != ports::blob_presence::dead) continue;
    out.own = repair_plan::own_copy::remove;
    return out;
  }
  if (!own.sealed) return plan_open(own, rules, heard, agreed, abandoned);
  const auto order = placement_of(own.blob, rules);
  // Who pushes: the first that has it whole.
  const auto pusher = std::find_if(order.begin(), order.end(), [&](const node_name& node) {
    if (node == rules.self) return true;
    const auto at = heard.find(node);
    return at != heard.end() && same(own, at->second);
  });
  const bool mine = pusher != order.end() && *pusher == rules.self;
  const auto homes = homes_of(own.blob, rules);
  const bool is_home = std::find(homes.begin(), homes.end(), rules.self) != homes.end();
  std::size_t have = 0;  // homes that have it whole
  std::size_t keep = 0;  // and give it up by no other rules than these
  for (const auto& home : homes) {
    const auto at = heard.find(home);
    if (at == heard.end() || !same(own, at->second)) continue;
    ++have;
    keep += agreed.contains(home) ? 1 : 0;
  }
  for (const auto& home : homes_of(own.blob, rules, away)) {
    const auto at = heard.find(home);
    if (home == rules.self || at == heard.end() || same(own, at->second)) continue;
    if (at->second.presence == ports::blob_presence::sealed) {
      out.different.push_back(home);
      continue;
    }
    ++out.lacking;
    if (mine) out.push.push_back(home);
  }
  if (!out.push.empty() && std::find(homes.begin(), homes.end(), out.push.back()) == homes.end()) LATHAM_REACHED("pushed_to_a_stand_in");
  if (is_home || have < homes.size()) return out;
  if (!LATHAM_REACHED_IF("copy_kept_for_another_configuration", keep < homes.size())) out.own = repair_plan::own_copy::give_up;
  return out;
}

ports::write_token push_token(const ports::blob_stat& sealed) noexcept {
  std::uint64_t nonce = 0x70757368;  // "push": zero bytes have a digest, too, but a nonce of a writer is never this one
  for (std::size_t i = 0; i < 8; ++i) nonce = nonce << 8 ^ nonce >> 56 ^ sealed.digest.bytes[i];
  return {sealed.blob, nonce, std::max<std::uint64_t>(1, sealed.bytes)};
}

}  // namespace latham
