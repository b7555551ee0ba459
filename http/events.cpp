#include "http/events.hpp"

#include "http/json_views.hpp"

#include <algorithm>
#include <charconv>
#include <vector>

namespace latham::http {

events_hub::events_hub(ports::service& service, stream_sink& sink, std::string epoch, event_options options)
  : service_{service}, sink_{sink}, epoch_{std::move(epoch)}, options_{options}, next_beat_{clock::now() + options.heartbeat} {}

void events_hub::on_change(const video_view& v) {
  {
    const std::lock_guard lock{mutex_};
    if (changed_.size() >= options_.waiting_max && !changed_.contains(v.id)) {
      overflowed_ = true;
    } else {
      auto& waiting = changed_[v.id];
      if (waiting.id.is_nil() || v.revision >= waiting.revision) waiting = v;
    }
    if (std::exchange(posted_, true)) return;
  }
  flush_soon();
}

void events_hub::on_changes_missed() {
  {
    const std::lock_guard lock{mutex_};
    overflowed_ = true;
    if (std::exchange(posted_, true)) return;
  }
  flush_soon();
}

void events_hub::flush_soon() {
  const bool taken = post([self = weak_from_this()] {
    if (const auto hub = self.lock()) {
      hub->flush_due_ = true;
      hub->arm();
    }
  });
  if (!taken) {
    const std::lock_guard lock{mutex_};
    posted_ = false;
  }
}

bool events_hub::post(std::function<void()> work) {
  const std::lock_guard lock{gate_};
  return !detached_ && sink_.post(std::move(work));
}

void events_hub::detach() {
  const std::lock_guard lock{gate_};
  detached_ = true;
}

void events_hub::arm() {
  const auto now = clock::now();
  auto due = next_beat_;
  if (flush_due_) due = std::min(due, last_flush_ + options_.flush_interval);
  sink_.wake_after(std::max(std::chrono::ceil<milliseconds>(due - now), milliseconds{0}));
}

void events_hub::on_wake() {
  const auto now = clock::now();
  if (flush_due_ && now >= last_flush_ + options_.flush_interval) flush();
  if (now >= next_beat_) {
    next_beat_ = now + options_.heartbeat;
    const buffer beat{std::string{": still here\n\n"}};
    std::vector<net::stream_id> gone;
    for (auto& [id, c] : clients_)
      if (sink_.backlog(id) == 0 && !sink_.send(id, beat)) gone.push_back(id);
    for (const auto id : gone) clients_.erase(id);
  }
  arm();
}

void events_hub::flush() {
  flush_due_ = false;
  last_flush_ = clock::now();
  std::map<video_id, video_view> changed;
  bool overflowed = false;
  {
    const std::lock_guard lock{mutex_};
    changed.swap(changed_);
    posted_ = false;
    overflowed = std::exchange(overflowed_, false);
  }
  std::vector<std::pair<video_id, event>> fresh;
  for (const auto& [id, v] : changed) {
    event e;
    e.sequence = ++sequence_;
    e.frame = buffer{"id: " + id_of(e.sequence) + "\nevent: video\ndata: " + to_json(v) + "\n\n"};
    fresh.emplace_back(id, e);
    recent_.emplace_back(id, std::move(e));
    if (recent_.size() > options_.recent_max) recent_.pop_front();
  }
  std::vector<net::stream_id> gone;
  for (auto& [id, c] : clients_) {
    // Some changes were lost before they had a number: only a new snapshot is true now.
    if (overflowed) {
      sink_.close_stream(id);
      gone.push_back(id);
      continue;
    }
    if (c.wants_snapshot) continue;  // it will get these from `recent_`
    for (const auto& [video, e] : fresh)
      if (!give(id, c, video, e)) {
        gone.push_back(id);
        break;
      }
  }
  for (const auto id : gone) clients_.erase(id);
  if (overflowed) {
    recent_.clear();
    snapshot_.reset();
    ++sequence_;  // a number that no client has: who comes back with the last one gets a snapshot too
    ++missed_;
  }
}

bool events_hub::give(net::stream_id id, client& c, video_id video, const event& e) {
  if (c.waiting.empty() && sink_.backlog(id) < options_.backlog_bytes_high) return sink_.send(id, e.frame);
  c.waiting[video] = e;
  if (c.waiting.size() <= options_.waiting_max) return true;
  sink_.close_stream(id);
  return false;
}

void events_hub::on_drained(net::stream_id id) {
  const auto it = clients_.find(id);
  if (it == clients_.end() || it->second.waiting.empty()) return;
  auto& c = it->second;
  // In the order of their numbers: whatever id the client saw last, it has seen everything before it.
  std::vector<std::pair<video_id, event>> ordered(c.waiting.begin(), c.waiting.end());
  std::sort(ordered.begin(), ordered.end(), [](const auto& a, const auto& b) { return a.second.sequence < b.second.sequence; });
  c.waiting.clear();
  for (const auto& [video, e] : ordered)
    if (!give(id, c, video, e)) {
      clients_.erase(id);
      return;
    }
}

void events_hub::on_closed(net::stream_id id) { clients_.erase(id); }

void events_hub::on_open(net::stream_id id, const request_head& head) {
  if (!sink_.send(id, buffer{std::string{"retry: 2000\n\n"}})) return;
  auto& c = clients_[id];
  if (clients_.size() == 1) {
    next_beat_ = std::max(next_beat_, clock::now());
    arm();
  }
  if (const auto* last = head.field("last-event-id"); last != nullptr && last->rfind(epoch_ + '-', 0) == 0) {
    std::uint64_t sequence = 0;
    const auto* begin = last->data() + epoch_.size() + 1;
    const auto* end = last->data() + last->size();
    if (const auto [rest, failure] = std::from_chars(begin, end, sequence);
        failure == std::errc{} && rest == end && sequence <= sequence_) {
      c.wants_snapshot = false;
      if (replay(id, c, sequence)) return;
      if (!clients_.contains(id)) return;
      c.wants_snapshot = true;
    }
  }
  if (snapshot_ && clock::now() - snapshot_at_ <= options_.snapshot_age_max) {
    c.wants_snapshot = false;
    if (!sink_.send(id, snapshot_->frame)) {
      clients_.erase(id);
      return;
    }
    if (replay(id, c, snapshot_->sequence) || !clients_.contains(id)) return;
    c.wants_snapshot = true;
  }
  request_snapshot();
}

bool events_hub::replay(net::stream_id id, client& c, std::uint64_t sequence) {
  if (sequence < sequence_ && (recent_.empty() || recent_.front().second.sequence > sequence + 1)) return false;
  for (const auto& [video, e] : recent_)
    if (e.sequence > sequence && !give(id, c, video, e)) {
      clients_.erase(id);
      return false;
    }
  return true;
}

void events_hub::request_snapshot() {
  if (std::exchange(snapshot_under_way_, true)) return;
  service_.list("default", "", options_.snapshot_videos, [self = weak_from_this(), sequence = sequence_, missed = missed_](expected<ports::video_page> page) {
    const auto hub = self.lock();
    if (!hub) return;
    (void)hub->post([self, sequence, missed, page = std::move(page)]() mutable {
      const auto again = self.lock();
      if (!again) return;
      if (missed == again->missed_) return again->take_snapshot(sequence, std::move(page));
      // It was asked for before changes were missed: whoever waits now must not get it.
      again->snapshot_under_way_ = false;
      if (!again->clients_.empty()) again->request_snapshot();
    });
  });
}

void events_hub::take_snapshot(std::uint64_t sequence, expected<ports::video_page> page) {
  snapshot_under_way_ = false;
  std::vector<net::stream_id> waiting;
  for (const auto& [id, c] : clients_)
    if (c.wants_snapshot) waiting.push_back(id);
  if (!page) {
    // They come back by themselves, after the time that `retry` names.
    for (const auto id : waiting) {
      sink_.close_stream(id);
      clients_.erase(id);
    }
    return;
  }
  event e;
  e.sequence = sequence;
  e.frame = buffer{"id: " + id_of(sequence) + "\nevent: snapshot\ndata: " + to_json(*page) + "\n\n"};
  snapshot_ = e;
  snapshot_at_ = clock::now();
  bool stale = false;
  for (const auto id : waiting) {
    const auto it = clients_.find(id);
    if (it == clients_.end()) continue;
    auto& c = it->second;
    if (!sink_.send(id, e.frame)) {
      clients_.erase(it);
      continue;
    }
    c.wants_snapshot = false;
    if (!replay(id, c, sequence) && clients_.contains(id)) {
      c.wants_snapshot = true;
      stale = true;
    }
  }
  if (stale) request_snapshot();
}

}  // namespace latham::http
