#include "core/scheduler/scheduler.hpp"

#include "core/assert.hpp"
#include "core/findings.hpp"
#include "core/manifest/storyboard.hpp"
#include "core/reach.hpp"

#include <algorithm>
#include <tuple>

namespace latham {

std::string_view to_string(task_kind kind) noexcept {
  switch (kind) {
    case task_kind::plan: return "plan";
    case task_kind::video: return "video";
    case task_kind::audio: return "audio";
    case task_kind::text: return "text";
  }
  return "unknown";
}

std::string to_string(const task_id& id) { return to_string(id.video) + "/" + std::string{to_string(id.kind)} + "/" + std::to_string(id.index); }

namespace {

bool is_inputs_fault(errc code) {
  return code == errc::unsupported || code == errc::unprocessable || code == errc::too_large || code == errc::invalid_argument;
}

bool is_our_own_trouble(errc code) {
  return code == errc::cancelled || code == errc::unavailable || code == errc::disk_full || code == errc::limited;
}

bool is_working(video_state s) { return s == video_state::queued || s == video_state::planning || s == video_state::encoding; }

}  // namespace

scheduler::scheduler(scheduler_config config, std::uint32_t generation) : config_{config}, last_{generation, 0}, ready_{config.ageing} {}

// ---- Restart -------------------------------------------------------------------------------------------------------

void scheduler::load(video_record record) {
  const auto id = record.request.video;
  videos_[id].record = std::move(record);
}

void scheduler::load(task_record record) {
  const auto key = std::pair{record.id.kind, record.id.index};
  videos_[record.id.video].tasks[key].record = std::move(record);
}

void scheduler::load(lease_record record) {
  const auto held = record.held;
  leases_[held].record = std::move(record);
}

void scheduler::load(scheduler_meta record) {
  // The generation was raised by whoever made us; only a store that went back in time could be ahead.
  LATHAM_ASSERT(record.last.generation < last_.generation || (record.last.generation == last_.generation && record.last.counter >= last_.counter));
  if (record.last.generation == last_.generation) last_ = record.last;
}

void scheduler::loaded(instant now, decision& out) {
  // A task without its video cannot be: both were written in one batch.
  std::erase_if(videos_, [](const auto& entry) { return entry.second.record.request.video.is_nil(); });
  for (auto& [held, lease] : leases_) {
    set_expiry(held, lease, now + config_.lease_ttl);
    leases_of_[lease.record.worker].insert(held);
    auto* v = find(lease.record.video);
    if (v == nullptr) continue;
    ready_.began(v->record.request.tenant);
    ++v->leases;
  }
  for (auto& [id, v] : videos_) {
    v.record.revision = std::max(v.record.revision, first_revision());
    v.encoding_since = now;
    for (auto& [key, t] : v.tasks) {
      t.not_before = now;
      if (LATHAM_REACHED_IF("leased_task_without_lease_loaded", t.record.state == task_state::leased && !leases_.contains(t.record.held))) t.record.state = task_state::pending;
      if (t.record.state == task_state::pending && is_working(v.record.state)) make_pending(v, key, now);
    }
    // As when a plan comes back: the shard may come from where it was leased, and nothing is made with its engine yet.
    if (const auto plan = v.tasks.find({task_kind::plan, 0}); !v.record.plan_known && plan != v.tasks.end() && plan->second.record.state == task_state::pending) {
      if (LATHAM_REACHED_IF("engine_chosen_again_after_loading", !v.record.engine.empty())) v.record.engine.clear();
    }
    recount(v);
    queue(v, now);
  }
  on_storage_up(out);
}

void scheduler::on_storage_up(decision& out) {
  for (const auto& [id, v] : videos_) {
    if (v.record.state == video_state::finishing) {
      LATHAM_REACHED("verification_asked_again");
      verify(v, out);
    }
    if (v.record.state == video_state::deleting) {
      LATHAM_REACHED("removal_asked_again");
      start_removal(v, out);
    }
  }
}

// ---- Uploads -------------------------------------------------------------------------------------------------------

errc scheduler::on_media_ready(const media_ready& event, instant now, decision& out) {
  if (videos_.contains(event.video)) {
    LATHAM_REACHED("media_ready_said_again");
    return errc::none;
  }
  while (!gone_.empty() && now - gone_.front().first > config_.gone_for) gone_.pop_front();
  if (LATHAM_REACHED_IF("media_ready_of_a_gone_video", std::any_of(gone_.begin(), gone_.end(), [&](const auto& g) { return g.second == event.video; }))) return errc::none;
  if (videos_.size() >= config_.videos_max) return errc::limited;
  auto& v = videos_[event.video];
  v.record.request = event;
  v.record.state = video_state::queued;
  v.record.revision = first_revision();
  add_task(v, {event.video, task_kind::plan, 0}, {}, out);
  queue(v, now);
  publish(v, now, out);
  write(v, out);
  hand_out(now, out);
  return errc::none;
}

void scheduler::add_task(video_entry& v, task_id id, const chunk_plan& chunk, decision& out) {
  const auto key = std::pair{id.kind, id.index};
  auto& t = v.tasks[key];
  t.record.id = id;
  t.record.chunk = chunk;
  make_pending(v, key, t.not_before);
  out.writes.push_back(t.record);
}

// ---- What may be granted -------------------------------------------------------------------------------------------

void scheduler::make_pending(video_entry& v, task_key key, instant now) {
  const bool fresh = v.pending.insert(key).second;
  LATHAM_ASSERT(fresh);
  ++pending_;
  const auto until = v.tasks.at(key).not_before;
  if (until <= now)
    make_due(v, key);
  else
    resting_.emplace(until, v.record.request.video, key);
}

void scheduler::make_due(video_entry& v, task_key key) {
  v.due.insert(key);
  if (key.first == task_kind::video) v.longest.emplace(-std::int64_t{v.tasks.at(key).record.chunk.frames}, key.second);
}

/// No longer pending.
void scheduler::take(video_entry& v, task_key key) {
  const auto taken = v.pending.erase(key);
  LATHAM_ASSERT(taken == 1);
  --pending_;
  const auto& t = v.tasks.at(key);
  if (v.due.erase(key) == 0) resting_.erase({t.not_before, v.record.request.video, key});
  if (key.first == task_kind::video) v.longest.erase({-std::int64_t{t.record.chunk.frames}, key.second});
}

void scheduler::take_all(video_entry& v) {
  while (!v.pending.empty()) take(v, task_key{*v.pending.begin()});
}

/// After its pending tasks or its engine changed: puts it among those that wait for a worker, or takes it from there.
void scheduler::queue(video_entry& v, instant now) {
  if (v.counted > 0) {
    const auto before = due_.find(v.counted_engine);
    before->second -= v.counted;
    if (before->second == 0) due_.erase(before);
  }
  v.counted_engine = v.record.engine;
  v.counted = v.due.size();
  if (v.counted > 0) due_[v.counted_engine] += v.counted;
  const auto& request = v.record.request;
  if (next_task(v))
    ready_.put(request.video, v.record.engine, request.tenant, request.priority, now);
  else
    ready_.erase(request.video);
}

/// Its slots, and the one that asks, take one more each, and then nothing is left.
bool scheduler::is_tail(const video_entry& v) { return v.longest.size() <= v.leases + 1; }

std::optional<scheduler::task_key> scheduler::next_task(const video_entry& v) {
  // Plan (0) before audio (2) before video (1) would need another order of kinds; audio is short and played from the
  // start, so it goes first. Text is a pass over the whole source that nobody waits for before the end: not before the
  // first chunk, and not last, where everybody would.
  for (const auto kind : {task_kind::plan, task_kind::audio, task_kind::text, task_kind::video}) {
    if (kind == task_kind::text && v.pending.contains({task_kind::video, 0})) continue;
    const auto at = v.due.lower_bound({kind, 0});
    if (at == v.due.end() || at->first != kind) continue;
    if (kind == task_kind::video && at->second > 0 && is_tail(v)) return task_key{kind, v.longest.begin()->second};
    return *at;
  }
  return {};
}

// ---- Workers -------------------------------------------------------------------------------------------------------

std::uint32_t scheduler::on_work_request(const work_request& what, instant now, std::uint64_t random, decision& out) {
  std::vector<epoch> orphaned;
  if (const auto mine = leases_of_.find(what.worker); mine != leases_of_.end())
    for (const auto held : mine->second)
      if (leases_.at(held).record.incarnation != what.incarnation) orphaned.push_back(held);
  if (!orphaned.empty()) LATHAM_REACHED("worker_came_with_new_incarnation");
  for (const auto held : orphaned) expire(held, "worker " + what.worker + " was restarted", now, random, out);
  if (what.slots == 0) {
    on_worker_lost(what.worker);
    return runnable_by(what.engine);
  }
  auto [at, fresh] = workers_.try_emplace(what.worker);
  auto& w = at->second;
  if (fresh) {
    w.order = ++next_order_;
    if (const auto mine = leases_of_.find(what.worker); mine != leases_of_.end()) w.leases = static_cast<std::uint32_t>(mine->second.size());
  }
  // Out of its place among those with a slot free, and into the one of its engine.
  set_slots(w, 0, w.leases);
  w.what = what;
  w.what.slots = 0;
  set_slots(w, what.slots, w.leases);
  hand_out(now, out);
  return runnable_by(what.engine);
}

std::uint32_t scheduler::runnable_by(const engine_id& engine) const {
  std::size_t count = 0;
  if (const auto any = due_.find({}); any != due_.end()) count += any->second;
  if (const auto own = due_.find(engine); own != due_.end() && !engine.empty()) count += own->second;
  // Counted up to what matters: a worker shares a handful of slots out by it.
  return static_cast<std::uint32_t>(std::min<std::size_t>(count, batch_max));
}

void scheduler::on_worker_lost(const node_name& worker) {
  const auto at = workers_.find(worker);
  if (at == workers_.end()) return;
  set_slots(at->second, 0, 0);
  workers_.erase(at);
}

void scheduler::set_slots(worker_entry& w, std::uint32_t slots, std::uint32_t leases) {
  const auto free_before = w.what.slots - std::min(w.what.slots, w.leases);
  const auto free_now = slots - std::min(slots, leases);
  w.what.slots = slots;
  w.leases = leases;
  free_slots_ = free_slots_ - free_before + free_now;
  if ((free_before > 0) == (free_now > 0)) return;
  if (free_now > 0) {
    hungry_[w.what.engine].emplace(w.order, w.what.worker);
    return;
  }
  const auto group = hungry_.find(w.what.engine);
  group->second.erase({w.order, w.what.worker});
  if (group->second.empty()) hungry_.erase(group);
}

void scheduler::set_expiry(epoch held, lease_entry& lease, instant when) {
  expiries_.erase({lease.expires, held});
  lease.expires = when;
  expiries_.emplace(when, held);
}

void scheduler::hand_out(instant now, decision& out) {
  if (!grants_) return;
  while (!resting_.empty() && std::get<instant>(*resting_.begin()) <= now) {
    const auto [until, id, key] = *resting_.begin();
    resting_.erase(resting_.begin());
    auto& v = videos_.at(id);
    make_due(v, key);
    queue(v, now);
  }
  ready_.age(now);
  std::vector<engine_id> engines;
  for (const auto& [engine, workers] : hungry_) engines.push_back(engine);
  for (const auto& engine : engines) {
    // Round-robin, one lease a worker and round, so that two idle workers share a short job.
    std::uint64_t next = 0;
    std::set<std::uint64_t> served;  // in this round, before it was their turn
    for (;;) {
      const auto best = ready_.best(engine);
      const auto group = hungry_.find(engine);
      if (!best || group == hungry_.end()) break;
      auto turn = group->second.lower_bound({next, {}});
      while (turn != group->second.end() && served.contains(turn->first)) ++turn;
      if (turn == group->second.end()) {
        next = 0;
        served.clear();
        continue;
      }
      auto& v = videos_.at(*best);
      // Near its source, when that takes it from nobody: that worker waits, and has its turn still to come.
      const auto near = workers_.find(v.record.request.source.store);
      if (near != workers_.end() && near->second.order > turn->first && !served.contains(near->second.order) && group->second.contains({near->second.order, near->first})) {
        LATHAM_REACHED("granted_near_its_source");
        served.insert(near->second.order);
        grant(near->second, v, now, out);
      } else {
        next = turn->first + 1;
        grant(workers_.at(turn->second), v, now, out);
      }
    }
  }
}

void scheduler::grant(worker_entry& to, video_entry& v, instant now, decision& out) {
  const auto next = next_task(v);
  LATHAM_ASSERT(next.has_value());
  const auto [kind, first] = *next;
  std::uint32_t count = 1;
  if (kind == task_kind::video && v.tasks.at(*next).record.attempts == 0 && !is_tail(v)) {
    // Long runs save seeks and messages, short ones share the tail: a quarter of what each slot that waits, or is at work
    // on this job already, could get.
    const auto fair = static_cast<std::uint32_t>(v.pending.size()) / (4 * std::max({1u, free_slots_, v.leases}));
    const auto most = std::clamp(fair, 1u, lease_chunks_max);
    while (count < most) {
      const auto following = task_key{kind, first + count};
      if (!v.due.contains(following) || v.tasks.at(following).record.attempts > 0) break;
      ++count;
    }
  }

  ++last_.counter;
  const bool pinned = kind == task_kind::plan && v.record.engine.empty();
  if (pinned) v.record.engine = to.what.engine;
  work_grant grant;
  grant.held = last_;
  grant.video = v.record.request.video;
  grant.kind = kind;
  grant.first = first;
  grant.ttl_ms = static_cast<std::uint32_t>(config_.lease_ttl.count());
  grant.source = v.record.request.source;
  grant.how = v.record.request.how;
  grant.plan = v.record.plan;
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto key = task_key{kind, first + i};
    auto& t = v.tasks.at(key);
    take(v, key);
    t.record.state = task_state::leased;
    t.record.held = last_;
    ++t.record.attempts;
    if (kind == task_kind::video) grant.chunks.push_back(t.record.chunk);
    out.writes.push_back(t.record);
  }
  auto& l = leases_[last_];
  l.record = {last_, grant.video, kind, first, count, to.what.worker, to.what.incarnation};
  set_expiry(last_, l, now + config_.lease_ttl);
  leases_of_[to.what.worker].insert(last_);
  set_slots(to, to.what.slots, to.leases + 1);
  ++v.leases;
  ready_.began(v.record.request.tenant);
  queue(v, now);
  ready_.granted(grant.video, now);
  out.writes.push_back(l.record);
  out.writes.push_back(scheduler_meta{last_});
  if (v.record.state == video_state::queued) {
    move(v, video_state::planning);
    if (v.record.plan_known) move(v, video_state::encoding);
    publish(v, now, out);
    write(v, out);
  } else if (pinned) {
    write(v, out);
  }
  out.effects.push_back(grant_effect{to.what.worker, std::move(grant)});
}

scheduler::task_entry* scheduler::leased_task(const task_id& id, epoch held) {
  auto* v = find(id.video);
  if (v == nullptr) return nullptr;
  auto at = v->tasks.find({id.kind, id.index});
  if (at == v->tasks.end() || at->second.record.state != task_state::leased || at->second.record.held != held) return nullptr;
  return &at->second;
}

errc scheduler::on_renewal(const lease_renewal& renewal, instant now, decision& out) {
  auto at = leases_.find(renewal.held);
  // An expired lease that no tick has seen yet is expired all the same.
  if (at == leases_.end() || at->second.expires <= now) {
    LATHAM_REACHED("renewal_fenced");
    return errc::fenced;
  }
  set_expiry(renewal.held, at->second, now + config_.lease_ttl);
  if (auto* t = leased_task({at->second.record.video, at->second.record.kind, renewal.index}, renewal.held)) {
    if (auto* v = find(at->second.record.video)) {
      set_done(*v, *t, std::max(t->done, renewal.done));
      publish_progress(*v, now, out);
    }
  }
  return errc::none;
}

errc scheduler::on_plan_page(const plan_page& page, instant now, decision& out) {
  auto* v = find(page.video);
  auto lease = leases_.find(page.held);
  if (v == nullptr || lease == leases_.end() || lease->second.expires <= now) return errc::fenced;
  if (leased_task({page.video, task_kind::plan, 0}, page.held) == nullptr) return errc::fenced;
  if (page.first_chunk > v->record.chunks) return errc::invalid_argument;  // a hole: pages come in order
  if (v->record.plan_known && page.plan.segment_frames != v->record.plan.segment_frames) return errc::invalid_argument;
  // All is looked at before anything changes: half a page must not be written.
  for (std::uint32_t i = 0; i < page.chunks.size(); ++i)
    if (page.chunks[i].index != page.first_chunk + i) return errc::invalid_argument;
  // A picture without chunks, or neither picture nor sound, is nothing to show; chunks are of a picture.
  if (has_picture(page.plan) ? page.complete && page.first_chunk == 0 && page.chunks.empty()
                             : !page.complete || page.first_chunk > 0 || !page.chunks.empty() || page.plan.audio.empty())
    return errc::invalid_argument;
  set_expiry(page.held, lease->second, now + config_.lease_ttl);
  const bool first = !v->record.plan_known;
  v->record.plan = page.plan;
  v->record.plan_known = true;
  for (const auto& chunk : page.chunks) {
    if (chunk.index < v->record.chunks) {  // the same page again, or a second planner's equal one
      LATHAM_REACHED("plan_page_repeated");
      continue;
    }
    add_task(*v, {page.video, task_kind::video, chunk.index}, chunk, out);
    ++v->record.chunks;
  }
  if (first) {
    for (std::uint32_t i = 0; i < page.plan.audio.size(); ++i)
      if (!v->tasks.contains({task_kind::audio, i})) add_task(*v, {page.video, task_kind::audio, i}, {}, out);
    if (!page.plan.text.empty()) add_task(*v, {page.video, task_kind::text, 0}, {}, out);
    if (v->record.state == video_state::planning) move(*v, video_state::encoding);
    v->encoding_since = now;
  }
  if (page.complete) {
    v->record.plan_complete = true;
    auto& t = v->tasks.at({task_kind::plan, 0});
    t.record.state = task_state::committed;
    ++v->committed;
    out.writes.push_back(t.record);
    end_lease(page.held, out);
    maybe_finish(*v, now, out);
  }
  queue(*v, now);
  publish(*v, now, out);
  write(*v, out);
  hand_out(now, out);
  return errc::none;
}

errc scheduler::on_commit(const task_commit& commit, instant now, decision& out) {
  auto* v = find(commit.task.video);
  const auto drop = [&] {
    // The loser's blob is nobody's: unless it is the very one that was committed.
    if (v != nullptr) {
      auto at = v->tasks.find({commit.task.kind, commit.task.index});
      if (at != v->tasks.end() && at->second.record.state == task_state::committed && at->second.record.output.blob == commit.output.blob) {
        LATHAM_REACHED("same_commit_again");
        return at->second.record.held == commit.held ? errc::none : errc::fenced;
      }
    }
    LATHAM_REACHED("commit_fenced");
    out.effects.push_back(remove_blobs_effect{commit.output.store, {commit.output.blob}});
    return errc::fenced;
  };
  auto lease = leases_.find(commit.held);
  auto* t = leased_task(commit.task, commit.held);
  if (v == nullptr || commit.task.kind == task_kind::plan || lease == leases_.end() || lease->second.expires <= now || t == nullptr) return drop();
  const bool possible = commit.task.kind == task_kind::video   ? is_possible_of_chunk(commit.found, t->record.chunk)
                        : commit.task.kind == task_kind::audio ? is_possible_of_sound(commit.found, v->record.plan, v->record.request.how.audio_rate_hz)
                                                               : commit.found == findings{};
  if (!possible) return errc::invalid_argument;
  set_expiry(commit.held, lease->second, now + config_.lease_ttl);
  set_done(*v, *t, 0);
  t->record.state = task_state::committed;
  t->record.output = commit.output;
  t->record.found = commit.found;
  t->record.last_error.clear();
  out.writes.push_back(t->record);
  count_commit(*v, *t);
  end_lease_if_done(lease->second.record, out);
  const auto before = v->record.state;
  maybe_finish(*v, now, out);
  publish(*v, now, out);
  // A revision alone is not worth a record: after a restart they go on beyond all that were shown.
  if (v->record.state != before) write(*v, out);
  hand_out(now, out);
  return errc::none;
}

errc scheduler::on_failure(const task_failure& failure, instant now, std::uint64_t random, decision& out) {
  const auto at = leases_.find(failure.held);
  if (at == leases_.end()) return errc::fenced;
  const auto lease = at->second.record;
  if (lease.video != failure.task.video || lease.kind != failure.task.kind || failure.task.index < lease.first) return errc::fenced;
  // Who stops between two chunks of a run names one that has been committed since: what it was at is the next that is left. Where
  // no task is to blame any will do: chunks are not committed in their order, and who is at the end names what is behind it.
  auto failed = failure.task;
  const bool any = is_our_own_trouble(failure.code);
  for (std::uint32_t looked = 0; leased_task(failed, failure.held) == nullptr; ++looked) {
    const auto next = failed.index - lease.first + 1;
    if (looked == lease.count || (!any && next >= lease.count)) return errc::fenced;
    failed.index = lease.first + next % lease.count;
  }
  if (failed != failure.task) LATHAM_REACHED("failure_after_its_commit");
  auto* v = find(failure.task.video);
  const auto why = failure.message.substr(0, failure_text_bytes_max);
  if (is_inputs_fault(failure.code)) {
    LATHAM_REACHED("input_refused");
    fail(*v, failure.code, why, now, out);
    return errc::none;
  }
  for (std::uint32_t i = 0; i < lease.count && is_working(v->record.state); ++i) {
    auto* t = leased_task({lease.video, lease.kind, lease.first + i}, failure.held);
    if (t == nullptr) continue;
    // Only the task that failed has been tried; the rest of the run gets its attempt back, and so does all of it when the
    // worker only stops, or when the trouble is our own: no input is to blame for a storage node that is away.
    if (t->record.id != failed || is_our_own_trouble(failure.code)) --t->record.attempts;
    if (t->record.id == failed && is_our_own_trouble(failure.code) && failure.code != errc::cancelled) ++t->excused;
    back_to_pending(*v, *t, t->record.id == failed ? why : "", now, random, out);
  }
  end_lease(failure.held, out);
  hand_out(now, out);
  return errc::none;
}

void scheduler::back_to_pending(video_entry& v, task_entry& t, std::string why, instant now, std::uint64_t random, decision& out) {
  set_done(v, t, 0);
  t.record.state = task_state::pending;
  if (!why.empty()) t.record.last_error = std::move(why);
  if (t.record.attempts >= config_.attempts) {
    LATHAM_REACHED("attempts_used_up");
    const auto cause = t.record.last_error.empty() ? std::string{"the worker was lost each time"} : t.record.last_error;
    out.writes.push_back(t.record);
    fail(v, errc::unprocessable,
         "part " + std::to_string(t.record.id.index) + " of the " + std::string{to_string(t.record.id.kind)} + " failed " +
           std::to_string(t.record.attempts) + " times (" + cause + "); check the file, then retry",
         now, out);
    return;
  }
  t.not_before = now + backoff(config_.retry, std::max(1u, t.record.attempts + t.excused), random);
  // Nothing is made with its engine yet, which may have left with an upgrade.
  if (t.record.id.kind == task_kind::plan && !v.record.plan_known && !v.record.engine.empty()) {
    LATHAM_REACHED("engine_chosen_again");
    v.record.engine.clear();
    write(v, out);
  }
  make_pending(v, {t.record.id.kind, t.record.id.index}, now);
  queue(v, now);
  out.writes.push_back(t.record);
}

void scheduler::end_lease(epoch held, decision& out) {
  auto at = leases_.find(held);
  if (at == leases_.end()) return;
  if (auto* v = find(at->second.record.video)) {
    ready_.ended(v->record.request.tenant);
    --v->leases;
  }
  const auto mine = leases_of_.find(at->second.record.worker);
  mine->second.erase(held);
  if (mine->second.empty()) leases_of_.erase(mine);
  if (auto w = workers_.find(at->second.record.worker); w != workers_.end() && w->second.leases > 0) set_slots(w->second, w->second.what.slots, w->second.leases - 1);
  expiries_.erase({at->second.expires, held});
  leases_.erase(at);
  out.writes.push_back(erase_lease{held});
}

void scheduler::end_lease_if_done(const lease_record& lease, decision& out) {
  for (std::uint32_t i = 0; i < lease.count; ++i)
    if (leased_task({lease.video, lease.kind, lease.first + i}, lease.held) != nullptr) return;
  end_lease(epoch{lease.held}, out);
}

void scheduler::on_tick(instant now, std::uint64_t random, decision& out) {
  std::vector<epoch> expired;
  for (auto at = expiries_.begin(); at != expiries_.end() && at->first <= now; ++at) expired.push_back(at->second);
  for (const auto held : expired) {
    LATHAM_REACHED("lease_expired");
    if (auto at = leases_.find(held); at != leases_.end()) expire(held, "worker " + at->second.record.worker + " was lost or too slow", now, random, out);
  }
  hand_out(now, out);
}

void scheduler::expire(epoch held, const std::string& why, instant now, std::uint64_t random, decision& out) {
  auto at = leases_.find(held);
  if (at == leases_.end()) return;  // its job failed, and all its leases with it, while the caller went through a list
  const auto lease = at->second.record;
  if (auto* v = find(lease.video)) {
    for (std::uint32_t i = 0; i < lease.count && is_working(v->record.state); ++i)
      if (auto* t = leased_task({lease.video, lease.kind, lease.first + i}, held)) back_to_pending(*v, *t, why, now, random, out);
    if (is_working(v->record.state)) publish_progress(*v, now, out);
  }
  end_lease(held, out);
}

instant scheduler::next_due(instant now) const {
  auto due = now + seconds{60};
  if (!expiries_.empty()) due = std::min(due, expiries_.begin()->first);
  if (free_slots_ > 0 && !resting_.empty()) due = std::min(due, std::get<instant>(*resting_.begin()));
  return std::max(due, now + milliseconds{10});
}

// ---- The end of a job ----------------------------------------------------------------------------------------------

void scheduler::maybe_finish(video_entry& v, instant, decision& out) {
  if (v.record.state != video_state::encoding || !v.record.plan_complete) return;
  if (v.committed < v.tasks.size()) return;
  move(v, video_state::finishing);
  verify(v, out);
}

void scheduler::verify(const video_entry& v, decision& out) const {
  verify_effect effect{v.record.request.video, v.record.job, {}, {}};
  for (const auto& [key, t] : v.tasks) {
    if (key.first == task_kind::plan) continue;
    effect.tasks.push_back(t.record.id);
    effect.outputs.push_back(t.record.output);
  }
  out.effects.push_back(std::move(effect));
}

void scheduler::on_verified(video_id id, std::uint32_t job, const std::vector<task_id>& missing, instant now, decision& out) {
  auto* v = find(id);
  if (v == nullptr || v->record.state != video_state::finishing || v->record.job != job) return;
  if (missing.empty()) {
    move(*v, video_state::ready);
  } else {
    LATHAM_REACHED("storage_lost_outputs");
    // Storage lost what it had acknowledged. Finishing cannot go back to encoding: the job fails and says so.
    for (const auto& lost : missing) {
      auto at = v->tasks.find({lost.kind, lost.index});
      if (at == v->tasks.end()) continue;
      at->second.record.state = task_state::pending;
      out.writes.push_back(at->second.record);
    }
    recount(*v);
    move(*v, video_state::failed);
    v->record.error_code = errc::corrupt;
    v->record.error_message = "storage lost " + std::to_string(missing.size()) + " finished parts; retry encodes only these again";
  }
  publish(*v, now, out);
  write(*v, out);
}

void scheduler::fail(video_entry& v, errc code, std::string message, instant now, decision& out) {
  move(v, video_state::failed);
  v.record.error_code = code;
  v.record.error_message = std::move(message);
  take_all(v);
  queue(v, now);
  for (auto& [key, t] : v.tasks) {
    if (t.record.state != task_state::leased) continue;
    const auto held = t.record.held;
    set_done(v, t, 0);
    t.record.state = task_state::pending;
    out.writes.push_back(t.record);
    end_lease(held, out);
  }
  publish(v, now, out);
  write(v, out);
}

errc scheduler::on_retry(video_id id, instant now, decision& out) {
  auto* v = find(id);
  if (v == nullptr) return errc::not_found;
  if (v->record.state != video_state::failed) return errc::conflict;
  move(*v, video_state::queued);
  ++v->record.job;
  v->record.error_code = errc::none;
  v->record.error_message.clear();
  if (!v->record.plan_known) v->record.engine.clear();  // nothing is pinned to it yet
  for (auto& [key, t] : v->tasks) {
    if (t.record.state == task_state::committed) continue;
    t.record.attempts = 0;
    t.record.last_error.clear();
    t.not_before = now;
    make_pending(*v, key, now);
    out.writes.push_back(t.record);
  }
  v->encoding_since = now;
  if (v->pending.empty()) {
    LATHAM_REACHED("retry_of_what_was_all_committed");
    // Everything was committed already (the failure came later): straight on to the check.
    move(*v, video_state::planning);
    move(*v, video_state::encoding);
    maybe_finish(*v, now, out);
  } else {
    queue(*v, now);
  }
  publish(*v, now, out);
  write(*v, out);
  hand_out(now, out);
  return errc::none;
}

errc scheduler::on_delete(video_id id, instant now, decision& out) {
  auto* v = find(id);
  if (v == nullptr) return errc::not_found;
  if (v->record.state == video_state::deleting) return errc::none;
  move(*v, video_state::deleting);
  take_all(*v);
  queue(*v, now);
  for (auto& [key, t] : v->tasks) {
    if (t.record.state != task_state::leased) continue;
    set_done(*v, t, 0);
    t.record.state = task_state::pending;
    end_lease(epoch{t.record.held}, out);
  }
  publish(*v, now, out);
  write(*v, out);
  start_removal(*v, out);
  return errc::none;
}

void scheduler::start_removal(const video_entry& v, decision& out) const {
  remove_video_effect effect{v.record.request.video, v.record.request.source.store, {}};
  for (const auto& [key, t] : v.tasks)
    if (t.record.state == task_state::committed && !t.record.output.blob.is_nil()) effect.outputs[t.record.output.store].push_back(t.record.output.blob);
  out.effects.push_back(std::move(effect));
}

void scheduler::on_video_removed(video_id id, instant now, decision& out) {
  auto* v = find(id);
  if (v == nullptr || v->record.state != video_state::deleting) return;
  out.writes.push_back(erase_video{id, v->record.chunks, static_cast<std::uint32_t>(v->record.plan.audio.size()), v->record.plan.text.empty() ? 0u : 1u});
  videos_.erase(id);
  gone_.emplace_back(now, id);
  if (gone_.size() > config_.gone_max) gone_.pop_front();
}

// ---- Small things --------------------------------------------------------------------------------------------------

scheduler::video_entry* scheduler::find(video_id id) {
  auto at = videos_.find(id);
  return at == videos_.end() ? nullptr : &at->second;
}

void scheduler::move(video_entry& v, video_state to) {
  LATHAM_ASSERT(is_edge(v.record.state, to));
  v.record.state = to;
}

void scheduler::publish(video_entry& v, instant now, decision& out) {
  ++v.record.revision;
  v.shown_mille = progress_mille(v);
  out.effects.emplace_back(publish_effect{make_view(v, now)});
}

void scheduler::publish_progress(video_entry& v, instant now, decision& out) {
  // Progress is not persisted, nor is its revision: after a restart `first_revision` is beyond all that were shown.
  if (progress_mille(v) != v.shown_mille) publish(v, now, out);
}

std::uint16_t scheduler::progress_mille(const video_entry& v) const {
  using enum video_state;
  if (v.record.state == ready) return 1000;
  const auto& plan = v.record.plan;
  auto frames = v.frames_committed + v.frames_running;
  auto total = plan.frames;
  if (!has_picture(plan)) {
    // Sound alone: the work is its tracks, counted in samples. Beside a picture they are not worth counting.
    const auto samples = plan.frames * aac_frame_samples;
    total = samples * plan.audio.size();
    for (std::uint32_t i = 0; i < plan.audio.size(); ++i) {
      const auto t = v.tasks.find({task_kind::audio, i});
      if (t == v.tasks.end()) continue;
      if (t->second.record.state == task_state::committed) frames += samples;
      if (t->second.record.state == task_state::leased) frames += std::min(t->second.done, samples);
    }
  }
  if (total == 0) return 0;  // also when it is not planned yet
  // The last thousandth is the check at the end.
  return static_cast<std::uint16_t>(std::min<std::uint64_t>(999, frames * 999 / total));
}

void scheduler::set_done(video_entry& v, task_entry& t, std::uint64_t done) {
  if (t.record.id.kind == task_kind::video) {
    const auto counts = [&](std::uint64_t frames) { return std::min<std::uint64_t>(frames, t.record.chunk.frames); };
    v.frames_running = v.frames_running - counts(t.done) + counts(done);
  }
  t.done = done;
}

void scheduler::count_commit(video_entry& v, const task_entry& t) {
  ++v.committed;
  if (t.record.id.kind == task_kind::video) {
    v.frames_committed += t.record.chunk.frames;
    ++v.chunks_committed;
    v.found.add_chunk(t.record.found);
  }
  if (t.record.id.kind == task_kind::audio && t.record.id.index < v.record.plan.audio.size()) v.found.add_sound(v.record.plan.audio[t.record.id.index].stream_index, t.record.found);
}

/// From the tasks themselves; where some were committed and are so no more.
void scheduler::recount(video_entry& v) {
  v.committed = 0;
  v.frames_committed = 0;
  v.chunks_committed = 0;
  v.found = {};
  for (const auto& [key, t] : v.tasks)
    if (t.record.state == task_state::committed) count_commit(v, t);
}

video_view scheduler::make_view(const video_entry& v, instant now) const {
  const auto& r = v.record;
  video_view out;
  out.id = r.request.video;
  out.tenant = r.request.tenant;
  out.title = r.request.title;
  out.state = r.state;
  out.revision = r.revision;
  out.created_ms = r.request.created_ms;
  out.bytes = out.bytes_total = r.request.source.bytes;
  out.progress_mille = progress_mille(v);
  if (r.plan_known) {
    // All rungs of a chunk are made together, so they advance together.
    const auto each = r.state == video_state::ready
                        ? std::uint16_t{1000}
                        : static_cast<std::uint16_t>(r.plan.frames == 0 ? 0 : std::min<std::uint64_t>(1000, v.frames_committed * 1000 / r.plan.frames));
    for (const auto& size : r.plan.rungs) out.rungs.emplace_back(size, each);
    out.width = r.plan.width;
    out.height = r.plan.height;
    if (has_picture(r.plan)) out.fps = r.plan.fps;  // otherwise it is how sound is counted, and no rate of pictures
    if (r.plan.fps.num > 0)
      out.duration_ms = r.plan.frames * 1000 * static_cast<std::uint64_t>(r.plan.fps.den) / static_cast<std::uint64_t>(r.plan.fps.num);
    out.chunks = r.chunks;
    out.chunks_done = v.chunks_committed;
    const auto committed = [&](task_kind kind, std::uint32_t index) {
      auto t = v.tasks.find({kind, index});
      return t != v.tasks.end() && t->second.record.state == task_state::committed;
    };
    out.playable = r.state != video_state::failed && r.state != video_state::deleting && (!has_picture(r.plan) || committed(task_kind::video, 0));
    for (std::uint32_t i = 0; i < r.plan.audio.size(); ++i) out.playable = out.playable && committed(task_kind::audio, i);
    out.pictures = has_picture(r.plan) && makes_images(r.request.how);
    out.source_format = r.plan.container + ", " + r.plan.video_codec;
    out.notes = v.found.notes(r.plan, r.request.how);
    if (r.state == video_state::encoding && out.progress_mille > 0) {
      const auto spent = now - v.encoding_since;
      out.eta_s = spent.count() / 1'000'000'000 * (1000 - out.progress_mille) / out.progress_mille;
    }
  }
  if (r.state == video_state::failed) {
    out.error_code = std::string{to_string(r.error_code)};
    out.error_message = r.error_message;
  }
  return out;
}

expected<video_view> scheduler::view(video_id id, instant now) const {
  auto at = videos_.find(id);
  if (at == videos_.end()) return {errc::not_found, "there is no video " + to_string(id)};
  return make_view(at->second, now);
}

std::vector<video_view> scheduler::list(const std::string& tenant, video_id before, std::uint32_t limit, instant now) const {
  std::vector<video_view> out;
  auto at = before.is_nil() ? videos_.end() : videos_.lower_bound(before);
  while (at != videos_.begin() && out.size() < limit) {
    --at;
    if (at->second.record.request.tenant == tenant) out.push_back(make_view(at->second, now));
  }
  return out;
}

expected<output_page> scheduler::outputs(video_id id, std::uint32_t from_chunk) const {
  auto at = videos_.find(id);
  if (at == videos_.end()) return {errc::not_found, "there is no video " + to_string(id)};
  const auto& v = at->second;
  if (v.record.state == video_state::deleting) return {errc::not_found, "the video " + to_string(id) + " is deleted"};
  output_page page;
  page.plan = v.record.plan;
  page.how = v.record.request.how;
  page.state = v.record.state;
  page.plan_complete = v.record.plan_complete;
  page.chunks_total = v.record.chunks;
  auto t = v.tasks.lower_bound({task_kind::video, from_chunk});
  for (; t != v.tasks.end() && t->first.first == task_kind::video; ++t) {
    if (t->second.record.state != task_state::committed) continue;
    if (page.video.size() == output_page_chunks) {
      page.more = true;
      break;
    }
    page.video.emplace_back(t->second.record.chunk, t->second.record.output);
  }
  if (from_chunk == 0)
    for (auto a = v.tasks.lower_bound({task_kind::audio, 0}); a != v.tasks.end() && a->first.first == task_kind::audio; ++a)
      if (a->second.record.state == task_state::committed) page.audio.emplace_back(a->first.second, a->second.record.output);
  if (const auto text = v.tasks.find({task_kind::text, 0}); from_chunk == 0 && text != v.tasks.end() && text->second.record.state == task_state::committed)
    page.text.push_back(text->second.record.output);
  return page;
}

std::vector<blob_id> scheduler::unreferenced(video_id id, const std::vector<blob_id>& blobs) const {
  std::set<blob_id> known;
  const auto add = [&known](const auto& video) {
    known.insert(video.record.request.source.blob);
    for (const auto& [key, t] : video.tasks)
      if (t.record.state == task_state::committed) known.insert(t.record.output.blob);
  };
  if (id.is_nil())
    for (const auto& [key, video] : videos_) add(video);
  else if (auto at = videos_.find(id); at != videos_.end())
    add(at->second);
  std::vector<blob_id> out;
  for (const auto& blob : blobs)
    if (!known.contains(blob)) out.push_back(blob);
  return out;
}

scheduler::counts scheduler::count() const {
  return {videos_.size(), leases_.size(), pending_, workers_.size()};
}

}  // namespace latham
