#include "sim/checkers.hpp"

#include "core/cluster/placement.hpp"
#include "core/manifest/manifests.hpp"
#include "core/manifest/presentation.hpp"
#include "core/reach.hpp"
#include "store/guarded_blobs.hpp"
#include "store/memory_blobs.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace latham::sim {

namespace {

/// None: its disk did not answer, or failed before it did.
std::optional<std::vector<ports::blob_stat>> list_blobs(const view& v, const node_name& node) {
  auto found = std::make_shared<std::optional<expected<std::vector<ports::blob_stat>>>>();  // shared with an answer that may come too late
  // But for the one with which a disk in trouble is tried, perhaps just now.
  v.blobs.at(node)().list(store::trial_blob, 1000, [found](expected<std::vector<ports::blob_stat>> all) { *found = std::move(all); });
  v.wait([&] { return found->has_value(); });
  if (!*found || !**found) return std::nullopt;
  return std::move(***found);
}

/// One durable write, or one event, may stand for several steps: whether `to` can be reached at all.
bool reaches(video_state from, video_state to) {
  using enum video_state;
  constexpr video_state all[] = {receiving, queued, planning, encoding, finishing, ready, failed, deleting};
  std::set<video_state> reached{from};
  for (int step = 0; step < 8; ++step)
    for (auto a : all)
      for (auto b : all)
        if (reached.contains(a) && is_edge(a, b)) reached.insert(b);
  return reached.contains(to);
}

}  // namespace

/// States of a video move only along the drawn edges.
class states_follow_edges : public checker {
public:
  using checker::checker;
  void on_video(const video_record& r) override {
    auto [at, fresh] = last_.try_emplace(r.request.video, r.state);
    if (fresh) return;
    const auto from = std::exchange(at->second, r.state);
    if (from == r.state || is_edge(from, r.state) || reaches(from, r.state)) return;
    throw violation{"states_follow_edges", to_string(r.request.video) + " went from " + std::string{to_string(from)} + " to " + std::string{to_string(r.state)}};
  }
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(last_, [shard](const auto& entry) { return entry.first.shard() == shard; });
  }

private:
  std::map<video_id, video_state> last_;
};

/// A client that orders what it hears by revision sees states move along edges only, and one state for one revision.
class events_follow_edges : public checker {
public:
  using checker::checker;
  void on_event(std::uint64_t ear, const video_view& v) override {
    auto [at, fresh] = seen_.try_emplace({ear, v.id}, v.revision, v.state);
    if (fresh) return;
    auto& [revision, state] = at->second;
    if (v.revision < revision) return;  // late: dropped by every client
    if (v.revision == revision && v.state != state)
      throw violation{"events_follow_edges", fmt::format("{} is both {} and {} at revision {:x}", to_string(v.id), to_string(state), to_string(v.state), revision)};
    // What nobody acknowledged may be gone, and with an old volume come back.
    const bool came_back = state == video_state::deleting && view_.old_volume_lately();
    if (v.state != state && !reaches(state, v.state) && !came_back && !(lost_.contains(v.id.shard()) && (v.revision >> 32) != (revision >> 32)))
      throw violation{"events_follow_edges", fmt::format("{} went from {} (revision {:x}) to {} (revision {:x})", to_string(v.id), to_string(state), revision, to_string(v.state), v.revision)};
    revision = v.revision;
    state = v.state;
  }
  /// Revisions go on; what is shown begins anew, at the latest with the first that comes from the new scheduler.
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(seen_, [shard](const auto& entry) { return entry.first.second.shard() == shard; });
    lost_.insert(shard);
  }

private:
  std::map<std::pair<std::uint64_t, video_id>, std::pair<std::uint64_t, video_state>> seen_;
  std::set<std::uint16_t> lost_;
};

/// Each task commits once: what was committed stays as it was, unless storage lost it and the job failed for it.
class one_commit_per_task : public checker {
public:
  using checker::checker;
  void on_task(const task_record& r) override {
    auto at = committed_.find(r.id);
    if (at != committed_.end() && !(at->second == r)) throw violation{"one_commit_per_task", to_string(r.id) + " changed after its commit"};
    if (r.state == task_state::committed) committed_.emplace(r.id, r);
  }
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(committed_, [shard](const auto& entry) { return entry.first.video.shard() == shard; });
  }

private:
  std::map<task_id, task_record> committed_;
};

/// No epoch is granted twice, and a task's epochs only grow: at most one lease on it is valid.
class epochs_only_grow : public checker {
public:
  using checker::checker;
  void on_lease(const lease_record& r) override {
    auto& newest = newest_[r.video.shard()];
    if (!(newest < r.held)) throw violation{"epochs_only_grow", "epoch " + to_string(r.held) + " was granted after " + to_string(newest)};
    newest = r.held;
  }
  void on_task(const task_record& r) override {
    auto& held = held_[r.id];
    if (r.held < held) throw violation{"epochs_only_grow", to_string(r.id) + " went back to epoch " + to_string(r.held)};
    held = r.held;
  }
  /// Tasks are made anew, without an epoch; what is granted must still be greater than all before.
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(held_, [shard](const auto& entry) { return entry.first.video.shard() == shard; });
  }

private:
  std::map<std::uint16_t, epoch> newest_;
  std::map<task_id, epoch> held_;
};

/// Who grants has a majority of the storage nodes behind it: their disks name the generation of its epoch. A later claimant
/// is another process, and begins only when this one has ended.
class owners_grant : public checker {
public:
  using checker::checker;
  void on_lease(const lease_record& r) override {
    const auto members = view_.storages_of(r.video.shard());
    const auto agree = std::count_if(members.begin(), members.end(), [&](const node_name& node) {
      const auto claim = view_.claims.find({node, r.video.shard()});
      return claim != view_.claims.end() && claim->second.generation == r.held.generation;
    });
    if (static_cast<std::size_t>(agree) < members.size() / 2 + 1)
      throw violation{"owners_grant", fmt::format("epoch {} was granted when {} of {} storage nodes knew of its generation", to_string(r.held), agree, members.size())};
  }
};

/// A task is granted at most so many times before somebody looks at its video. A grant counts from the moment that it is
/// made: what takes its worker down each time would never be counted at its end.
class attempts_are_bounded : public checker {
public:
  using checker::checker;
  void on_task(const task_record& r) override {
    if (r.state == task_state::leased && r.attempts == 0) throw violation{"attempts_are_bounded", to_string(r.id) + " was granted, and it does not count"};
    if (r.attempts > view_.attempts) throw violation{"attempts_are_bounded", to_string(r.id) + " was granted " + std::to_string(r.attempts) + " times"};
  }
};

/// A worker that is told to stop finishes what it has or gives it back: at once, and as if it had never been granted. That is
/// said once, on links that may be cut, so it is looked at where nothing else is wrong.
class drains_cost_nothing : public checker {
public:
  using checker::checker;
  void on_stopped(const std::vector<lease_record>& left) override {
    on_stopping(left);
    for (const auto& lease : left) awaited_[{lease.video.shard(), lease.held}] = {view_.decided_by(lease.video.shard()), 0};
  }
  void on_stopping(const std::vector<lease_record>& has) override {
    for (const auto& lease : has) {
      for (std::uint32_t i = 0; i < lease.count; ++i)
        if (const auto t = view_.tasks.find({lease.video, lease.kind, lease.first + i}); t != view_.tasks.end() && t->second.state == task_state::leased && t->second.held == lease.held)
          had_.insert_or_assign(t->first, std::pair{t->second, view_.decided_by(lease.video.shard())});
    }
  }
  void on_task(const task_record& r) override {
    const auto at = had_.find(r.id);
    if (at == had_.end()) return;
    const auto [had, told] = std::move(at->second);
    had_.erase(at);
    // One that stopped, too, was not there to be told.
    if (r.state != task_state::pending || r.held != had.held || !view_.quiet() || told != view_.decided_by(r.id.video.shard())) return;
    LATHAM_REACHED("sim_task_given_back_by_who_stops");
    // The end of a video takes its tasks back as they are; and the codec may have failed in the last moment.
    const auto video = view_.videos.find(r.id.video);
    if (r.attempts < had.attempts || video == view_.videos.end()) return;
    if (video->second.state != video_state::planning && video->second.state != video_state::encoding) return;
    if (r.last_error.starts_with("worker ") || r.last_error.starts_with("the worker "))
      throw violation{"drains_cost_nothing", fmt::format("{} has {} attempts because its worker stopped: {}", to_string(r.id), r.attempts, r.last_error)};
  }
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(had_, [shard](const auto& entry) { return entry.first.video.shard() == shard; });
    std::erase_if(awaited_, [shard](const auto& entry) { return entry.first.first == shard; });
  }
  void on_second(std::uint64_t) override {
    for (auto at = awaited_.begin(); at != awaited_.end();) {
      const auto where = at->first;
      auto& [process, waited_s] = at->second;
      const bool counts = view_.leases.contains(where) && process == view_.decided_by(where.first) && view_.quiet();
      if (counts && ++waited_s == given_back_within_s)
        throw violation{"drains_cost_nothing", fmt::format("epoch {} of shard {} is still held by a worker that has stopped", to_string(where.second), where.first)};
      at = counts ? std::next(at) : awaited_.erase(at);
    }
  }

private:
  static constexpr int given_back_within_s = 3;
  std::map<std::pair<std::uint16_t, epoch>, std::pair<std::uint64_t, int>> awaited_;  // who must end it, and for how long that was waited for
  std::map<task_id, std::pair<task_record, std::uint64_t>> had_;  // and the process that must take it back
};

/// A committed output is the one that a calm run makes with the engine of its video, which all of the video is made with.
class outputs_equal_a_calm_run : public checker {
public:
  using checker::checker;
  void on_video(const video_record& r) override {
    if (!r.plan_known) return;
    const auto [at, fresh] = engines_.try_emplace(r.request.video, r.engine);
    if (!fresh && at->second != r.engine) throw violation{"outputs_equal_a_calm_run", to_string(r.request.video) + " went from engine " + at->second + " to " + r.engine};
  }
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(engines_, [shard](const auto& entry) { return entry.first.shard() == shard; });
  }
  void on_task(const task_record& r) override {
    if (r.state != task_state::committed || r.id.kind == task_kind::plan) return;
    auto video = view_.known.find(r.id.video);
    if (video == view_.known.end()) throw violation{"outputs_equal_a_calm_run", to_string(r.id) + " is of a video that nobody sent"};
    const auto record = view_.videos.find(r.id.video);
    if (record == view_.videos.end()) return;  // it is being removed
    const auto& engine = record->second.engine;
    auto& digest = expected_[{r.id, engine}];
    if (digest == sha256_digest{}) digest = build_output_blob(model_pieces(video->second.model, video->second.seed, engine, r.id.kind, r.id.index)).digest;
    if (r.output.digest != digest) throw violation{"outputs_equal_a_calm_run", to_string(r.id) + " has other bytes than " + engine + " makes"};
    if (r.found != model_findings(video->second.model, video->second.seed, r.id.kind, r.id.index)) throw violation{"outputs_equal_a_calm_run", to_string(r.id) + " found something else"};
  }

private:
  std::map<std::pair<task_id, engine_id>, sha256_digest> expected_;
  std::map<video_id, engine_id> engines_;
};

/// What the outbox says, however often, makes one video; one that is gone is not made again.
class one_effect_per_outbox_entry : public checker {
public:
  using checker::checker;
  void on_video(const video_record& r) override {
    if (gone_.contains(r.request.video)) throw violation{"one_effect_per_outbox_entry", to_string(r.request.video) + " came back after it was deleted"};
  }
  void on_video_gone(video_id id) override { gone_.insert(id); }

private:
  std::set<video_id> gone_;
};

/// A video fails because of what it is, or because each attempt at some part of it was used up, or because storage lost
/// what it had: never for anything less. That storage could not be read or written is no attempt.
class failures_have_a_cause : public checker {
public:
  using checker::checker;
  void on_task(const task_record& r) override {
    if (r.state == task_state::leased) {
      tried_[r.id] = {r.held, r.attempts};
      return;
    }
    const auto at = tried_.find(r.id);
    if (at == tried_.end()) return;
    const auto [held, attempts] = at->second;
    tried_.erase(at);
    const bool of_storage = r.last_error.starts_with("the source could not be read") || r.last_error.starts_with("an output could not be stored");
    if (r.state != task_state::pending || !of_storage || r.held != held) return;
    // The end of a video takes its tasks back as they are.
    const auto video = view_.videos.find(r.id.video);
    if (video == view_.videos.end() || (video->second.state != video_state::planning && video->second.state != video_state::encoding)) return;
    LATHAM_REACHED("sim_task_back_for_storages_trouble");
    if (r.attempts >= attempts) throw violation{"failures_have_a_cause", to_string(r.id) + " has one attempt less because of storage: " + r.last_error};
  }
  void on_video(const video_record& r) override {
    if (r.state != video_state::failed) return;
    const auto at = view_.known.find(r.request.video);
    if (at == view_.known.end() || at->second.poison) return;
    if (r.error_code == errc::unprocessable)
      for (auto t = view_.tasks.lower_bound({r.request.video, task_kind::plan, 0}); t != view_.tasks.end() && t->first.video == r.request.video; ++t)
        if (t->second.attempts >= view_.attempts) return;
    throw violation{"failures_have_a_cause", to_string(r.request.video) + " failed with " + std::string{to_string(r.error_code)} + ": " + r.error_message};
  }
  void on_shard_lost(std::uint16_t shard) override {
    std::erase_if(tried_, [shard](const auto& entry) { return entry.first.video.shard() == shard; });
  }

private:
  std::map<task_id, std::pair<epoch, std::uint32_t>> tried_;  // that run, and the attempt that it is
};

/// Acknowledged bytes are readable and equal: samples all the time while storage is up, all of them at the end.
class acknowledged_is_readable : public checker {
public:
  using checker::checker;
  void on_second(std::uint64_t random) override {
    if (!view_.storage_up() || view_.uploads.empty()) return;
    auto at = std::next(view_.uploads.begin(), static_cast<std::ptrdiff_t>(random % view_.uploads.size()));
    // The answer may come after the storage node went down: then it never comes.
    if (const auto* video = must_be_there(at->second)) read(at->second, *video, random / 7 % video->source.size(), 32 * 1024, std::make_shared<bool>());
  }
  void at_end() override {
    std::set<video_id> found;
    for (const auto& [id, upload] : view_.uploads) {
      const auto* video = must_be_there(upload);
      if (video == nullptr) continue;
      found.insert(id);
      for (std::uint64_t offset = 0; offset < video->source.size(); offset += ports::append_bytes_max) {
        auto answered = std::make_shared<bool>(false);
        read(upload, *video, offset, ports::append_bytes_max, answered);
        view_.wait([answered] { return *answered; });
        if (!*answered) throw violation{"acknowledged_is_readable", to_string(id) + ": a disk does not answer"};
      }
    }
    for (const auto& [id, video] : view_.known)
      if (video.acknowledged && !video.delete_asked && !found.contains(id)) throw violation{"acknowledged_is_readable", to_string(id) + " has no upload record"};
  }

private:
  const known_video* must_be_there(const upload_record& upload) const {
    const auto at = view_.known.find(upload.what.video);
    if (at == view_.known.end() || !at->second.acknowledged || at->second.delete_asked) return nullptr;
    return &at->second;
  }
  void read(const upload_record& upload, const known_video& video, std::uint64_t offset, std::uint32_t bytes, std::shared_ptr<bool> answered) const {
    // From any disk: the one where it was written first may have been lost.
    struct looking {
      std::size_t left;
      bool found = false;
    };
    const auto name = to_string(upload.what.video);
    auto all = std::make_shared<looking>(looking{view_.blobs.size()});  // shared by the answers
    for (const auto& [node, blobs] : view_.blobs)
      blobs().read(upload.what.source.blob, offset, bytes, [name, &video, offset, bytes, answered, all](const expected<buffer>& part) {
        if (part && part->view() == std::string_view{video.source}.substr(offset, bytes)) all->found = true;
        if (--all->left > 0) return;
        *answered = true;
        if (!all->found && !video.delete_asked) throw violation{"acknowledged_is_readable", name + " is on no disk as it was sent"};
      });
  }
};

/// Who hears 201 has its upload on as many disks as were promised: the record then and there, the bytes a moment later at the
/// latest, when the disks have answered; a repair takes longer than that.
class acknowledged_is_copied : public checker {
public:
  using checker::checker;
  void on_accepted(video_id id) override {
    const auto upload = view_.uploads.find(id);
    const auto held = view_.upload_records.find(id);
    if (upload == view_.uploads.end() || held == view_.upload_records.end()) throw violation{"acknowledged_is_copied", to_string(id) + " has no record"};
    const auto needed = std::max(1u, view_.acks_lately() - (view_.disk_lost_lately() ? 1u : 0u));
    const auto records = std::count_if(held->second.begin(), held->second.end(), [](const auto& r) { return r.second.state != upload_state::receiving; });
    if (static_cast<std::uint32_t>(records) < needed) throw violation{"acknowledged_is_copied", fmt::format("the record of {} is on {} disks", to_string(id), records)};
    struct looking {
      std::size_t left;
      std::uint32_t sealed = 0;
    };
    // A node that is killed meanwhile does not answer, and nothing is said.
    auto all = std::make_shared<looking>(looking{view_.blobs.size()});  // shared by the answers
    for (const auto& [node, blobs] : view_.blobs)
      blobs().look(upload->second.what.source.blob, [this, id, all, needed](const expected<ports::blob_look>& look) {
        all->sealed += look && look->presence == ports::blob_presence::sealed ? 1 : 0;
        if (--all->left > 0 || all->sealed >= needed || view_.known.at(id).delete_asked) return;
        throw violation{"acknowledged_is_copied", fmt::format("{} is whole on {} disks", to_string(id), all->sealed)};
      });
  }
};

/// Uploads wait in the outbox for their own scheduler only: where nothing is wrong but that nodes were told to stop, one whose
/// scheduler is well is announced by each storage node that has its record, whoever else is away. One that was sent the record
/// hears only when it compares with the others that enough of them have it.
class announcements_pass_the_missing : public checker {
public:
  using checker::checker;
  void on_second(std::uint64_t) override {
    const auto waited = std::exchange(waiting_, {});
    if (!view_.quiet() || !view_.storage_well()) return;
    for (const auto& [id, held] : view_.upload_records)
      for (const auto& [node, upload] : held) {
        if (upload.state != upload_state::complete || upload.announced || view_.decided_by(id.shard()) == 0) continue;
        const auto before = waited.find({id, node});
        const auto lasts = before == waited.end() ? 0 : before->second + 1;
        if (seconds{lasts} > answered_within + view_.repair_period) throw violation{"announcements_pass_the_missing", fmt::format("{} was not announced by {} for {} s, and its scheduler is well", to_string(id), node, lasts)};
        waiting_[{id, node}] = lasts;
      }
  }

private:
  static constexpr seconds answered_within{15};
  std::map<std::pair<video_id, node_name>, int> waiting_;  // for how long
};

/// No queue grows without end: what cannot be worked off is refused to those who ask, or not asked again before it is answered.
class queues_are_bounded : public checker {
public:
  using checker::checker;
  void on_second(std::uint64_t) override {
    for (const auto& [name, length, most] : view_.queues)
      if (const auto now = length(); now > most) throw violation{"queues_are_bounded", fmt::format("{}: {}, and at most {} are expected", name, now, most)};
  }
};

/// When all work is done no lease is left and no slot is busy.
class no_slot_leaks : public checker {
public:
  using checker::checker;
  void at_end() override {
    std::string left;
    for (const auto& [where, lease] : view_.leases) left += fmt::format(" {} of {} at {}, shard {};", to_string(where.second), to_string(lease.video), lease.worker, where.first);
    if (!left.empty()) throw violation{"no_slot_leaks", "leases are left when all work is done:" + left};
    for (const auto& busy : view_.slots_busy)
      if (busy() > 0) throw violation{"no_slot_leaks", fmt::format("{} slots of a worker are busy when all work is done", busy())};
  }
};

/// A deleted video leaves nothing: no record, no task, no source.
class deletes_leave_nothing : public checker {
public:
  using checker::checker;
  void at_end() override {
    for (const auto& [id, video] : view_.known) {
      if (!video.deleted) continue;
      if (view_.videos.contains(id)) throw violation{"deletes_leave_nothing", to_string(id) + " has a record"};
      if (const auto t = view_.tasks.lower_bound({id, task_kind::plan, 0}); t != view_.tasks.end() && t->first.video == id)
        throw violation{"deletes_leave_nothing", to_string(t->first) + " has a record"};
      if (const auto held = view_.upload_records.find(id); held != view_.upload_records.end())
        for (const auto& [node, upload] : held->second)
          if (upload.state != upload_state::removed) throw violation{"deletes_leave_nothing", to_string(id) + " has an upload at " + node};
    }
  }
};

/// Storage holds the sources and outputs of the videos there are, sealed, and nothing else.
class no_blob_leaks : public checker {
public:
  using checker::checker;
  void at_end() override {
    std::set<blob_id> outputs;
    std::set<blob_id> sources;
    for (const auto& [id, task] : view_.tasks)
      if (task.state == task_state::committed && id.kind != task_kind::plan) outputs.insert(task.output.blob);
    for (const auto& [id, upload] : view_.uploads)
      if (upload.state != upload_state::removed) sources.insert(upload.what.source.blob);
    for (const auto& [node, blobs] : view_.blobs) {
      const auto held = list_blobs(view_, node);
      if (!held) throw violation{"no_blob_leaks", "the blobs of " + node + " cannot be listed"};
      for (const auto& stat : *held) {
        if (outputs.contains(stat.blob) && !stat.sealed) throw violation{"nothing_visible_without_seal", to_string(stat.blob)};
        if (!outputs.contains(stat.blob) && !sources.contains(stat.blob))
          throw violation{"no_blob_leaks", to_string(stat.blob) + (stat.sealed ? " (sealed)" : " (open)") + " belongs to nothing"};
      }
    }
  }
};

misplacement misplaced_blobs(const view& v) {
  std::map<node_name, std::vector<ports::blob_stat>> held;
  for (const auto& [node, blobs] : v.blobs) {
    auto found = list_blobs(v, node);
    if (!found) return {" the blobs of " + node + " cannot be listed;", false};
    held[node] = std::move(*found);
  }
  // Not before: more may have become wanted, or less, while the lists were made.
  std::map<blob_id, std::size_t> lacking;  // homes that have no whole copy yet
  const auto rules = make_copy_rules({}, v.storages(), {}, v.copies, 0);
  for (const auto& [id, task] : v.tasks)
    if (task.state == task_state::committed && id.kind != task_kind::plan) lacking[task.output.blob] = rules.copies;
  for (const auto& [id, upload] : v.uploads)
    if (upload.state == upload_state::complete) lacking[upload.what.source.blob] = rules.copies;
  misplacement out;
  for (const auto& [node, all] : held)
    for (const auto& stat : all) {
      const auto wanted = lacking.find(stat.blob);
      const auto homes = homes_of(stat.blob, rules);
      const bool is_home = std::find(homes.begin(), homes.end(), node) != homes.end();
      if (wanted != lacking.end() && stat.sealed && is_home) {
        --wanted->second;
        continue;
      }
      out.words += fmt::format(" blob {} at {} ({}{});", to_string(stat.blob), node, stat.sealed ? "sealed" : "open", wanted == lacking.end() ? "" : is_home ? ", a home" : ", in excess");
      if (wanted == lacking.end() || is_home) out.only_in_excess = false;
    }
  for (const auto& [blob, homes] : lacking) {
    if (homes == 0) continue;
    out.words += fmt::format(" blob {} is missing at {} of its homes;", to_string(blob), homes);
    out.only_in_excess = false;
  }
  return out;
}

/// Copies are where they belong, and as many as there should be.
class copies_return_to_target : public checker {
public:
  using checker::checker;
  void at_end() override {
    if (const auto amiss = misplaced_blobs(view_); !amiss.words.empty()) throw violation{"copies_return_to_target", amiss.words};
  }
};

std::string damaged_blobs(const view& v) {
  std::string out;
  for (const auto& [node, blobs] : v.blobs)
    for (const auto& blob : blobs().damaged()) out += fmt::format(" blob {} at {} is damaged;", to_string(blob), node);
  return out;
}

/// What each disk has stored is what was sent or made: the bytes themselves, not what is recorded of them.
class stored_bytes_are_true : public checker {
public:
  using checker::checker;
  void at_end() override {
    std::map<blob_id, sha256_digest> wanted;
    for (const auto& [id, task] : view_.tasks)
      if (task.state == task_state::committed && id.kind != task_kind::plan) wanted.emplace(task.output.blob, task.output.digest);  // which outputs_equal_a_calm_run has seen
    for (const auto& [id, upload] : view_.uploads)
      if (const auto video = view_.known.find(id); upload.state == upload_state::complete && video != view_.known.end())
        wanted.emplace(upload.what.source.blob, blob_digest({reinterpret_cast<const std::uint8_t*>(video->second.source.data()), video->second.source.size()}));
    for (const auto& [node, blobs] : view_.blobs)
      for (const auto& stat : blobs().contents())
        if (const auto truth = wanted.find(stat.blob); truth != wanted.end() && blobs().digest_of_stored(stat.blob) != truth->second)
          throw violation{"stored_bytes_are_true", to_string(stat.blob) + " has other bytes at " + node};
  }
};

/// What a store believes to have given away is what its blobs hold and were promised: space that leaks is a disk that is full
/// too soon, and space that is given back twice is promised twice.
class space_is_accounted : public checker {
public:
  using checker::checker;
  /// Now and then: it counts every blob, and what leaks stays.
  void on_second(std::uint64_t random) override {
    if (random % looks_one_in == 0) look();
  }
  void at_end() override { look(); }

private:
  static constexpr std::uint64_t looks_one_in = 8;  // seconds
  void look() const {
    for (const auto& [node, blobs] : view_.blobs) {
      const auto said = blobs().space(), counted = blobs().space_counted();
      if (said != counted)
        throw violation{"space_is_accounted", fmt::format("{} says {} bytes and {} promised, its blobs have {} and {}", node, said.held, said.promised, counted.held, counted.promised)};
    }
  }
};

std::vector<std::unique_ptr<checker>> make_checkers(const view& v) {
  std::vector<std::unique_ptr<checker>> all;
  all.push_back(std::make_unique<states_follow_edges>(v));
  all.push_back(std::make_unique<events_follow_edges>(v));
  all.push_back(std::make_unique<one_commit_per_task>(v));
  all.push_back(std::make_unique<epochs_only_grow>(v));
  all.push_back(std::make_unique<owners_grant>(v));
  all.push_back(std::make_unique<attempts_are_bounded>(v));
  all.push_back(std::make_unique<drains_cost_nothing>(v));
  all.push_back(std::make_unique<outputs_equal_a_calm_run>(v));
  all.push_back(std::make_unique<one_effect_per_outbox_entry>(v));
  all.push_back(std::make_unique<failures_have_a_cause>(v));
  all.push_back(std::make_unique<acknowledged_is_readable>(v));
  all.push_back(std::make_unique<acknowledged_is_copied>(v));
  all.push_back(std::make_unique<announcements_pass_the_missing>(v));
  all.push_back(std::make_unique<queues_are_bounded>(v));
  all.push_back(std::make_unique<no_slot_leaks>(v));
  all.push_back(std::make_unique<deletes_leave_nothing>(v));
  all.push_back(std::make_unique<no_blob_leaks>(v));
  all.push_back(std::make_unique<copies_return_to_target>(v));
  all.push_back(std::make_unique<stored_bytes_are_true>(v));
  all.push_back(std::make_unique<space_is_accounted>(v));
  return all;
}

// ---- Media -----------------------------------------------------------------------------------------------------------

expected<std::string> calm_media(video_id id, const known_video& video, const engine_id& engine, const recipe& how, const std::string& path) {
  output_table table;
  table.video = id;
  table.created_ms = id.created().value;
  table.plan = model_plan(video.model);
  table.how = how;
  table.state = video_state::ready;
  table.plan_complete = true;
  table.chunks_total = video.model.chunks;
  const auto pieces_of = [&](task_kind kind, std::uint32_t index) { return model_pieces(video.model, video.seed, engine, kind, index); };
  const auto add = [&](task_kind kind, std::uint32_t index, output_ref& out) -> expected<built_output> {
    auto summaries = summarise(pieces_of(kind, index), table.plan, how);
    if (!summaries) return std::move(summaries).error();
    out.renditions = std::move(*summaries);
    return build_output_blob(pieces_of(kind, index));
  };
  for (const auto& chunk : model_chunks(video.model)) {
    output_ref out;
    if (auto built = add(task_kind::video, chunk.index, out); !built) return std::move(built).error();
    table.chunks[chunk.index] = {chunk, std::move(out)};
  }
  for (std::uint32_t i = 0; i < video.model.audio_tracks; ++i) {
    output_ref out;
    auto built = add(task_kind::audio, i, out);
    if (!built) return std::move(built).error();
    auto index = parse_output_index(built->bytes);
    if (!index) return std::move(index).error();
    table.audio[i] = std::move(out);
    table.audio_index[i] = std::move(*index);
  }
  if (video.model.text_tracks > 0) {
    output_ref out;
    if (auto built = add(task_kind::text, 0, out); !built) return std::move(built).error();
    table.text = std::move(out);
  }
  auto parsed = parse_media_path(path, table.plan);
  if (!parsed) return std::move(parsed).error();
  using what = media_path::what;
  if (parsed->kind == what::init || parsed->kind == what::segment) {
    const auto segment = parsed->kind == what::init ? output_entry::init_segment : parsed->segment;
    const auto chunk = parsed->kind == what::init ? 0 : parsed->segment / video.model.segments_per_chunk;
    for (const auto& piece : parsed->track == track_kind::audio  ? pieces_of(task_kind::audio, parsed->rendition)
                             : parsed->track == track_kind::text ? pieces_of(task_kind::text, 0)
                                                                 : pieces_of(task_kind::video, chunk))
      if (piece.rendition == parsed->rendition && piece.segment == segment) return std::string{piece.bytes.view()};
    return {errc::not_found, "the video has no such part"};
  }
  auto shown = make_presentation(table);
  if (!shown) return std::move(shown).error();
  if (parsed->kind == what::hls_master) return hls_master(*shown);
  if (parsed->kind == what::dash) return dash_manifest(*shown);
  if (parsed->kind != what::playlist) return {errc::not_found, "not one of the model's resources"};
  if (parsed->track == track_kind::text) {
    for (const auto& t : shown->text)
      if (t.rendition == parsed->rendition) return hls_text(*shown, t);
    return {errc::not_found, "these subtitles have no words"};
  }
  return hls_media(*shown, (parsed->track == track_kind::audio ? shown->audio : shown->video)[parsed->rendition]);
}

std::vector<std::string> media_paths(const known_video& video) {
  std::vector<std::string> out{"master.m3u8", "manifest.mpd"};
  const auto add = [&](const std::string& name) {
    out.push_back(name + "/playlist.m3u8");
    out.push_back(name + "/init.mp4");
    for (std::uint32_t s = 1; s <= video.model.chunks * video.model.segments_per_chunk; s += 1 + video.model.chunks / 4) out.push_back(name + "/" + std::to_string(s) + ".m4s");
  };
  for (const auto& size : model_plan(video.model).rungs) add(to_string(size));
  for (std::uint32_t i = 0; i < video.model.audio_tracks; ++i) add("audio-" + std::to_string(i));
  for (std::uint32_t i = 0; i < video.model.text_tracks; ++i) {
    if (!model_text_has_words(video.seed, i)) continue;
    out.push_back("text-" + std::to_string(i) + "/playlist.m3u8");
    out.push_back("text-" + std::to_string(i) + "/1.vtt");
  }
  return out;
}

}  // namespace latham::sim
