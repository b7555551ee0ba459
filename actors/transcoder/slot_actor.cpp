#include "actors/transcoder/slot_actor.hpp"

#include "actors/role_actor.hpp"
#include "core/backoff.hpp"
#include "core/manifest/presentation.hpp"
#include "core/output_blob.hpp"
#include "core/reach.hpp"
#include "core/task_budget.hpp"
#include "store/replicated_blobs.hpp"

#include <deque>
#include <map>

namespace latham {

namespace {

constexpr std::uint32_t io_attempts_max = 6;          // of one read or write before the task is given back
constexpr std::uint32_t resumes_max = 3;              // at one storage node of several
constexpr std::uint32_t tickets_max = 3;              // for one output
constexpr std::uint32_t appends_in_flight = 4;        // MiB under way to storage
constexpr std::size_t gathered_bytes_max = 64 * kib;  // of pieces, before the slot is told of them
constexpr backoff_policy io_backoff{milliseconds{100}, milliseconds{3'000}};

using slot_interface = caf::typed_actor<caf::reacts_to<abort_atom>, caf::reacts_to<storage_up_atom, node_name, caf::strong_actor_ptr>>;

using gathered_pieces = std::vector<std::pair<std::uint32_t, output_piece>>;  // each with its chunk

struct built_chunk {
  built_output blob;
  std::vector<rendition_summary> renditions;
};

/// Lays out the blob and sums up its renditions. Pure; runs on the executor because hashing megabytes is not short.
expected<built_chunk> build_chunk(std::vector<output_piece> pieces, const source_plan& plan, const recipe& how) {
  auto summaries = summarise(pieces, plan, how);
  if (!summaries) return std::move(summaries).error();
  built_chunk out;
  out.renditions = std::move(*summaries);
  out.blob = build_output_blob(std::move(pieces));
  return out;
}

class slot : public role_actor<slot_interface> {
public:
  slot(caf::actor_config& config, const env* e, std::uint32_t number, work_grant grant, std::map<node_name, storage_actor> storages, node_name first, slot_parent parent)
    : role_actor(config, *e), number_{number}, grant_{std::move(grant)}, current_{std::move(first)}, storages_{std::move(storages)}, parent_{std::move(parent)} {
    if (const auto at = storages_.find(current_); at != storages_.end()) storage_ = at->second;
  }

  behavior_type make_behavior() override {
    sources_ = store::stores_of(*env_.transport, grant_.source.blob, grant_.source.store, env_.config.rules_of_copies());
    running_ = grant_.first;
    last_sign_ = now();
    ports::engine_task task;
    task.kind = grant_.kind;
    task.source_bytes = grant_.source.bytes;
    task.how = grant_.how;
    task.plan = grant_.plan;
    task.chunks = grant_.chunks;
    task.audio_index = grant_.first;
    const auto budget = budget_of(task);
    engine_deadline_ = now() + budget.whole;
    piece_bytes_max_ = budget.output_bytes;
    auto listener = std::make_shared<ear>();
    listener->slot = caf::actor_cast<caf::actor_addr>(this);
    listener->owner = this;
    session_ = env_.engine->start(number_, std::move(task), std::move(listener));
    watch();
    return {
      [this](abort_atom) { quit(); },
      [this](storage_up_atom, const node_name& node, const caf::strong_actor_ptr& storage) { on_storage(node, storage); },
      [](local_call& call) { call.run(); },
    };
  }

  void on_exit() override {
    session_.reset();  // cancels: the codec child is stopped or replaced
    destroy(parent_);
    destroy(storage_);
    storages_.clear();
  }

private:
  /// Turns the engine's calls, which come on its thread, into messages to the slot. `owner` is only touched inside them.
  struct ear : ports::engine_listener {
    caf::actor_addr slot;
    class slot* owner = nullptr;
    // Of the engine's thread: small pieces, which go to the slot together.
    gathered_pieces gathered;
    std::size_t gathered_bytes = 0;

    gathered_pieces take() {
      gathered_bytes = 0;
      return std::exchange(gathered, {});
    }

    void tell(std::function<void()> f) const {
      if (auto alive = caf::actor_cast<caf::actor>(slot)) caf::anon_send(alive, local_call{std::move(f)});
    }
    void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes) override {
      tell([s = owner, read, offset, bytes] { s->on_read(read, offset, bytes, 1); });
    }
    void on_plan(source_plan plan, std::uint32_t first_chunk, std::vector<chunk_plan> chunks, bool complete) override {
      auto page = std::make_shared<plan_page>();
      page->plan = std::move(plan);
      page->first_chunk = first_chunk;
      page->chunks = std::move(chunks);
      page->complete = complete;
      tell([s = owner, page] { s->on_plan(std::move(*page)); });
    }
    void on_piece(std::uint32_t chunk, output_piece piece) override {
      gathered_bytes += piece.bytes.size();
      gathered.emplace_back(chunk, std::move(piece));
      if (gathered_bytes >= gathered_bytes_max) tell([s = owner, some = take()]() mutable { s->on_pieces(std::move(some)); });
    }
    void on_chunk_done(std::uint32_t chunk, const findings& found) override {
      tell([s = owner, chunk, found, some = take()]() mutable {
        s->on_pieces(std::move(some));
        s->on_chunk_done(chunk, found);
      });
    }
    void on_progress(std::uint64_t done) override {
      tell([s = owner, done] { s->on_progress(done); });
    }
    void on_end(expected<void> result) override {
      tell([s = owner, result = std::move(result)] { s->on_engine_end(result); });
    }
  };

  // ---- Source --------------------------------------------------------------------------------------------------------

  void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes, std::uint32_t attempt) {
    last_sign_ = now();
    // Bytes go from the transport's thread straight to the engine; only a failure comes back here.
    std::weak_ptr<ports::engine_session> session = session_;
    auto failed = here<buffer>([this, read, offset, bytes, attempt](expected<buffer> result) { on_read_failed(read, offset, bytes, attempt, result.error()); });
    store::read_first(sources_, grant_.source.blob, offset, std::min<std::uint32_t>(bytes, ports::engine_read_bytes_max), [session, read, failed](expected<buffer> result) {
      if (!result && is_transient(result.error().code)) return failed(std::move(result));
      if (auto alive = session.lock()) alive->supply(read, std::move(result));
    });
  }

  void on_read_failed(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes, std::uint32_t attempt, const error& why) {
    if (!session_) return;  // its child has ended, perhaps with all that was asked of it
    LATHAM_REACHED("source_read_again");
    if (attempt >= io_attempts_max) {
      LATHAM_REACHED("source_unreadable");
      // All is made, and it only reads on.
      if (has_made_all()) return session_->supply(read, why);
      return end(storages_trouble(why.code), "the source could not be read: " + why.message, running_);
    }
    later(backoff(io_backoff, attempt, env_.random->next()), [this, read, offset, bytes, attempt] {
      if (session_) on_read(read, offset, bytes, attempt + 1);
    });
  }

  // ---- Results -------------------------------------------------------------------------------------------------------

  void on_plan(plan_page page) {
    last_sign_ = now();
    page.video = grant_.video;
    page.held = grant_.held;
    plan_pages_.push_back(std::move(page));
    ++reports_open_;
    if (plan_pages_.size() == 1) send_page();
  }

  /// One at a time: a page that had to be said again would come after its successor, which is a hole to the scheduler.
  void send_page() {
    request(parent_, caf::infinite, plan_pages_.front())  // local, and the parent answers when the lease is lost at the latest
      .then(
        [this](errc code) {
          --reports_open_;
          if (code != errc::none) return end(code == errc::fenced ? code : errc::internal, "the plan was not taken", 0);
          planned_ = plan_pages_.front().complete;
          plan_pages_.pop_front();
          if (!plan_pages_.empty()) return send_page();
          maybe_end();
        },
        [this](caf::error&) { quit(); });
  }

  void on_pieces(gathered_pieces some) {
    last_sign_ = now();
    for (auto& [chunk, piece] : some) {
      piece_bytes_ += piece.bytes.size();
      pieces_[chunk].push_back(std::move(piece));
    }
    // The engine's client counts what each chunk brings; this is what the slot holds of all of them.
    if (piece_bytes_ > piece_bytes_max_) end(errc::internal, "the engine made more output than a chunk can have", running_);
  }

  void on_chunk_done(std::uint32_t chunk, const findings& found) {
    if (ended_) return;
    last_sign_ = now();
    auto pieces = std::make_shared<std::vector<output_piece>>(std::move(pieces_[chunk]));
    pieces_.erase(chunk);
    const auto index = grant_.kind == task_kind::audio ? grant_.first : chunk;
    ++reports_open_;
    running_ = index + 1;
    auto built = here<built_chunk>([this, index, found](expected<built_chunk> result) {
      if (!result) return end(result.error().code, result.error().message, index);
      auto job = std::make_shared<upload>();
      job->task = {grant_.video, grant_.kind, index};
      job->found = found;
      job->summaries = std::move(result->renditions);
      job->index_bytes = result->blob.index_bytes;
      job->digest = result->blob.digest;
      job->bytes = buffer{std::move(result->blob.bytes)};
      ask_ticket(job);
    });
    const bool taken = env_.executor->post([pieces, plan = grant_.plan, how = grant_.how, built] { built(build_chunk(std::move(*pieces), plan, how)); });
    if (!taken) end(errc::limited, "the node has no room to finish a chunk", index);
  }

  void on_progress(std::uint64_t finished) {
    last_sign_ = now();
    // The engine counts over the whole run; the scheduler wants the running chunk's.
    std::uint64_t before = 0;
    for (const auto& chunk : grant_.chunks) {
      if (finished < before + chunk.frames) {
        caf::anon_send(parent_, lease_renewal{grant_.video, grant_.held, chunk.index, finished - before});
        return;
      }
      before += chunk.frames;
    }
    caf::anon_send(parent_, lease_renewal{grant_.video, grant_.held, running_, finished});
  }

  void on_engine_end(const expected<void>& result) {
    session_.reset();
    // A child that breaks after its last chunk has done all that was asked of it.
    if (!result && !has_made_all()) return end(result.error().code, result.error().message, running_);
    engine_done_ = true;
    maybe_end();
  }

  // ---- Output blobs --------------------------------------------------------------------------------------------------

  struct upload {
    task_id task;
    findings found;
    std::vector<rendition_summary> summaries;
    std::uint32_t index_bytes = 0;
    sha256_digest digest;
    buffer bytes;
    output_ticket ticket;
    std::shared_ptr<ports::blob_store> store;
    std::uint64_t sent = 0;      // handed to the store
    std::uint64_t durable = 0;
    std::uint32_t in_flight = 0;
    std::uint32_t attempt = 1;
    std::uint32_t tickets = 0;
    bool failed = false;         // a retry is due once nothing is in flight
    error why;
  };
  using upload_ptr = std::shared_ptr<upload>;  // shared by the completions under way

  void ask_ticket(const upload_ptr& job) {
    request(storage_, env_.config.request_timeout, output_atom::value, grant_.video, std::uint64_t{job->bytes.size()})
      .then(
        [this, job](output_ticket& ticket) {
          job->ticket = std::move(ticket);
          job->store = env_.transport->at(job->ticket.store);
          job->attempt = 1;
          ++job->tickets;
          send_more(job);
        },
        [this, job](caf::error& e) {
          const auto why = from_caf(e);
          // Away, full, or about to be emptied: another one may take it.
          if (is_transient(why.code)) use_another();
          again(job, why, [this, job] { ask_ticket(job); });
        });
  }

  /// The first one that is told of is used until it is away or refuses.
  void on_storage(const node_name& node, const caf::strong_actor_ptr& storage) {
    if (!storage) {
      if (storages_.erase(node) != 0 && node == current_) use_another();
      return;
    }
    auto& known = storages_[node];
    known = caf::actor_cast<storage_actor>(storage);
    if (!current_.empty() && node != current_) return;
    current_ = node;
    storage_ = known;
  }

  void use_another() {
    if (storages_.empty()) return;
    auto next = storages_.upper_bound(current_);
    if (next == storages_.end()) next = storages_.begin();
    current_ = next->first;
    storage_ = next->second;
  }

  void send_more(const upload_ptr& job) {
    while (!job->failed && job->in_flight < appends_in_flight && job->sent < job->bytes.size()) {
      const auto piece = job->bytes.slice(job->sent, ports::append_bytes_max);
      ++job->in_flight;
      job->store->append(job->ticket.token, job->sent, piece, crc32c(piece.view()), here<std::uint64_t>([this, job](expected<std::uint64_t> durable) {
        --job->in_flight;
        last_sign_ = now();
        if (durable) {
          job->durable = std::max(job->durable, *durable);
        } else {
          job->failed = true;
          job->why = durable.error();
        }
        if (job->failed) {
          if (job->in_flight == 0) resume(job);
          return;
        }
        send_more(job);
      }));
      job->sent += piece.size();
    }
    if (job->durable == job->bytes.size() && job->in_flight == 0) seal(job);
  }

  void resume(const upload_ptr& job) {
    LATHAM_REACHED("output_resumed");
    again(job, job->why, [this, job] {
      // A storage node that does not come back soon: all of it once more, to wherever tickets are to be had now.
      if (job->attempt > resumes_max && env_.config.storages.size() > 1 && job->tickets < tickets_max) {
        use_another();
        job->failed = false;
        job->sent = job->durable = 0;
        return ask_ticket(job);
      }
      job->store->open_write(job->ticket.token, here<std::uint64_t>([this, job](expected<std::uint64_t> durable) {
        if (!durable) {
          job->why = durable.error();
          return resume(job);
        }
        job->failed = false;
        job->sent = job->durable = *durable;
        send_more(job);
      }));
    });
  }

  void seal(const upload_ptr& job) {
    job->store->seal(job->ticket.token, job->bytes.size(), here<ports::blob_stat>([this, job](expected<ports::blob_stat> stat) {
      if (!stat) return again(job, stat.error(), [this, job] { seal(job); });
      if (stat->digest != job->digest) return end(errc::corrupt, "storage holds other bytes than were sent", job->task.index);
      commit(job);
    }));
  }

  void commit(const upload_ptr& job) {
    task_commit message{job->task, grant_.held, {job->ticket.token.blob, job->ticket.store, job->bytes.size(), job->index_bytes, job->digest, job->summaries}, job->found};
    piece_bytes_ -= std::min<std::uint64_t>(piece_bytes_, job->bytes.size());
    request(parent_, caf::infinite, message)
      .then(
        [this, index = job->task.index](errc code) {
          --reports_open_;
          if (code != errc::none) return end(code, "the commit was not taken", index);
          maybe_end();
        },
        [this](caf::error&) { quit(); });
  }

  void again(const upload_ptr& job, const error& why, std::function<void()> f) {
    if (!is_transient(why.code)) return end(why.code == errc::fenced ? errc::conflict : why.code, "an output was refused: " + why.message, job->task.index);
    if (job->attempt >= io_attempts_max) return end(storages_trouble(why.code), "an output could not be stored: " + why.message, job->task.index);
    later(backoff(io_backoff, job->attempt++, env_.random->next()), std::move(f));
  }

  /// What passes is no fault of the task, which an engine's own timeout would be.
  [[nodiscard]] static errc storages_trouble(errc code) noexcept {
    const bool ours = code == errc::timeout || code == errc::io || code == errc::crashed;
    return LATHAM_REACHED_IF("storage_in_trouble", ours) ? errc::unavailable : code;
  }

  // ---- The end -------------------------------------------------------------------------------------------------------

  void maybe_end() {
    if (!engine_done_ || reports_open_ > 0) return;
    if (grant_.kind == task_kind::plan && !planned_) return end(errc::internal, "the engine ended without a plan", 0);
    end(errc::none, {}, grant_.first);
  }

  [[nodiscard]] bool has_made_all() const { return grant_.kind != task_kind::plan && running_ == end_of_lease(); }
  [[nodiscard]] std::uint32_t end_of_lease() const {
    return grant_.first + (grant_.kind == task_kind::video ? static_cast<std::uint32_t>(grant_.chunks.size()) : 1);
  }

  /// `index`: the task to blame. It is still leased, unlike one behind the lease's end, whose failure nobody would take.
  void end(errc code, const std::string& message, std::uint32_t index) {
    if (ended_) return;
    ended_ = true;
    session_.reset();
    caf::anon_send(parent_, task_failure{{grant_.video, grant_.kind, std::min(index, end_of_lease() - 1)}, grant_.held, code, message});
    quit();
  }

  /// An engine that neither reads nor writes nor ends is stuck: a decoder can spin without any input. One that has been
  /// taken over can show signs of life for ever, so there is an end to that, too.
  void watch() {
    later(env_.config.stall_timeout / 4, [this] {
      if (session_ && now() > engine_deadline_) return end(errc::timeout, "the codec took longer than any honest file could", running_);
      if (LATHAM_REACHED_IF("engine_stalled", now() - last_sign_ > env_.config.stall_timeout)) return end(errc::timeout, "the codec made no progress", running_);
      watch();
    });
  }

  const std::uint32_t number_;
  const work_grant grant_;
  storage_actor storage_;
  node_name current_;                              // whose that is
  std::map<node_name, storage_actor> storages_;    // those that are up
  slot_parent parent_;
  std::vector<std::shared_ptr<ports::blob_store>> sources_;  // the first is asked first
  std::shared_ptr<ports::engine_session> session_;  // shared so that a late completion can see that it is gone
  std::deque<plan_page> plan_pages_;  // the first is on its way
  std::map<std::uint32_t, std::vector<output_piece>> pieces_;
  std::uint64_t piece_bytes_ = 0;      // neither committed nor given up
  std::uint64_t piece_bytes_max_ = 0;
  std::uint32_t running_ = 0;       // index of the task under way
  std::uint32_t reports_open_ = 0;  // chunks on their way to a commit, or pages to the scheduler
  bool engine_done_ = false;
  bool planned_ = false;
  bool ended_ = false;
  instant last_sign_;
  instant engine_deadline_;
};

}  // namespace

caf::actor spawn_slot(caf::local_actor* parent_actor, const env& e, std::uint32_t number, work_grant grant, std::map<node_name, storage_actor> storages, node_name first,
                      slot_parent parent) {
  return caf::actor_cast<caf::actor>(parent_actor->spawn<slot>(&e, number, std::move(grant), std::move(storages), std::move(first), std::move(parent)));
}

}  // namespace latham
