#include "actors/scheduler/scheduler_actor.hpp"

#include "actors/journal.hpp"
#include "actors/role_actor.hpp"
#include "core/cluster/shard_census.hpp"
#include "core/cluster/shard_holds.hpp"
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
constexpr milliseconds census_period{2'000};
constexpr seconds claims_tried_for{20};      // in vain; then the storage nodes are asked anew whose the shards are
constexpr seconds leases_awaited_for{20};    // before a shard is handed over
constexpr std::uint32_t page_tries_max = 20; // of one page, a second apart; then the hand-over is given up
constexpr std::uint32_t first_page_tries_max = 2;  // nobody is kept waiting for a receiver that is away
constexpr seconds tried_again_after{15};     // what was given up
constexpr seconds adoption_awaited_for{30};  // during which a shard that was sent whole may be nobody's

class scheduler_shell : public role_actor<scheduler_actor> {
public:
  scheduler_shell(caf::actor_config& config, const env* e, directory_actor directory) : role_actor(config, *e), directory_{std::move(directory)} {}

  behavior_type make_behavior() override {
    journal_.open([this](ports::kv_batch batch, std::function<void(expected<void>)> committed) { env_.records->commit(std::move(batch), here<void>(std::move(committed))); },
                  [this](const error& e) { stop("records cannot be written", e); },
                  [this](std::function<void()> again) {
                    log(ports::log_level::error, "records are refused, the disk is full or too slow; make room. Trying again");
                    later(milliseconds{1'000}, std::move(again));
                  },
                  [this](std::size_t waiting) {
                    if (env_.metrics != nullptr) env_.metrics->set("latham_records_waiting", static_cast<double>(waiting), {{"role", "scheduler"}});
                  },
                  env_.config.records);
    set_down_handler([this](caf::down_msg& down) { on_down(down); });
    // What the scheduler before this one, of the same process, decided last may still be on its way to the disk.
    env_.records->barrier(here<void>([this](const expected<void>&) { load_claim(); }));
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
      [this](adopt_atom, const shard_page& some) { return adopt(some); },
      [this](handover_atom, std::uint16_t shard, const node_name& to) { return hand_over(shard, to); },
      [this](leave_atom) { return may_leave(); },
      [](local_call& call) { call.run(); },
    };
  }

  /// An ended actor lives as long as somebody holds it, and those whom we hold hold us.
  void on_exit() override {
    answer_all({errc::unavailable, "the scheduler begins anew; try again in a second"});
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
      load_adoptions(last);
    }));
  }

  void load_adoptions(const shard_claim& last) {
    env_.records->scan(store::prefix_adoptions, {}, load_page, here<ports::kv_pairs>([this, last](expected<ports::kv_pairs> pairs) {
      if (!pairs) return stop("records cannot be read", pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<shard_adoption>(value);
        if (!record) return stop("a record cannot be read: " + key, record.error());
        adoptions_[record->shard] = *record;
      }
      last_ = last;
      census_.emplace(members());
      caf::anon_send(directory_, service_change{service_claimant, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this)});
      keep_claim();
      look_again();
    }));
  }

  [[nodiscard]] std::vector<node_name> members() const {
    return env_.config.storages.empty() ? std::vector{env_.config.name} : env_.config.storages;
  }

  // ---- Which shards

  /// Asks everybody again what is whose, while nothing is owned yet, and while a shard that was given to us is not ours.
  void look_again() {
    later(census_period, [this] {
      look_again();
      look_for_homes();
      if (rules_ ? !awaits_a_shard() : !hold_ || now() - claims_since_ < claims_tried_for) return;
      census_.emplace(members());
      ++census_number_;
      if (!rules_) hold_.reset();
      for (const auto& node : storages_up()) ask_claims(node, 0, {});
    });
  }

  [[nodiscard]] bool awaits_a_shard() const {
    return std::any_of(adoptions_.begin(), adoptions_.end(), [this](const auto& a) { return hold_ && !hold_->has(a.first); });
  }

  [[nodiscard]] std::vector<node_name> storages_up() const {
    std::vector<node_name> out;
    for (const auto& [node, handle] : storages_) out.push_back(node);
    return out;
  }

  void ask_claims(const node_name& node, std::uint16_t from, std::vector<shard_claim> so_far) {
    const auto at = storages_.find(node);
    if (!census_ || census_->complete() || at == storages_.end()) return;
    request(at->second, env_.config.request_timeout, recall_atom::value, from)
      .then(
        [this, node, so_far = std::move(so_far), number = census_number_](const kept_claims& kept) mutable {
          if (number != census_number_ || !kept.known) return;
          so_far.insert(so_far.end(), kept.claims.begin(), kept.claims.end());
          if (kept.claims.size() == claims_max) return ask_claims(node, static_cast<std::uint16_t>(kept.claims.back().shard + 1), std::move(so_far));
          if (census_->complete()) return;
          census_->on_claims(node, so_far);
          if (census_->complete()) on_census();
        },
        [](caf::error&) {});  // looked for again
  }

  void on_census() {
    const auto mine = census_->of(env_.config.name);
    if (rules_) {
      for (const auto& [shard, adoption] : adoptions_)
        if (!hold_->has(shard) && is_mine(shard)) {
          log(ports::log_level::info, "shard was handed over to this scheduler, which begins anew with it shard={}", shard);
          return quit();
        }
      return;
    }
    claims_since_ = now();
    hold_.emplace(env_.config.name, env_.config.incarnation, last_, members());
    for (const auto shard : mine) {
      if (!is_mine(shard)) continue;
      const auto adoption = adoptions_.find(shard);
      hold_->add(shard, census_->newest(shard).front().generation, adoption == adoptions_.end() ? predecessor{} : adoption->second.giver);
    }
    const auto home = env_.config.shard;
    if (const auto newest = census_->newest(home); newest.empty()) hold_->add(home, 0, {});
    else if (!hold_->has(home)) log(ports::log_level::info, "home shard belongs to another scheduler shard={} holder={}", home, newest.front().holder);
    for (const auto& node : storages_up()) claim_at(node);
    if (hold_->holds(now())) own();  // nothing to claim
  }

  /// Of a shard that was given to us nobody else may have a claim as new: the giver may have gone on without us.
  [[nodiscard]] bool is_mine(std::uint16_t shard) const {
    const auto newest = census_->newest(shard);
    const auto ours = std::count_if(newest.begin(), newest.end(), [this](const shard_claim& c) { return c.holder == env_.config.name; });
    return ours > 0 && (!adoptions_.contains(shard) || static_cast<std::size_t>(ours) == newest.size());
  }

  void keep_claim() {
    for (const auto& [node, handle] : storages_) claim_at(node);
    later(claim_period, [this] { keep_claim(); });
  }

  void claim_at(const node_name& node) {
    if (!hold_) {
      if (census_) ask_claims(node, 0, {});
      return;
    }
    for (const auto& asked : hold_->requests(now()))
      if (!is_transferred(asked.wanted.shard)) claim_at(node, asked);
    if (given_ && given_->transfers) transfer_at(node);
  }

  [[nodiscard]] bool is_transferred(std::uint16_t shard) const { return given_ && given_->transfers && given_->shard == shard; }

  void claim_at(const node_name& node, const claim_request& asked) {
    const auto at = storages_.find(node);
    if (at == storages_.end()) return;
    request(at->second, env_.config.request_timeout, asked)
      .then(
        [this, node, asked, sent = now()](const claim_answer& answer) {
          if (!hold_ || is_transferred(asked.wanted.shard)) return;
          const bool again = !answer.granted && !loaded_ && answer.wait_ms == 0;
          hold_->on_answer(node, asked, answer, sent, now());
          if (hold_->lost()) {
            log(ports::log_level::error, "scheduler stops: another one owns its shard now shard={} generation={} holder={} incarnation={:x}", asked.wanted.shard,
                answer.known.generation, answer.known.holder, answer.known.incarnation);
            return quit(to_caf({errc::fenced, "another scheduler owns shard " + std::to_string(asked.wanted.shard) + "; stop that one, or this one for good"}));
          }
          if (hold_->outdated()) return stop("its generation cannot be had again", {errc::unavailable, "another asked for it and is gone"});
          if (hold_->holds(now()) && !rules_) own();
          if (again) claim_at(node);  // a greater generation: asked for at once
        },
        [](caf::error&) {});  // asked again with the next period
  }

  void own() {
    hold_->own();
    for (const auto shard : hold_->shards()) log(ports::log_level::info, "shard owned shard={} generation={}", shard, hold_->generation());
    rules_ = std::make_unique<scheduler>(env_.config.scheduling, hold_->generation());
    // The generation is taken before anything is granted under it.
    ports::kv_batch batch{{store::key_scheduler_claim, to_record(hold_->claim())}, {store::key_scheduler_meta, to_record(scheduler_meta{{hold_->generation(), 0}})}};
    for (const auto shard : hold_->shards())
      if (adoptions_.erase(shard) != 0) batch.push_back({store::adoption_key(shard), std::nullopt});
    journal_.join(std::move(batch), [this] { load(store::prefix_videos, {}); });
  }

  /// Everything that decides needs it; what only reads does not. While records are refused workers hear nothing and let their leases
  /// go: to take those back and grant the tasks anew, again and again, would use up attempts that nobody made. So a tick decides
  /// later, and what goes on is the end of what was begun: once for each lease, video and storage node, with one page of a shard
  /// that moves.
  [[nodiscard]] bool may_decide() { return may_hear() && journal_.takes_decisions(); }
  /// The end of a lease, which is not said twice.
  [[nodiscard]] bool may_hear() { return loaded_ && !is_frozen() && hold_->holds(now()); }
  [[nodiscard]] bool is_frozen() const { return given_ && given_->frozen; }
  [[nodiscard]] error refusal() const {
    if (is_frozen()) return {errc::unavailable, "the shard is being handed over to another scheduler; try again in a few seconds"};
    if (!loaded_) return starting();
    if (auto taken = journal_.takes_decisions(); !taken) return taken.error();
    return {errc::unavailable, "the scheduler does not reach the storage nodes; try again in a few seconds"};
  }
  /// Those that only read join what waits as well.
  [[nodiscard]] expected<void> takes_requests() const { return loaded_ ? journal_.takes() : expected<void>{starting()}; }

  void load(const std::string& prefix, const std::string& after) {
    env_.records->scan(prefix, after, load_page, here<ports::kv_pairs>([this, prefix](expected<ports::kv_pairs> pairs) {
      if (!pairs) return stop("records cannot be read", pairs.error());
      for (const auto& [key, value] : *pairs) {
        // What is left of a shard that was given away, or came and is not ours yet.
        if (const auto shard = store::shard_of_key(key); shard && !hold_->has(*shard)) continue;
        if (auto fed = store::load_pair(key, value, *rules_); !fed) return stop("a record cannot be read: " + key, fed.error());
      }
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
    for (const auto& node : storages_up()) get_to_know(node);
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
    if (!decided && !answer) return;  // most ticks: they would pile up behind a full disk
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
    if (is_frozen()) return;  // whoever has the shard next does it again
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
      if (is_frozen()) return;
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
    const auto shards = hold_->shards();
    struct asking {
      std::size_t left;
      bool all_told = true;
    };
    auto all = std::make_shared<asking>(asking{shards.size()});  // shared by the answers
    const auto step = [this, node, all] {
      if (--all->left > 0) return;
      if (!all->all_told) return later(milliseconds{1'000}, [this, node] { get_to_know(node); });
      if (known_storages_.insert(node).second) journal_.join({{store::storage_known_key(node), to_record(storage_known{node})}}, [] {});
    };
    for (const auto shard : shards)
      request(storages_.at(node), env_.config.request_timeout, again_atom::value, shard)
        .then([step](bool) { step(); },
              [all, step](caf::error&) {
                all->all_told = false;
                step();
              });
  }

  caf::result<work_answer> on_work_request(const work_request& what, const caf::strong_actor_ptr& worker) {
    if (!may_decide()) {
      if (!takes_requests() || what.slots > 0) return to_caf(refusal());
      // Who offers nothing, perhaps because it stops, may know that we know: that decides nothing. Behind what was granted before.
      LATHAM_REACHED("worker_without_slots_heard_without_the_right_to_decide");
      rules_->on_worker_lost(what.worker);
      return after({}, work_answer{0, rules_->runnable_by(what.engine)});
    }
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
    if (event.priority > priority_class::high || event.video.is_nil() || event.source.bytes == 0) return errc::invalid_argument;
    if (!hold_->has(event.video.shard())) return to_caf(of_another(event.video.shard()));
    decision out;
    const auto code = rules_->on_media_ready(event, now(), out);
    if (!out.writes.empty()) log(ports::log_level::info, "video queued video={} bytes={}", to_string(event.video), event.source.bytes);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_renewals(const renewal_list& renewals) {
    if (!may_decide()) return to_caf(refusal());
    if (renewals.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 renewals at once"});
    for (const auto& renewal : renewals)
      if (!hold_->has(renewal.video.shard())) return to_caf(of_another(renewal.video.shard()));
    decision out;
    errc_list codes;
    for (const auto& renewal : renewals) codes.push_back(rules_->on_renewal(renewal, now(), out));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_plan_page(const plan_page& page) {
    if (!may_decide()) return to_caf(refusal());
    if (page.chunks.size() > ports::plan_page_chunks_max) return errc::invalid_argument;
    if (!hold_->has(page.video.shard())) return to_caf(of_another(page.video.shard()));
    decision out;
    const auto code = rules_->on_plan_page(page, now(), out);
    return after(std::move(out), code);
  }

  caf::result<errc_list> on_commits(const commit_list& commits) {
    if (!may_decide()) return to_caf(refusal());
    if (commits.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 commits at once"});
    // Who gave its shard away knows nothing of these: it would take them for late ones, and have their outputs removed.
    for (const auto& commit : commits)
      if (!hold_->has(commit.task.video.shard())) return to_caf(of_another(commit.task.video.shard()));
    decision out;
    errc_list codes;
    for (const auto& commit : commits) codes.push_back(rules_->on_commit(commit, now(), out));
    count("latham_commits_total", static_cast<double>(commits.size()));
    return after(std::move(out), std::move(codes));
  }

  caf::result<errc> on_failure(const task_failure& failure) {
    if (!may_hear()) return to_caf(refusal());
    if (!hold_->has(failure.task.video.shard())) return to_caf(of_another(failure.task.video.shard()));
    const bool given_back = failure.code == errc::cancelled;
    log(given_back ? ports::log_level::info : ports::log_level::warn, "task {} task={} epoch={} code={} detail=\"{}\"", given_back ? "given back" : "failed", to_string(failure.task),
        to_string(failure.held), to_string(failure.code), failure.message);
    decision out;
    const auto code = rules_->on_failure(failure, now(), env_.random->next(), out);
    return after(std::move(out), code);
  }

  shard_info shards() const { return {hold_ ? hold_->shards() : std::vector<std::uint16_t>{}, !given_ && !is_emptied()}; }

  [[nodiscard]] static error of_another(std::uint16_t shard) { return {errc::unavailable, "shard " + std::to_string(shard) + " belongs to another scheduler; try again in a few seconds"}; }

  caf::result<video_view> find(video_id id) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (!hold_->has(id.shard())) return to_caf(of_another(id.shard()));
    auto view = rules_->view(id, now());
    if (!view) return to_caf(view.error());
    return after({}, std::move(*view));
  }

  /// Whether every storage node has told of its uploads since our disk was new.
  [[nodiscard]] bool knows_all() const {
    if (hold_->shards().empty()) return true;
    const auto all = members();
    return std::all_of(all.begin(), all.end(), [this](const node_name& node) { return known_storages_.contains(node); });
  }

  caf::result<view_list> list(const std::string& tenant, video_id before, std::uint32_t limit) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    // A later process of our name may have been told of others meanwhile. Who asks for one video hears of it from storage as well;
    // what is missing in a list nobody misses.
    if (LATHAM_REACHED_IF("no_list_of_who_does_not_own", !hold_->holds(now()))) return to_caf(refusal());
    // What nobody has told us of again would be missing in it, and storage believes that we have it.
    if (!knows_all() || (adopted_at_ && now() - *adopted_at_ < adoption_awaited_for && awaits_a_shard())) return to_caf(starting());
    return after({}, rules_->list(tenant, before, std::min(limit, 50u), now()));
  }

  caf::result<bool> remove(video_id id) {
    if (!may_decide()) return to_caf(refusal());
    if (!hold_->has(id.shard())) return to_caf(of_another(id.shard()));
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
    if (!hold_->has(id.shard())) return to_caf(of_another(id.shard()));
    decision out;
    const auto code = rules_->on_retry(id, now(), out);
    if (code == errc::conflict) return to_caf({code, "only a failed video can be retried"});
    if (code != errc::none) return to_caf({code, "there is no video " + to_string(id)});
    return after(std::move(out), *rules_->view(id, now()));
  }

  caf::result<output_page> outputs(video_id id, std::uint32_t from) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (!hold_->has(id.shard())) return to_caf(of_another(id.shard()));
    auto page = rules_->outputs(id, from);
    if (!page) return to_caf(page.error());
    return after({}, std::move(*page));
  }

  caf::result<blob_list> unused(video_id id, const blob_list& blobs) {
    if (!may_decide() || !knows_all()) return to_caf(may_decide() ? starting() : refusal());
    if (blobs.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 blobs at once"});
    // Of a shard that is another's now, everything would look as if nobody referred to it.
    for (const auto blob : blobs)
      if (!hold_->has(blob.shard())) return to_caf(of_another(blob.shard()));
    if (!id.is_nil() && !hold_->has(id.shard())) return to_caf(of_another(id.shard()));
    return after({}, rules_->unreferenced(id, blobs));
  }

  // ---- Where shards belong -------------------------------------------------------------------------------------------
  //
  // A scheduler that is being emptied (`draining`) gives its shards to the first other one; one that is not asks for its home
  // shard when another has it. Both try until it is so.

  [[nodiscard]] bool is_emptied() const { return env_.config.draining.contains(env_.config.name); }

  void look_for_homes() {
    if (!may_decide() || given_) return;
    if (is_emptied()) {
      const auto& all = env_.config.schedulers;
      const auto heir = std::find_if(all.begin(), all.end(), [this](const node_name& n) { return !env_.config.draining.contains(n); });
      if (gave_up_at_ && now() - *gave_up_at_ < tried_again_after) return;
      if (heir != all.end() && !hold_->shards().empty() && knows_all()) begin_hand_over(hold_->shards().front(), *heir);
      return;
    }
    const auto home = env_.config.shard;
    const auto newest = census_->newest(home);
    if (hold_->has(home) || newest.empty() || adoptions_.contains(home) || storages_.empty()) return;
    const auto relay = std::next(storages_.begin(), static_cast<std::ptrdiff_t>(env_.random->next() % storages_.size()));
    request(relay->second, env_.config.request_timeout, handover_atom::value, newest.front().holder, home, env_.config.name)
      .then([](const hand_over_answer&) {}, [](caf::error&) {});  // asked again
  }

  caf::result<leave_report> may_leave() {
    if (!loaded_) return to_caf(starting());
    leave_report out;
    if (env_.config.schedulers.size() < 2 && !hold_->shards().empty()) out.reasons.push_back({"only_node", 0, "there is no other scheduler that could take its shards: name one by --scheduler"});
    else if (!is_emptied()) out.reasons.push_back({"not_draining", 0, "this scheduler is not being emptied: restart it with --draining " + env_.config.name});
    if (!hold_->shards().empty()) {
      std::string detail = "its shards go to another scheduler";
      if (given_) detail = "shard " + std::to_string(given_->shard) + " goes to " + given_->to + ": " + given_->what;
      else if (!may_decide()) detail = refusal().message;
      else if (!knows_all()) detail = "not every storage node has told this scheduler of its uploads; bring back those that are away, or take them out of the configuration";
      else if (!last_refusal_.empty()) detail = last_refusal_;
      out.reasons.push_back({"shards", hold_->shards().size(), detail});
    }
    for (const auto& [shard, whole] : adoptions_)
      if (!hold_->has(shard) && !is_over(whole))
        out.reasons.push_back({"shards", 1, "shard " + std::to_string(shard) + " has come from another scheduler, which may not have it any more; it will be owned here and go on. If that one still has it, restart that one"});
    if (rules_->count().leases > 0) out.reasons.push_back({"leases", rules_->count().leases, "work that it granted still runs"});
    out.may_leave = out.reasons.empty();
    return out;
  }

  /// Others have claimed the shard since it was sent, so it is not coming any more.
  [[nodiscard]] bool is_over(const shard_adoption& sent) const {
    if (!census_->complete()) return false;
    const auto newest = census_->newest(sent.shard);
    return !newest.empty() && std::all_of(newest.begin(), newest.end(), [&](const shard_claim& c) { return c.holder != env_.config.name && c.generation > sent.giver.generation; });
  }

  // ---- A shard changes hands -----------------------------------------------------------------------------------------
  //
  // The giver grants nothing new, waits for what runs, and decides nothing from then on (`frozen`). It sends the shard's records,
  // by way of a storage node, because schedulers have no links among one another. When all are durable there it claims the shard
  // for the receiver, as its own successor, at a majority of the storage nodes: from the first of these claims on there is no way
  // back for this process. The receiver sees by the claims that the shard is its own and begins anew with it; then the giver does
  // so without it. Who dies in between asks the storage nodes whose the shard is, like any scheduler that starts.

  struct giving {
    std::uint16_t shard = 0;
    node_name to;
    instant since;
    std::uint32_t attempt = 0;
    bool frozen = false;
    bool transfers = false;
    std::uint32_t number = 0;         // of the next page
    std::uint32_t tries = 0;          // of it
    std::uint64_t records = 0;
    shard_claim claim;                // of the receiver
    std::set<node_name> granted;
    std::set<node_name> taken_at;     // the receiver has claimed it there since
    bool taken = false;               // at a majority: nobody else can own it from what was there before
    std::string what;
  };

  caf::result<hand_over_answer> hand_over(std::uint16_t shard, const node_name& to) {
    if (!loaded_) return to_caf(starting());
    if (to == env_.config.name || !is_valid_node_name(to)) return to_caf({errc::invalid_argument, "a shard is handed over to another scheduler; name that one"});
    if (!hold_->has(shard)) {
      const auto newest = census_->newest(shard);
      const bool theirs = !newest.empty() && std::all_of(newest.begin(), newest.end(), [&](const shard_claim& c) { return c.holder == to; });
      if (!theirs) return to_caf({errc::not_found, "shard " + std::to_string(shard) + " is not this scheduler's; it has " + (newest.empty() ? std::string{"no scheduler"} : newest.front().holder)});
      return hand_over_answer{true, 0, 0, "shard " + std::to_string(shard) + " belongs to " + to};
    }
    if (given_) {
      if (given_->shard != shard || given_->to != to) return to_caf({errc::conflict, "shard " + std::to_string(given_->shard) + " is being handed over to " + given_->to + "; one at a time"});
      return hand_over_answer{false, rules_->count().leases, given_->records, given_->what};
    }
    if (!may_decide()) return to_caf(refusal());
    if (!knows_all()) return to_caf({errc::unavailable, "not every storage node has told this scheduler of its uploads yet; bring back those that are away, or take them out of the configuration"});
    begin_hand_over(shard, to);
    return hand_over_answer{false, rules_->count().leases, 0, given_->what};
  }

  void begin_hand_over(std::uint16_t shard, const node_name& to) {
    log(ports::log_level::info, "shard is handed over shard={} to={}", shard, to);
    given_.emplace();
    given_->shard = shard;
    given_->to = to;
    given_->since = now();
    given_->attempt = ++attempts_to_give_;
    given_->what = "waits for what runs";
    rules_->grant_work(false);
    await_leases();
  }

  void await_leases() {
    if (rules_->count().leases > 0 && now() - given_->since < leases_awaited_for) {
      later(tick_period, [this] { await_leases(); });
      return;
    }
    if (!may_decide()) return give_up(refusal().message);
    given_->frozen = true;
    given_->what = "sends its records";
    // What was decided before is on the disk, from where it is sent.
    journal_.join({}, [this] { send_records(store::prefix_videos, {}); });
  }

  void give_up(const std::string& why) {
    log(ports::log_level::warn, "shard is not handed over shard={} to={} reason=\"{}\"", given_->shard, given_->to, why);
    LATHAM_REACHED("hand_over_given_up");
    last_refusal_ = "shard " + std::to_string(given_->shard) + " could not be given to " + given_->to + ": " + why + "; tried again";
    gave_up_at_ = now();
    const bool was_frozen = given_->frozen;
    given_.reset();
    rules_->grant_work(true);
    if (!was_frozen) return;
    // What storage answered meanwhile was not heard.
    decision out;
    rules_->on_storage_up(out);
    apply(std::move(out));
  }

  void send_records(const std::string& prefix, const std::string& after) {
    const bool of_videos = prefix == store::prefix_videos;
    env_.records->scan(prefix, after, of_videos ? shard_page_videos : shard_page_tasks, here<ports::kv_pairs>([this, prefix, of_videos](expected<ports::kv_pairs> pairs) {
      if (!pairs) return stop("records cannot be read", pairs.error());
      shard_page some{given_->shard, {env_.config.incarnation, hold_->generation()}, given_->attempt, given_->number, false, {}, {}};
      for (const auto& [key, value] : *pairs) {
        if (store::shard_of_key(key) != given_->shard) continue;
        if (of_videos) {
          auto record = from_record<video_record>(value);
          if (!record) return stop("a record cannot be read: " + key, record.error());
          some.videos.push_back(std::move(*record));
        } else {
          auto record = from_record<task_record>(value);
          if (!record) return stop("a record cannot be read: " + key, record.error());
          // Its lease stays behind. As with any worker that is told to stop, the attempt does not count.
          if (record->state == task_state::leased) {
            record->state = task_state::pending;
            record->attempts -= std::min(record->attempts, 1u);
          }
          some.tasks.push_back(std::move(*record));
        }
      }
      const bool more = pairs->size() == (of_videos ? shard_page_videos : shard_page_tasks);
      some.last = !of_videos && !more;
      auto next = [this, more, of_videos, prefix, last_key = pairs->empty() ? std::string{} : pairs->back().first] {
        if (more) return send_records(prefix, last_key);
        if (of_videos) return send_records(store::prefix_tasks, {});
      };
      // Nothing of this page is the shard's, and it need not be sent.
      if (some.number > 0 && !some.last && some.videos.empty() && some.tasks.empty()) return next();
      send_page(std::move(some), std::move(next));
    }));
  }

  void send_page(shard_page some, std::function<void()> next) {
    const auto again = [this, some, next](const std::string& why) {
      if (++given_->tries > (some.number == 0 ? first_page_tries_max : page_tries_max)) return give_up(why);
      later(milliseconds{1'000}, [this, some, next] { send_page(some, next); });
    };
    // Any storage node will do; the next one if this one does not reach the receiver.
    if (storages_.empty()) return again("no storage node is reachable");
    const auto relay = std::next(storages_.begin(), given_->tries % storages_.size());
    request(relay->second, env_.config.request_timeout, adopt_atom::value, given_->to, some)
      .then(
        [this, some, next, again](const adopt_answer& taken) {
          if (taken.code == errc::conflict) return give_up("the receiver began anew");
          if (taken.code != errc::none) return give_up("the receiver refuses it: " + std::string{to_string(taken.code)});
          given_->records += some.videos.size() + some.tasks.size();
          given_->tries = 0;
          ++given_->number;
          if (!some.last) return next();
          given_->claim = {given_->shard, hold_->generation() + 1, given_->to, taken.incarnation};
          given_->what = "tells the storage nodes";
          if (!hold_->holds(now())) return give_up("its claim lapsed");
          given_->transfers = true;
          LATHAM_REACHED("shard_sent_whole");
          for (const auto& node : storages_up()) transfer_at(node);
        },
        [again](caf::error& e) { again(from_caf(e).message); });
  }

  /// Claims it for the receiver where nobody has granted that yet, and looks elsewhere whether that one has gone on from there.
  /// To claim it again would look as if the receiver were heard, and keep out its next life.
  void transfer_at(const node_name& node) {
    const auto storage = storages_.find(node);
    if (storage == storages_.end() || given_->taken) return;
    if (!given_->granted.contains(node)) {
      request(storage->second, env_.config.request_timeout, claim_request{given_->claim, env_.config.incarnation, {}})
        .then(
          [this, node](const claim_answer& answer) {
            if (!given_ || given_->taken) return;
            if (answer.granted) given_->granted.insert(node);
            else look_taken(node, answer.known);
          },
          [](caf::error&) {});  // with the next period
      return;
    }
    request(storage->second, env_.config.request_timeout, recall_atom::value, given_->shard)
      .then(
        [this, node](const kept_claims& kept) {
          if (!given_ || given_->taken || !kept.known) return;
          if (kept.claims.empty() || kept.claims.front().shard != given_->shard || kept.claims.front().generation < given_->claim.generation) given_->granted.erase(node);  // it lost its disk
          else look_taken(node, kept.claims.front());
        },
        [](caf::error&) {});
  }

  /// What was sent is forgotten when the receiver is past the claim that was made for it at most storage nodes. With fewer of them
  /// this scheduler's next life could own the shard again, and would have nothing of it.
  void look_taken(const node_name& node, const shard_claim& known) {
    if (known.holder != given_->to || known.generation <= given_->claim.generation) {
      given_->taken_at.erase(node);
      return;
    }
    given_->taken_at.insert(node);
    if (LATHAM_REACHED_IF("shard_taken_at_too_few", given_->taken_at.size() < members().size() / 2 + 1)) return;
    given_->taken = true;
    log(ports::log_level::info, "shard handed over shard={} to={} records={}", given_->shard, given_->to, given_->records);
    LATHAM_REACHED("shard_handed_over");
    erase_given(store::prefix_tasks, {});
  }

  void erase_given(const std::string& prefix, const std::string& after) {
    erase_shard(given_->shard, prefix, after, [this] {
      journal_.join({}, [this] { quit(); });
    });
  }

  /// Its tasks, then its videos: a task without its video is never looked at, a video without its tasks would be.
  void erase_shard(std::uint16_t shard, const std::string& prefix, const std::string& after, std::function<void()> then) {
    env_.records->scan(prefix, after, load_page, here<ports::kv_pairs>([this, shard, prefix, then = std::move(then)](expected<ports::kv_pairs> pairs) mutable {
      if (!pairs) return stop("records cannot be read", pairs.error());
      ports::kv_batch batch;
      for (const auto& [key, value] : *pairs)
        if (store::shard_of_key(key) == shard) batch.push_back({key, std::nullopt});
      const bool more = pairs->size() == load_page;
      const auto last = pairs->empty() ? std::string{} : pairs->back().first;
      journal_.join(std::move(batch), [this, shard, prefix, more, last, then = std::move(then)]() mutable {
        if (more) return erase_shard(shard, prefix, last, std::move(then));
        if (prefix == store::prefix_tasks) return erase_shard(shard, store::prefix_videos, {}, std::move(then));
        then();
      });
    }));
  }

  struct coming_shard {
    std::pair<std::uint64_t, std::uint32_t> giver;  // life and attempt of the giver
    std::uint32_t next = 0;
    std::optional<std::pair<shard_page, promise<adopt_answer>>> first;  // until it is durable
  };

  caf::result<adopt_answer> adopt(const shard_page& some) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (given_) return adopt_answer{errc::limited, env_.config.incarnation};
    if (hold_->has(some.shard)) return adopt_answer{errc::conflict, env_.config.incarnation};
    // Its disk is about to be wiped.
    if (LATHAM_REACHED_IF("hand_over_to_who_leaves", is_emptied())) return adopt_answer{errc::limited, env_.config.incarnation};
    if (some.videos.size() > shard_page_videos || some.tasks.size() > shard_page_tasks) return to_caf({errc::invalid_argument, "too many records at once"});
    const auto giver = std::pair{some.giver.incarnation, some.attempt};
    // Pages that come late, by another way, from an attempt that is over or is further on.
    if (const auto whole = adoptions_.find(some.shard); whole != adoptions_.end() && giver <= std::pair{whole->second.giver.incarnation, whole->second.attempt} && !some.last) return adopt_answer{errc::conflict, env_.config.incarnation};
    auto& coming = adopting_[some.shard];
    if (some.number == 0 && (giver > coming.giver || (giver == coming.giver && coming.first))) {
      auto answer = make_response_promise<adopt_answer>();
      begin_adoption(coming, giver, some, answer);
      return answer;
    }
    // Also the first one once more, by another way: what follows it may be here already.
    const bool goes_on = giver == coming.giver && !coming.first && (some.number == coming.next || some.number + 1 == coming.next);
    if (!goes_on) return adopt_answer{errc::conflict, env_.config.incarnation};
    coming.next = some.number + 1;
    auto answer = make_response_promise<adopt_answer>();
    keep_page(some, [this, answer]() mutable { answer.deliver(adopt_answer{errc::none, env_.config.incarnation}); });
    return answer;
  }

  /// Nothing that was sent before counts, and its mark goes before it does. It is erased once, however often the first page comes
  /// meanwhile: another erasing would take away what came after that page, which the giver sends as soon as one of them is kept.
  void begin_adoption(coming_shard& coming, std::pair<std::uint64_t, std::uint32_t> giver, const shard_page& some, const promise<adopt_answer>& answer) {
    const bool erasing = coming.first.has_value();
    if (LATHAM_REACHED_IF("first_page_came_again", erasing)) coming.first->second.deliver(to_caf({errc::limited, "the page came again, which is what will be answered"}));
    coming.giver = giver;
    coming.next = 1;
    coming.first.emplace(some, answer);
    if (erasing) return;
    const auto shard = some.shard;
    ports::kv_batch batch;
    adoptions_.erase(shard);
    batch.push_back({store::adoption_key(shard), std::nullopt});  // also one that is on its way to the disk
    journal_.join(std::move(batch), [this, shard] {
      adoptions_.erase(shard);
      erase_shard(shard, store::prefix_tasks, {}, [this, shard] { keep_first_page(shard); });
    });
  }

  /// The latest one, when all that was there before is erased.
  void keep_first_page(std::uint16_t shard) {
    const auto kept = adopting_[shard].giver;
    keep_page(adopting_[shard].first->first, [this, shard, kept] {
      auto& coming = adopting_[shard];
      // The giver's next attempt has begun, with what its records are now.
      if (LATHAM_REACHED_IF("first_page_of_the_next_attempt", coming.giver != kept)) return erase_shard(shard, store::prefix_tasks, {}, [this, shard] { keep_first_page(shard); });
      auto answer = std::move(coming.first->second);
      coming.first.reset();
      answer.deliver(adopt_answer{errc::none, env_.config.incarnation});
    });
  }

  void keep_page(const shard_page& some, std::function<void()> then) {
    std::vector<scheduler_write> writes;
    for (const auto& video : some.videos)
      if (video.request.video.shard() == some.shard) writes.emplace_back(video);
    for (const auto& task : some.tasks)
      if (task.id.video.shard() == some.shard) writes.emplace_back(task);
    ports::kv_batch batch;
    store::append_writes(writes, batch);
    const shard_adoption whole{some.shard, some.giver, some.attempt};
    if (some.last) batch.push_back({store::adoption_key(some.shard), to_record(whole)});
    journal_.join(std::move(batch), [this, whole, last = some.last, then = std::move(then)] {
      if (last) {
        adoptions_[whole.shard] = whole;
        adopted_at_ = now();
        LATHAM_REACHED("shard_adopted");
      }
      then();
    });
  }

  directory_actor directory_;
  shard_claim last_;                     // of this scheduler's earlier life
  std::optional<shard_census> census_;   // once the disk has said what that was
  std::uint64_t census_number_ = 0;
  instant claims_since_;                 // that this census led to
  std::optional<shard_holds> hold_;      // once a majority of the storage nodes has said which shards are ours
  std::unique_ptr<scheduler> rules_;     // once they are
  std::optional<giving> given_;          // a shard on its way to another scheduler
  std::uint32_t attempts_to_give_ = 0;
  std::string last_refusal_;             // why it did not go
  std::optional<instant> gave_up_at_;    // when that was
  std::map<std::uint16_t, coming_shard> adopting_;
  std::map<std::uint16_t, shard_adoption> adoptions_;  // that came whole, and are not owned yet
  std::optional<instant> adopted_at_;                  // when the last one did
  std::set<node_name> known_storages_;
  std::multimap<video_id, std::pair<std::uint64_t, promise<bool>>> deletes_;  // asked for, and not confirmed by storage
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
