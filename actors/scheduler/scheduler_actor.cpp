#include "actors/scheduler/scheduler_actor.hpp"

#include "actors/journal.hpp"
#include "actors/role_actor.hpp"
#include "core/codec.hpp"
#include "store/scheduler_records.hpp"
#include "store/schema.hpp"

#include <map>
#include <set>

namespace latham {

namespace {

constexpr std::uint32_t load_page = 500;
constexpr milliseconds tick_period{200};

class scheduler_shell : public role_actor<scheduler_actor> {
public:
  scheduler_shell(caf::actor_config& config, const env* e, directory_actor directory) : role_actor(config, *e), directory_{std::move(directory)} {}

  behavior_type make_behavior() override {
    journal_.open([this](ports::kv_batch batch, std::function<void(expected<void>)> committed) { env_.records->commit(std::move(batch), here<void>(std::move(committed))); },
                  [this](const error& e) { stop("records cannot be written", e); },
                  [this](std::function<void()> again) {
                    log(ports::log_level::error, "records are refused, the disk is full or too slow; make room. Trying again");
                    later(milliseconds{1'000}, std::move(again));
                  });
    set_down_handler([this](caf::down_msg& down) { on_down(down); });
    load_meta();
    return {
      [this](const media_ready& event) { return on_media_ready(event); },
      [this](storage_up_atom, const node_name& node, const caf::strong_actor_ptr& storage) { on_storage_up(node, storage); },
      [this](const work_request& what, const caf::strong_actor_ptr& worker) { on_work_request(what, worker); },
      [this](const renewal_list& renewals) { return on_renewals(renewals); },
      [this](const plan_page& page) { return on_plan_page(page); },
      [this](const commit_list& commits) { return on_commits(commits); },
      [this](const task_failure& failure) { return on_failure(failure); },
      [this](find_atom, video_id id) { return find(id); },
      [this](list_atom, const std::string& tenant, video_id before, std::uint32_t limit) { return list(tenant, before, limit); },
      [this](remove_atom, video_id id) { return remove(id); },
      [this](retry_atom, video_id id) { return retry(id); },
      [this](outputs_atom, video_id id, std::uint32_t from) { return outputs(id, from); },
      [this](unused_atom, video_id id, const blob_list& blobs) { return unused(id, blobs); },
      [this](listen_atom, const caf::strong_actor_ptr& sink) { subscribe(sink); },
      [](local_call& call) { call.run(); },
    };
  }

  /// An ended actor lives as long as somebody holds it, and those whom we hold hold us.
  void on_exit() override {
    journal_.drop();
    workers_.clear();
    storages_.clear();
    sinks_.clear();
  }

private:
  // ---- Start ---------------------------------------------------------------------------------------------------------

  void stop(std::string_view what, const error& e) {
    log(ports::log_level::error, "scheduler stops: {} code={} detail=\"{}\"", what, to_string(e.code), e.message);
    quit(to_caf(e));
  }

  void load_meta() {
    env_.records->get(store::key_scheduler_meta, here<std::optional<std::string>>([this](expected<std::optional<std::string>> value) {
      if (!value) return stop("records cannot be read", value.error());
      auto last = store::read_meta(*value);
      if (!last) return stop("records cannot be read", last.error());
      const auto generation = last->generation + 1;
      rules_ = std::make_unique<scheduler>(env_.config.scheduling, generation);
      // The generation is taken before anything is granted under it.
      journal_.join({{store::key_scheduler_meta, to_record(scheduler_meta{{generation, 0}})}}, [this] { load(store::prefix_videos, {}); });
    }));
  }

  void load(const std::string& prefix, const std::string& after) {
    env_.records->scan(prefix, after, load_page, here<ports::kv_pairs>([this, prefix](expected<ports::kv_pairs> pairs) {
      if (!pairs) return stop("records cannot be read", pairs.error());
      for (const auto& [key, value] : *pairs)
        if (auto fed = store::load_pair(key, value, *rules_); !fed) return stop("a record cannot be read: " + key, fed.error());
      if (pairs->size() == load_page) return load(prefix, pairs->back().first);
      if (prefix == store::prefix_videos) return load(store::prefix_tasks, {});
      if (prefix == store::prefix_tasks) return load(store::prefix_leases, {});
      loaded();
    }));
  }

  void loaded() {
    loaded_ = true;
    decision out;
    rules_->loaded(now(), out);
    apply(std::move(out));
    const auto counts = rules_->count();
    log(ports::log_level::info, "scheduler ready videos={} leases={} pending_tasks={}", counts.videos, counts.leases, counts.pending_tasks);
    caf::anon_send(directory_, service_change{service_scheduler, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this)});
    tick();
  }

  [[nodiscard]] static error starting() { return {errc::unavailable, "the scheduler is starting; try again in a second"}; }

  void tick() {
    decision out;
    rules_->on_tick(now(), env_.random->next(), out);
    apply(std::move(out));
    if (env_.metrics != nullptr) {
      const auto counts = rules_->count();
      env_.metrics->set("latham_videos", static_cast<double>(counts.videos));
      env_.metrics->set("latham_leases", static_cast<double>(counts.leases));
      env_.metrics->set("latham_tasks_pending", static_cast<double>(counts.pending_tasks));
    }
    later(tick_period, [this] { tick(); });
  }

  // ---- Persist, then act ---------------------------------------------------------------------------------------------

  void apply(decision out, std::function<void()> answer = {}) {
    ports::kv_batch batch;
    store::append_writes(out.writes, batch);
    journal_.join(std::move(batch), [this, effects = std::move(out.effects), answer = std::move(answer)] {
      // The answer goes first: a worker learns that its commit counts before it is given the next lease.
      if (answer) answer();
      for (const auto& effect : effects) perform(effect);
    });
  }

  void perform(const scheduler_effect& effect) {
    std::visit([this](const auto& e) { this->act(e); }, effect);
  }

  void act(const grant_effect& e) {
    auto at = workers_.find(e.worker);
    log(ports::log_level::debug, "lease granted video={} kind={} first={} count={} epoch={} worker={}", to_string(e.grant.video), to_string(e.grant.kind), e.grant.first,
        e.grant.chunks.size(), to_string(e.grant.held), e.worker);
    count("latham_leases_granted_total");
    // A worker that is gone lets its lease run out; that is the same path as one that dies just after.
    if (at != workers_.end()) caf::anon_send(at->second, grant_list{e.grant});
  }

  void act(const publish_effect& e) {
    if (e.view.state == video_state::ready || e.view.state == video_state::failed)
      log(ports::log_level::info, "video {} video={} error={}", to_string(e.view.state), to_string(e.view.id), e.view.error_code.empty() ? "none" : e.view.error_code);
    for (const auto& [address, sink] : sinks_) caf::anon_send(sink, e.view);
  }

  void act(const remove_blobs_effect& e) {
    auto at = storages_.find(e.store);
    count("latham_commits_fenced_total");
    log(ports::log_level::info, "commit fenced, its blobs are removed store={} count={}", e.store, e.blobs.size());
    if (at != storages_.end()) request(at->second, env_.config.request_timeout, remove_atom::value, e.blobs).then([](bool) {}, [](caf::error&) {});
  }

  /// All or nothing is not needed: removing twice is harmless, so a failure anywhere is followed by the whole again.
  void act(const remove_video_effect& e) {
    struct progress {
      std::size_t left = 0;
      bool failed = false;
    };
    auto p = std::make_shared<progress>();
    const auto whole = std::make_shared<const remove_video_effect>(e);  // shared by all answers: it lists thousands of blobs
    const auto step = [this, p, whole] {
      if (--p->left > 0) return;
      if (p->failed) return retry_later(*whole);
      decision out;
      rules_->on_video_removed(whole->video, now(), out);
      apply(std::move(out), [this, id = whole->video] { log(ports::log_level::info, "video gone video={}", to_string(id)); });
    };
    const auto failed = [p, step](caf::error&) {
      p->failed = true;
      step();
    };
    for (const auto& [node, blobs] : e.outputs) {
      if (!storages_.contains(node)) return retry_later(e);
      p->left += (blobs.size() + batch_max - 1) / batch_max;
    }
    if (!storages_.contains(e.source_store)) return retry_later(e);
    ++p->left;
    for (const auto& [node, blobs] : e.outputs)
      for (std::size_t i = 0; i < blobs.size(); i += batch_max) {
        const auto end = std::min<std::size_t>(blobs.size(), i + batch_max);
        request(storages_.at(node), env_.config.request_timeout, remove_atom::value,
                blob_list(blobs.begin() + static_cast<std::ptrdiff_t>(i), blobs.begin() + static_cast<std::ptrdiff_t>(end)))
          .then([step](bool) { step(); }, failed);
      }
    request(storages_.at(e.source_store), env_.config.request_timeout, forget_atom::value, e.video).then([step](bool) { step(); }, failed);
  }

  void act(const verify_effect& e) {
    log(ports::log_level::info, "video finishing video={}", to_string(e.video));
    struct progress {
      std::size_t left = 0;
      bool failed = false;
      std::vector<task_id> missing;
    };
    std::map<node_name, std::vector<std::size_t>> by_store;
    for (std::size_t i = 0; i < e.outputs.size(); ++i) by_store[e.outputs[i].store].push_back(i);
    auto p = std::make_shared<progress>();
    const auto whole = std::make_shared<const verify_effect>(e);  // shared by all answers: a day of video is many megabytes
    const auto step = [this, p, whole] {
      if (--p->left > 0) return;
      if (p->failed) return retry_later(*whole);
      decision out;
      rules_->on_verified(whole->video, whole->job, p->missing, now(), out);
      apply(std::move(out));
    };
    for (const auto& [node, indices] : by_store) {
      if (!storages_.contains(node)) return retry_later(e);
      p->left += (indices.size() + batch_max - 1) / batch_max;
    }
    if (p->left == 0) {
      p->left = 1;
      return step();
    }
    for (const auto& [node, indices] : by_store)
      for (std::size_t from = 0; from < indices.size(); from += batch_max) {
        output_list outputs;
        std::vector<task_id> tasks;
        for (std::size_t i = from; i < std::min<std::size_t>(indices.size(), from + batch_max); ++i) {
          outputs.push_back(e.outputs[indices[i]]);
          tasks.push_back(e.tasks[indices[i]]);
        }
        request(storages_.at(node), env_.config.request_timeout, verify_atom::value, outputs)
          .then(
            [p, step, tasks](const bool_list& fine) {
              for (std::size_t i = 0; i < tasks.size(); ++i)
                if (i >= fine.size() || fine[i] == 0) p->missing.push_back(tasks[i]);
              step();
            },
            [p, step](caf::error&) {
              p->failed = true;
              step();
            });
      }
  }

  template <class Effect>
  void retry_later(const Effect& e) {
    later(milliseconds{1'000}, [this, e] { act(e); });
  }

  // ---- Peers ---------------------------------------------------------------------------------------------------------

  void on_storage_up(const node_name& node, const caf::strong_actor_ptr& storage) {
    if (!storage || !is_valid_node_name(node)) return;
    storages_[node] = caf::actor_cast<storage_actor>(storage);
  }

  void on_work_request(const work_request& what, const caf::strong_actor_ptr& worker) {
    if (!loaded_ || !worker || !is_valid_node_name(what.worker)) return;
    auto handle = caf::actor_cast<worker_actor>(worker);
    auto& known = workers_[what.worker];
    if (known != handle) {
      if (known) demonitor(known.address());
      monitor(handle);
      known = handle;
      log(ports::log_level::info, "worker joins worker={} engine=\"{}\"", what.worker, what.engine);
    }
    decision out;
    auto capped = what;
    capped.slots = std::min<std::uint32_t>(what.slots, batch_max);
    rules_->on_work_request(capped, now(), env_.random->next(), out);
    apply(std::move(out));
  }

  void on_down(const caf::down_msg& down) {
    for (auto at = workers_.begin(); at != workers_.end(); ++at) {
      if (at->second.address() != down.source) continue;
      log(ports::log_level::info, "worker lost worker={}", at->first);
      rules_->on_worker_lost(at->first);
      workers_.erase(at);
      return;
    }
    sinks_.erase(down.source);
  }

  void subscribe(const caf::strong_actor_ptr& sink) {
    if (!sink) return;
    auto handle = caf::actor_cast<event_sink>(sink);
    if (!sinks_.emplace(handle.address(), handle).second) return;
    monitor(handle);
  }

  // ---- Requests ------------------------------------------------------------------------------------------------------

  template <class T>
  caf::result<T> after(decision out, T value) {
    auto answer = make_response_promise<T>();
    apply(std::move(out), [answer, value = std::move(value)]() mutable { answer.deliver(std::move(value)); });
    return answer;
  }

  caf::result<errc> on_media_ready(const media_ready& event) {
    if (!loaded_) return to_caf(starting());
    if (event.priority > priority_class::high || event.video.is_nil() || event.source.bytes == 0) return errc::invalid_argument;
    decision out;
    const auto code = rules_->on_media_ready(event, now(), out);
    if (!out.writes.empty()) log(ports::log_level::info, "video queued video={} bytes={}", to_string(event.video), event.source.bytes);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_renewals(const renewal_list& renewals) {
    if (!loaded_) return to_caf(starting());
    if (renewals.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 renewals at once"});
    decision out;
    errc_list codes;
    for (const auto& renewal : renewals) codes.push_back(rules_->on_renewal(renewal, now(), out));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_plan_page(const plan_page& page) {
    if (!loaded_) return to_caf(starting());
    if (page.chunks.size() > ports::plan_page_chunks_max) return errc::invalid_argument;
    decision out;
    const auto code = rules_->on_plan_page(page, now(), out);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_commits(const commit_list& commits) {
    if (!loaded_) return to_caf(starting());
    if (commits.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 commits at once"});
    decision out;
    errc_list codes;
    for (const auto& commit : commits) codes.push_back(rules_->on_commit(commit, now(), out));
    count("latham_commits_total", static_cast<double>(commits.size()));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_failure(const task_failure& failure) {
    if (!loaded_) return to_caf(starting());
    log(ports::log_level::warn, "task failed task={} epoch={} code={} detail=\"{}\"", to_string(failure.task), to_string(failure.held), to_string(failure.code), failure.message);
    decision out;
    const auto code = rules_->on_failure(failure, now(), env_.random->next(), out);
    return after(std::move(out), code);
  }

  caf::result<video_view> find(video_id id) {
    if (!loaded_) return to_caf(starting());
    auto view = rules_->view(id, now());
    if (!view) return to_caf(view.error());
    return after({}, std::move(*view));
  }

  caf::result<view_list> list(const std::string& tenant, video_id before, std::uint32_t limit) {
    if (!loaded_) return to_caf(starting());
    return after({}, rules_->list(tenant, before, std::min(limit, 50u), now()));
  }

  caf::result<bool> remove(video_id id) {
    if (!loaded_) return to_caf(starting());
    decision out;
    if (const auto code = rules_->on_delete(id, now(), out); code != errc::none) return to_caf({code, "there is no video " + to_string(id)});
    log(ports::log_level::info, "video deleted video={}", to_string(id));
    return after(std::move(out), true);
  }

  caf::result<video_view> retry(video_id id) {
    if (!loaded_) return to_caf(starting());
    decision out;
    const auto code = rules_->on_retry(id, now(), out);
    if (code == errc::conflict) return to_caf({code, "only a failed video can be retried"});
    if (code != errc::none) return to_caf({code, "there is no video " + to_string(id)});
    return after(std::move(out), *rules_->view(id, now()));
  }

  caf::result<output_page> outputs(video_id id, std::uint32_t from) {
    if (!loaded_) return to_caf(starting());
    auto page = rules_->outputs(id, from);
    if (!page) return to_caf(page.error());
    return after({}, std::move(*page));
  }

  caf::result<blob_list> unused(video_id id, const blob_list& blobs) {
    if (!loaded_) return to_caf(starting());
    if (blobs.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 blobs at once"});
    return after({}, rules_->unreferenced(id, blobs));
  }

  directory_actor directory_;
  std::unique_ptr<scheduler> rules_;
  journal journal_;
  bool loaded_ = false;
  std::map<node_name, worker_actor> workers_;
  std::map<node_name, storage_actor> storages_;
  std::map<caf::actor_addr, event_sink> sinks_;
};

}  // namespace

caf::actor spawn_scheduler(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<scheduler_shell>(&e, std::move(directory)));
}

}  // namespace latham
