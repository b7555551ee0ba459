#include "actors/transcoder/transcoder_actor.hpp"

#include "actors/role_actor.hpp"
#include "actors/scheduler/scheduler_map.hpp"
#include "actors/transcoder/slot_actor.hpp"
#include "core/reach.hpp"
#include "core/scheduler/slot_offers.hpp"

#include <algorithm>
#include <map>
#include <set>

namespace latham {

namespace {

constexpr milliseconds report_again{300};
constexpr std::size_t leases_per_slot_max = 2;
constexpr milliseconds homeless_max{1'500};  // a lease that found no free slot for so long is given back
constexpr std::uint64_t ask_ticks = 4;       // an offer that has not changed is said again each so many renewals

/// Epochs are a scheduler's own: two may grant the same one.
using lease_key = std::pair<std::uint16_t, epoch>;
lease_key key_of(video_id video, epoch held) { return {video.shard(), held}; }

using transcoder_interface = worker_actor::extend_with<slot_parent>;

class transcoder : public role_actor<transcoder_interface> {
public:
  transcoder(caf::actor_config& config, const env* e, directory_actor directory) : role_actor(config, *e), directory_{std::move(directory)}, offers_{e->config.slots} {
    for (std::uint32_t i = 0; i < env_.config.slots; ++i) free_.insert(i);
  }

  behavior_type make_behavior() override {
    listen(directory_, service_scheduler, [this](const service_change& change) { on_scheduler(change); });
    listen(directory_, service_storage, [this](const service_change& change) { on_storage(change); });
    listen(directory_, service_drain, [this](const service_change& change) { on_drain(change); });
    set_down_handler([this](caf::down_msg& down) { on_slot_down(down); });
    tick();
    return {
      [this](const grant_list& grants) {
        for (const auto& grant : grants) on_grant(grant);
      },
      [this](const plan_page& page) { return on_plan(page); },
      [this](const task_commit& commit) { return on_commit(commit); },
      [this](const task_failure& end) { on_slot_end(end); },
      [this](const lease_renewal& progress) {
        if (auto at = running_.find(key_of(progress.video, progress.held)); at != running_.end()) at->second.progress = progress;
      },
      [](local_call& call) { call.run(); },
    };
  }

  /// The node stops: its leases are handed back, unharmed, instead of running out. Best effort.
  void on_exit() override {
    for (const auto& [key, l] : running_) {
      if (const auto scheduler = schedulers_.of(key.first))
        caf::anon_send(scheduler, task_failure{{l.grant.video, l.grant.kind, l.progress.index}, key.second, errc::cancelled, "the worker stops"});
      if (l.actor) caf::anon_send_exit(l.actor, caf::exit_reason::user_shutdown);
    }
    running_.clear();
    commits_.clear();
    schedulers_.clear();
    waits_for_drain_ = nullptr;
  }

private:
  struct lease {
    work_grant grant;
    std::uint32_t slot = 0;
    caf::actor actor;
    lease_renewal progress;
    instant valid_until;
    milliseconds ttl{};
    node_name from;     // whose slot it takes
    instant since;
  };

  void on_scheduler(const service_change& change) {
    schedulers_.on_change(change);
    asked_.erase(change.node);
    if (!change.handle) {
      offers_.remove(change.node);
      tell_drained();
      return ask();
    }
    offers_.add(change.node);
    auto handle = caf::actor_cast<scheduler_actor>(change.handle);
    request(handle, env_.config.request_timeout, shards_atom::value)
      .then(
        [this, node = change.node, handle](const shard_info& info) {
          if (!schedulers_.on_info(node, handle, info)) return;
          log(ports::log_level::info, "worker sees scheduler node={}", node);
          ask(node);
          tell_drained();  // it may have no shard any more
        },
        [this, change](caf::error&) {
          later(report_again, [this, change] {
            if (schedulers_.is(change.node, change.handle)) on_scheduler(change);
          });
        });
  }

  void on_storage(const service_change& change) {
    if (change.handle) {
      storages_[change.node] = caf::actor_cast<storage_actor>(change.handle);
    } else {
      storages_.erase(change.node);
    }
    // A handle whose link was cut stays dead: what runs goes on with the new one, or with another storage node.
    for (const auto& [key, l] : running_)
      if (l.actor) caf::anon_send(l.actor, storage_up_atom::value, change.node, change.handle);
    ask();
  }

  /// No new leases from now on; what runs is finished, and then whoever waits for it is told. Said again: finished or not.
  void on_drain(const service_change& change) {
    if (change.node != env_.config.name || !change.handle) return;
    if (draining_) return hand_back_all();
    log(ports::log_level::info, "worker drains running={}", running_.size());
    draining_ = true;
    waits_for_drain_ = caf::actor_cast<caf::actor>(change.handle);
    ask();
    tell_drained();
  }

  void hand_back_all() {
    LATHAM_REACHED("handed_back_at_the_drain_deadline");
    std::vector<std::pair<lease_key, lease>> all(running_.begin(), running_.end());
    for (const auto& [key, l] : all) {
      give_back(task_failure{{l.grant.video, l.grant.kind, l.progress.index}, key.second, errc::cancelled, "the worker stops"});
      if (l.actor) caf::anon_send_exit(l.actor, caf::exit_reason::user_shutdown);
      release(key);
    }
  }

  /// Not before all schedulers know: what has been granted meanwhile, or is being handed back, would go down with our links, and
  /// cost its lease's time and an attempt.
  [[nodiscard]] bool all_know_that_we_drain() const {
    return giving_back_ == 0 && std::all_of(schedulers_.all().begin(), schedulers_.all().end(), [this](const auto& entry) {
      const auto last = asked_.find(entry.first);
      return (entry.second.told && entry.second.info.shards.empty()) || (last != asked_.end() && last->second.slots == 0 && last->second.answered);
    });
  }

  void tell_drained() {
    if (!waits_for_drain_ || !running_.empty() || !all_know_that_we_drain()) return;
    log(ports::log_level::info, "worker drained");
    caf::anon_send(std::exchange(waits_for_drain_, nullptr), caf::unit);
  }

  /// Without storage there is nothing to read or write.
  [[nodiscard]] std::uint32_t offer(const node_name& scheduler) const { return draining_ || storages_.empty() ? 0 : offers_.allowance(scheduler); }

  /// Where the outputs of a task go: to its source's storage node, or to another one when that is away or has left. Of several
  /// any has the source, or gets it.
  [[nodiscard]] std::map<node_name, storage_actor>::const_iterator storage_for(const source_ref& source) const {
    const auto named = storages_.find(source.store);
    if (named != storages_.end() && !env_.config.draining.contains(source.store)) return named;
    for (const auto& node : placement_of(source.blob, env_.config.rules_of_copies()))
      if (const auto at = storages_.find(node); at != storages_.end()) return at;
    return storages_.end();
  }

  void ask() {
    std::vector<node_name> all;
    for (const auto& [node, e] : schedulers_.all()) all.push_back(node);
    for (const auto& node : all) ask(node);
  }

  void ask(const node_name& node) {
    const auto at = schedulers_.all().find(node);
    if (at == schedulers_.all().end() || at->second.info.shards.empty()) return;
    const auto slots = offer(node);
    auto& last = asked_[node];
    last.at = now();
    // The same said again may be answered by any of its answers: they come in order, and perhaps more slowly than it is said.
    if (last.number == 0 || last.slots != slots) last.number = ++questions_;
    last.slots = slots;
    last.answered = false;
    request(at->second.handle, env_.config.request_timeout, work_request{env_.config.name, env_.config.incarnation, env_.engine->id(), slots},
            caf::actor_cast<caf::strong_actor_ptr>(this))
      .then(
        [this, node, number = last.number](const work_answer& answer) {
          // One that comes late says nothing of what was said since.
          if (const auto last_one = asked_.find(node); last_one != asked_.end() && last_one->second.number == number) last_one->second.answered = true;
          tell_drained();
          offers_.on_answer(node, answer.granted + answer.waiting);
          // What one scheduler says may change what the others may have.
          for (const auto& [other, last_question] : asked_)
            if (schedulers_.all().contains(other) && offer(other) != last_question.slots) soon_ask(other);
        },
        [](caf::error&) {});  // the next tick asks again
  }

  /// What a scheduler knows already costs it a message of every worker each time. Still, only an answer tells of work that
  /// has come; so it is said again, to another scheduler at each tick.
  void ask_again() {
    auto turn = ++ticks_;
    std::vector<node_name> stale;
    for (const auto& [node, e] : schedulers_.all()) {
      const auto last = asked_.find(node);
      if (++turn % ask_ticks == 0 || last == asked_.end() || !last->second.answered || last->second.slots != offer(node)) stale.push_back(node);
    }
    for (const auto& node : stale) ask(node);
  }

  /// In the next turn, and once: answers of several schedulers may each move the same one's part.
  void soon_ask(const node_name& node) {
    if (!to_ask_.insert(node).second) return;
    soon([this, node] {
      to_ask_.erase(node);
      ask(node);
    });
  }

  void tick() {
    expire();
    give_back_homeless();
    renew();
    ask_again();
    if (env_.metrics != nullptr) env_.metrics->set("latham_slots_busy", static_cast<double>(running_.size()));
    later(env_.config.renew_period, [this] { tick(); });
  }

  void on_grant(const work_grant& grant) {
    const auto key = key_of(grant.video, grant.held);
    if (running_.contains(key)) return;
    const auto node = node_of(grant.video.shard());
    if (node.empty()) return;                                               // of a scheduler that went: its lease runs out
    if (draining_) return give_back(task_failure{{grant.video, grant.kind, grant.first}, grant.held, errc::cancelled, "the worker is being drained"});
    // Two schedulers that were offered the same slots, or one that cannot count.
    if (running_.size() >= leases_per_slot_max * std::size_t{env_.config.slots}) {
      ask(node);  // it must know of that first, or it grants the next one as this one comes back
      return give_back(task_failure{{grant.video, grant.kind, grant.first}, grant.held, errc::cancelled, "the worker has no slot free"});
    }
    auto& l = running_[key];
    l.from = node;
    l.since = now();
    offers_.on_granted(node);
    l.grant = grant;
    l.ttl = milliseconds{grant.ttl_ms};
    l.progress = {grant.video, grant.held, grant.first, 0};
    // The scheduler's clock for this lease started when it decided: mostly after we asked for work, and never later than now.
    // A question that crossed the grant, or a grant that waited for its record, makes this end after the scheduler's own; what is
    // done then is fenced by its epoch.
    const auto asked = asked_.contains(node) ? asked_.at(node).at : instant{};
    l.valid_until = std::max(asked, now() - l.ttl / 2) + l.ttl;
    start_waiting();
  }

  /// A lease may come a moment before the slot that it is for is free: the scheduler knows of the last commit first.
  void start_waiting() {
    std::vector<lease_key> homeless;
    for (auto& [key, l] : running_) {
      if (l.actor) continue;
      const auto storage = storage_for(l.grant.source);
      if (storage == storages_.end()) {
        LATHAM_REACHED("lease_without_its_storage");
        homeless.push_back(key);
        continue;
      }
      if (free_.empty()) continue;
      l.slot = *free_.begin();
      free_.erase(free_.begin());
      log(ports::log_level::debug, "slot starts slot={} video={} kind={} first={} count={} epoch={}", l.slot, to_string(l.grant.video), to_string(l.grant.kind), l.grant.first,
          l.grant.chunks.size(), to_string(key.second));
      l.actor = spawn_slot(this, env_, l.slot, l.grant, storages_, storage->first, caf::actor_cast<slot_parent>(this));
      monitor(l.actor);
      slots_.emplace(l.actor.address(), l.slot);
    }
    for (const auto& key : homeless) {
      const auto& grant = running_.at(key).grant;
      give_back(task_failure{{grant.video, grant.kind, grant.first}, grant.held, errc::cancelled, "the worker does not reach storage " + grant.source.store});
      release(key);
    }
  }

  /// Two schedulers may have been offered the same slot.
  void give_back_homeless() {
    std::vector<lease_key> late;
    for (const auto& [key, l] : running_)
      if (!l.actor && now() - l.since > homeless_max) late.push_back(key);
    for (const auto& key : late) {
      const auto& grant = running_.at(key).grant;
      give_back(task_failure{{grant.video, grant.kind, grant.first}, grant.held, errc::cancelled, "the worker has no slot free"});
      release(key);
    }
  }

  [[nodiscard]] node_name node_of(std::uint16_t shard) const {
    for (const auto& [node, e] : schedulers_.all())
      if (std::find(e.info.shards.begin(), e.info.shards.end(), shard) != e.info.shards.end()) return node;
    return {};
  }

  // ---- Leases --------------------------------------------------------------------------------------------------------

  void renew() {
    std::map<node_name, renewal_list> by_scheduler;
    for (const auto& [key, l] : running_)
      if (auto node = node_of(key.first); !node.empty() && by_scheduler[node].size() < batch_max) by_scheduler[node].push_back(l.progress);
    for (const auto& [node, renewals] : by_scheduler)
      request(schedulers_.all().at(node).handle, env_.config.request_timeout, renewals)
        .then(
          [this, renewals = renewals, sent = now()](const errc_list& codes) {
            for (std::size_t i = 0; i < renewals.size() && i < codes.size(); ++i) {
              const auto key = key_of(renewals[i].video, renewals[i].held);
              auto at = running_.find(key);
              if (at == running_.end()) continue;
              if (codes[i] == errc::none)
                at->second.valid_until = std::max(at->second.valid_until, sent + at->second.ttl);
              else
                drop(key, "the scheduler gave it to another");
            }
          },
          [this](caf::error& e) {
            // The next tick tries again; `expire` bounds it.
            log(ports::log_level::debug, "renewal failed detail=\"{}\"", system().render(e));
          });
  }

  void expire() {
    std::vector<lease_key> lost;
    for (const auto& [key, l] : running_)
      if (l.valid_until <= now()) lost.push_back(key);
    if (!lost.empty()) LATHAM_REACHED("lease_ran_out_at_its_holder");
    for (const auto& key : lost) drop(key, "it could not be renewed in time");
  }

  void drop(const lease_key& key, std::string_view why) {
    auto at = running_.find(key);
    if (at == running_.end()) return;
    log(ports::log_level::info, "lease lost epoch={} video={} reason=\"{}\"", to_string(key.second), to_string(at->second.grant.video), why);
    count("latham_leases_lost_total");
    if (at->second.actor) caf::anon_send_exit(at->second.actor, caf::exit_reason::user_shutdown);
    release(key);
  }

  void release(lease_key key) {
    auto at = running_.find(key);
    if (at == running_.end()) return;
    offers_.on_ended(at->second.from);
    running_.erase(at);
    tell_drained();
  }

  void on_slot_end(const task_failure& end) {
    const auto key = key_of(end.task.video, end.held);
    if (!running_.contains(key)) return;
    if (end.code != errc::none && end.code != errc::fenced) give_back(end);
    release(key);
  }

  /// Only now is the slot free: the engine runs one session at a time on it, and the actor's end is the session's end.
  void on_slot_down(const caf::down_msg& down) {
    auto slot = slots_.find(down.source);
    if (slot == slots_.end()) return;
    free_.insert(slot->second);
    slots_.erase(slot);
    for (const auto& [key, l] : running_) {
      if (!l.actor || l.actor.address() != down.source) continue;
      LATHAM_REACHED("slot_ended_without_a_word");
      // It ended without a word: a bug in the slot, not in the video.
      give_back(task_failure{{l.grant.video, l.grant.kind, l.progress.index}, key.second, errc::crashed, "the slot failed"});
      release(key);
      break;
    }
    start_waiting();
  }

  /// Best effort: if this is lost, the lease runs out.
  void give_back(const task_failure& failure) {
    const auto scheduler = schedulers_.of(failure.task.video.shard());
    if (!scheduler) return;
    ++giving_back_;
    const auto heard = [this] {
      --giving_back_;
      tell_drained();
    };
    request(scheduler, env_.config.request_timeout, failure).then([heard](errc) { heard(); }, [heard](caf::error&) { heard(); });
  }

  // ---- Reports -------------------------------------------------------------------------------------------------------

  /// Said again until the scheduler answers or the lease is gone, whichever comes first; both are idempotent.
  caf::result<errc> on_plan(const plan_page& page) {
    auto answer = make_response_promise<errc>();
    send_plan(page, answer);
    return answer;
  }

  void send_plan(const plan_page& page, promise<errc> answer) {
    if (!running_.contains(key_of(page.video, page.held))) {
      answer.deliver(errc::fenced);
      return;
    }
    const auto again = [this, page, answer] { later(report_again, [this, page, answer] { send_plan(page, answer); }); };
    const auto scheduler = schedulers_.of(page.video.shard());
    if (!scheduler) return again();
    request(scheduler, env_.config.request_timeout, page)
      .then([answer](errc code) mutable { answer.deliver(code); },
            [this, again](caf::error& e) {
              log(ports::log_level::debug, "plan not taken yet detail=\"{}\"", system().render(e));
              again();
            });
  }

  caf::result<errc> on_commit(const task_commit& commit) {
    auto answer = make_response_promise<errc>();
    commits_[commit.task.video.shard()].push_back({commit, answer});
    send_commits(commit.task.video.shard());
    return answer;
  }

  struct open_commit {
    task_commit message;
    promise<errc> answer;
  };

  /// One batch of a shard is under way at a time; what comes meanwhile joins the next.
  void send_commits(std::uint16_t shard) {
    if (committing_.contains(shard)) return;
    std::vector<open_commit> batch;
    std::vector<open_commit> rest;
    for (auto& open : commits_[shard]) {
      if (!running_.contains(key_of(open.message.task.video, open.message.held)))
        open.answer.deliver(errc::fenced);
      else if (batch.size() < batch_max)
        batch.push_back(std::move(open));
      else
        rest.push_back(std::move(open));
    }
    commits_[shard] = std::move(rest);
    if (batch.empty()) {
      commits_.erase(shard);
      return;
    }
    committing_.insert(shard);
    auto retry = [this, shard](std::vector<open_commit> unanswered) {
      for (auto& open : unanswered) commits_[shard].push_back(std::move(open));
      later(report_again, [this, shard] {
        committing_.erase(shard);
        send_commits(shard);
      });
    };
    const auto scheduler = schedulers_.of(shard);
    if (!scheduler) return retry(std::move(batch));
    commit_list messages;
    for (const auto& open : batch) messages.push_back(open.message);
    auto shared = std::make_shared<std::vector<open_commit>>(std::move(batch));  // shared by the two outcomes
    request(scheduler, env_.config.request_timeout, messages)
      .then(
        [this, shared, shard](const errc_list& codes) {
          for (std::size_t i = 0; i < shared->size(); ++i) (*shared)[i].answer.deliver(i < codes.size() ? codes[i] : errc::internal);
          committing_.erase(shard);
          send_commits(shard);
        },
        [this, retry, shared](caf::error& e) {
          LATHAM_REACHED("commits_said_again");
          log(ports::log_level::debug, "commits not taken yet count={} detail=\"{}\"", shared->size(), system().render(e));
          retry(std::move(*shared));
        });
  }

  directory_actor directory_;
  scheduler_map schedulers_;
  slot_offers offers_;
  std::map<node_name, storage_actor> storages_;
  std::set<std::uint32_t> free_;
  std::map<caf::actor_addr, std::uint32_t> slots_;  // of slot actors that have not ended yet
  std::map<lease_key, lease> running_;
  std::map<std::uint16_t, std::vector<open_commit>> commits_;  // by shard
  std::set<std::uint16_t> committing_;                         // a batch of it is under way, or waits to be said again
  struct question {
    instant at;
    std::uint32_t slots = 0;
    std::uint64_t number = 0;
    bool answered = false;
  };
  std::map<node_name, question> asked_;
  std::uint64_t questions_ = 0;
  std::uint64_t ticks_ = 0;
  bool draining_ = false;
  std::size_t giving_back_ = 0;  // leases of which the scheduler has not said yet that it has them back
  caf::actor waits_for_drain_;   // null: nobody, or told already
  std::set<node_name> to_ask_;
};

}  // namespace

caf::actor spawn_transcoder(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<transcoder>(&e, std::move(directory)));
}

}  // namespace latham
