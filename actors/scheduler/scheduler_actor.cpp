#include "actors/scheduler/scheduler_actor.hpp"

#include "actors/journal.hpp"
#include "actors/role_actor.hpp"
#include "core/codec.hpp"
#include "core/reach.hpp"
#include "core/scheduler/grant_batches.hpp"
#include "store/scheduler_records.hpp"
#include "store/schema.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace latham {

namespace {

constexpr std::uint32_t load_page = 500;
constexpr std::size_t deletes_max = 1'000;   // that wait for storage
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
    load_claim();
    return {
      [this](const media_ready& event) { return on_media_ready(event); },
      [this](storage_up_atom, const node_name& node, const caf::strong_actor_ptr& storage) { on_storage_up(node, storage); },
      [this](const work_request& what, const caf::strong_actor_ptr& worker) { return on_work_request(what, worker); },
      [this](shards_atom) { return shards(); },
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
    deletes_.clear();
  }

private:
  // ---- Start ---------------------------------------------------------------------------------------------------------

  void stop(std::string_view what, const error& e) {
    log(ports::log_level::error, "scheduler stops: {} code={} detail=\"{}\"", what, to_string(e.code), e.message);
    quit(to_caf(e));
  }

  // Before anything is loaded the shard must be ours: what another scheduler decides meanwhile would be lost on us.
  void load_claim() {
    env_.records->get(store::key_scheduler_claim, here<std::optional<std::string>>([this](expected<std::optional<std::string>> value) {
      if (!value) return stop("records cannot be read", value.error());
      shard_claim last;
      if (*value) {
        auto record = from_record<shard_claim>(**value);
        if (!record) return stop("records cannot be read", record.error());
        last = std::move(*record);
      }
      env_.records->get(store::key_scheduler_meta, here<std::optional<std::string>>([this, last](expected<std::optional<std::string>> meta) mutable {
        if (!meta) return stop("records cannot be read", meta.error());
        auto newest = store::read_meta(*meta);
        if (!newest) return stop("records cannot be read", newest.error());
        last.generation = std::max(last.generation, newest->generation);
        load_known(last);
      }));
    }));
  }

  void load_known(const shard_claim& last) {
    env_.records->scan(store::prefix_storages_known, {}, load_page, here<ports::kv_pairs>([this, last](expected<ports::kv_pairs> pairs) {
      if (!pairs) return stop("records cannot be read", pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<storage_known>(value);
        if (!record) return stop("a record cannot be read: " + key, record.error());
        known_storages_.insert(record->storage);
      }
      auto members = env_.config.storages;
      if (members.empty()) members.push_back(env_.config.name);
      hold_.emplace(env_.config.shard, env_.config.name, env_.config.incarnation, last, std::move(members));
      caf::anon_send(directory_, service_change{service_claimant, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this)});
      keep_claim();
    }));
  }

  void keep_claim() {
    for (const auto& [node, handle] : storages_) claim_at(node);
    later(claim_period, [this] { keep_claim(); });
  }

  void claim_at(const node_name& node) {
    const auto at = storages_.find(node);
    if (!hold_ || at == storages_.end()) return;
    const auto asked = hold_->request(now());
    if (!asked) return;
    request(at->second, env_.config.request_timeout, *asked)
      .then(
        [this, node, asked = *asked, sent = now()](const claim_answer& answer) {
          const bool again = !answer.granted && !loaded_ && answer.wait_ms == 0;
          hold_->on_answer(node, asked, answer, sent, now());
          if (hold_->lost()) {
            log(ports::log_level::error, "scheduler stops: another one owns its shard now shard={} generation={} holder={} incarnation={:x}", env_.config.shard,
                answer.known.generation, answer.known.holder, answer.known.incarnation);
            return quit(to_caf({errc::fenced, "another scheduler owns shard " + std::to_string(env_.config.shard) + "; stop that one, or this one for good"}));
          }
          if (hold_->outdated()) return stop("its generation cannot be had again", {errc::unavailable, "another asked for it and is gone"});
          if (hold_->holds(now()) && !rules_) own();
          if (again) claim_at(node);  // a greater generation: asked for at once
        },
        [](caf::error&) {});  // asked again with the next period
  }

  void own() {
    const auto& claim = hold_->claim();
    log(ports::log_level::info, "shard owned shard={} generation={}", claim.shard, claim.generation);
    rules_ = std::make_unique<scheduler>(env_.config.scheduling, claim.generation);
    // The generation is taken before anything is granted under it.
    journal_.join({{store::key_scheduler_claim, to_record(claim)}, {store::key_scheduler_meta, to_record(scheduler_meta{{claim.generation, 0}})}},
                  [this] { load(store::prefix_videos, {}); });
  }

  /// Everything that decides needs it; what only reads does not.
  [[nodiscard]] bool may_decide() { return loaded_ && hold_->holds(now()); }
  [[nodiscard]] error refusal() const {
    return loaded_ ? error{errc::unavailable, "the scheduler does not reach the storage nodes; try again in a few seconds"} : starting();
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
    std::vector<node_name> here_now;
    for (const auto& [node, handle] : storages_) here_now.push_back(node);
    for (const auto& node : here_now) get_to_know(node);
    tick();
  }

  [[nodiscard]] static error starting() { return {errc::unavailable, "the scheduler is starting; try again in a second"}; }

  void tick() {
    if (may_decide()) {
      decision out;
      rules_->on_tick(now(), env_.random->next(), out);
      apply(std::move(out));
    }
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
    const bool decided = !batch.empty() || !out.effects.empty();
    journal_.join(std::move(batch), [this, decided, effects = std::move(out.effects), answer = std::move(answer)] {
      // The claim lapsed while this was written: another may own the shard and know nothing of it. Nobody is told; what was
      // written is looked at anew, if the shard is ours again.
      if (decided && !hold_->holds(now())) return stop("its claim lapsed while records were written", {errc::unavailable, "no majority of the storage nodes answers in time"});
      // The answer goes first: a worker learns that its commit counts before it is given the next lease.
      if (answer) answer();
      for (const auto& effect : effects) perform(effect);
      send_grants(effects);
    });
  }

  void perform(const scheduler_effect& effect) {
    std::visit([this](const auto& e) { this->act(e); }, effect);
  }

  void send_grants(const std::vector<scheduler_effect>& effects) {
    for (auto& batch : grants_by_worker(effects)) {
      // A worker that is gone lets its leases run out; that is the same path as one that dies just after.
      if (const auto at = workers_.find(batch.worker); at != workers_.end()) caf::anon_send(at->second, grant_list{std::move(batch.grants)});
    }
  }

  /// Sent with the others of its decision.
  void act(const grant_effect& e) {
    log(ports::log_level::debug, "lease granted video={} kind={} first={} count={} epoch={} worker={}", to_string(e.grant.video), to_string(e.grant.kind), e.grant.first,
        e.grant.chunks.size(), to_string(e.grant.held), e.worker);
    count("latham_leases_granted_total");
  }

  void act(const publish_effect& e) {
    if (e.view.state == video_state::ready || e.view.state == video_state::failed)
      log(ports::log_level::info, "video {} video={} error={}", to_string(e.view.state), to_string(e.view.id), e.view.error_code.empty() ? "none" : e.view.error_code);
    for (const auto& [address, sink] : sinks_) caf::anon_send(sink, e.view);
  }

  void act(const remove_blobs_effect& e) {
    const auto storage = storage_for(e.store);
    count("latham_commits_fenced_total");
    log(ports::log_level::info, "commit fenced, its blobs are removed store={} count={}", e.store, e.blobs.size());
    if (storage != storages_.end()) request(storage->second, env_.config.request_timeout, remove_atom::value, e.blobs).then([](bool) {}, [this, asked = storage->first](caf::error&) { silent_storages_.insert(asked); });
  }

  /// The storage node `wanted`, or another one: any of several answers for what all of them hold, and the last one for what those
  /// held that have left. Those that did not answer last time come last. Null: none was ever up.
  [[nodiscard]] std::map<node_name, storage_actor>::const_iterator storage_for(const node_name& wanted) const {
    const auto at = storages_.find(wanted);
    if (at != storages_.end() && !silent_storages_.contains(wanted)) return at;
    const auto other = std::find_if(storages_.begin(), storages_.end(), [&](const auto& s) { return !silent_storages_.contains(s.first); });
    if (other != storages_.end()) return other;
    return at != storages_.end() ? at : storages_.begin();
  }

  /// Forgotten by every configured storage node, for whoever of them missed it would announce the video again. The record
  /// stays until then; what is done is not done again.
  void act(const remove_video_effect& e) {
    auto r = std::make_shared<removal>();
    r->video = e.video;
    r->outputs = e.outputs;
    r->forgetters.insert(env_.config.storages.begin(), env_.config.storages.end());
    if (r->forgetters.empty()) r->forgetters.insert(e.source_store);
    go_on_removing(r);
  }

  struct removal {
    video_id video;
    std::map<node_name, std::vector<blob_id>> outputs;  // not yet removed
    std::set<node_name> forgetters;                     // who are yet to forget the upload
    std::uint32_t forgot = 0;                           // how many have
    std::size_t under_way = 0;
  };

  void go_on_removing(const std::shared_ptr<removal>& r) {
    if (r->outputs.empty() && r->forgetters.empty()) {
      decision out;
      forgotten_.erase(r->video);
      rules_->on_video_removed(r->video, now(), out);
      return apply(std::move(out), [this, id = r->video] { log(ports::log_level::info, "video gone video={}", to_string(id)); });
    }
    const auto step = [this, r] {
      if (--r->under_way > 0) return;
      if (r->outputs.empty() && r->forgetters.empty()) go_on_removing(r);
      else later(milliseconds{1'000}, [this, r] { go_on_removing(r); });
    };
    ++r->under_way;
    for (auto& [node, blobs] : r->outputs) {
      const auto storage = storage_for(node);
      if (storage == storages_.end()) continue;
      for (std::size_t i = 0; i < blobs.size(); i += batch_max) {
        blob_list some(blobs.begin() + static_cast<std::ptrdiff_t>(i), blobs.begin() + static_cast<std::ptrdiff_t>(std::min<std::size_t>(blobs.size(), i + batch_max)));
        ++r->under_way;
        request(storage->second, env_.config.request_timeout, remove_atom::value, some)
          .then(
            [r, step, node = node, some](bool) {
              // Asked for in this order and answered in any: by value, not by position.
              const auto at = r->outputs.find(node);
              const std::set<blob_id> gone(some.begin(), some.end());
              if (at != r->outputs.end()) {
                std::erase_if(at->second, [&](blob_id blob) { return gone.contains(blob); });
                if (at->second.empty()) r->outputs.erase(at);
              }
              step();
            },
            [this, step, asked = storage->first](caf::error&) {
              silent_storages_.insert(asked);
              step();
            });
      }
    }
    for (const auto& node : r->forgetters) {
      const auto at = storages_.find(node);
      if (at == storages_.end()) continue;
      ++r->under_way;
      request(at->second, env_.config.request_timeout, forget_atom::value, r->video)
        .then(
          [this, r, step, node = node](bool) {
            r->forgetters.erase(node);
            // A tombstone is on as many nodes as a blob: enough for a scheduler that has lost its disk to hear of it.
            if (++r->forgot == env_.config.rules_of_copies().acks) {
              forgotten_.insert(r->video);
              answer_deletes(r->video);
            }
            step();
          },
          [step](caf::error&) { step(); });
    }
    step();
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
      if (storage_for(node) == storages_.end()) return retry_later(e);
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
        const auto storage = storage_for(node);
        request(storage->second, env_.config.request_timeout, verify_atom::value, outputs)
          .then(
            [p, step, tasks](const bool_list& fine) {
              for (std::size_t i = 0; i < tasks.size(); ++i)
                if (i >= fine.size() || fine[i] == 0) p->missing.push_back(tasks[i]);
              step();
            },
            [this, p, step, asked = storage->first](caf::error&) {
              LATHAM_REACHED("verification_asked_elsewhere");
              silent_storages_.insert(asked);
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
    // Always the new handle: CAF calls it equal to the one of an earlier link, which stays dead.
    storages_[node] = caf::actor_cast<storage_actor>(storage);
    silent_storages_.erase(node);
    claim_at(node);
    if (loaded_) get_to_know(node);
  }

  /// A storage node that this disk has never heard of announces all its uploads again.
  void get_to_know(const node_name& node) {
    if (known_storages_.contains(node) || !storages_.contains(node)) return;
    request(storages_.at(node), env_.config.request_timeout, again_atom::value, env_.config.shard)
      .then(
        [this, node](bool) {
          if (!known_storages_.insert(node).second) return;
          journal_.join({{store::storage_known_key(node), to_record(storage_known{node})}}, [] {});
        },
        [this, node](caf::error&) { later(milliseconds{1'000}, [this, node] { get_to_know(node); }); });
  }

  caf::result<work_answer> on_work_request(const work_request& what, const caf::strong_actor_ptr& worker) {
    if (!may_decide()) return to_caf(refusal());
    if (!worker || !is_valid_node_name(what.worker)) return to_caf({errc::invalid_argument, "this is no worker"});
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
    const auto waiting = rules_->on_work_request(capped, now(), env_.random->next(), out);
    std::uint32_t granted = 0;
    for (const auto& effect : out.effects)
      if (const auto* grant = std::get_if<grant_effect>(&effect)) granted += grant->worker == what.worker ? 1 : 0;
    return after(std::move(out), work_answer{granted, waiting});
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
    if (!may_decide()) return to_caf(refusal());
    if (event.priority > priority_class::high || event.video.is_nil() || event.source.bytes == 0 || event.video.shard() != env_.config.shard) return errc::invalid_argument;
    decision out;
    const auto code = rules_->on_media_ready(event, now(), out);
    if (!out.writes.empty()) log(ports::log_level::info, "video queued video={} bytes={}", to_string(event.video), event.source.bytes);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_renewals(const renewal_list& renewals) {
    if (!may_decide()) return to_caf(refusal());
    if (renewals.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 renewals at once"});
    decision out;
    errc_list codes;
    for (const auto& renewal : renewals) codes.push_back(rules_->on_renewal(renewal, now(), out));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_plan_page(const plan_page& page) {
    if (!may_decide()) return to_caf(refusal());
    if (page.chunks.size() > ports::plan_page_chunks_max) return errc::invalid_argument;
    decision out;
    const auto code = rules_->on_plan_page(page, now(), out);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_commits(const commit_list& commits) {
    if (!may_decide()) return to_caf(refusal());
    if (commits.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 commits at once"});
    decision out;
    errc_list codes;
    for (const auto& commit : commits) codes.push_back(rules_->on_commit(commit, now(), out));
    count("latham_commits_total", static_cast<double>(commits.size()));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_failure(const task_failure& failure) {
    if (!may_decide()) return to_caf(refusal());
    log(ports::log_level::warn, "task failed task={} epoch={} code={} detail=\"{}\"", to_string(failure.task), to_string(failure.held), to_string(failure.code), failure.message);
    decision out;
    const auto code = rules_->on_failure(failure, now(), env_.random->next(), out);
    return after(std::move(out), code);
  }

  shard_info shards() const { return {{env_.config.shard}, true}; }

  caf::result<video_view> find(video_id id) {
    if (!loaded_) return to_caf(starting());
    auto view = rules_->view(id, now());
    if (!view) return to_caf(view.error());
    return after({}, std::move(*view));
  }

  /// Whether every storage node has told of its uploads since our disk was new.
  [[nodiscard]] bool knows_all() const {
    const auto& members = env_.config.storages;
    if (members.empty()) return known_storages_.contains(env_.config.name);
    return std::all_of(members.begin(), members.end(), [this](const node_name& node) { return known_storages_.contains(node); });
  }

  caf::result<view_list> list(const std::string& tenant, video_id before, std::uint32_t limit) {
    // What nobody has told us of again would be missing in it, and storage believes that we have it.
    if (!loaded_ || !knows_all()) return to_caf(starting());
    return after({}, rules_->list(tenant, before, std::min(limit, 50u), now()));
  }

  caf::result<bool> remove(video_id id) {
    if (!may_decide()) return to_caf(refusal());
    if (deletes_.size() >= deletes_max) return to_caf({errc::limited, "too many deletes are under way; try again in a few seconds"});
    decision out;
    if (const auto code = rules_->on_delete(id, now(), out); code != errc::none) return to_caf({code, "there is no video " + to_string(id)});
    log(ports::log_level::info, "video deleted video={}", to_string(id));
    auto answer = make_response_promise<bool>();
    // Not before storage has its tombstone: a scheduler that loses its disk makes its videos anew from what storage says.
    const auto mine = ++deletes_asked_;
    deletes_.emplace(id, std::pair{mine, answer});
    later(env_.config.request_timeout, [this, id, mine] {
      for (auto [at, end] = deletes_.equal_range(id); at != end; ++at) {
        if (at->second.first != mine) continue;
        LATHAM_REACHED("delete_waits_for_storage");
        deny(at->second.second, {errc::unavailable, "the video is being deleted, but storage has not confirmed it yet; ask again in a few seconds"});
        deletes_.erase(at);
        return;
      }
    });
    apply(std::move(out), [this, id] {
      if (forgotten_.contains(id)) answer_deletes(id);
    });
    return answer;
  }

  void answer_deletes(video_id id) {
    const auto [first, last] = deletes_.equal_range(id);
    for (auto at = first; at != last; ++at) at->second.second.deliver(true);
    deletes_.erase(first, last);
  }

  caf::result<video_view> retry(video_id id) {
    if (!may_decide()) return to_caf(refusal());
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
    if (!may_decide() || !knows_all()) return to_caf(loaded_ && hold_->holds(now()) ? starting() : refusal());
    if (blobs.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 blobs at once"});
    return after({}, rules_->unreferenced(id, blobs));
  }

  directory_actor directory_;
  std::optional<shard_hold> hold_;  // once the disk has said what its last claim was
  std::unique_ptr<scheduler> rules_; // once the shard is ours
  std::set<node_name> known_storages_;
  std::multimap<video_id, std::pair<std::uint64_t, caf::typed_response_promise<bool>>> deletes_;  // asked for, and not confirmed by storage
  std::uint64_t deletes_asked_ = 0;
  std::set<video_id> forgotten_;  // being deleted, with tombstones on enough storage nodes
  journal journal_;
  bool loaded_ = false;
  std::map<node_name, worker_actor> workers_;
  std::map<node_name, storage_actor> storages_;  // all that were ever up, also when their handles are dead
  std::set<node_name> silent_storages_;          // of them, those that did not answer since they last came
  std::map<caf::actor_addr, event_sink> sinks_;
};

}  // namespace

caf::actor spawn_scheduler(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<scheduler_shell>(&e, std::move(directory)));
}

}  // namespace latham
