#include "sim/world.hpp"

#include "core/cluster/placement.hpp"
#include "core/codec.hpp"
#include "core/reach.hpp"
#include "sim/checkers.hpp"
#include "sim/faults.hpp"
#include "sim/machine.hpp"
#include "sim/membership.hpp"
#include "sim/workload.hpp"
#include "store/schema.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <limits>

namespace latham::sim {

namespace {

constexpr nanoseconds end_is_looked_for_every{milliseconds{200}};
constexpr nanoseconds end_is_looked_for_after{seconds{3}};
constexpr nanoseconds a_second{seconds{1}};
constexpr nanoseconds restart_after_giving_up{seconds{1}};
constexpr nanoseconds checks_wait_for{seconds{30}};         // for a disk, which may fail before it answers
constexpr nanoseconds disk_counted_lately{seconds{30}};  // longer than a client waits for its answer
constexpr nanoseconds acks_counted_lately{seconds{60}};   // the same, and until its process has ended
constexpr nanoseconds records_sent_within{seconds{60}};    // from the first page to the last claim
constexpr nanoseconds twins_end_within{seconds{30}};        // after everything has healed
constexpr nanoseconds well_after{seconds{10}};              // a process that has just started has links to make, and shards to claim
constexpr nanoseconds twin_acts_for{claim_ttl};             // what it had decided before the other took over
// What queues_are_bounded allows: three times and more what the longest was in 300 free seeds and in six of each scenario, which the
// comments say. Records are refused at 64, and beyond that only what was begun before may join, such as what a verification of 64
// outputs confirms.
constexpr std::size_t runnable_most = 100;  // 10
constexpr std::size_t mailbox_most = 400;   // 19, and 109 of a gateway that stood still for 16 s while its clients went on asking
constexpr std::size_t records_most = machine::records_waiting_max + 128;  // 64
constexpr std::size_t commits_most = 16;    // 1: a journal waits for its batch
constexpr std::size_t held_most = 800;      // 169
constexpr std::size_t events_most = 1'000;  // 206

class world {
public:
  world(const plan& p, const run_options& how)
    : plan_{p}, how_{how}, time_{p.seed}, trace_{how.keep_trace}, net_{time_, trace_, ledger_}, around_{time_, net_, trace_, ledger_, plan_, [this](machine& m) { on_stopping(m); }, [this](machine& m, const std::set<node_index>& linked) { on_stopped(m, linked); }} {
    seed_uuids(p.seed);
    net_.latency = nanoseconds{p.knobs.latency_us * 1'000};
    net_.touched = [this](node_index node) { dirty_.push_back(node); };
    make_view();
    std::vector<machine*> gateways;
    for (const auto& [role, count] : {std::pair{node_role::storage, p.nodes.storages}, std::pair{node_role::scheduler, p.nodes.schedulers}, std::pair{node_role::gateway, p.nodes.gateways},
                                      std::pair{node_role::worker, p.nodes.workers}})
      for (std::int64_t i = 0; i < count; ++i) {
        auto& m = add(role, i);
        if (role == node_role::gateway) gateways.push_back(&m);
      }
    for (std::size_t i = 0, firsts = machines_.size(); i < firsts; ++i) {
      const auto& first = *machines_[i];
      if (std::none_of(p.faults.begin(), p.faults.end(), [&](const fault& f) { return f.kind == "twin" && std::find(f.nodes.begin(), f.nodes.end(), first.name()) != f.nodes.end(); })) continue;
      auto& m = add(first.role(), std::stol(first.name().substr(first.name().rfind('-') + 1)), true);
      if (m.role() == node_role::gateway) gateways.push_back(&m);
    }
    membership_ = std::make_unique<membership>(around_, machines_, [this](machine& m) { start(m); });
    membership_->begin();
    clients_ = std::make_unique<workload>(around_, view_, gateways, checkers_);
    faults_ = std::make_unique<faults>(
      around_, machines_, [this](machine& m) { start(m); }, [this](const machine& m) { return has_work(m); }, [this](const machine& m) { return may_lose_disk(m); },
      [this](std::size_t which) { membership_->change(which); });
    for (auto& m : machines_)
      if (m->wanted()) start(*m);
    clients_->begin();
    faults_->begin();
    every_second();
  }

  verdict run() {
    verdict_.seed = plan_.seed;
    try {
      if (how_.for_virtual_s > 0)
        run_for(nanoseconds{static_cast<std::int64_t>(how_.for_virtual_s * 1e9)});
      else
        run_to_the_end();
      verdict_.passed = true;
    } catch (const violation& v) {
      verdict_.checker = v.checker;
      verdict_.what = v.what();
      trace_.say(time_.now(), trace::what::fault, trace::nobody, trace::nobody, "VIOLATION of " + v.checker + ": " + v.what());
    }
    report();
    return verdict_;
  }

private:
  // ---- The run loop --------------------------------------------------------------------------------------------------

  void run_for(nanoseconds virtual_time) {
    while (time_.age() < virtual_time) step();
  }

  void run_to_the_end() {
    while (!faults_->healed()) step();
    // Each task may have been lost once more just before; what is left to do takes its time.
    const auto bound = time_.now() + milliseconds{plan_.bound_ms + 2 * work_ms(plan_)};
    // What waited for the faults to end, a reservation behind a full disk, say, is begun only now.
    auto look = time_.now() + end_is_looked_for_after;
    std::string left = "nothing was looked at";
    const auto everything_ends = [&] {
      while (!left.empty()) {
        if (time_.now() > bound && membership_->busy()) throw violation{"decommission_ends", membership_->under_way()};
        if (time_.now() > bound) throw violation{everything_else_ended_ ? "nothing_is_left_behind" : "every_job_ends", left};
        step();
        if (time_.now() < look) continue;
        look = time_.now() + end_is_looked_for_every;
        left = unfinished();
      }
    };
    everything_ends();
    // Some more life, in which nothing may come undone; then the last looks. But a stand-in that was on its way when all looked
    // right may have come, and goes again.
    run_for(time_.age() + seconds{5});
    for (auto amiss = misplaced_blobs(view_); !amiss.words.empty() && amiss.only_in_excess; amiss = misplaced_blobs(view_)) {
      LATHAM_REACHED("sim_stand_in_came_late");
      left = amiss.words;
      everything_ends();
      run_for(time_.age() + seconds{5});
    }
    for (auto& c : checkers_) c->at_end();
  }

  void step() {
    settle();
    // Who could run? A node with a runnable actor, or the world with a due event.
    ready_.clear();
    for (auto& m : machines_)
      if (m->ready()) ready_.push_back(m.get());
    const bool due = time_.due();
    const auto choices = ready_.size() + (due ? 1 : 0);
    if (choices == 0) return advance();
    ++verdict_.steps;
    const auto choice = choices == 1 ? 0 : time_.draw(choices);
    if (choice == ready_.size()) {
      if (how_.count_kinds) ++verdict_.kinds["event " + demangled(time_.next_type())];
      time_.run_due();
      trace_.note(0xe0e0);
      return;
    }
    auto& m = *ready_[choice];
    const auto pick = m.step(how_.count_kinds ? &verdict_.kinds : nullptr);
    trace_.note(std::uint64_t{m.index()} << 32 | pick);
    dirty_.push_back(m.index());
  }

  /// Connections work off what they were given. Only those of nodes to which something happened.
  void settle() {
    for (std::size_t i = 0; i < dirty_.size(); ++i) machines_[dirty_[i]]->drain();
    dirty_.clear();
  }

  /// Nothing can run now: on to the next thing that will.
  void advance() {
    for (auto& m : machines_) {
      if (!m->runs() || m->gave_up().empty()) continue;
      gave_up(*m);
      return;
    }
    auto next = time_.empty() ? time_.now() + a_second : time_.next_time();
    for (auto& m : machines_) next = std::min(next, m->next_due());
    // On to a tick: what happens within one happens at once.
    next = std::max(next, time_.now() + nanoseconds{1});
    time_.advance(nanoseconds{(next.count() + events::tick.count() - 1) / events::tick.count() * events::tick.count()});
    trace_.note(static_cast<std::uint64_t>(time_.now().count()));
    for (auto& m : machines_) m->wake();
  }

  // ---- Machines ------------------------------------------------------------------------------------------------------

  /// `second`: for a twin.
  machine& add(node_role role, std::int64_t number, bool second = false) {
    const auto name = std::string{to_string(role)} + "-" + std::to_string(number);
    disk::watcher watch = [](const ports::kv_batch&) {};
    if (role == node_role::scheduler) watch = [this, at = machines_.size()](const ports::kv_batch& batch) { on_scheduler_batch(*machines_[at], batch); };
    if (role == node_role::storage) watch = [this, at = machines_.size()](const ports::kv_batch& batch) { on_storage_batch(*machines_[at], batch); };
    std::function<void()> lost = [] {};
    if (role == node_role::scheduler)
      lost = [this, at = machines_.size()] {
        const auto* m = machines_[at].get();
        disk_lost_at_[m] = time_.now();
        for (const auto& [shard, speaker] : speaks_for_)
          if (speaker == m) on_scheduler_lost(shard);
      };
    if (role == node_role::storage) lost = [this, name] { on_storage_lost(name); };
    machines_.push_back(std::make_unique<machine>(around_, name, role, second, std::move(watch), std::move(lost)));
    auto& m = *machines_.back();
    verdict_.nodes.push_back(second ? name + "'" : name);
    if (role == node_role::scheduler && !second) speaks_for_[static_cast<std::uint16_t>(number)] = &m;
    if (role == node_role::storage && !second && number < plan_.nodes.near) m.work_too();
    if (m.works()) view_.slots_busy.push_back([&m] { return m.gauge("latham_slots_busy"); });
    if (role == node_role::storage) view_.blobs[name] = [this, name]() -> store::memory_blobs& { return machines_[net_.index_of(name)]->storage().blobs_as_they_are(); };
    view_.queues.push_back({"runnable actors of " + name, [&m] { return m.runnable(); }, runnable_most});
    view_.queues.push_back({"the longest mailbox of " + name, [&m] { return m.longest_mailbox(); }, mailbox_most});
    view_.queues.push_back({"records that wait at " + name, [&m] { return static_cast<std::size_t>(m.gauge("latham_records_waiting")); }, records_most});
    view_.queues.push_back({"commits of " + name, [&m] { return m.storage().commits_waiting(); }, commits_most});
    return m;
  }

  void start(machine& m) {
    m.start();
    if (m.role() == node_role::storage) acks_[m.name()].emplace_back(time_.now(), rules_of(m.configured()).acks);
    ++starts_;
    trace_.note(0x57a7 + (std::uint64_t{m.index()} << 32));
    if (m.role() == node_role::gateway) clients_->on_gateway_started(m);
  }

  /// Whether taking it down takes anything down with it.
  bool has_work(const machine& m) const {
    if (m.role() != node_role::worker) return !clients_->finished() || !view_.leases.empty();
    return std::any_of(view_.leases.begin(), view_.leases.end(), [&](const auto& lease) { return lease.second.worker == m.name(); });
  }

  /// A node may end itself when its disk failed it; then it is started again, as any service manager would. And when it is the
  /// earlier of two of a name; then nobody starts it again, because its pod is deleted.
  void gave_up(machine& m) {
    if (m.superseded()) {
      LATHAM_REACHED("sim_twin_ended_itself");
      faults_->twin_ended(m);
      m.kill(false);
      return;
    }
    if (!m.storage().failed_in_this_life()) throw violation{"no_node_gives_up", m.name() + ": " + m.gave_up()};
    LATHAM_REACHED("sim_node_restarted_after_disk_failure");
    m.kill(false);
    faults_->restart_later(m, restart_after_giving_up);
  }

  void on_stopping(const machine& m) {
    if (!m.works() || m.superseded() || !quiet()) return;
    std::vector<lease_record> has;
    for (const auto& [where, lease] : view_.leases)
      if (lease.worker == m.name() && lease.incarnation == m.incarnation() && can_be_given_back(lease)) has.push_back(lease);
    if (has.empty()) return;
    LATHAM_REACHED("sim_worker_stopped_with_leases");
    for (auto& c : checkers_) c->on_stopping(has);
  }

  /// What it had is given back by words that are on their way, where they are heard.
  void on_stopped(const machine& m, const std::set<node_index>& linked) {
    if (!m.works() || m.superseded() || !quiet()) return;
    std::vector<lease_record> left;
    for (const auto& [where, lease] : view_.leases)
      if (lease.worker == m.name() && lease.incarnation == m.incarnation() && can_be_given_back(lease) && linked.contains(speaks_for_.at(where.first)->index())) left.push_back(lease);
    if (left.empty()) return;
    for (auto& c : checkers_) c->on_stopped(left);
  }

  /// To who decides. What an earlier process granted may have failed while nobody was there to be told: only its end is left.
  bool can_be_given_back(const lease_record& lease) const {
    const auto shard = lease.video.shard();
    if (decided_by(shard) == 0) return false;
    std::uint32_t generation = 0;
    for (const auto& [where, claim] : view_.claims)
      if (where.second == shard) generation = std::max(generation, claim.generation);
    return lease.held.generation == generation || time_.now() >= speaks_for_.at(shard)->started() + well_after + milliseconds{plan_.knobs.lease_ttl_ms};
  }

  /// For longer than leases last that could not be renewed before.
  bool quiet() const { return faults_->quiet_for(milliseconds{plan_.knobs.lease_ttl_ms} + well_after) && !membership_->busy(); }

  bool is_well(const machine& m) const { return m.runs() && !m.stopping() && !m.paused() && !m.superseded() && time_.now() >= m.started() + well_after; }

  std::uint64_t decided_by(std::uint16_t shard) const {
    const auto& m = *speaks_for_.at(shard);
    if (!is_well(m)) return 0;
    return (std::uint64_t{m.index()} << 32) + m.life();
  }

  // ---- What is durable -----------------------------------------------------------------------------------------------

  template <class T>
  static T read(const ports::kv_write& write) {
    auto record = from_record<T>(*write.value);
    if (!record) throw violation{"records_decode", write.key + ": " + record.error().message};
    return std::move(*record);
  }

  void note(const ports::kv_batch& batch) {
    for (const auto& write : batch) {
      trace_.note(std::string_view{write.key});
      trace_.note(write.value ? std::string_view{*write.value} : std::string_view{});
    }
  }

  /// An earlier process that somebody has a stream to. One that all have left, a scheduler that dials nobody, may live on: it
  /// cannot know, owns nothing, and nobody hears it.
  bool acts_as_twin(const machine& m) const { return m.runs() && m.superseded() && net_.is_linked(m.index()); }

  static bool writes(const ports::kv_batch& batch, std::string_view prefix) {
    return std::any_of(batch.begin(), batch.end(), [&](const auto& w) { return w.value && w.key.starts_with(prefix); });
  }

  /// A scheduler begins to own its shards: from now on its disk says what is. Of two processes of a name it is the later one.
  void on_owner(machine& m, const ports::kv_batch& batch) {
    shard_claim claim;
    for (const auto& w : batch)
      if (w.value && w.key == store::key_scheduler_claim) claim = read<shard_claim>(w);
    std::set<std::uint16_t> shards;
    for (const auto& [where, kept] : view_.claims)
      if (kept.holder == claim.holder && kept.incarnation == claim.incarnation && kept.generation == claim.generation) shards.insert(where.second);
    for (const auto shard : shards) {
      auto& speaker = speaks_for_[shard];
      if (speaker != nullptr && speaker != &m && speaker->name() == m.name()) {
        // One whose name has moved on may take it from one that is earlier still: the latest knows how to wait.
        if (m.started() < owner_started_[shard]) throw violation{"one_twin_acts", m.name() + ": the earlier process took shard " + std::to_string(shard) + " back"};
        LATHAM_REACHED("sim_twin_took_the_shard");
        on_scheduler_lost(shard);
        taken_over_[shard] = time_.now();
        speaker = &m;
      } else if (speaker != &m) {
        on_shard_moved(shard, m);
      }
      owner_started_[shard] = m.started();
    }
  }

  /// What the storage nodes agree on decides: from then on the giver only forgets, and what the receiver has must be all. So it
  /// is when most of them have heard that the receiver goes on from there, of more than the giver claimed for it.
  void look_whose(std::uint16_t shard) {
    const auto members = membership_->told().storages;
    std::map<std::pair<node_name, std::uint32_t>, std::size_t> votes;
    for (const auto& node : members)
      if (const auto at = view_.claims.find({node, shard}); at != view_.claims.end()) ++votes[{at->second.holder, at->second.generation}];
    const auto speaker = speaks_for_.find(shard);
    if (speaker == speaks_for_.end()) return;
    std::uint32_t given = 0;
    for (const auto& [claim, count] : votes)
      if (claim.first == speaker->second->name()) given = std::max(given, claim.second + 1);
    std::map<node_name, std::size_t> beyond;
    for (const auto& [claim, count] : votes)
      if (given == 0 || claim.second > given) beyond[claim.first] += count;
    const auto most = members.size() / 2 + 1;
    for (const auto& [claim, count] : votes) {
      if (speaker->second->name() == claim.first || (count < most && beyond[claim.first] < most)) continue;
      for (const auto& m : machines_)
        if (m->name() == claim.first && !m->superseded()) return on_shard_moved(shard, *m);
    }
  }

  void on_shard_moved(std::uint16_t shard, machine& to) {
    auto& speaker = speaks_for_[shard];
    if (speaker != nullptr) {
      LATHAM_REACHED("sim_shard_changed_hands");
      ++shards_moved_;
      std::map<video_id, video_record> videos;
      std::map<task_id, task_record> tasks;
      for (const auto& [key, value] : to.storage().records_as_they_are()) {
        if (store::shard_of_key(key) != shard) continue;
        const ports::kv_write as_written{key, value};
        if (key.starts_with(store::prefix_videos)) {
          auto r = read<video_record>(as_written);
          videos.insert_or_assign(r.request.video, std::move(r));
        } else {
          auto r = read<task_record>(as_written);
          tasks.insert_or_assign(r.id, std::move(r));
        }
      }
      // With what had been sent to it its disk may be gone since.
      const auto lost = disk_lost_at_.find(&to);
      if (videos.empty() && lost != disk_lost_at_.end() && time_.now() - lost->second < records_sent_within) on_scheduler_lost(shard);
      for (const auto& [id, had] : view_.videos)
        if (id.shard() == shard && (!videos.contains(id) || !(videos.at(id) == had))) throw violation{"hand_over_is_whole", to.name() + " lacks " + to_string(id) + ", or has it as it was before"};
      for (auto& [id, had] : view_.tasks) {
        if (id.video.shard() != shard || !view_.videos.contains(id.video)) continue;
        auto wanted = had;
        if (wanted.state == task_state::leased) {
          wanted.state = task_state::pending;
          --wanted.attempts;
        }
        if (!tasks.contains(id) || !(tasks.at(id) == wanted)) throw violation{"hand_over_is_whole", to.name() + " lacks " + to_string(id) + ", or has it as it was before"};
        had = wanted;
      }
      // The giver's disk may be gone since, and the view with it.
      if (disk_lost_at_.contains(speaker)) {
        view_.videos.insert(videos.begin(), videos.end());
        view_.tasks.insert(tasks.begin(), tasks.end());
      }
      std::erase_if(view_.leases, [shard](const auto& entry) { return entry.first.first == shard; });
    }
    speaker = &to;
    taken_over_[shard] = time_.now();
  }

  /// Whether what a scheduler wrote of a shard counts.
  bool counts(machine& m, std::uint16_t shard, const ports::kv_batch& batch) {
    const auto& speaker = speaks_for_[shard];
    if (speaker == nullptr || speaker == &m) return true;
    if (writes(batch, store::prefix_leases) && speaker->name() == m.name() && time_.now() > std::max(taken_over_[shard], m.awake_since()) + twin_acts_for)
      throw violation{"one_twin_acts", m.name() + ": the earlier process still grants"};
    return false;
  }

  void on_scheduler_batch(machine& m, const ports::kv_batch& batch) {
    note(batch);
    if (writes(batch, store::key_scheduler_claim)) on_owner(m, batch);
    std::vector<video_id> videos;
    std::vector<task_id> tasks;
    std::vector<std::pair<std::uint16_t, epoch>> leases;
    std::vector<video_id> gone;
    for (const auto& write : batch) {
      if (const auto shard = store::shard_of_key(write.key); shard && !counts(m, *shard, batch)) continue;
      if (write.key.starts_with(store::prefix_videos)) {
        if (!write.value) {
          const auto id = parse_id<video_id>(std::string_view{write.key}.substr(std::string_view{store::prefix_videos}.size()));
          if (id && view_.videos.erase(*id) != 0) gone.push_back(*id);
          continue;
        }
        auto r = read<video_record>(write);
        videos.push_back(r.request.video);
        const auto id = r.request.video;
        view_.videos.insert_or_assign(id, std::move(r));
      } else if (write.key.starts_with(store::prefix_tasks)) {
        if (!write.value) {
          std::erase_if(view_.tasks, [&](const auto& t) { return store::task_key(t.first) == write.key; });
          continue;
        }
        auto r = read<task_record>(write);
        tasks.push_back(r.id);
        commits_ += r.state == task_state::committed && r.id.kind != task_kind::plan ? 1 : 0;
        const auto id = r.id;
        view_.tasks.insert_or_assign(id, std::move(r));
      } else if (write.key.starts_with(store::prefix_leases)) {
        if (!write.value) {
          std::erase_if(view_.leases, [&](const auto& l) { return speaks_for_[l.first.first] == &m && store::lease_key(l.first.second) == write.key; });
          continue;
        }
        auto r = read<lease_record>(write);
        const auto shard = r.video.shard();
        if (!counts(m, shard, batch)) continue;
        leases.emplace_back(shard, r.held);
        ++grants_;
        if (trace_.keeps())
          trace_.say(time_.now(), trace::what::process, net_.index_of(r.worker), net_.index_of(r.worker),
                     fmt::format("lease {} of {} x{}", to_string(r.held), to_string(task_id{r.video, r.kind, r.first}).substr(20), r.count));
        const auto held = r.held;
        view_.leases.insert_or_assign(std::pair{shard, held}, std::move(r));
      }
    }
    for (auto& c : checkers_) {
      for (const auto& id : gone) c->on_video_gone(id);
      for (const auto& id : tasks)
        if (auto at = view_.tasks.find(id); at != view_.tasks.end()) c->on_task(at->second);
      for (const auto& id : leases)
        if (auto at = view_.leases.find(id); at != view_.leases.end()) c->on_lease(at->second);
      for (const auto& id : videos)
        if (auto at = view_.videos.find(id); at != view_.videos.end()) c->on_video(at->second);
    }
  }

  void on_scheduler_lost(std::uint16_t shard) {
    std::erase_if(view_.videos, [shard](const auto& entry) { return entry.first.shard() == shard; });
    std::erase_if(view_.tasks, [shard](const auto& entry) { return entry.first.video.shard() == shard; });
    std::erase_if(view_.leases, [shard](const auto& entry) { return entry.first.first == shard; });
    for (auto& c : checkers_) c->on_shard_lost(shard);
    clients_->on_shard_lost(shard);
  }

  void on_storage_batch(const machine& m, const ports::kv_batch& batch) {
    note(batch);
    if (m.superseded()) return on_earlier_storage_batch(m.name(), batch);
    const auto& node = m.name();
    for (const auto& write : batch)
      if (write.key == store::storage_disk_key(node) && write.value) on_numbered(m, read<storage_disk>(write).begun);
    for (const auto& write : batch) {
      if (write.key.starts_with(store::prefix_claims) && write.value) {
        auto claim = read<shard_claim>(write);
        const auto shard = claim.shard;
        view_.claims.insert_or_assign(std::pair{node, shard}, std::move(claim));
        look_whose(shard);
        if (node == lost_last_ && !old_volumes_.contains(&m)) lost_claims_.erase(shard);
      }
      if (!write.key.starts_with(store::prefix_uploads)) continue;
      const auto id = parse_id<video_id>(std::string_view{write.key}.substr(std::string_view{store::prefix_uploads}.size()));
      if (!id) throw violation{"records_decode", write.key};
      auto& held = view_.upload_records[*id];
      if (write.value) held.insert_or_assign(node, read<upload_record>(write));
      else held.erase(node);
      which_counts(*id);
    }
  }

  /// An old volume that is in use again takes claims, and answers, before it is told that it is one. What it lacks comes with
  /// its new number.
  void on_numbered(const machine& m, std::uint64_t begun) {
    auto& last = numbers_[m.name()];
    if (begun < last) old_volumes_.insert(&m);
    if (begun > last && old_volumes_.erase(&m) != 0) old_volume_told_ = time_.now();
    last = std::max(last, begun);
  }

  /// The earlier of two storage nodes of a name: what it keeps goes with its disk. But its word on claims counts with those
  /// that have a link to it, until the later one's does.
  void on_earlier_storage_batch(const node_name& node, const ports::kv_batch& batch) {
    for (const auto& write : batch) {
      if (!write.key.starts_with(store::prefix_claims) || !write.value) continue;
      auto claim = read<shard_claim>(write);
      const std::pair where{node, claim.shard};
      if (view_.claims.contains(where) && !lost_claims_.contains(claim.shard)) continue;
      lost_claims_.insert(claim.shard);
      view_.claims.insert_or_assign(where, std::move(claim));
      look_whose(where.second);
    }
  }

  void which_counts(video_id id) {
    const auto& held = view_.upload_records[id];
    const auto counts = std::max_element(held.begin(), held.end(), [](const auto& a, const auto& b) {
      return std::pair{a.second.state, !a.second.announced} < std::pair{b.second.state, !b.second.announced};
    });
    if (counts == held.end()) view_.uploads.erase(id);
    else view_.uploads.insert_or_assign(id, counts->second);
  }

  /// The disk of a node that has left is wiped: nobody needs it any more, or a checker will say who does.
  void on_storage_left(const node_name& node) {
    ++storages_left_;
    if (lost_last_ == node) lost_last_.clear();
    acks_[node].emplace_back(time_.now(), std::numeric_limits<std::uint32_t>::max());
    // Its claims stay in the view: what was granted on its word may still be on its way to a disk.
    for (auto& [id, held] : view_.upload_records) {
      held.erase(node);
      which_counts(id);
    }
  }

  void on_storage_lost(const node_name& node) {
    const auto in_cluster = std::any_of(machines_.begin(), machines_.end(), [&](const auto& m) { return m->name() == node && m->in_cluster(); });
    if (!in_cluster) return on_storage_left(node);
    lost_last_ = node;
    lost_at_ = time_.now();
    ++disks_lost_;
    // Of claims the view keeps what was there: what was granted on the word of this disk may still be used for a while.
    lost_claims_.clear();
    for (const auto& [where, claim] : view_.claims)
      if (where.first == node) lost_claims_.insert(where.second);
    for (auto& [id, held] : view_.upload_records) {
      held.erase(node);
      which_counts(id);
    }
  }

  /// Whether a storage node's disk may be lost without breaking the promise: what is on it is on as many others as one lost
  /// disk may take, and the one that was lost before has all of it again. Not while nodes join or leave.
  bool may_lose_disk(const machine& m) const {
    if (m.role() != node_role::storage) return true;
    if (membership_->busy() || !m.in_cluster() || membership_->told().storages.size() < 2 || storage_acts_twice()) return false;
    // Where one copy is all that is promised, no disk may be lost; and where there will be more than were promised, one may once
    // they are there.
    const auto rules = rules_of(membership_->told());
    if (rules.copies < 2) return false;
    // It may have the last whole copy of what is damaged elsewhere.
    for (const auto& other : machines_)
      if (other.get() != &m && other->role() == node_role::storage && !other->storage().blobs_as_they_are().damaged().empty()) return false;
    if (lost_last_.empty() && !has_changes() && rules.acks > 1) return true;
    if (!lost_claims_.empty()) return false;
    for (const auto& node : membership_->told().storages)
      for (const auto& [where, claim] : view_.claims) {
        const auto known = view_.claims.find({node, where.second});
        if (has_changes() && (known == view_.claims.end() || known->second.generation < claim.generation)) return false;
      }
    std::map<blob_id, std::int64_t> sealed;
    for (const auto& other : machines_)
      if (other->role() == node_role::storage && other->wanted()) {
        if (other->name() == lost_last_ && !other->runs()) return false;
        for (const auto& stat : other->storage().blobs_as_they_are().contents()) sealed[stat.blob] += stat.sealed ? 1 : 0;
      }
    // Of what is on one disk a client, or a worker, may just be hearing that it is kept.
    if (rules.acks < 2 && std::any_of(sealed.begin(), sealed.end(), [](const auto& blob) { return blob.second < 2; })) return false;
    for (const auto& [id, task] : view_.tasks)
      if (task.state == task_state::committed && id.kind != task_kind::plan && sealed[task.output.blob] < 2) return false;
    for (const auto& [id, upload] : view_.uploads) {
      const auto& held = view_.upload_records.at(id);
      const auto like_it = std::count_if(held.begin(), held.end(), [&](const auto& r) { return r.second.state == upload.state; });
      if (upload.state == upload_state::complete && (like_it < 2 || sealed[upload.what.source.blob] < 2)) return false;
      if (upload.state == upload_state::removed && (like_it < 2 || (!lost_last_.empty() && !held.contains(lost_last_)))) return false;
    }
    return true;
  }

  /// An earlier storage node still takes part, so of what is on two disks one may be that of its process, which goes with it.
  [[nodiscard]] bool storage_acts_twice() const {
    return std::any_of(machines_.begin(), machines_.end(), [this](const auto& m) { return m->role() == node_role::storage && acts_as_twin(*m); });
  }

  [[nodiscard]] bool has_changes() const {
    return std::any_of(plan_.faults.begin(), plan_.faults.end(), [](const fault& f) { return f.kind == "grow" || f.kind == "shrink"; });
  }

  [[nodiscard]] copy_rules rules_of(const cluster_config& told) const {
    return make_copy_rules({}, told.storages, told.draining, static_cast<std::uint32_t>(plan_.knobs.copies), static_cast<std::uint32_t>(plan_.knobs.ack_copies));
  }

  /// What a node promised counts until its clients have heard of it.
  std::uint32_t acks_lately() {
    auto least = std::numeric_limits<std::uint32_t>::max();
    for (auto& [node, all] : acks_) {
      while (all.size() > 1 && all[1].first + acks_counted_lately < time_.now()) all.pop_front();
      for (const auto& [since, acks] : all) least = std::min(least, acks);
    }
    return least;
  }

  // ---- Checks --------------------------------------------------------------------------------------------------------

  void make_view() {
    view_.attempts = static_cast<std::uint32_t>(plan_.knobs.attempts);
    view_.wait = [this](const std::function<bool()>& answered) {
      for (const auto until = time_.now() + checks_wait_for; !answered() && time_.now() < until;) step();
    };
    view_.old_volume_lately = [this] { return !old_volumes_.empty() || (old_volume_told_.count() != 0 && time_.now() - old_volume_told_ < disk_counted_lately); };
    view_.disk_lost_lately = [this] { return disks_lost_ > 0 && time_.now() - lost_at_ < disk_counted_lately; };
    view_.storage_up = [this] { return std::all_of(machines_.begin(), machines_.end(), [](const auto& m) { return m->role() != node_role::storage || m->runs() || !m->wanted(); }); };
    view_.storage_well = [this] { return std::all_of(machines_.begin(), machines_.end(), [this](const auto& m) { return m->role() != node_role::storage || !m->wanted() || is_well(*m); }); };
    view_.copies = static_cast<std::uint32_t>(plan_.knobs.copies);
    view_.repair_period = milliseconds{plan_.knobs.repair_period_ms};
    view_.storages = [this] { return membership_->told().storages; };
    view_.storages_of = [this](std::uint16_t shard) { return speaks_for_.at(shard)->configured().storages; };
    view_.acks_lately = [this] { return acks_lately(); };
    view_.quiet = [this] { return quiet(); };
    view_.decided_by = [this](std::uint16_t shard) { return decided_by(shard); };
    view_.queues.push_back({"packets that one link or node was to get", [this] { return net_.held_most(); }, held_most});
    view_.queues.push_back({"the world's events", [this] { return time_.size(); }, events_most});
    checkers_ = make_checkers(view_);
  }

  void every_second() {
    time_.after(a_second, [this] {
      every_second();
      if (storage_acts_twice()) lost_at_ = time_.now();
      for (const auto& m : machines_)
        if (acts_as_twin(*m) && faults_->healed() && time_.now() > faults_->healed_at() + twins_end_within)
          throw violation{"twins_end", m->name() + ": the earlier of two processes is still heard"};
      const auto random = time_.draw();
      for (auto& c : checkers_) c->on_second(random);
    });
  }

  /// After an upgrade of all workers: what was begun with the engine of before waits until somebody brings it back. Nothing else
  /// may become of it, so nobody holds a lease on it.
  bool waits_for_its_engine(const video_record& video) const {
    if (!video.plan_known || !(video.state == video_state::queued || video.state == video_state::planning || video.state == video_state::encoding)) return false;
    for (const auto& m : machines_)
      if (m->works() && m->wanted() && (!m->runs() || m->engine() == video.engine)) return false;
    LATHAM_REACHED("sim_video_waits_for_its_engine");
    return true;
  }

  /// What must still come to its end, in words; empty when nothing.
  std::string unfinished() {
    std::string out;
    everything_else_ended_ = false;
    if (membership_->busy()) out += " " + membership_->under_way() + ";";
    if (!clients_->finished()) out += clients_->unfinished();
    for (const auto& m : machines_)
      if ((m->wanted() && (!m->runs() || m->stopping())) || acts_as_twin(*m)) out += " " + m->name() + (m->wanted() ? " is down, or about to be;" : " runs twice;");
    for (const auto& [shard, speaker] : speaks_for_)
      if (speaker->superseded()) out += fmt::format(" the later process of {} does not own shard {} yet;", speaker->name(), shard);
    for (const auto& [id, video] : view_.videos) {
      const auto known = view_.known.find(id);
      const bool ended = video.state == video_state::ready || (video.state == video_state::failed && known != view_.known.end() && known->second.poison && video.job > 1);
      if (!ended && !waits_for_its_engine(video)) out += fmt::format(" {} is {} ({});", to_string(id), to_string(video.state), video.error_message);
    }
    for (const auto& [id, upload] : view_.uploads) {
      if (upload.state == upload_state::receiving) out += " " + to_string(id) + " is still receiving;";
      if (upload.state == upload_state::complete && !upload.announced) out += " " + to_string(id) + " was never announced;";
      // A scheduler that has just lost its disk is told again of what storage believes that it has.
      if (upload.state == upload_state::complete && upload.announced && !view_.videos.contains(id)) out += " " + to_string(id) + " is not with its scheduler;";
    }
    if (!out.empty()) return out;
    everything_else_ended_ = true;
    if (!view_.leases.empty()) out += fmt::format(" {} leases;", view_.leases.size());
    for (const auto& busy : view_.slots_busy)
      if (busy() > 0) out += " a busy slot;";
    return out + misplaced_blobs(view_).words + damaged_blobs(view_);
  }

  void report() {
    verdict_.hash = trace_.hash();
    verdict_.virtual_s = static_cast<double>(time_.age().count()) / 1e9;
    verdict_.faults = ledger_.sums();
    verdict_.last = trace_.entries();
    auto& n = verdict_.counts;
    n["packets"] = net_.packets();
    n["network_bytes"] = net_.bytes();
    n["streams_reset"] = net_.resets();
    n["packets_held_most"] = net_.held_most();
    n["process_starts"] = starts_;
    n["grants"] = grants_;
    n["commits"] = commits_;
    n["storage_disks_lost"] = disks_lost_;
    n["storages_left"] = storages_left_;
    n["shards_moved"] = shards_moved_;
    for (const auto& m : machines_) {
      n["appends_torn"] += m->storage().appends_torn();
      n["reservations_without_space"] += m->storage().had_no_space();
    }
    n["videos"] = view_.videos.size();
    const auto& c = clients_->count();
    n["uploads"] = c.uploads;
    n["uploads_acknowledged"] = c.acknowledged;
    n["uploads_resumed"] = c.resumed;
    n["uploads_abandoned"] = c.given_up;
    n["uploads_aborted"] = c.aborted;
    n["deletes"] = c.deleted;
    n["retries"] = c.retried;
    n["media_reads"] = c.media_reads;
    n["media_compared"] = c.media_compared;
    n["lookups"] = c.lookups;
    n["lists"] = c.lists;
    n["events"] = c.events;
    n["calls_failed"] = c.failed_calls;
    reach_mark::for_each([this](const reach_mark& m) {
      if (m.was_reached()) verdict_.reached.emplace_back(m.name());
    });
    std::sort(verdict_.reached.begin(), verdict_.reached.end());
  }

  const plan plan_;
  const run_options how_;
  events time_;
  trace trace_;
  ledger ledger_;
  network net_;
  surroundings around_;
  view view_;
  std::vector<std::unique_ptr<checker>> checkers_;
  std::vector<std::unique_ptr<machine>> machines_;
  std::unique_ptr<workload> clients_;
  std::unique_ptr<faults> faults_;
  std::unique_ptr<membership> membership_;
  std::map<node_name, std::deque<std::pair<nanoseconds, std::uint32_t>>> acks_;  // of each storage node: what its lives promised, and from when on
  std::uint64_t storages_left_ = 0;
  std::vector<node_index> dirty_;
  std::vector<machine*> ready_;
  std::map<const machine*, nanoseconds> disk_lost_at_;  // of schedulers
  std::uint64_t shards_moved_ = 0;
  std::map<std::uint16_t, machine*> speaks_for_;      // of each shard: whose disk says what is
  std::map<std::uint16_t, nanoseconds> taken_over_;
  std::map<std::uint16_t, nanoseconds> owner_started_;
  verdict verdict_;
  std::uint64_t starts_ = 0;
  std::uint64_t grants_ = 0;
  std::uint64_t commits_ = 0;
  bool everything_else_ended_ = false;
  node_name lost_last_;                    // the storage node that lost its disk last
  nanoseconds lost_at_{0};
  std::uint64_t disks_lost_ = 0;
  std::map<node_name, std::uint64_t> numbers_;  // of disks, the greatest of each name
  std::set<const machine*> old_volumes_;        // that were not told so yet
  nanoseconds old_volume_told_{0};
  std::set<std::uint16_t> lost_claims_;    // shards whose claims that node has not got back
};

}  // namespace

verdict run(const plan& p, const run_options& how) {
  // Leaked on purpose: see the header. Where a checker of leaks finds them.
  static auto& worlds = *new std::vector<world*>;
  return worlds.emplace_back(new world(p, how))->run();
}

}  // namespace latham::sim
