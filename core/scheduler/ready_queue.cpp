#include "core/scheduler/ready_queue.hpp"

#include <algorithm>

namespace latham {

std::uint32_t ready_queue::running(const std::string& tenant) const {
  const auto at = running_.find(tenant);
  return at == running_.end() ? 0 : at->second;
}

void ready_queue::enter(video_id job, const entry& e) {
  auto& l = lanes_[e.engine][e.lane];
  auto& jobs = l.tenants[e.tenant];
  const auto count = running(e.tenant);
  if (!jobs.empty()) l.order.erase({count, *jobs.begin(), e.tenant});
  jobs.insert(job);
  l.order.emplace(count, *jobs.begin(), e.tenant);
}

void ready_queue::leave(video_id job, const entry& e) {
  const auto lanes = lanes_.find(e.engine);
  auto& l = lanes->second[e.lane];
  const auto tenant = l.tenants.find(e.tenant);
  auto& jobs = tenant->second;
  const auto count = running(e.tenant);
  l.order.erase({count, *jobs.begin(), e.tenant});
  jobs.erase(job);
  if (!jobs.empty()) {
    l.order.emplace(count, *jobs.begin(), e.tenant);
    return;
  }
  l.tenants.erase(tenant);
  if (std::all_of(lanes->second.begin(), lanes->second.end(), [](const lane& x) { return x.order.empty(); })) lanes_.erase(lanes);
}

void ready_queue::place(entry& e, video_id job, instant now) {
  const auto waited = ageing_.count() > 0 ? static_cast<std::size_t>((now - e.since) / ageing_) : 0;
  e.lane = std::min(classes - 1, e.base + waited);
  if (e.lane + 1 < classes && ageing_.count() > 0) {
    e.rises = e.since + ageing_ * static_cast<std::int64_t>(waited + 1);
    rises_.emplace(e.rises, job);
  }
  enter(job, e);
}

void ready_queue::put(video_id job, const engine_id& engine, const std::string& tenant, priority_class priority, instant now) {
  auto since = now;
  if (const auto at = jobs_.find(job); at != jobs_.end()) {
    if (at->second.engine == engine) return;
    since = at->second.since;
    erase(job);
  }
  auto& e = jobs_[job];
  e = {engine, tenant, static_cast<std::size_t>(priority), 0, since, {}};
  place(e, job, now);
}

void ready_queue::erase(video_id job) {
  const auto at = jobs_.find(job);
  if (at == jobs_.end()) return;
  rises_.erase({at->second.rises, job});
  leave(job, at->second);
  jobs_.erase(at);
}

void ready_queue::granted(video_id job, instant now) {
  const auto at = jobs_.find(job);
  if (at == jobs_.end()) return;
  rises_.erase({at->second.rises, job});
  leave(job, at->second);
  at->second.since = now;
  place(at->second, job, now);
}

void ready_queue::age(instant now) {
  while (!rises_.empty() && rises_.begin()->first <= now) {
    const auto job = rises_.begin()->second;
    rises_.erase(rises_.begin());
    auto& e = jobs_.at(job);
    leave(job, e);
    place(e, job, now);
  }
}

void ready_queue::set_running(const std::string& tenant, std::uint32_t count) {
  const auto before = running(tenant);
  for (auto& [engine, lanes] : lanes_)
    for (auto& l : lanes) {
      const auto at = l.tenants.find(tenant);
      if (at == l.tenants.end()) continue;
      l.order.erase({before, *at->second.begin(), tenant});
      l.order.emplace(count, *at->second.begin(), tenant);
    }
  if (count > 0)
    running_[tenant] = count;
  else
    running_.erase(tenant);
}

void ready_queue::began(const std::string& tenant) { set_running(tenant, running(tenant) + 1); }
void ready_queue::ended(const std::string& tenant) {
  if (const auto count = running(tenant); count > 0) set_running(tenant, count - 1);
}

std::optional<video_id> ready_queue::best(const engine_id& engine) const {
  const auto any = lanes_.find({});
  const auto own = engine.empty() ? lanes_.end() : lanes_.find(engine);
  for (auto c = classes; c-- > 0;) {
    const lane* first = nullptr;
    for (const auto at : {any, own}) {
      if (at == lanes_.end() || at->second[c].order.empty()) continue;
      if (first == nullptr || *at->second[c].order.begin() < *first->order.begin()) first = &at->second[c];
    }
    if (first != nullptr) return std::get<video_id>(*first->order.begin());
  }
  return {};
}

}  // namespace latham
