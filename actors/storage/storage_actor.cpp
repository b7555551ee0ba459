#include "actors/storage/storage_actor.hpp"

#include "actors/journal.hpp"
#include "actors/role_actor.hpp"
#include "actors/scheduler/scheduler_map.hpp"
#include "core/backoff.hpp"
#include "core/codec.hpp"
#include "core/reach.hpp"
#include "core/upload/output_grant.hpp"
#include "store/schema.hpp"

#include <map>
#include <set>

namespace latham {

namespace {

constexpr std::uint32_t page = 500;           // records per read while loading
constexpr std::uint32_t outbox_parallel = 16; // announcements under way
constexpr std::uint16_t shards_max = 1000;    // whose claims are kept
constexpr std::uint64_t output_bytes_max = 2 * gib;  // a day of sound is 1.4 GB

class storage : public role_actor<storage_actor> {
public:
  storage(caf::actor_config& config, const env* e, directory_actor directory)
    : role_actor(config, *e), directory_{std::move(directory)}, uploads_{e->config.uploading} {}

  behavior_type make_behavior() override {
    journal_.open([this](ports::kv_batch batch, std::function<void(expected<void>)> committed) { env_.records->commit(std::move(batch), here<void>(std::move(committed))); },
                  [this](const error& e) {
                    log(ports::log_level::error, "storage stops: records cannot be written code={} detail=\"{}\"", to_string(e.code), e.message);
                    quit(to_caf(e));
                  },
                  [this](std::function<void()> again) {
                    log(ports::log_level::error, "records are refused, the disk is full or too slow; make room. Trying again");
                    later(milliseconds{1'000}, std::move(again));
                  });
    load_uploads({});
    return {
      [this](begin_atom, const upload_request& request) { return begin(request); },
      [this](resume_atom, video_id id) { return resume(id); },
      [this](finish_atom, video_id id, std::uint64_t bytes) { return finish(id, bytes); },
      [this](abort_atom, video_id id) { return forget(id, true); },
      [this](forget_atom, video_id id) { return forget(id, false); },
      [this](output_atom, video_id id, std::uint64_t bytes_max) { return grant_output(id, bytes_max); },
      [this](verify_atom, const output_list& outputs) { return verify(outputs); },
      [this](remove_atom, const blob_list& blobs) { return remove(blobs); },
      [this](find_atom, video_id id) { return find(id); },
      [this](list_atom, const std::string& tenant, video_id before, std::uint32_t limit) { return list(tenant, before, limit); },
      [this](const claim_request& request) { return claim(request); },
      [this](again_atom, std::uint16_t shard) { return announce_again(shard); },
      [](local_call& call) { call.run(); },
    };
  }

  /// An ended actor lives as long as somebody holds it, and the scheduler holds us as we hold it.
  void on_exit() override {
    journal_.drop();
    schedulers_.clear();
  }

private:
  template <class T>
  using promise = caf::typed_response_promise<T>;

  // ---- Start -------------------------------------------------------------------------------------------------------

  void load_uploads(const std::string& after) {
    env_.records->scan(store::prefix_uploads, after, page, here<ports::kv_pairs>([this](expected<ports::kv_pairs> pairs) {
      if (!pairs) return cannot_load(pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<upload_record>(value);
        if (!record) return cannot_load(record.error());
        uploads_.load(std::move(*record), now());
      }
      if (pairs->size() == page) return load_uploads(pairs->back().first);
      load_outputs({});
    }));
  }

  void load_outputs(const std::string& after) {
    env_.records->scan(store::prefix_outputs, after, page, here<ports::kv_pairs>([this](expected<ports::kv_pairs> pairs) {
      if (!pairs) return cannot_load(pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<output_grant>(value);
        if (!record) return cannot_load(record.error());
        outputs_[record->blob] = {*record, now(), 0, false};
      }
      if (pairs->size() == page) return load_outputs(pairs->back().first);
      load_claims();
    }));
  }

  void load_claims() {
    env_.records->scan(store::prefix_claims, {}, shards_max, here<ports::kv_pairs>([this](expected<ports::kv_pairs> pairs) {
      if (!pairs) return cannot_load(pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<shard_claim>(value);
        if (!record) return cannot_load(record.error());
        claims_.load(std::move(*record), now());
      }
      loaded();
    }));
  }

  void cannot_load(const error& e) {
    log(ports::log_level::error, "storage cannot load its records code={} detail=\"{}\"", to_string(e.code), e.message);
    quit(to_caf(e));
  }

  void loaded() {
    loaded_ = true;
    log(ports::log_level::info, "storage ready uploads_open={} outputs_unconfirmed={}", uploads_.open(), outputs_.size());
    listen(directory_, service_claimant, [this](const service_change& change) {
      if (change.handle) caf::anon_send(caf::actor_cast<scheduler_actor>(change.handle), storage_up_atom::value, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this));
    });
    listen(directory_, service_scheduler, [this](const service_change& change) { on_scheduler(change); });
    caf::anon_send(directory_, service_change{service_storage, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this)});
    tick();
  }

  void on_scheduler(const service_change& change) {
    schedulers_.on_change(change);
    if (!change.handle) return;
    auto handle = caf::actor_cast<scheduler_actor>(change.handle);
    request(handle, env_.config.request_timeout, shards_atom::value)
      .then(
        [this, node = change.node, handle](const shard_info& info) {
          if (!schedulers_.on_info(node, handle, info)) return;
          // What an earlier one has not answered is asked again, and its late answers count for nothing.
          ++announcement_;
          announcing_.clear();
          announce();
        },
        [this, change](caf::error&) {
          later(milliseconds{1'000}, [this, change] {
            if (schedulers_.is(change.node, change.handle)) on_scheduler(change);
          });
        });
  }

  [[nodiscard]] static error starting() { return {errc::unavailable, "storage is starting; try again in a second"}; }

  // ---- Uploads -----------------------------------------------------------------------------------------------------

  caf::result<upload_ticket> begin(const upload_request& request) {
    if (!loaded_) return to_caf(starting());
    const auto wall = env_.clock->wall();
    const auto shard = schedulers_.pick(env_.random->next(), env_.config.shard);
    const auto id = make_id<video_id>(wall, shard, env_.random->next());
    const auto blob = make_id<blob_id>(wall, shard, env_.random->next());
    auto record = uploads_.begin(request, id, blob, env_.random->next(), env_.config.name, wall, now());
    if (!record) return to_caf(record.error());
    auto answer = make_response_promise<upload_ticket>();
    // The record goes first: a promise of space that no record names would be kept for ever after a crash in between.
    persist(*record, [this, answer, record = *record] {
      env_.blobs->reserve(record.token, here<void>([this, answer, record](expected<void> reserved) mutable {
        if (!reserved) {
          LATHAM_REACHED("upload_has_no_space");
          uploads_.forget(record.what.video);
          journal_.join({{store::upload_key(record.what.video), std::nullopt}}, [answer, why = reserved.error()]() mutable { answer.deliver(to_caf(why)); });
          return;
        }
        log(ports::log_level::info, "upload begins video={} bytes_expected={}", to_string(record.what.video), record.bytes_expected);
        answer.deliver(upload_ticket{view_of(record, 0), record.token, env_.config.name, 0});
      }));
    });
    return answer;
  }

  caf::result<upload_ticket> resume(video_id id) {
    if (!loaded_) return to_caf(starting());
    const auto* record = uploads_.find(id);
    if (record == nullptr || record->state == upload_state::removed) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
    auto answer = make_response_promise<upload_ticket>();
    if (record->state == upload_state::complete) {
      answer.deliver(upload_ticket{view_of(*record, 0), record->token, env_.config.name, record->what.source.bytes});
      return answer;
    }
    env_.blobs->open_write(record->token, here<std::uint64_t>([this, answer, record = *record](expected<std::uint64_t> bytes) mutable {
      if (!bytes) return deny(answer, bytes.error());
      LATHAM_REACHED("upload_resumed");
      uploads_.touch(record.what.video, now());
      answer.deliver(upload_ticket{view_of(record, *bytes), record.token, env_.config.name, *bytes});
    }));
    return answer;
  }

  caf::result<video_view> finish(video_id id, std::uint64_t bytes) {
    if (!loaded_) return to_caf(starting());
    const auto* record = uploads_.find(id);
    if (record == nullptr || record->state == upload_state::removed) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
    if (bytes == 0) return to_caf({errc::unprocessable, "the file is empty; upload a video"});
    auto answer = make_response_promise<video_view>();
    env_.blobs->seal(record->token, bytes, here<ports::blob_stat>([this, answer, id](expected<ports::blob_stat> sealed) mutable {
      if (!sealed) return deny(answer, sealed.error());
      // An abort that came while the blob was sealed has won: its bytes are going.
      if (LATHAM_REACHED_IF("upload_aborted_while_sealed", removing_.contains(id))) return deny(answer, {errc::not_found, "there is no upload " + to_string(id)});
      complete(id, *sealed, answer);
    }));
    return answer;
  }

  void complete(video_id id, const ports::blob_stat& sealed, promise<video_view> answer) {
    auto record = uploads_.complete(id, sealed);
    if (!record) return deny(answer, record.error());
    persist(*record, [this, answer, record = *record]() mutable {
      log(ports::log_level::info, "upload complete video={} bytes={}", to_string(record.what.video), record.what.source.bytes);
      count("latham_uploads_total");
      count("latham_upload_bytes_total", static_cast<double>(record.what.source.bytes));
      answer.deliver(view_of(record, record.what.source.bytes));
      announce();
    });
  }

  /// Drops the source and keeps a tombstone. The blob goes first: a crash between the two leaves a session whose blob is
  /// a tombstone, which the next remove finishes.
  caf::result<bool> forget(video_id id, bool receiving_only) {
    if (!loaded_) return to_caf(starting());
    const auto* record = uploads_.find(id);
    if (record == nullptr) {
      if (receiving_only) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
      return true;
    }
    if (receiving_only && record->state == upload_state::complete) return to_caf({errc::unavailable, "the upload is complete and on its way to the scheduler; try again in a second"});
    auto answer = make_response_promise<bool>();
    removing_.insert(id);
    env_.blobs->remove(record->what.source.blob, here<void>([this, answer, id](expected<void> removed) mutable {
      removing_.erase(id);
      if (!removed) return deny(answer, removed.error());
      auto tombstone = uploads_.remove(id);
      if (!tombstone) {
        answer.deliver(true);
        return;
      }
      persist(*tombstone, [this, answer, id]() mutable {
        log(ports::log_level::info, "upload removed video={}", to_string(id));
        // Outputs that nobody committed go with their video; waiting for the reaper would hold their space for minutes.
        blob_list orphans;
        for (const auto& [blob, entry] : outputs_)
          if (entry.record.video == id && !entry.record.confirmed) orphans.push_back(blob);
        if (!orphans.empty()) LATHAM_REACHED("orphans_removed_with_their_video");
        if (orphans.empty()) {
          answer.deliver(true);
          return;
        }
        remove_blobs(orphans, [answer](const expected<void>&) mutable { answer.deliver(true); });  // the reaper finds what is left
      });
    }));
    return answer;
  }

  caf::result<video_view> find(video_id id) {
    if (!loaded_) return to_caf(starting());
    const auto* record = uploads_.find(id);
    if (record == nullptr || record->state == upload_state::removed) return to_caf({errc::not_found, "there is no video " + to_string(id)});
    auto answer = make_response_promise<video_view>();
    env_.blobs->stat(record->what.source.blob, here<ports::blob_stat>([this, answer, record = *record](expected<ports::blob_stat> stat) mutable {
      const auto bytes = stat ? stat->bytes : 0;
      journal_.join({}, [answer, record, bytes]() mutable { answer.deliver(view_of(record, bytes)); });
    }));
    return answer;
  }

  caf::result<view_list> list(const std::string& tenant, video_id before, std::uint32_t limit) {
    if (!loaded_) return to_caf(starting());
    view_list views;
    for (const auto& record : uploads_.list(tenant, before, std::min(limit, 200u))) views.push_back(view_of(record, 0));
    auto answer = make_response_promise<view_list>();
    journal_.join({}, [answer, views = std::move(views)]() mutable { answer.deliver(std::move(views)); });
    return answer;
  }

  void persist(const upload_record& record, std::function<void()> effect) {
    journal_.join({{store::upload_key(record.what.video), to_record(record)}}, std::move(effect));
  }

  // ---- Outbox ------------------------------------------------------------------------------------------------------

  /// At least once: what the scheduler has not confirmed is said again, after a wait or when it comes back.
  void announce() {
    for (const auto& event : uploads_.outbox(outbox_parallel)) {
      if (announcing_.size() >= outbox_parallel) return;
      const auto scheduler = schedulers_.of(event.video.shard());
      if (!scheduler || !announcing_.insert(event.video).second) continue;
      const auto again = [this, id = event.video, mine = announcement_] {
        if (mine != announcement_) return;
        LATHAM_REACHED("outbox_said_again");
        later(milliseconds{1000}, [this, id, mine] {
          if (mine != announcement_) return;
          announcing_.erase(id);
          announce();
        });
      };
      request(scheduler, env_.config.request_timeout, event)
        .then(
          [this, again, id = event.video, mine = announcement_](errc code) {
            // An answer that was on its way while another scheduler asked for everything again says nothing of that one.
            if (mine != announcement_) return;
            if (code != errc::none) return again();
            announcing_.erase(id);
            if (auto record = uploads_.announced(id)) persist(*record, [this] { announce(); });
          },
          [again](caf::error&) { again(); });
    }
  }

  caf::result<bool> announce_again(std::uint16_t shard) {
    if (!loaded_) return to_caf(starting());
    ++announcement_;
    announcing_.clear();
    auto answer = make_response_promise<bool>();
    ports::kv_batch batch;
    for (auto some = uploads_.announce_again(shard, page); !some.empty(); some = uploads_.announce_again(shard, page))
      for (const auto& record : some) batch.push_back({store::upload_key(record.what.video), to_record(record)});
    const auto uploads = batch.size();
    // Nor does it refer to any output: those of jobs that are done again are found by the reaper.
    for (auto& [blob, entry] : outputs_) {
      if (entry.record.video.shard() != shard || !entry.record.confirmed) continue;
      entry.record.confirmed = false;
      entry.since = now();
      batch.push_back({store::output_key(blob), to_record(entry.record)});
    }
    log(ports::log_level::info, "uploads are announced again shard={} count={}", shard, uploads);
    journal_.join(std::move(batch), [this, answer]() mutable {
      answer.deliver(true);
      announce();
    });
    return answer;
  }

  // ---- Shards ------------------------------------------------------------------------------------------------------

  caf::result<claim_answer> claim(const claim_request& request) {
    if (!loaded_) return to_caf(starting());
    if (request.wanted.shard >= shards_max || !is_valid_node_name(request.wanted.holder)) return to_caf({errc::invalid_argument, "this is no claim of a shard"});
    auto out = claims_.on_claim(request, now());
    auto answer = make_response_promise<claim_answer>();
    ports::kv_batch batch;
    if (out.write) {
      log(ports::log_level::info, "shard claimed shard={} generation={} holder={} incarnation={:x}", out.write->shard, out.write->generation, out.write->holder, out.write->incarnation);
      batch.push_back({store::claim_key(out.write->shard), to_record(*out.write)});
    }
    journal_.join(std::move(batch), [answer, reply = out.answer]() mutable { answer.deliver(reply); });
    return answer;
  }

  // ---- Output blobs ------------------------------------------------------------------------------------------------

  caf::result<output_ticket> grant_output(video_id video, std::uint64_t bytes_max) {
    if (!loaded_) return to_caf(starting());
    if (bytes_max == 0 || bytes_max > output_bytes_max) return to_caf({errc::too_large, "an output blob holds 1 byte to 2 GiB"});
    if (const auto* upload = uploads_.find(video); upload != nullptr && upload->state == upload_state::removed)
      return to_caf({errc::not_found, "the video " + to_string(video) + " is deleted"});
    const ports::write_token token{make_id<blob_id>(env_.clock->wall(), video.shard(), env_.random->next()), env_.random->next(), bytes_max};
    auto answer = make_response_promise<output_ticket>();
    const output_grant record{token.blob, video, false};
    outputs_[token.blob] = {record, now(), 0, false};
    // The record first, for the same reason as in `begin`: what a crash leaves is found by the reaper.
    journal_.join({{store::output_key(token.blob), to_record(record)}}, [this, answer, token] {
      env_.blobs->reserve(token, here<void>([this, answer, token](expected<void> reserved) mutable {
        if (!reserved) {
          forget_output(token.blob);
          return deny(answer, reserved.error());
        }
        answer.deliver(output_ticket{token, env_.config.name});
      }));
    });
    return answer;
  }

  struct pending_verify {
    bool_list flags;
    std::size_t left = 0;
    error unknown;  // some blob could not be looked at
  };

  caf::result<bool_list> verify(const output_list& outputs) {
    if (!loaded_) return to_caf(starting());
    if (outputs.empty() || outputs.size() > batch_max) return to_caf({errc::invalid_argument, "1 to 64 outputs at once"});
    auto answer = make_response_promise<bool_list>();
    auto all = std::make_shared<pending_verify>(pending_verify{bool_list(outputs.size(), 0), outputs.size(), {}});
    for (std::size_t i = 0; i < outputs.size(); ++i)
      env_.blobs->stat(outputs[i].blob, here<ports::blob_stat>([this, answer, all, i, want = outputs[i]](expected<ports::blob_stat> stat) mutable {
        if (stat && stat->sealed && stat->bytes == want.bytes && stat->digest == want.digest) {
          all->flags[i] = 1;
          confirm_output(want.blob);
        }
        // A disk that cannot be read has not lost anything: the scheduler asks again, instead of failing the video.
        if (LATHAM_REACHED_IF("verification_cannot_read", !stat && stat.error().code != errc::not_found)) all->unknown = stat.error();
        if (--all->left > 0) return;
        if (all->unknown.code != errc::none) deny(answer, all->unknown);
        else answer.deliver(std::move(all->flags));
      }));
    return answer;
  }

  caf::result<bool> remove(const blob_list& blobs) {
    if (!loaded_) return to_caf(starting());
    if (blobs.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 blobs at once"});
    auto answer = make_response_promise<bool>();
    remove_blobs(blobs, [answer](const expected<void>& gone) mutable {
      if (gone) answer.deliver(true);
      else deny(answer, gone.error());
    });
    return answer;
  }

  void remove_blobs(const blob_list& blobs, std::function<void(expected<void>)> finished) {
    if (blobs.empty()) return finished({});
    struct pending {
      std::size_t left;
      expected<void> result;
    };
    auto all = std::make_shared<pending>(pending{blobs.size(), {}});
    for (const auto blob : blobs)
      env_.blobs->remove(blob, here<void>([this, finished, all, blob](expected<void> removed) {
        if (removed) forget_output(blob);
        else all->result = std::move(removed);
        if (--all->left == 0) finished(all->result);
      }));
  }

  void forget_output(blob_id blob) {
    if (outputs_.erase(blob) != 0) journal_.join({{store::output_key(blob), std::nullopt}}, [] {});
  }

  /// Referred to: the reaper need not look at it again.
  void confirm_output(blob_id blob) {
    const auto at = outputs_.find(blob);
    if (at == outputs_.end() || at->second.record.confirmed) return;
    at->second.record.confirmed = true;
    journal_.join({{store::output_key(blob), to_record(at->second.record)}}, [] {});
  }

  // ---- Housekeeping ------------------------------------------------------------------------------------------------

  void tick() {
    for (const auto id : uploads_.expired(now())) {
      log(ports::log_level::info, "upload expires video={}", to_string(id));
      (void)forget(id, true);
    }
    reap();
    later(milliseconds{5'000}, [this] { tick(); });
  }

  /// Output blobs that were granted long ago and never verified: of a worker that died, or of a commit that was fenced.
  /// The scheduler says which of them it refers to; the rest is removed. One that grew or was sealed since the last look has
  /// a writer whose lease may be good, and who may yet commit it: its time begins anew.
  void reap() {
    if (reaping_) return;
    std::map<video_id, blob_list> old;
    std::size_t total = 0;
    for (const auto& [blob, entry] : outputs_) {
      if (entry.record.confirmed || now() - entry.since <= env_.config.output_grace || total == batch_max || !schedulers_.of(entry.record.video.shard())) continue;
      old[entry.record.video].push_back(blob);
      ++total;
    }
    if (old.empty()) return;
    const auto& [video, blobs] = *old.begin();
    reaping_ = true;
    struct looking {
      std::size_t left;
      blob_list still;
    };
    auto all = std::make_shared<looking>(looking{blobs.size(), {}});  // shared by the answers
    for (const auto blob : blobs)
      env_.blobs->stat(blob, here<ports::blob_stat>([this, all, blob, id = video](expected<ports::blob_stat> stat) {
        if (auto at = outputs_.find(blob); at != outputs_.end()) {
          if (stat && (stat->bytes != at->second.bytes_seen || stat->sealed != at->second.sealed_seen)) {
            LATHAM_REACHED("output_still_written");
            at->second.bytes_seen = stat->bytes;
            at->second.sealed_seen = stat->sealed;
            at->second.since = now();
          } else if (stat || stat.error().code == errc::not_found) {
            all->still.push_back(blob);
          }
        }
        if (--all->left == 0) ask_whether_unused(id, all->still);
      }));
  }

  void ask_whether_unused(video_id video, const blob_list& blobs) {
    const auto scheduler = schedulers_.of(video.shard());
    if (!scheduler || blobs.empty()) {
      reaping_ = false;
      return;
    }
    request(scheduler, env_.config.request_timeout, unused_atom::value, video, blobs)
      .then(
        [this, asked = blobs](const blob_list& unused) {
          reaping_ = false;
          const std::set<blob_id> gone(unused.begin(), unused.end());
          for (const auto blob : asked)
            if (!gone.contains(blob)) confirm_output(blob);
          if (unused.empty()) return;
          LATHAM_REACHED("outputs_reaped");
          log(ports::log_level::info, "outputs reaped count={}", unused.size());
          // Not through `remove`: a promise made while a response is handled would answer the scheduler, and an error
          // that nobody asked for ends an actor.
          remove_blobs(unused, [](const expected<void>&) {});  // what is left is found again
        },
        [this](caf::error&) { reaping_ = false; });
  }

  struct output_entry_state {
    output_grant record;
    instant since;
    std::uint64_t bytes_seen = 0;  // when the reaper looked last
    bool sealed_seen = false;
  };

  directory_actor directory_;
  scheduler_map schedulers_;
  shard_claims claims_;
  std::uint64_t announcement_ = 0;  // grows when what was announced so far is void
  uploads uploads_;
  journal journal_;
  std::map<blob_id, output_entry_state> outputs_;
  std::set<video_id> announcing_;
  std::set<video_id> removing_;  // their blobs are on the way out
  bool loaded_ = false;
  bool reaping_ = false;
};

}  // namespace

caf::actor spawn_storage(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<storage>(&e, std::move(directory)));
}

}  // namespace latham
