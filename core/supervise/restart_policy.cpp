#include "core/supervise/restart_policy.hpp"

#include "core/assert.hpp"

namespace latham {

restart_decision restart_policy::on_exit(std::size_t index, bool normal, instant now, std::uint64_t random) {
  LATHAM_ASSERT(index < children_.size());
  restart_decision out;
  const auto type = children_[index];
  if (type == restart_type::temporary || (type == restart_type::transient && normal)) return out;

  while (!restarts_.empty() && now - restarts_.front() > how_.period) restarts_.pop_front();
  restarts_.push_back(now);
  if (restarts_.size() > how_.max_restarts) {
    out.escalate = true;
    return out;
  }
  const auto first = how_.strategy == restart_strategy::one_for_all ? 0 : index;
  const auto last = how_.strategy == restart_strategy::one_for_one ? index + 1 : children_.size();
  for (auto i = last; i-- > first;)
    if (i != index) out.stop.push_back(i);
  for (auto i = first; i < last; ++i) out.start.push_back(i);
  out.delay = backoff(how_.wait, static_cast<std::uint32_t>(restarts_.size()), random);
  return out;
}

}  // namespace latham
