#include "actors/transcoder/transcoder_actor.hpp"

#include "actors/role_actor.hpp"
#include "actors/transcoder/slot_actor.hpp"
#include "core/reach.hpp"

#include <map>
#include <set>

namespace latham {

namespace {

constexpr milliseconds report_again{300};

using transcoder_interface = worker_actor::extend_with<slot_parent>;

class transcoder : public role_actor<transcoder_interface> {
public:
  transcoder(caf::actor_config& config, const env* e, directory_actor directory) : role_actor(config, *e), directory_{std::move(directory)} {
    for (std::uint32_t i = 0; i < env_.config.slots; ++i) free_.insert(i);
  }

  behavior_type make_behavior() override {
    listen(directory_, service_scheduler, [this](const service_change& change) { on_scheduler(change); });
    listen(directory_, service_storage, [this](const service_change& change) { on_storage(change); });
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
        if (auto at = running_.find(progress.held); at != running_.end()) at->second.progress = progress;
      },
      [](local_call& call) { call.run(); },
    };
  }

  /// The node stops: its leases are handed back, unharmed, instead of running out. Best effort.
  void on_exit() override {
    for (const auto& [held, l] : running_) {
      if (scheduler_) caf::anon_send(scheduler_, task_failure{{l.grant.video, l.grant.kind, l.progress.index}, held, errc::cancelled, "the worker stops"});
      if (l.actor) caf::anon_send_exit(l.actor, caf::exit_reason::user_shutdown);
    }
    running_.clear();
    commits_.clear();
    destroy(scheduler_);
  }

private:
  struct lease {
    work_grant grant;
    std::uint32_t slot = 0;
    caf::actor actor;
    lease_renewal progress;
    instant valid_until;
    milliseconds ttl{};
  };

  void on_scheduler(const service_change& change) {
    scheduler_ = change.handle ? caf::actor_cast<scheduler_actor>(change.handle) : scheduler_actor{};
    if (scheduler_) {
      log(ports::log_level::info, "worker sees scheduler node={}", change.node);
      ask();
    }
  }

  void on_storage(const service_change& change) {
    if (change.handle) {
      storages_[change.node] = caf::actor_cast<storage_actor>(change.handle);
      // A handle whose link was cut stays dead: what runs goes on with the new one.
      for (const auto& [held, l] : running_)
        if (l.actor) caf::anon_send(l.actor, storage_up_atom::value, change.node, change.handle);
    } else {
      storages_.erase(change.node);
    }
    ask();
  }

  void ask() {
    if (!scheduler_) return;
    const auto slots = storages_.empty() ? 0u : env_.config.slots;  // without storage there is nothing to read or write
    caf::anon_send(scheduler_, work_request{env_.config.name, env_.config.incarnation, env_.engine->id(), slots}, caf::actor_cast<caf::strong_actor_ptr>(this));
    asked_ = now();
  }

  void tick() {
    expire();
    renew();
    ask();
    if (env_.metrics != nullptr) env_.metrics->set("latham_slots_busy", static_cast<double>(running_.size()));
    later(env_.config.renew_period, [this] { tick(); });
  }

  void on_grant(const work_grant& grant) {
    if (running_.contains(grant.held)) return;
    if (running_.size() >= 2 * std::size_t{env_.config.slots}) return;  // a scheduler that cannot count: its lease runs out
    auto& l = running_[grant.held];
    l.grant = grant;
    l.ttl = milliseconds{grant.ttl_ms};
    l.progress = {grant.held, grant.first, 0};
    // The scheduler's clock for this lease started after we asked for work.
    l.valid_until = std::max(asked_, now() - l.ttl / 2) + l.ttl;
    start_waiting();
  }

  /// A lease may come a moment before the slot that it is for is free: the scheduler knows of the last commit first.
  void start_waiting() {
    std::vector<epoch> homeless;
    for (auto& [held, l] : running_) {
      if (l.actor) continue;
      auto storage = storages_.find(l.grant.source.store);
      if (storage == storages_.end()) {
        LATHAM_REACHED("lease_without_its_storage");
        homeless.push_back(held);
        continue;
      }
      if (free_.empty()) continue;
      l.slot = *free_.begin();
      free_.erase(free_.begin());
      log(ports::log_level::debug, "slot starts slot={} video={} kind={} first={} count={} epoch={}", l.slot, to_string(l.grant.video), to_string(l.grant.kind), l.grant.first,
          l.grant.chunks.size(), to_string(held));
      l.actor = spawn_slot(this, env_, l.slot, l.grant, storage->second, caf::actor_cast<slot_parent>(this));
      monitor(l.actor);
      slots_.emplace(l.actor.address(), l.slot);
    }
    for (const auto held : homeless) {
      const auto& grant = running_.at(held).grant;
      give_back(task_failure{{grant.video, grant.kind, grant.first}, held, errc::cancelled, "the worker does not reach storage " + grant.source.store});
      running_.erase(held);
    }
  }

  // ---- Leases --------------------------------------------------------------------------------------------------------

  void renew() {
    if (!scheduler_ || running_.empty()) return;
    renewal_list renewals;
    for (const auto& [held, l] : running_)
      if (renewals.size() < batch_max) renewals.push_back(l.progress);
    request(scheduler_, env_.config.request_timeout, renewals)
      .then(
        [this, renewals, sent = now()](const errc_list& codes) {
          for (std::size_t i = 0; i < renewals.size() && i < codes.size(); ++i) {
            auto at = running_.find(renewals[i].held);
            if (at == running_.end()) continue;
            if (codes[i] == errc::none)
              at->second.valid_until = std::max(at->second.valid_until, sent + at->second.ttl);
            else
              drop(renewals[i].held, "the scheduler gave it to another");
          }
        },
        [this](caf::error& e) {
          // The next tick tries again; `expire` bounds it.
          log(ports::log_level::debug, "renewal failed detail=\"{}\"", system().render(e));
        });
  }

  void expire() {
    std::vector<epoch> lost;
    for (const auto& [held, l] : running_)
      if (l.valid_until <= now()) lost.push_back(held);
    if (!lost.empty()) LATHAM_REACHED("lease_ran_out_at_its_holder");
    for (const auto held : lost) drop(held, "it could not be renewed in time");
  }

  void drop(epoch held, std::string_view why) {
    auto at = running_.find(held);
    if (at == running_.end()) return;
    log(ports::log_level::info, "lease lost epoch={} video={} reason=\"{}\"", to_string(held), to_string(at->second.grant.video), why);
    count("latham_leases_lost_total");
    if (at->second.actor) caf::anon_send_exit(at->second.actor, caf::exit_reason::user_shutdown);
    release(held);
  }

  void release(epoch held) {
    auto at = running_.find(held);
    if (at == running_.end()) return;
    running_.erase(at);
  }

  void on_slot_end(const task_failure& end) {
    if (!running_.contains(end.held)) return;
    if (end.code != errc::none && end.code != errc::fenced) give_back(end);
    release(end.held);
  }

  /// Only now is the slot free: the engine runs one session at a time on it, and the actor's end is the session's end.
  void on_slot_down(const caf::down_msg& down) {
    auto slot = slots_.find(down.source);
    if (slot == slots_.end()) return;
    free_.insert(slot->second);
    slots_.erase(slot);
    for (const auto& [held, l] : running_) {
      if (!l.actor || l.actor.address() != down.source) continue;
      LATHAM_REACHED("slot_ended_without_a_word");
      // It ended without a word: a bug in the slot, not in the video.
      give_back(task_failure{{l.grant.video, l.grant.kind, l.progress.index}, held, errc::crashed, "the slot failed"});
      release(epoch{held});
      break;
    }
    start_waiting();
  }

  /// Best effort: if this is lost, the lease runs out.
  void give_back(const task_failure& failure) {
    if (scheduler_) request(scheduler_, env_.config.request_timeout, failure).then([](errc) {}, [](caf::error&) {});
  }

  // ---- Reports -------------------------------------------------------------------------------------------------------

  /// Said again until the scheduler answers or the lease is gone, whichever comes first; both are idempotent.
  caf::result<errc> on_plan(const plan_page& page) {
    auto answer = make_response_promise<errc>();
    send_plan(page, answer);
    return answer;
  }

  void send_plan(const plan_page& page, caf::typed_response_promise<errc> answer) {
    if (!running_.contains(page.held)) {
      answer.deliver(errc::fenced);
      return;
    }
    const auto again = [this, page, answer] { later(report_again, [this, page, answer] { send_plan(page, answer); }); };
    if (!scheduler_) return again();
    request(scheduler_, env_.config.request_timeout, page)
      .then([answer](errc code) mutable { answer.deliver(code); },
            [this, again](caf::error& e) {
              log(ports::log_level::debug, "plan not taken yet detail=\"{}\"", system().render(e));
              again();
            });
  }

  caf::result<errc> on_commit(const task_commit& commit) {
    auto answer = make_response_promise<errc>();
    commits_.push_back({commit, answer});
    if (!committing_) send_commits();
    return answer;
  }

  struct open_commit {
    task_commit message;
    caf::typed_response_promise<errc> answer;
  };

  void send_commits() {
    std::vector<open_commit> batch;
    std::vector<open_commit> rest;
    for (auto& open : commits_) {
      if (!running_.contains(open.message.held))
        open.answer.deliver(errc::fenced);
      else if (batch.size() < batch_max)
        batch.push_back(std::move(open));
      else
        rest.push_back(std::move(open));
    }
    commits_ = std::move(rest);
    committing_ = !batch.empty();
    if (batch.empty()) return;
    auto retry = [this](std::vector<open_commit> unanswered) {
      for (auto& open : unanswered) commits_.push_back(std::move(open));
      later(report_again, [this] { send_commits(); });
    };
    if (!scheduler_) return retry(std::move(batch));
    commit_list messages;
    for (const auto& open : batch) messages.push_back(open.message);
    auto shared = std::make_shared<std::vector<open_commit>>(std::move(batch));  // shared by the two outcomes
    request(scheduler_, env_.config.request_timeout, messages)
      .then(
        [this, shared](const errc_list& codes) {
          for (std::size_t i = 0; i < shared->size(); ++i) (*shared)[i].answer.deliver(i < codes.size() ? codes[i] : errc::internal);
          send_commits();
        },
        [this, retry, shared](caf::error& e) {
          LATHAM_REACHED("commits_said_again");
          log(ports::log_level::debug, "commits not taken yet count={} detail=\"{}\"", shared->size(), system().render(e));
          retry(std::move(*shared));
        });
  }

  directory_actor directory_;
  scheduler_actor scheduler_;
  std::map<node_name, storage_actor> storages_;
  std::set<std::uint32_t> free_;
  std::map<caf::actor_addr, std::uint32_t> slots_;  // of slot actors that have not ended yet
  std::map<epoch, lease> running_;
  std::vector<open_commit> commits_;
  bool committing_ = false;
  instant asked_;
};

}  // namespace

caf::actor spawn_transcoder(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<transcoder>(&e, std::move(directory)));
}

}  // namespace latham
