#include "core/scheduler/slot_offers.hpp"

#include <algorithm>
#include <tuple>

namespace latham {

void slot_offers::add(const node_name& scheduler) { schedulers_.try_emplace(scheduler); }

void slot_offers::remove(const node_name& scheduler) {
  const auto at = schedulers_.find(scheduler);
  if (at == schedulers_.end()) return;
  at->second.waiting = 0;
  // Leases of a scheduler that is away go on. Its entry stays, as one of the few that are configured.
  if (at->second.held == 0) schedulers_.erase(at);
}

void slot_offers::on_granted(const node_name& scheduler) {
  auto& e = schedulers_[scheduler];
  ++e.held;
  ++held_;
  if (e.waiting > 0) --e.waiting;
  e.last_turn = ++turns_;
}

void slot_offers::on_ended(const node_name& scheduler) {
  const auto at = schedulers_.find(scheduler);
  if (at == schedulers_.end() || at->second.held == 0) return;
  --at->second.held;
  --held_;
}

void slot_offers::on_answer(const node_name& scheduler, std::uint32_t waiting) {
  if (const auto at = schedulers_.find(scheduler); at != schedulers_.end()) at->second.waiting = waiting;
}

std::uint32_t slot_offers::allowance(const node_name& scheduler) const {
  const auto at = schedulers_.find(scheduler);
  if (at == schedulers_.end()) return 0;
  const auto& me = at->second;
  std::uint32_t hungry = 0;
  std::uint32_t before_me = 0;  // hungry ones that have waited longer
  std::uint32_t held_by_fed = 0;
  for (const auto& [name, e] : schedulers_) {
    if (e.waiting == 0) {
      held_by_fed += e.held;
      continue;
    }
    ++hungry;
    if (std::tie(e.last_turn, name) < std::tie(me.last_turn, scheduler)) ++before_me;
  }
  if (hungry == 0) return me.held + free();
  if (me.waiting == 0) return me.held;
  const auto to_share = slots_ - std::min(slots_, held_by_fed);
  const auto share = to_share / hungry + (before_me < to_share % hungry ? 1 : 0);
  // Never beyond what is free: others may hold more than their part until their leases end.
  return std::min(share, me.held + free());
}

}  // namespace latham
