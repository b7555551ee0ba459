#include "actors/storage/storage_actor.hpp"

#include "actors/journal.hpp"
#include "actors/role_actor.hpp"
#include "actors/scheduler/scheduler_map.hpp"
#include "core/backoff.hpp"
#include "core/cluster/leave_count.hpp"
#include "core/cluster/recollection.hpp"
#include "core/codec.hpp"
#include "core/reach.hpp"
#include "core/upload/output_grant.hpp"
#include "store/schema.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace latham {

namespace {

constexpr std::uint32_t page = 500;           // records per read while loading
constexpr std::size_t outbox_parallel = 16;   // announcements under way, of each shard
constexpr std::uint16_t shards_max = 1000;    // whose claims are kept
constexpr std::size_t disks_told_max = 1000;  // by one node
constexpr std::size_t unnamed_max = 100'000;  // blobs without a record that are watched at once
constexpr std::uint32_t sweep_blobs = batch_max;  // looked at in one turn, for those that no record names
constexpr std::uint64_t output_bytes_max = 2 * gib;  // a day of sound is 1.4 GB

class storage : public role_actor<storage_actor> {
public:
  storage(caf::actor_config& config, const env* e, directory_actor directory)
    : role_actor(config, *e), directory_{std::move(directory)}, rules_{e->config.rules_of_copies()}, uploads_{e->config.uploading} {
    settled_ = rules_.members.size() == 1;
  }

  behavior_type make_behavior() override {
    journal_.open([this](ports::kv_batch batch, std::function<void(expected<void>)> committed) { env_.records->commit(std::move(batch), here<void>(std::move(committed))); },
                  [this](const error& e) {
                    log(ports::log_level::error, "storage stops: records cannot be written code={} detail=\"{}\"", to_string(e.code), e.message);
                    quit(to_caf(e));
                  },
                  [this](std::function<void()> again) {
                    log(ports::log_level::error, "records are refused, the disk is full or too slow; make room. Trying again");
                    later(milliseconds{1'000}, std::move(again));
                  },
                  [this](std::size_t waiting) {
                    if (env_.metrics != nullptr) env_.metrics->set("latham_records_waiting", static_cast<double>(waiting), {{"role", "storage"}});
                  },
                  env_.config.records);
    set_down_handler([this](caf::down_msg& down) { on_down(down); });
    // What storage before this one, of the same process, decided last may still be on its way to the disk.
    env_.records->barrier(here<void>([this](const expected<void>&) { load_uploads({}); }));
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
      [this](storage_up_atom, const node_name& node, std::uint64_t disk, const caf::strong_actor_ptr& peer) { on_introduced(node, disk, peer); },
      [this](later_disk_atom, std::uint64_t begun) {
        if (loaded_ && rules_.members.size() > 1) rise_above(begun);
      },
      [this](have_atom, const blob_list& blobs) { return have(blobs); },
      [this](keep_atom, const upload_list& records) { return keep(records); },
      [this](marks_atom, video_id after) { return marks(after); },
      [this](leave_atom) { return may_leave(); },
      [this](recall_atom, std::uint16_t from) { return recall(from); },
      [this](names_atom, const blob_list& blobs) { return names(blobs); },
      [this](adopt_atom, const node_name& scheduler, const shard_page& some) { return pass_on<adopt_answer>(scheduler, adopt_atom::value, some); },
      [this](handover_atom, const node_name& scheduler, std::uint16_t shard, const node_name& to) { return pass_on<hand_over_answer>(scheduler, handover_atom::value, shard, to); },
      [this](fetch_atom, const mark_list& wanted) { return fetch(wanted); },
      [this](rules_atom) { return digest_of(rules_); },
      [](local_call& call) { call.run(); },
    };
  }

  /// An ended actor lives as long as somebody holds it, and the scheduler holds us as we hold it.
  void on_exit() override {
    answer_all({errc::unavailable, "storage begins anew; try again in a second"});
    journal_.drop();
    schedulers_.clear();
    peers_.clear();
    introduced_.clear();
  }

private:
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
        put_output(*record);
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
      load_disks({}, !claims_.empty());
    }));
  }

  void load_disks(const std::string& after, bool begun) {
    env_.records->scan(store::prefix_storage_disks, after, page, here<ports::kv_pairs>([this, begun](expected<ports::kv_pairs> pairs) mutable {
      if (!pairs) return cannot_load(pairs.error());
      for (const auto& [key, value] : *pairs) {
        auto record = from_record<storage_disk>(value);
        if (!record) return cannot_load(record.error());
        const bool own = record->node == rules_.self;
        begun = begun || own;
        if (own) disk_ = record->begun;
        else if (is_member(record->node)) disks_[record->node] = std::max(disks_[record->node], record->begun);
        else former_.push_back({key, std::nullopt});
      }
      if (pairs->size() == page) return load_disks(pairs->back().first, begun);
      if (!begun) disk_ = env_.config.incarnation;
      loaded();
    }));
  }

  void cannot_load(const error& e) {
    log(ports::log_level::error, "storage cannot load its records code={} detail=\"{}\"", to_string(e.code), e.message);
    quit(to_caf(e));
  }

  void loaded() {
    loaded_ = true;
    memory_.begin(rules_, claims_.empty());
    if (LATHAM_REACHED_IF("storage_begins_blank", !memory_.knows_marks())) log(ports::log_level::info, "storage is new or has lost its disk, and asks the others what they keep");
    // Before its word counts, and before anybody is told what it asks for next.
    auto batch = std::exchange(former_, {});
    batch.push_back(disk_record({rules_.self, disk_}));
    for (const auto& [node, begun] : disks_) batch.push_back(disk_record({node, begun}));
    journal_.join(std::move(batch), [] {});
    log(ports::log_level::info, "storage ready uploads_open={} outputs_unconfirmed={}", uploads_.open(), outputs_.size());
    listen(directory_, service_claimant, [this](const service_change& change) {
      if (change.handle) caf::anon_send(caf::actor_cast<scheduler_actor>(change.handle), storage_up_atom::value, env_.config.name, caf::actor_cast<caf::strong_actor_ptr>(this));
    });
    listen(directory_, service_scheduler, [this](const service_change& change) { on_scheduler(change); });
    if (rules_.members.size() > 1) {
      listen(directory_, service_storage, [this](const service_change& change) { on_peer(change); });
      look_around();
    }
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
          for (const auto shard : info.shards) void_announcements(shard);
          announce();
        },
        [this, change](caf::error&) {
          later(milliseconds{1'000}, [this, change] {
            if (schedulers_.is(change.node, change.handle)) on_scheduler(change);
          });
        });
  }

  [[nodiscard]] static error blank() { return {errc::unavailable, "this storage node has an empty or an earlier disk and does not know yet what it should; try again in a few seconds"}; }
  [[nodiscard]] static error starting() { return {errc::unavailable, "storage is starting; try again in a second"}; }

  /// Of requests that could only wait behind records that wait for the disk. Whoever is refused asks again, as on any day: clients and
  /// gateways after seconds or at another node, schedulers and other storage nodes with their next period. What this node writes of
  /// itself is once for each thing that there is (a tombstone, a disk), or so many at once: one page for each shard that is taken
  /// back, a batch of each that is reaped, `outbox_parallel` announcements; and the end of each comparison with a peer, once a minute.
  [[nodiscard]] expected<void> takes_requests() const { return loaded_ ? journal_.takes() : expected<void>{starting()}; }

  // ---- Uploads -----------------------------------------------------------------------------------------------------

  caf::result<upload_ticket> begin(const upload_request& request) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (rules_.draining.contains(rules_.self)) return to_caf(emptied());
    if (LATHAM_REACHED_IF("upload_at_a_blank_storage", !memory_.knows_marks())) return to_caf(blank());
    if (auto taken = takes_new(); LATHAM_REACHED_IF("upload_at_a_bad_disk", !taken)) return to_caf(taken.error());
    const auto wall = env_.clock->wall();
    const auto shard = schedulers_.pick(env_.random->next(), env_.config.shard);
    const auto id = make_id<video_id>(wall, shard, env_.random->next());
    const auto blob = draw_blob(wall, shard);
    auto record = uploads_.begin(request, id, blob, env_.random->next(), env_.config.name, wall, now());
    if (!record) return to_caf(record.error());
    auto answer = make_response_promise<upload_ticket>();
    // The record goes first: a promise of space that no record names would be kept for ever after a crash in between.
    persist(*record, [this, answer, record = *record] {
      env_.blobs->reserve(record.token, here<void>([this, answer, record](expected<void> reserved) mutable {
        if (!reserved) {
          LATHAM_REACHED("upload_has_no_space");
          give_up_begun(record.what.video, record.what.source.blob);
          deny(answer, reserved.error());
          return;
        }
        log(ports::log_level::info, "upload begins video={} bytes_expected={}", to_string(record.what.video), record.bytes_expected);
        answer.deliver(upload_ticket{view_of(record, 0), record.token, env_.config.name, 0});
      }));
    });
    return answer;
  }

  /// Asked before a record is written, because that goes to the same disk.
  [[nodiscard]] expected<void> takes_new() { return env_.own_blobs == nullptr ? expected<void>{} : env_.own_blobs->takes_new(); }

  /// A refused reservation can leave something behind, on a disk that fails just then, say; without its record nobody would
  /// look for it again. So the record goes last.
  void take_back(blob_id blob, std::function<void(bool gone)> then) {
    env_.blobs->stat(blob, here<ports::blob_stat>([this, blob, then = std::move(then)](expected<ports::blob_stat> stat) {
      if (!stat && stat.error().code == errc::not_found) return then(true);
      env_.blobs->remove(blob, here<void>([then](expected<void> removed) { then(removed.has_value()); }));
    }));
  }

  void give_up_begun(video_id id, blob_id blob) {
    take_back(blob, [this, id, blob](bool gone) {
      const auto* record = uploads_.find(id);
      if (record == nullptr || record->state != upload_state::receiving) return;
      if (!LATHAM_REACHED_IF("refused_upload_left_a_blob", !gone)) {
        uploads_.forget(id);
        journal_.join({{store::upload_key(id), std::nullopt}}, [] {});
        return;
      }
      later(milliseconds{1'000}, [this, id, blob] { give_up_begun(id, blob); });
    });
  }

  caf::result<upload_ticket> resume(video_id id) {
    if (!loaded_) return to_caf(starting());
    const auto* record = uploads_.find(id);
    if (record == nullptr && LATHAM_REACHED_IF("upload_perhaps_lost_here", may_be_lost(id))) return to_caf(blank());
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
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    const auto* record = uploads_.find(id);
    if (record == nullptr && LATHAM_REACHED_IF("upload_perhaps_lost_here", may_be_lost(id))) return to_caf(blank());
    if (record == nullptr || record->state == upload_state::removed) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
    if (bytes == 0) return to_caf({errc::unprocessable, "the file is empty; upload a video"});
    if (LATHAM_REACHED_IF("complete_upload_finished_again", record->state == upload_state::complete)) {
      // Sealed before, here or, when this disk was lost since, at others: all that can be missing is copies of the record.
      if (bytes != record->what.source.bytes) return to_caf({errc::conflict, "the upload is complete with " + std::to_string(record->what.source.bytes) + " bytes, not " + std::to_string(bytes)});
      if (removing_.contains(id)) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
      auto answer = make_response_promise<video_view>();
      journal_.join({}, [this, answer, record = *record] { tell_when_kept(record, answer); });  // after its own copy is durable
      return answer;
    }
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
    const auto* before = uploads_.find(id);
    const bool news = before != nullptr && before->state == upload_state::receiving;
    auto record = uploads_.complete(id, sealed);
    if (!record) return deny(answer, record.error());
    // Nobody but this process can have announced it, so nobody can have deleted it.
    if (news) fresh_.emplace(id, false);
    persist(*record, [this, answer, news, record = *record]() mutable {
      if (news) {
        log(ports::log_level::info, "upload complete video={} bytes={}", to_string(record.what.video), record.what.source.bytes);
        count("latham_uploads_total");
        count("latham_upload_bytes_total", static_cast<double>(record.what.source.bytes));
      }
      tell_when_kept(record, answer);
    });
  }

  void tell_when_kept(const upload_record& record, promise<video_view> answer) {
    spread(record, [this, answer, record](const expected<void>& kept) mutable {
      if (!kept) return deny(answer, kept.error());
      announce();
      answer.deliver(view_of(record, record.what.source.bytes));
    });
  }

  /// Drops the source and keeps a tombstone. The blob goes first: a crash between the two leaves a session whose blob is
  /// a tombstone, which the next remove finishes.
  caf::result<bool> forget(video_id id, bool receiving_only) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (LATHAM_REACHED_IF("forget_at_a_leaving_storage", left_ && !receiving_only)) return to_caf(gone());
    ++taken_;
    const auto* record = uploads_.find(id);
    // That it is gone here is no promise that it is gone.
    if (record != nullptr && receiving_only && record->state == upload_state::removed) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
    if (record == nullptr) {
      if (receiving_only && may_be_lost(id)) return to_caf(blank());
      if (receiving_only) return to_caf({errc::not_found, "there is no upload " + to_string(id)});
      auto buried = make_response_promise<bool>();
      // Another node may just be sending the record here.
      if (auto bare = rules_.members.size() > 1 ? uploads_.bury(id, now()) : std::nullopt) persist(*bare, [this, id, buried] { end_outputs_of(id, buried); });
      else journal_.join({}, [this, id, buried] { end_outputs_of(id, buried); });
      return buried;
    }
    if (receiving_only && record->state == upload_state::complete) return to_caf({errc::unavailable, "the upload is complete and on its way to the scheduler; try again in a second"});
    auto answer = make_response_promise<bool>();
    removing_.insert(id);
    env_.blobs->remove(record->what.source.blob, here<void>([this, answer, id](expected<void> removed) mutable {
      removing_.erase(removing_.find(id));
      if (!removed) {
        // Nobody may come back to finish it: a scheduler that has lost its disk since knows of no delete.
        uploads_.reconsider(id);
        announce();
        return deny(answer, removed.error());
      }
      fresh_.erase(id);
      keepers_.erase(id);
      auto tombstone = uploads_.remove(id);
      if (!tombstone) return end_outputs_of(id, answer);
      persist(*tombstone, [this, answer, id, tombstone = *tombstone] {
        log(ports::log_level::info, "upload removed video={}", to_string(id));
        tell_all(tombstone);
        end_outputs_of(id, answer);
      });
    }));
    return answer;
  }

  /// Outputs go with their video: of those that nobody committed the reaper would hold the space for minutes, and those that the
  /// scheduler had removed at another node may be here still, if that one has lost its disk since.
  void end_outputs_of(video_id id, promise<bool> answer) {
    blob_list orphans;
    if (const auto made = outputs_of_.find(id); made != outputs_of_.end()) orphans.assign(made->second.begin(), made->second.end());
    if (!LATHAM_REACHED_IF("orphans_removed_with_their_video", !orphans.empty())) {
      answer.deliver(true);
      return;
    }
    remove_blobs(orphans, [this, answer, orphans](const expected<void>& gone) mutable {
      if (!gone) leave_to_the_reaper(orphans);
      answer.deliver(true);
    });
  }

  caf::result<video_view> find(video_id id) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    const auto* record = uploads_.find(id);
    if (record == nullptr && LATHAM_REACHED_IF("upload_known_elsewhere", may_be_lost(id))) return to_caf(blank());
    if (record == nullptr || record->state == upload_state::removed) return to_caf({errc::not_found, "there is no video " + to_string(id)});
    // To show it as accepted would be to accept it.
    if (LATHAM_REACHED_IF("upload_on_too_few_nodes", !is_kept(*record))) return to_caf({errc::unavailable, "the upload is complete and on too few storage nodes yet; finish it again, or try again in a second"});
    auto answer = make_response_promise<video_view>();
    received(*record).stat(record->what.source.blob, here<ports::blob_stat>([this, answer, record = *record](expected<ports::blob_stat> stat) mutable {
      const auto bytes = stat ? stat->bytes : 0;
      journal_.join({}, [answer, record, bytes]() mutable { answer.deliver(view_of(record, bytes)); });
    }));
    return answer;
  }

  /// What comes in is on the own disk first, and others may be away.
  [[nodiscard]] ports::blob_store& received(const upload_record& record) { return record.state == upload_state::receiving && env_.own_blobs != nullptr ? *env_.own_blobs : *env_.blobs; }

  caf::result<view_list> list(const std::string& tenant, video_id before, std::uint32_t limit) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (LATHAM_REACHED_IF("list_lacks_what_was_lost", !memory_.knows_marks() || lacks_records())) return to_caf(blank());
    view_list views;
    // One of an earlier life may have been accepted, and so may one whose record was sent to another node: that one counts this
    // disk and its own. One that was completed in this life and is nowhere else was not.
    const auto may = [this](const upload_record& record) {
      const auto fresh = fresh_.find(record.what.video);
      return is_kept(record) || fresh == fresh_.end() || fresh->second;
    };
    for (const auto& record : uploads_.list(tenant, before, std::min(limit, 200u), may)) views.push_back(view_of(record, 0));
    auto answer = make_response_promise<view_list>();
    journal_.join({}, [answer, views = std::move(views)]() mutable { answer.deliver(std::move(views)); });
    return answer;
  }

  /// It is not known here, and this disk was lost: others may have it, complete.
  [[nodiscard]] bool may_be_lost(video_id id) const { return !memory_.knows_marks() || elsewhere_.contains(id); }

  /// Of what this disk lost, not all is back here, or on so many others that whoever asks enough nodes asks one of those.
  [[nodiscard]] bool lacks_records() const {
    return std::any_of(elsewhere_.begin(), elsewhere_.end(), [this](const auto& lost) { return lost.second.size() < rules_.acks; });
  }

  void persist(const upload_record& record, std::function<void()> effect) {
    journal_.join({{store::upload_key(record.what.video), to_record(record)}}, std::move(effect));
  }

  // ---- Outbox ------------------------------------------------------------------------------------------------------

  /// At least once: what the scheduler has not confirmed is said again, after a wait or when it comes back. Not before its
  /// record is on as many disks as are promised, this one among them: with one disk less the scheduler's video would be of an
  /// upload that nobody knows. Nor while its blob is on its way out: a scheduler that lost its disk just then would begin a video
  /// that cannot be read.
  void announce() {
    if (left_) return;  // all of it is at others, who know what was deleted since
    const auto reachable = [this](std::uint16_t shard) { return schedulers_.of(shard) != nullptr; };
    // What can turn from no to yes here calls for `reconsider`.
    const auto may = [this](video_id id) { return (settled_ || fresh_.contains(id)) && !removing_.contains(id) && is_kept(*uploads_.find(id)); };
    for (const auto& event : uploads_.outbox(outbox_parallel, announcing_, reachable, may)) {
      announcing_[event.video.shard()].insert(event.video);
      journal_.join({}, [this, id = event.video, mine = announcement_of(event.video.shard())] {
        if (mine == announcement_of(id.shard())) announce(id);
      });
    }
  }

  [[nodiscard]] std::uint64_t announcement_of(std::uint16_t shard) const {
    const auto at = announcements_void_.find(shard);
    return announcement_ + (at == announcements_void_.end() ? 0 : at->second);
  }
  /// What is under way to that shard, or to all, says nothing any more.
  void void_announcements(std::optional<std::uint16_t> shard) {
    if (shard) {
      ++announcements_void_[*shard];
      announcing_.erase(*shard);
    } else {
      ++announcement_;
      announcing_.clear();
    }
  }

  void announce(video_id id) {
    // A full disk may have kept it waiting for long.
    const auto* found = uploads_.find(id);
    if (LATHAM_REACHED_IF("announcement_outdated_while_it_waited", left_ || found == nullptr || found->state != upload_state::complete || found->announced || removing_.contains(id))) {
      announcing_[id.shard()].erase(id);
      return;
    }
    const auto event = found->what;
    const auto again = [this, id = event.video, mine = announcement_of(event.video.shard())] {
      if (mine != announcement_of(id.shard())) return;
      LATHAM_REACHED("outbox_said_again");
      later(milliseconds{1000}, [this, id, mine] {
        if (mine != announcement_of(id.shard())) return;
        announcing_[id.shard()].erase(id);
        announce();
      });
    };
    const auto scheduler = schedulers_.of(event.video.shard());
    if (!scheduler) return again();
    request(scheduler, env_.config.request_timeout, event)
      .then(
        [this, again, id = event.video, mine = announcement_of(event.video.shard())](errc code) {
          // An answer that was on its way while another scheduler asked for everything again says nothing of that one.
          if (mine != announcement_of(id.shard())) return;
          if (code != errc::none) return again();
          announcing_[id.shard()].erase(id);
          fresh_.erase(id);
          keepers_.erase(id);
          if (auto record = uploads_.announced(id)) persist(*record, [this] { announce(); });
        },
        [again](caf::error&) { again(); });
  }

  caf::result<bool> announce_again(std::uint16_t shard) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    // By an earlier life of that scheduler, perhaps: what it was told since is behind the pages that were written, and it is gone.
    if (LATHAM_REACHED_IF("asked_again_while_taking_back", taking_back_.contains(shard)))
      return to_caf({errc::unavailable, "this storage node has been asked already, and writes down what it is to announce; ask again in a second"});
    auto answer = make_response_promise<bool>();
    take_back_announcements(shard, [answer]() mutable { answer.deliver(true); });
    return answer;
  }

  /// What a scheduler forgot is written down page by page, each from where the one before ended, and the next when that is durable:
  /// all of it at once would be a batch without a limit. `durable` follows the last page. Whoever ends in between has told nobody
  /// that it is done, and is asked again.
  struct taking_back {
    std::uint64_t number = 0;
    std::optional<video_id> upload{video_id{}};  // the last of them; none: there are no more
    blob_id output;                              // the last that was looked at
    std::size_t uploads = 0;
    std::function<void()> durable;
  };

  /// Of that shard, or of all.
  void take_back_announcements(std::optional<std::uint16_t> shard, std::function<void()> durable) {
    void_announcements(shard);
    // The scheduler does not know what was deleted; neither may this node, if it was away then.
    settled_ = rules_.members.size() == 1;
    auto& begun = taking_back_[shard] = taking_back{};
    begun.number = ++taken_back_;
    begun.durable = std::move(durable);
    take_back_page(shard, begun.number);
  }

  void take_back_page(std::optional<std::uint16_t> shard, std::uint64_t number) {
    const auto at = taking_back_.find(shard);
    if (at == taking_back_.end() || at->second.number != number) return;  // begun anew
    auto& so_far = at->second;
    ports::kv_batch batch;
    std::uint64_t bytes = 0;
    const auto put = [&](std::string key, std::string value) {
      bytes += key.size() + value.size();
      batch.push_back({std::move(key), std::move(value)});
    };
    while (so_far.upload && bytes < env_.config.records.commit_bytes_max) {
      const auto record = uploads_.announce_again(shard, *so_far.upload);
      so_far.upload = record ? std::optional{record->what.video} : std::nullopt;
      if (!record) break;
      ++so_far.uploads;
      put(store::upload_key(record->what.video), to_record(*record));
    }
    // Nor does it refer to any output: those of jobs that are done again are found by the reaper.
    auto output = outputs_.upper_bound(so_far.output);
    for (; !so_far.upload && output != outputs_.end() && bytes < env_.config.records.commit_bytes_max; ++output) {
      auto& [blob, entry] = *output;
      so_far.output = blob;
      if ((shard && blob.shard() != *shard) || !entry.record.confirmed) continue;
      entry.record.confirmed = false;
      begin_anew(blob, entry);
      put(store::output_key(blob), to_record(entry.record));
    }
    if (LATHAM_REACHED_IF("taken_back_in_pages", so_far.upload || output != outputs_.end())) return journal_.join(std::move(batch), [this, shard, number] { take_back_page(shard, number); });
    log(ports::log_level::info, "uploads are announced again shard={} count={}", shard ? std::to_string(*shard) : "all", so_far.uploads);
    // Who else has a record was forgotten when the scheduler had it, and is learned of those that it has not: after the last page.
    for (const auto& [node, handle] : peers_) exchange(node);
    journal_.join(std::move(batch), [this, shard, number] {
      const auto over = taking_back_.find(shard);
      if (over == taking_back_.end() || over->second.number != number) return;
      const auto durable = std::move(taking_back_.extract(over).mapped().durable);
      durable();
      look_settled();
      announce();
    });
  }

  // ---- Other storage nodes -----------------------------------------------------------------------------------------

  /// An id whose blob belongs here first. One draw in as many as there are members does; should none of many, the last is as
  /// good: the blob is written here all the same, and moves when it is repaired.
  [[nodiscard]] blob_id draw_blob(utc_ms wall, std::uint16_t shard) {
    auto id = make_id<blob_id>(wall, shard, env_.random->next());
    for (std::size_t i = 1; i < 8 * rules_.members.size() && placement_of(id, rules_).front() != rules_.self; ++i) id = make_id<blob_id>(wall, shard, env_.random->next());
    return id;
  }

  [[nodiscard]] static error emptied() { return {errc::unavailable, "this storage node is being emptied and takes nothing new; try again at another"}; }

  /// Those that dialed us are put into the directory as if we had dialed them, so that everybody here finds them there.
  void on_introduced(const node_name& node, std::uint64_t disk, const caf::strong_actor_ptr& peer) {
    if (!peer || node == rules_.self || !is_member(node)) return;
    auto handle = caf::actor_cast<storage_actor>(peer);
    if (!keep_disk({node, disk})) {
      caf::anon_send(handle, later_disk_atom::value, disks_[node]);
      return;
    }
    // One that was here before this actor was restarted is in the directory, and nobody watches it yet.
    if (is_peer(node, handle) && introduced_.contains(node)) return;
    auto& known = introduced_[node];
    if (known) demonitor(known.address());
    monitor(handle);
    known = handle;
    caf::anon_send(directory_, service_change{service_storage, node, peer});
  }

  static ports::kv_write disk_record(const storage_disk& disk) { return {store::storage_disk_key(disk.node), to_record(disk)}; }

  /// What the other asks next it is told by one that will not forget its disk. False: this is the earlier of two of its name, or
  /// had been said by it before the later one came.
  bool keep_disk(const storage_disk& disk) {
    auto& known = disks_[disk.node];
    if (LATHAM_REACHED_IF("introduced_by_an_earlier_storage", disk.begun < known)) {
      if (std::exchange(refused_disks_[disk.node], disk.begun) != disk.begun)
        log(ports::log_level::warn, "a storage node has an earlier disk than is known of its name, and its word does not count peer={} disk={:x} known={:x}", disk.node, disk.begun, known);
      return false;
    }
    if (std::exchange(known, disk.begun) == disk.begun) return true;
    memory_.take_back(disk.node);
    if (loaded_) journal_.join({disk_record(disk)}, [] {});
    return true;
  }

  /// Somebody knows of a later disk of this name. Either this process is the earlier of two and is about to be ended (core/cluster/
  /// identities); or an old volume is in use again; or this disk is new and some clock was set back. In the last two it takes a
  /// greater number, and all have to hear of that before what they say counts. The number is durable with what they say: until
  /// then a restart finds the old one, and is told again.
  bool rise_above(std::uint64_t begun) {
    if (begun <= disk_) return false;
    const auto kept = claims_.list(0, shards_max);
    const auto above = disk_above(begun, env_.config.incarnation, kept.empty(), env_.clock->wall(), env_.random->next());
    if (LATHAM_REACHED_IF("storage_is_the_earlier_of_two", above == 0)) {
      if (std::exchange(outlived_by_, begun) != begun)
        log(ports::log_level::error, "a later process has run under this name with another disk, and this one's word does not count: end it, or restart it if it is the one that you want disk={:x} later={:x}", disk_, begun);
      return false;
    }
    LATHAM_REACHED("storage_disk_is_numbered_anew");
    LATHAM_REACHED_IF("storage_doubts_what_it_keeps", memory_.knows_claims());
    log(ports::log_level::warn, "a later disk of this name has been in use: asking the others what was promised since disk={:x} later={:x} now={:x}", disk_, begun, above);
    disk_ = above;
    memory_.begin_again(rules_, kept);
    keeping_claims_ = 0;
    exchanged_.clear();
    exchanges_.clear();  // what they have heard so far was not asked for
    for (const auto& [node, handle] : peers_) {
      introduce_to(handle);
      recollect(node);
    }
    // Schedulers that lost their disk have asked the later one.
    take_back_announcements(std::nullopt, [this] { recollected(); });
    return true;
  }

  void on_down(const caf::down_msg& down) {
    for (auto at = introduced_.begin(); at != introduced_.end(); ++at) {
      if (at->second.address() != down.source) continue;
      caf::anon_send(directory_, service_change{service_storage, at->first, nullptr});
      introduced_.erase(at);
      return;
    }
  }

  void on_peer(const service_change& change) {
    const auto& node = change.node;
    if (node == rules_.self || !is_member(node)) return;
    if (!change.handle) {
      if (peers_.erase(node) != 0) log(ports::log_level::warn, "storage peer away node={}", node);
      exchanged_.erase(node);
      return;
    }
    auto handle = caf::actor_cast<storage_actor>(change.handle);
    const bool fresh = !is_peer(node, handle);
    // Always the new handle: CAF calls it equal to the one of an earlier link, which stays dead.
    peers_[node] = handle;
    if (!fresh) return;
    exchanged_.erase(node);
    log(ports::log_level::info, "storage peer here node={}", node);
    introduce_to(handle);
    exchange(node);
    recollect(node);
  }

  // ---- After the loss of the disk

  /// Asks a peer for its claims, page by page, until enough of them have told theirs. A new recollection of a node ends the one
  /// before, as an exchange does.
  void recollect(const node_name& node) {
    if (memory_.knows_claims() && memory_.knows_marks()) return;
    recalls_[node] = {++recalls_begun_, {}};
    recollect_page(node, recalls_begun_, 0);
  }

  /// Null when that recollection is over, or the node is away.
  [[nodiscard]] storage_actor recollection_with(const node_name& node, std::uint64_t number) {
    if (const auto mine = recalls_.find(node); mine == recalls_.end() || mine->second.number != number) return {};
    const auto at = peers_.find(node);
    if (at != peers_.end() && !(memory_.knows_claims() && memory_.knows_marks())) return at->second;
    recalls_.erase(node);
    return {};
  }

  void recollect_page(const node_name& node, std::uint64_t number, std::uint16_t from) {
    const auto handle = recollection_with(node, number);
    if (!handle) return;
    if (from == 0) recalls_[node].claims.clear();
    const auto again = [this, node, number] { later(milliseconds{1'000}, [this, node, number] { recollect_page(node, number, 0); }); };
    request(handle, env_.config.request_timeout, recall_atom::value, from)
      .then(
        [this, node, number, again, sent = now()](const kept_claims& kept) {
          if (!recollection_with(node, number)) return;
          if (kept.disks.size() > disks_told_max) return again();
          if (const auto own = std::find_if(kept.disks.begin(), kept.disks.end(), [this](const storage_disk& d) { return d.node == rules_.self; });
              own != kept.disks.end() && rise_above(own->begun))
            return;
          // Of two of a name it must be the later one that tells what was promised under it.
          for (const auto& disk : kept.disks)
            if (disk.node != rules_.self && is_member(disk.node)) keep_disk(disk);
          if (!keep_disk({node, kept.disk})) return again();
          auto& all = recalls_[node].claims;
          all.insert(all.end(), kept.claims.begin(), kept.claims.end());
          if (kept.claims.size() == claims_max && kept.claims.back().shard < shards_max) return recollect_page(node, number, static_cast<std::uint16_t>(kept.claims.back().shard + 1));
          memory_.on_claims(node, {kept.blank, kept.known, all}, sent, now());
          recollected();
          again();
        },
        [again](caf::error&) { again(); });
  }

  void recollected() {
    if (memory_.knows_marks()) look_settled();
    if (!memory_.may_keep_claims() || !memory_.knows_marks() || keeping_claims_ != 0) return;
    // With the disk's new number durable nobody would say any more that everything is to be announced again.
    if (LATHAM_REACHED_IF("recollected_while_taking_back", taking_back_.contains(std::nullopt))) return;
    keeping_claims_ = ++recollections_;
    ports::kv_batch batch{disk_record({rules_.self, disk_})};
    for (const auto& claim : memory_.claims())
      if (claim.shard < shards_max && is_valid_node_name(claim.holder)) {
        // Its holder is taken to have been heard just now, as after any restart.
        claims_.load(claim, now());
        batch.push_back({store::claim_key(claim.shard), to_record(claim)});
      }
    log(ports::log_level::info, "storage knows again what it lost claims={}", batch.size() - 1);
    LATHAM_REACHED("storage_recollected");
    journal_.join(std::move(batch), [this, mine = recollections_] {
      if (keeping_claims_ == mine) memory_.claims_kept();
    });
  }

  caf::result<kept_claims> recall(std::uint16_t from) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    kept_claims out;
    out.blank = !memory_.knows_marks();
    // What is not known to be all of them must not be taken for it, but may be all that is left.
    out.known = memory_.knows_claims();
    out.claims = claims_.list(from, claims_max);
    out.disk = disk_;
    for (const auto& [node, begun] : disks_) out.disks.push_back({node, begun});
    auto answer = make_response_promise<kept_claims>();
    journal_.join({}, [answer, out = std::move(out)]() mutable { answer.deliver(std::move(out)); });
    return answer;
  }

  caf::result<bool_list> names(const blob_list& blobs) {
    if (!loaded_) return to_caf(starting());
    if (!memory_.knows_marks()) return to_caf(blank());
    if (blobs.size() > batch_max) return to_caf({errc::invalid_argument, "at most 64 blobs at once"});
    bool_list out;
    for (const auto blob : blobs) out.push_back(uploads_.names(blob) || outputs_.contains(blob) ? 1 : 0);
    return out;
  }

  [[nodiscard]] bool is_member(const node_name& node) const { return std::find(rules_.members.begin(), rules_.members.end(), node) != rules_.members.end(); }

  [[nodiscard]] bool is_peer(const node_name& node, const storage_actor& handle) const {
    const auto at = peers_.find(node);
    return at != peers_.end() && at->second == handle;
  }

  void introduce_to(const storage_actor& peer) {
    caf::anon_send(peer, storage_up_atom::value, rules_.self, disk_, caf::actor_cast<caf::strong_actor_ptr>(this));
  }

  /// Says again who we are, because an introduction can be lost with the link, and compares again, because a record can.
  void look_around() {
    for (const auto& [node, handle] : peers_) introduce_to(handle);
    if (now() - compared_ >= env_.config.repair_period) {
      compared_ = now();
      for (const auto& [node, handle] : peers_)
        if (exchanged_.contains(node) && !exchanges_.contains(node)) exchange(node);
    }
    later(milliseconds{1'000}, [this] { look_around(); });
  }

  /// Learns what was deleted while this node was away, and hands over records that the other one lacks. A new exchange with a
  /// node ends the one before: each step asks for the node's handle anew, because an old one may be dead and look alike.
  void exchange(const node_name& node) {
    exchanges_[node] = ++exchanges_begun_;
    exchange_page(node, exchanges_begun_, {});
  }

  /// Null when that exchange is over, or the node is away: it begins anew when it comes back.
  [[nodiscard]] storage_actor exchange_with(const node_name& node, std::uint64_t number) {
    const auto mine = exchanges_.find(node);
    if (mine == exchanges_.end() || mine->second != number) return {};
    const auto at = peers_.find(node);
    if (at != peers_.end()) return at->second;
    exchanges_.erase(mine);
    return {};
  }

  void exchange_page(const node_name& node, std::uint64_t number, video_id after) {
    const auto handle = exchange_with(node, number);
    if (!handle) return;
    request(handle, env_.config.request_timeout, marks_atom::value, after)
      .then(
        [this, node, number, after](const mark_list& theirs) {
          if (!exchange_with(node, number)) return;
          const bool last = theirs.size() < marks_max;
          const auto found = compare_uploads(uploads_, after, theirs, last, [&](const upload_record& record) {
            const auto homes = homes_of(record.what.source.blob, rules_);
            return std::find(homes.begin(), homes.end(), node) != homes.end();
          });
          for (const auto id : found.bury) bury(id);
          for (const auto& mark : theirs)
            if (mark.state == upload_state::complete) note_keeper(mark.video, node);
          auto lacking = note_elsewhere(node, after, theirs, last);
          fetch_from(node, number, std::move(lacking), [this, node, number, last, push_these = found.push, next = theirs.empty() ? after : theirs.back().video] {
            upload_list records;
            for (const auto id : push_these)
              if (const auto* record = uploads_.find(id)) records.push_back(*record);
            push(node, number, std::move(records), [this, node, number, last, next] {
              if (!last) return exchange_page(node, number, next);
              if (!exchange_with(node, number)) return;
              exchanges_.erase(node);
              exchanged_.insert(node);
              // What was learned is on its way to the disk, in order before whatever is told from now on.
              journal_.join({}, [this, node, disk = disk_] {
                if (disk != disk_) return;  // it was an earlier one, as this node knows since, and asks all anew
                memory_.on_marks(node);
                recollected();
              });
              look_settled();
              announce();
            });
          });
        },
        [this, node, number, after](caf::error&) { later(milliseconds{1'000}, [this, node, number, after] { exchange_page(node, number, after); }); });
  }

  /// A page of a peer's marks, of ids greater than `after`: what of it this node, which came with an empty disk, may have lost.
  /// What the peer does not have any more, because it lost its own disk since, it is not waited for.
  mark_list note_elsewhere(const node_name& node, video_id after, const mark_list& theirs, bool last) {
    mark_list lacking;
    std::set<video_id> complete;
    for (const auto& mark : theirs) {
      if (mark.state == upload_state::removed) elsewhere_.erase(mark.video);
      if (mark.state != upload_state::complete || uploads_.find(mark.video) != nullptr) continue;
      complete.insert(mark.video);
      if (memory_.knows_claims()) {
        if (const auto at = elsewhere_.find(mark.video); at != elsewhere_.end()) at->second.insert(node);
        continue;
      }
      elsewhere_[mark.video].insert(node);
      lacking.push_back(mark);
    }
    for (auto at = elsewhere_.upper_bound(after); at != elsewhere_.end() && (last || at->first <= theirs.back().video);) {
      if (!complete.contains(at->first)) at->second.erase(node);
      at = LATHAM_REACHED_IF("lost_record_is_nowhere", at->second.empty()) ? elsewhere_.erase(at) : std::next(at);
    }
    return lacking;
  }

  /// A node that came with an empty disk takes the records that belong to it before its word counts: until it is pushed to, two
  /// of three nodes could agree that there is no such video, or list all but it.
  void fetch_from(const node_name& node, std::uint64_t number, mark_list lacking, std::function<void()> then) {
    if (lacking.empty()) return then();
    const auto handle = exchange_with(node, number);
    if (!handle) return;
    mark_list some(lacking.begin(), lacking.begin() + static_cast<std::ptrdiff_t>(std::min(lacking.size(), uploads_max)));
    lacking.erase(lacking.begin(), lacking.begin() + static_cast<std::ptrdiff_t>(some.size()));
    request(handle, env_.config.request_timeout, fetch_atom::value, std::move(some))
      .then(
        [this, node, number, lacking = std::move(lacking), then = std::move(then)](const upload_list& records) mutable {
          LATHAM_REACHED("records_fetched_by_a_blank_storage");
          ports::kv_batch batch;
          for (const auto& record : records) {
            const auto homes = homes_of(record.what.source.blob, rules_);
            if (record.state != upload_state::complete || std::find(homes.begin(), homes.end(), rules_.self) == homes.end()) continue;
            const auto kept = uploads_.keep(record, now());
            if (!kept) continue;
            elsewhere_.erase(kept->what.video);
            note_keeper(kept->what.video, node);
            note_keeper(kept->what.video, kept->what.source.store);  // it was complete there first
            batch.push_back({store::upload_key(kept->what.video), to_record(*kept)});
          }
          journal_.join(std::move(batch), [] {});
          fetch_from(node, number, std::move(lacking), std::move(then));
        },
        [this, node, number](caf::error&) { later(milliseconds{1'000}, [this, node, number] { exchange_page(node, number, {}); }); });
  }

  caf::result<upload_list> fetch(const mark_list& wanted) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (wanted.size() > uploads_max) return to_caf({errc::invalid_argument, "at most 16 uploads at once"});
    upload_list out;
    for (const auto& mark : wanted)
      if (const auto* record = uploads_.find(mark.video); record != nullptr && record->state == upload_state::complete) out.push_back(*record);
    for (const auto& record : out) note_sent(record.what.video);
    auto answer = make_response_promise<upload_list>();
    journal_.join({}, [answer, out = std::move(out)]() mutable { answer.deliver(std::move(out)); });
    return answer;
  }

  void push(const node_name& node, std::uint64_t number, upload_list records, std::function<void()> then) {
    if (records.empty()) return then();
    const auto handle = exchange_with(node, number);
    if (!handle) return;
    upload_list some(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(std::min(records.size(), uploads_max)));
    records.erase(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(some.size()));
    count("latham_upload_records_pushed_total", static_cast<double>(some.size()));
    std::vector<video_id> ids;
    for (const auto& record : some) {
      ids.push_back(record.what.video);
      note_sent(record.what.video);
    }
    request(handle, env_.config.request_timeout, keep_atom::value, std::move(some))
      .then(
            [this, node, number, ids = std::move(ids), records = std::move(records), then](bool) mutable {
              for (const auto id : ids) note_keeper(id, node);
              announce();
              push(node, number, std::move(records), std::move(then));
            },
            [this, node, number](caf::error&) { later(milliseconds{1'000}, [this, node, number] { exchange_page(node, number, {}); }); });
  }

  /// What was complete before is announced only once enough others have said what was deleted: a tombstone is on as many
  /// nodes as a blob is, so all but that many others have to be heard, and everybody who can be.
  void look_settled() {
    if (settled_ || !memory_.knows_marks()) return;
    const auto others = rules_.members.size() - 1;
    const auto needed = std::max<std::size_t>(1, others + 1 - rules_.acks);
    if (exchanged_.size() < needed || exchanged_.size() < peers_.size()) return;
    settled_ = true;
    uploads_.reconsider_all();
    announce();
  }

  /// Deleted elsewhere.
  void bury(video_id id) {
    const auto* record = uploads_.find(id);
    const auto blob = record == nullptr ? blob_id{} : record->what.source.blob;
    auto tombstone = uploads_.bury(id, now());
    if (!tombstone) return;
    fresh_.erase(id);
    keepers_.erase(id);
    log(ports::log_level::info, "upload was removed elsewhere video={}", to_string(id));
    persist(*tombstone, [this, blob] {
      // Should this be lost with the process, the repair finds a tombstone elsewhere and removes it.
      if (!blob.is_nil()) env_.blobs->remove(blob, [](const expected<void>&) {});
    });
  }

  void tell_all(const upload_record& tombstone) {
    for (const auto& [node, handle] : peers_)
      request(handle, env_.config.request_timeout, keep_atom::value, upload_list{tombstone}).then([](bool) {}, [](caf::error&) {});  // else at the next exchange
  }

  void note_keeper(video_id id, const node_name& node) {
    const auto* record = uploads_.find(id);
    if (node == rules_.self || record == nullptr || record->state != upload_state::complete || record->announced) return;
    keepers_[id].insert(node);
    uploads_.reconsider(id);
  }

  /// Another node may have the record from now on, also when no answer says so.
  void note_sent(video_id id) {
    if (const auto fresh = fresh_.find(id); fresh != fresh_.end()) fresh->second = true;
  }

  /// Not complete, or on as many nodes as a client was promised, or with the scheduler: it can be shown for what it is. What an
  /// earlier life knew of this is learned anew, from the others.
  [[nodiscard]] bool is_kept(const upload_record& record) const {
    if (record.state != upload_state::complete || record.announced || rules_.acks == 1) return true;
    const auto at = keepers_.find(record.what.video);
    return at != keepers_.end() && at->second.size() + 1 >= rules_.acks;
  }

  /// Puts a complete upload's record on as many other nodes as are needed before its client may be told.
  void spread(const upload_record& record, std::function<void(expected<void>)> answer) {
    if (rules_.copies == 1) return answer({});
    struct spreading {
      upload_record record;
      std::vector<node_name> candidates;
      std::size_t next = 0;
      std::uint32_t asked = 0;  // under way
      std::uint32_t kept = 0;
      bool answered = false;
      std::function<void(expected<void>)> done;
      std::function<void()> step;
    };
    auto all = std::make_shared<spreading>();  // shared by the answers
    all->record = record;
    all->record.announced = false;
    all->candidates = placement_of(record.what.source.blob, rules_);
    std::erase_if(all->candidates, [this](const node_name& node) { return node == rules_.self || rules_.draining.contains(node); });
    all->done = std::move(answer);
    all->step = [this, weak = std::weak_ptr{all}] {
      const auto a = weak.lock();
      if (!a) return;
      while (a->asked + a->kept < rules_.copies - 1 && a->next < a->candidates.size()) {
        const auto peer = peers_.find(a->candidates[a->next++]);
        if (peer == peers_.end()) continue;
        ++a->asked;
        note_sent(a->record.what.video);
        request(peer->second, env_.config.request_timeout, keep_atom::value, upload_list{a->record})
          .then(
            [this, a, node = peer->first](bool) {
              note_keeper(a->record.what.video, node);
              --a->asked;
              ++a->kept;
              a->step();
            },
            [a](caf::error&) {
              --a->asked;
              a->step();
            });
      }
      if (a->answered || (a->kept + 1 < rules_.acks && a->asked > 0)) return;
      a->answered = true;
      if (a->kept + 1 >= rules_.acks) return a->done({});
      a->done(error{errc::unavailable, "too few storage nodes are reachable to keep the upload; try again in a few seconds"});
    };
    all->step();
  }

  caf::result<bool> keep(const upload_list& records) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    // A tombstone is taken all the same: nobody counts on it here, and it keeps a list true.
    if (left_ && std::any_of(records.begin(), records.end(), [](const upload_record& record) { return record.state != upload_state::removed; })) return to_caf(gone());
    ++taken_;
    if (records.size() > uploads_max) return to_caf({errc::invalid_argument, "at most 16 uploads at once"});
    ports::kv_batch batch;
    std::vector<blob_id> dead;
    for (const auto& record : records) {
      const auto* mine = uploads_.find(record.what.video);
      const auto blob = mine == nullptr ? blob_id{} : mine->what.source.blob;
      auto kept = uploads_.keep(record, now());
      if (!kept) continue;
      batch.push_back({store::upload_key(kept->what.video), to_record(*kept)});
      elsewhere_.erase(kept->what.video);
      if (kept->state == upload_state::removed) {
        keepers_.erase(kept->what.video);
        fresh_.erase(kept->what.video);
      } else note_keeper(kept->what.video, kept->what.source.store);  // it was complete there first
      if (kept->state == upload_state::removed && !blob.is_nil()) dead.push_back(blob);
    }
    auto answer = make_response_promise<bool>();
    journal_.join(std::move(batch), [this, answer, dead = std::move(dead)]() mutable {
      for (const auto blob : dead) env_.blobs->remove(blob, [](const expected<void>&) {});  // what is left is found by the repair
      answer.deliver(true);
      announce();
    });
    return answer;
  }

  caf::result<mark_list> marks(video_id after) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (!memory_.knows_marks()) return to_caf(blank());
    auto answer = make_response_promise<mark_list>();
    journal_.join({}, [answer, some = uploads_.marks(after, marks_max)]() mutable { answer.deliver(std::move(some)); });
    return answer;
  }

  caf::result<look_list> have(const blob_list& blobs) {
    if (blobs.empty() || blobs.size() > batch_max) return to_caf({errc::invalid_argument, "1 to 64 blobs at once"});
    if (env_.own_blobs == nullptr) return to_caf({errc::unavailable, "this storage node keeps no copies"});
    auto answer = make_response_promise<look_list>();
    env_.own_blobs->look_all(blobs, here<look_list>([answer](expected<look_list> looks) mutable {
      if (!looks) return deny(answer, looks.error());
      answer.deliver(std::move(*looks));
    }));
    return answer;
  }

  // ---- Leaving -----------------------------------------------------------------------------------------------------

  struct leaving {
    leave_count count;
    std::uint64_t taken = 0;  // when it was begun
    std::size_t left = 0;
    std::function<void()> finish;
  };

  /// Asks all others what they keep, and the own disk for what is left. Once the answer was yes this node takes nothing that
  /// nobody else would have, and says nothing that others may have been told to forget: somebody may be about to take its disk
  /// away.
  caf::result<leave_report> may_leave() {
    if (!loaded_) return to_caf(starting());
    if (!memory_.knows_claims() || !memory_.knows_marks()) return to_caf(blank());
    auto all = std::make_shared<leaving>(leaving{{rules_, uploads_.marks({}, std::numeric_limits<std::uint32_t>::max()), claims_.list(0, shards_max)}, taken_, 0, {}});  // shared by the answers
    auto answer = make_response_promise<leave_report>();
    if (!rules_.draining.contains(rules_.self)) {
      answer.deliver(all->count.report(0, 0));
      return answer;
    }
    all->left = peers_.size();
    all->finish = [this, answer, weak = std::weak_ptr{all}]() mutable {
      env_.own_blobs->list({}, 1000, here<std::vector<ports::blob_stat>>([this, answer, a = weak.lock()](expected<std::vector<ports::blob_stat>> blobs) mutable {
        if (!blobs) return deny(answer, blobs.error());
        auto report = a->count.report(blobs->size(), removing_.size() + (taken_ - a->taken));
        if (report.may_leave && !std::exchange(left_, true)) log(ports::log_level::info, "storage may leave: all that it kept is on the others");
        answer.deliver(std::move(report));
      }));
    };
    if (peers_.empty()) all->finish();
    for (const auto& [node, handle] : peers_) ask_what_is_kept(all, node, handle);
    return answer;
  }

  [[nodiscard]] static error gone() { return {errc::unavailable, "this storage node is about to be switched off and takes nothing new; try again at another"}; }

  void ask_what_is_kept(const std::shared_ptr<leaving>& all, const node_name& node, const storage_actor& handle) {
    request(handle, env_.config.request_timeout, rules_atom::value)
      .then(
        [this, all, node, handle](std::uint64_t digest) {
          all->count.on_rules(node, digest);
          count_marks(all, node, handle, {});
        },
        [all](caf::error&) { step(all); });
  }

  void count_marks(const std::shared_ptr<leaving>& all, const node_name& node, const storage_actor& handle, video_id after) {
    request(handle, env_.config.request_timeout, marks_atom::value, after)
      .then(
        [this, all, node, handle](const mark_list& theirs) {
          all->count.on_marks(node, theirs);
          if (theirs.size() == marks_max) return count_marks(all, node, handle, theirs.back().video);
          count_claims(all, node, handle, 0);
        },
        [all](caf::error&) { step(all); });
  }

  void count_claims(const std::shared_ptr<leaving>& all, const node_name& node, const storage_actor& handle, std::uint16_t from) {
    request(handle, env_.config.request_timeout, recall_atom::value, from)
      .then(
        [this, all, node, handle](const kept_claims& kept) {
          if (kept.known) all->count.on_claims(node, kept.claims);
          if (kept.claims.size() == claims_max && kept.claims.back().shard < shards_max) return count_claims(all, node, handle, static_cast<std::uint16_t>(kept.claims.back().shard + 1));
          all->count.on_heard(node);
          step(all);
        },
        [all](caf::error&) { step(all); });
  }

  static void step(const std::shared_ptr<leaving>& all) {
    if (--all->left == 0) all->finish();
  }

  // ---- Shards ------------------------------------------------------------------------------------------------------

  caf::result<claim_answer> claim(const claim_request& request) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (request.wanted.shard >= shards_max || !is_valid_node_name(request.wanted.holder)) return to_caf({errc::invalid_argument, "this is no claim of a shard"});
    if (!memory_.knows_claims()) return to_caf(blank());
    const auto* kept = claims_.find(request.wanted.shard);
    if (LATHAM_REACHED_IF("claim_at_a_leaving_storage", left_ && (kept == nullptr || *kept != request.wanted))) return to_caf(gone());
    taken_ += kept == nullptr || *kept != request.wanted ? 1 : 0;
    auto out = claims_.on_claim(request, now());
    out.answer.disk = disk_;
    for (const auto& [node, begun] : disks_) out.answer.others.push_back({node, begun});
    auto answer = make_response_promise<claim_answer>();
    ports::kv_batch batch;
    if (out.write) {
      log(ports::log_level::info, "shard claimed shard={} generation={} holder={} incarnation={:x}", out.write->shard, out.write->generation, out.write->holder, out.write->incarnation);
      batch.push_back({store::claim_key(out.write->shard), to_record(*out.write)});
    }
    journal_.join(std::move(batch), [answer, reply = out.answer]() mutable { answer.deliver(reply); });
    return answer;
  }

  template <class Answer, class... Args>
  caf::result<Answer> pass_on(const node_name& scheduler, const Args&... what) {
    const auto at = schedulers_.all().find(scheduler);
    if (at == schedulers_.all().end()) return to_caf({errc::unavailable, "the scheduler " + scheduler + " is not reachable from this storage node"});
    auto answer = make_response_promise<Answer>();
    request(at->second.handle, env_.config.request_timeout, what...)
      .then([answer](const Answer& taken) mutable { answer.deliver(taken); }, [answer](caf::error& e) mutable { deny(answer, from_caf(e)); });
    return answer;
  }

  // ---- Output blobs ------------------------------------------------------------------------------------------------

  caf::result<output_ticket> grant_output(video_id video, std::uint64_t bytes_max) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (bytes_max == 0 || bytes_max > output_bytes_max) return to_caf({errc::too_large, "an output blob holds 1 byte to 2 GiB"});
    if (const auto* upload = uploads_.find(video); upload != nullptr && upload->state == upload_state::removed)
      return to_caf({errc::not_found, "the video " + to_string(video) + " is deleted"});
    if (rules_.draining.contains(rules_.self)) return to_caf(emptied());
    if (!memory_.knows_marks()) return to_caf(blank());
    if (auto taken = takes_new(); LATHAM_REACHED_IF("output_at_a_bad_disk", !taken)) return to_caf(taken.error());
    const auto blob = draw_blob(env_.clock->wall(), video.shard());
    const ports::write_token token{blob, env_.random->next(), bytes_max};
    auto answer = make_response_promise<output_ticket>();
    const output_grant record{token.blob, video, false};
    put_output(record);
    // The record first, for the same reason as in `begin`: what a crash leaves is found by the reaper.
    journal_.join({{store::output_key(token.blob), to_record(record)}}, [this, answer, token] {
      env_.blobs->reserve(token, here<void>([this, answer, token](expected<void> reserved) mutable {
        if (!reserved) {
          take_back(token.blob, [this, blob = token.blob](bool gone) {
            if (gone) forget_output(blob);  // else the reaper finds it
          });
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
    std::optional<error> unknown;  // some blob could not be looked at
  };

  caf::result<bool_list> verify(const output_list& outputs) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
    if (outputs.empty() || outputs.size() > batch_max) return to_caf({errc::invalid_argument, "1 to 64 outputs at once"});
    auto answer = make_response_promise<bool_list>();
    auto all = std::make_shared<pending_verify>(pending_verify{bool_list(outputs.size(), 0), outputs.size(), {}});
    for (std::size_t i = 0; i < outputs.size(); ++i)
      env_.blobs->stat(outputs[i].blob, here<ports::blob_stat>([this, answer, all, i, want = outputs[i]](expected<ports::blob_stat> stat) mutable {
        if (stat && stat->sealed && stat->bytes == want.bytes && stat->digest == want.digest) {
          all->flags[i] = 1;
          confirm_output(want.blob);
        }
        // A disk that cannot be read has not lost anything, nor have those who may have it and are away: the scheduler asks again,
        // instead of failing the video.
        if (LATHAM_REACHED_IF("verification_cannot_read", !stat && stat.error().code != errc::not_found)) all->unknown = stat.error();
        if (--all->left > 0) return;
        if (all->unknown) return deny(answer, *all->unknown);
        answer.deliver(std::move(all->flags));
      }));
    return answer;
  }

  caf::result<bool> remove(const blob_list& blobs) {
    if (auto taken = takes_requests(); !taken) return to_caf(taken.error());
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
    const auto at = outputs_.find(blob);
    if (at == outputs_.end()) return;
    unconfirmed_[blob.shard()].erase({at->second.since, blob});
    if (const auto made = outputs_of_.find(at->second.record.video); made != outputs_of_.end()) {
      std::erase(made->second, blob);
      if (made->second.empty()) outputs_of_.erase(made);
    }
    outputs_.erase(at);
    journal_.join({{store::output_key(blob), std::nullopt}}, [] {});
  }

  /// Of those that are here still, as if nobody had ever referred to them.
  void leave_to_the_reaper(const blob_list& blobs) {
    ports::kv_batch batch;
    for (const auto blob : blobs) {
      const auto at = outputs_.find(blob);
      if (at == outputs_.end() || !at->second.record.confirmed) continue;
      at->second.record.confirmed = false;
      begin_anew(blob, at->second);
      batch.push_back({store::output_key(blob), to_record(at->second.record)});
    }
    journal_.join(std::move(batch), [] {});
  }

  /// Referred to: the reaper need not look at it again.
  void confirm_output(blob_id blob) {
    const auto at = outputs_.find(blob);
    if (at == outputs_.end() || at->second.record.confirmed) return;
    at->second.record.confirmed = true;
    unconfirmed_[blob.shard()].erase({at->second.since, blob});
    journal_.join({{store::output_key(blob), to_record(at->second.record)}}, [] {});
  }

  // ---- Housekeeping ------------------------------------------------------------------------------------------------

  void tick() {
    for (const auto id : uploads_.expired(now())) look_abandoned(id);
    for (const auto& [shard, waiting] : unconfirmed_) reap(shard);
    sweep();
    announce();         // places that nobody else has freed: of what was deleted while it waited, say
    (void)takes_new();  // a disk in trouble is tried again, also while nobody wants anything
    later(milliseconds{5'000}, [this] { tick(); });
  }

  /// One that grows has a client, however long it takes. A disk that cannot be read is asked again at the next tick.
  void look_abandoned(video_id id) {
    received(*uploads_.find(id)).stat(uploads_.find(id)->what.source.blob, here<ports::blob_stat>([this, id](expected<ports::blob_stat> stat) {
      if (!stat && stat.error().code != errc::not_found) return;
      if (!uploads_.is_abandoned(id, stat ? stat->bytes : 0, now())) return;
      log(ports::log_level::info, "upload expires video={}", to_string(id));
      (void)forget(id, true);
    }));
  }

  /// Output blobs that were granted long ago and never verified: of a worker that died, or of a commit that was fenced.
  /// The scheduler says which of them it refers to; the rest is removed. One that grew or was sealed since the last look has
  /// a writer whose lease may be good, and who may yet commit it: its time begins anew. A batch at a time of each shard, so that no
  /// scheduler waits for another that does not answer; and the next one at once, for a scheduler that lost its disk leaves
  /// all outputs there are to be asked about.
  void reap(std::uint16_t shard) {
    const auto waiting = unconfirmed_.find(shard);
    // What it finds is written down, which could only wait.
    if (waiting == unconfirmed_.end() || reaping_.contains(shard) || !schedulers_.of(shard) || !journal_.takes()) return;
    blob_list due;
    for (const auto& [since, blob] : waiting->second) {
      if (now() - since <= env_.config.output_grace || due.size() == batch_max) break;
      due.push_back(blob);
    }
    if (due.empty()) return;
    reaping_.insert(shard);
    struct looking {
      std::size_t left;
      std::map<video_id, blob_list> still;
      bool all_well = true;
    };
    auto all = std::make_shared<looking>(looking{due.size(), {}});  // shared by the answers
    for (const auto blob : due)
      env_.blobs->stat(blob, here<ports::blob_stat>([this, all, blob, shard](expected<ports::blob_stat> stat) {
        if (auto at = outputs_.find(blob); at != outputs_.end()) {
          if (stat && (stat->bytes != at->second.bytes_seen || stat->sealed != at->second.sealed_seen)) {
            LATHAM_REACHED("output_still_written");
            at->second.bytes_seen = stat->bytes;
            at->second.sealed_seen = stat->sealed;
            begin_anew(blob, at->second);
          } else if (stat || stat.error().code == errc::not_found) {
            all->still[at->second.record.video].push_back(blob);
          } else {
            begin_anew(blob, at->second);  // nobody knows; others are not to wait for it
            all->all_well = false;
          }
        }
        if (--all->left == 0) ask_whether_unused(shard, all->still, all->all_well);
      }));
  }

  void ask_whether_unused(std::uint16_t shard, const std::map<video_id, blob_list>& still, bool all_looked) {
    struct asking {
      std::size_t left;
      bool all_well = true;
    };
    auto all = std::make_shared<asking>(asking{still.size() + 1});  // shared by the answers
    const auto step = [this, shard, all](bool well) {
      all->all_well = all->all_well && well;
      if (--all->left > 0) return;
      reaping_.erase(shard);
      // What failed is due still, and would be tried without end: the next tick does.
      if (all->all_well) soon([this, shard] { reap(shard); });
    };
    const auto scheduler = schedulers_.of(shard);
    step(all_looked && scheduler != nullptr);
    for (const auto& [video, blobs] : still) {
      if (!scheduler) {
        step(false);
        continue;
      }
      request(scheduler, env_.config.request_timeout, unused_atom::value, video, blobs)
        .then(
          [this, step, asked = blobs](const blob_list& unused) {
            const std::set<blob_id> gone(unused.begin(), unused.end());
            for (const auto blob : asked)
              if (!gone.contains(blob)) confirm_output(blob);
            if (unused.empty()) return step(true);
            LATHAM_REACHED("outputs_reaped");
            log(ports::log_level::info, "outputs reaped count={}", unused.size());
            // Not through `remove`: a promise made while a response is handled would answer the scheduler, and an error
            // that nobody asked for ends an actor.
            remove_blobs(unused, [step](const expected<void>& removed) { step(removed.has_value()); });  // what is left is found again
          },
          [step](caf::error&) { step(false); });
    }
  }

  /// Blobs that no record anywhere names: their grants, or the record of an upload that was never accepted, went with a disk, or
  /// with a node that left.
  /// Their first home takes them up as outputs of nobody knows which video, and the reaper asks about them. Not before all
  /// others were asked, because a blob has a record first at one node alone. All blobs in one go, page by page, and then a rest that
  /// is short beside the time that a blob without a name is given anyway.
  void sweep() {
    if (sweeping_ || now() < sweeps_again_ || !journal_.takes() || !memory_.knows_marks() || exchanged_.size() + 1 < rules_.members.size()) return;
    sweeping_ = true;
    env_.blobs->list(swept_, sweep_blobs, here<std::vector<ports::blob_stat>>([this](expected<std::vector<ports::blob_stat>> blobs) {
      if (!blobs) {
        sweeping_ = false;
        return;
      }
      const bool last = blobs->size() < sweep_blobs;
      const auto after = std::exchange(swept_, last ? blob_id{} : blobs->back().blob);
      std::map<blob_id, instant> unnamed;
      blob_list old;
      for (const auto& stat : *blobs) {
        if (uploads_.names(stat.blob) || outputs_.contains(stat.blob) || placement_of(stat.blob, rules_).front() != rules_.self) continue;
        const auto before = unnamed_.find(stat.blob);
        const auto since = before == unnamed_.end() ? now() : before->second;
        if (now() - since > env_.config.output_grace) old.push_back(stat.blob);
        else if (unnamed_.size() < unnamed_max || before != unnamed_.end()) unnamed[stat.blob] = since;
      }
      // Of this page, those that have a name by now, or are gone, are forgotten.
      unnamed_.erase(unnamed_.upper_bound(after), last ? unnamed_.end() : unnamed_.upper_bound(swept_));
      unnamed_.insert(unnamed.begin(), unnamed.end());
      if (last) sweeps_again_ = now() + env_.config.output_grace / 4;
      const auto go_on = [this](bool answered) {
        sweeping_ = false;
        // Who does not answer now need not be asked about all pages: at the next tick.
        if (answered) soon([this] { sweep(); });
      };
      if (old.empty()) go_on(true);
      else ask_who_names(std::move(old), go_on);
    }));
  }

  void ask_who_names(blob_list blobs, std::function<void(bool answered)> then) {
    if (peers_.size() + 1 < rules_.members.size()) return then(false);
    if (peers_.empty()) {
      take_up(blobs, bool_list(blobs.size()));
      return then(true);
    }
    struct asking {
      blob_list blobs;
      std::function<void(bool answered)> then;
      bool_list named;
      std::size_t left = 0;
      bool all_answered = true;
    };
    auto all = std::make_shared<asking>();  // shared by the answers
    all->named.resize(blobs.size());
    all->blobs = std::move(blobs);
    all->then = std::move(then);
    all->left = peers_.size();
    const auto step = [this, all] {
      if (--all->left > 0) return;
      if (all->all_answered) take_up(all->blobs, all->named);
      all->then(all->all_answered);
    };
    for (const auto& [node, handle] : peers_)
      request(handle, env_.config.request_timeout, names_atom::value, all->blobs)
        .then(
          [all, step](const bool_list& named) {
            if (named.size() != all->blobs.size()) all->all_answered = false;
            else
              for (std::size_t i = 0; i < named.size(); ++i) all->named[i] |= named[i];
            step();
          },
          [all, step](caf::error&) {
            all->all_answered = false;
            step();
          });
  }

  void take_up(const blob_list& blobs, const bool_list& named) {
    ports::kv_batch batch;
    for (std::size_t i = 0; i < blobs.size(); ++i) {
      const auto blob = blobs[i];
      if (named[i] != 0 || uploads_.names(blob) || outputs_.contains(blob)) continue;
      const output_grant record{blob, {}, false};
      put_output(record);
      batch.push_back({store::output_key(blob), to_record(record)});
    }
    if (batch.empty()) return;
    LATHAM_REACHED("orphans_taken_up");
    log(ports::log_level::info, "blobs without a record taken up count={}", batch.size());
    journal_.join(std::move(batch), [] {});
  }

  void put_output(const output_grant& record) {
    const auto since = now();
    if (outputs_.insert_or_assign(record.blob, output_entry_state{record, since, 0, false}).second && !record.video.is_nil()) outputs_of_[record.video].push_back(record.blob);
    if (!record.confirmed) unconfirmed_[record.blob.shard()].emplace(since, record.blob);
  }

  struct output_entry_state;
  void begin_anew(blob_id blob, output_entry_state& entry) {
    if (LATHAM_REACHED_IF("confirmed_while_it_was_looked_at", entry.record.confirmed)) return;
    auto& waiting = unconfirmed_[blob.shard()];
    waiting.erase({entry.since, blob});
    entry.since = now();
    waiting.emplace(entry.since, blob);
  }

  struct output_entry_state {
    output_grant record;
    instant since;
    std::uint64_t bytes_seen = 0;  // when the reaper looked last
    bool sealed_seen = false;
  };

  directory_actor directory_;
  const copy_rules rules_;
  std::map<node_name, storage_actor> peers_;       // other storage nodes that are up
  std::map<node_name, storage_actor> introduced_;  // of them, those that dialed us
  std::uint64_t disk_ = 0;                         // when it was begun: core/cluster/shard_claim
  std::map<node_name, std::uint64_t> disks_;       // of the others: the latest that was heard of
  std::map<node_name, std::uint64_t> refused_disks_;  // earlier than that, each named once
  std::uint64_t outlived_by_ = 0;                  // the later disk of this name that this process cannot rise above
  ports::kv_batch former_;                         // erases what is kept of those that are no members any more
  std::set<node_name> exchanged_;                  // and those that were compared with since they came
  std::map<node_name, std::uint64_t> exchanges_;   // under way, by number
  std::uint64_t exchanges_begun_ = 0;
  instant compared_;
  bool settled_ = false;                           // what was complete before this start may be announced
  std::map<video_id, bool> fresh_;                 // completed here since, so announced whatever others say; sent to another node
  std::map<video_id, std::set<node_name>> keepers_;  // of complete uploads that the scheduler has not: who else has the record
  scheduler_map schedulers_;
  shard_claims claims_;
  std::uint64_t announcement_ = 0;  // grows when what was announced so far is void, to all schedulers
  std::map<std::uint16_t, std::uint64_t> announcements_void_;  // the same of a shard's
  std::map<std::optional<std::uint16_t>, taking_back> taking_back_;  // by shard, none: all of them
  std::uint64_t taken_back_ = 0;
  uploads uploads_;
  journal journal_;
  std::map<blob_id, output_entry_state> outputs_;
  std::map<video_id, std::vector<blob_id>> outputs_of_;
  std::map<std::uint16_t, std::set<std::pair<instant, blob_id>>> unconfirmed_;  // of outputs_, by shard and age: what the reaper walks
  std::map<blob_id, instant> unnamed_;  // own blobs that no record here names, and since when they are known for it
  blob_id swept_;                       // where the next look goes on
  instant sweeps_again_;                // not before
  recollection memory_;
  struct recall_of {
    std::uint64_t number = 0;
    std::vector<shard_claim> claims;  // pages of an answer so far
  };
  std::map<node_name, recall_of> recalls_;
  std::uint64_t recalls_begun_ = 0;
  std::map<video_id, std::set<node_name>> elsewhere_;  // complete at these, and unknown here since this node began with an empty disk: perhaps lost here
  announcements announcing_;
  std::multiset<video_id> removing_;  // their blobs are on the way out, once for each who asked for that
  bool loaded_ = false;
  std::set<std::uint16_t> reaping_;  // shards of which a batch is under way
  bool sweeping_ = false;
  std::uint64_t recollections_ = 0;
  std::uint64_t keeping_claims_ = 0;  // which of them, 0: none yet
  std::uint64_t taken_ = 0;  // deletes, records and claims so far: what came while others were asked was not asked for
  bool left_ = false;        // it was told that it may leave
};

}  // namespace

caf::actor spawn_storage(caf::event_based_actor* parent, const env& e, directory_actor directory) {
  return caf::actor_cast<caf::actor>(parent->spawn<storage>(&e, std::move(directory)));
}

}  // namespace latham
