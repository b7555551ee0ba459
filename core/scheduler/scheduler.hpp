// The scheduler's rules: videos, tasks, leases with fencing epochs. Pure: an event changes memory and appends to a
// `decision` the records that must be durable *before* any of its effects leaves. The actor around it persists, then
// acts; after a restart it loads the same records and goes on with the same code.
//
// The rules in short
//   * A lease is granted on a run of consecutive tasks, with an epoch greater than any before. Attempts are counted at
//     grant, so an input that kills its worker is found; after `attempts_max` grants the job is parked with its cause.
//   * A task that failed before is granted alone, so that its neighbours do not pay for it.
//   * A lease runs out `lease_ttl` after its last renewal. Its uncommitted tasks go back to pending with back-off, and a
//     commit under its epoch is fenced from then on, whoever sends it.
//   * Each chunk commits alone, once; the same commit again is answered ok, any other is fenced and its blob removed.
//   * Order of grants: priority as aged (core/scheduler/ready_queue.hpp: a job that waits rises), then the tenant with the
//     fewest running leases, then age; within a job the plan, then audio, then the first chunk, then text, then chunks from
//     the front, so that playing can start early.
//   * Its last chunks, no more than one for each of its leases that run and the one to be granted, are granted longest first:
//     each of its slots takes one more, and none begins a long one when the others are done. A chunk's length is its frames: all chunks of a job have the same
//     pixels to a frame.
//   * A job goes to the worker on the node of its source if that one waits, too, instead of to the next in turn.
//   * `finishing` asks storage to confirm every output; only then is a video ready.
// What it must not do: read a clock, draw a random number, wait, or know who carries its effects.
#pragma once

#include "core/backoff.hpp"
#include "core/findings.hpp"
#include "core/scheduler/messages.hpp"
#include "core/scheduler/ready_queue.hpp"

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

namespace latham {

struct scheduler_config {
  milliseconds lease_ttl{10'000};
  std::uint32_t attempts = attempts_max;
  backoff_policy retry{milliseconds{200}, milliseconds{10'000}};
  milliseconds ageing{600'000};         // a job that waited so long is taken one class higher
  std::uint32_t videos_max = 100'000;   // beyond it media_ready is refused with errc::limited and stays in the outbox
  milliseconds gone_for{20 * 60'000};   // a deleted video is remembered: longer than a connection lives that nobody hears of
  std::uint32_t gone_max = 10'000;      // of those the last ones
};

// Effects, performed in order once the records before them are durable.
struct grant_effect {
  node_name worker;
  work_grant grant;
};
struct publish_effect {
  video_view view;
};
struct remove_blobs_effect {   // the loser of a fenced commit: best effort, the reaper finds what is left
  node_name store;
  std::vector<blob_id> blobs;
};
struct remove_video_effect {   // answered by on_video_removed once all of it is gone
  video_id video;
  node_name source_store;      // keeps a tombstone of the upload, as every storage node does
  std::map<node_name, std::vector<blob_id>> outputs;
};
struct verify_effect {         // answered by on_verified
  video_id video;
  std::uint32_t job = 0;
  std::vector<task_id> tasks;      // same order as outputs
  std::vector<output_ref> outputs;
};
using scheduler_effect = std::variant<grant_effect, publish_effect, remove_blobs_effect, remove_video_effect, verify_effect>;

struct decision {
  std::vector<scheduler_write> writes;
  std::vector<scheduler_effect> effects;
};

/// One page of what the manifests need. Only committed outputs; `done` says which chunk each belongs to.
struct output_page {
  source_plan plan;
  recipe how;
  video_state state = video_state::queued;
  bool plan_complete = false;
  std::uint32_t chunks_total = 0;
  std::vector<std::pair<chunk_plan, output_ref>> video;      // ascending, from the asked chunk on, gaps possible
  std::vector<std::pair<std::uint32_t, output_ref>> audio;   // with the first page only
  bool more = false;
  std::vector<output_ref> text;                              // none or one, with the first page only
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_page& x) {
  return f(x.plan, x.how, x.state, x.plan_complete, x.chunks_total, x.video, x.audio, x.more, x.text);
}
inline constexpr std::uint32_t output_page_chunks = 64;

class scheduler {
public:
  /// `generation` is greater than that of every scheduler that owned this shard before.
  explicit scheduler(scheduler_config config, std::uint32_t generation);

  // -- After a restart: all records, in any order, then `loaded`. Every lease gets one full ttl from `now`.
  void load(video_record record);
  void load(task_record record);
  void load(lease_record record);
  void load(scheduler_meta record);
  void loaded(instant now, decision& out);

  // -- Uploads
  /// At least once; the second time is ok and changes nothing. errc::limited: keep it and come again.
  /// None also for a video that was deleted a moment ago: it had been said before, and was held up on its way.
  [[nodiscard]] errc on_media_ready(const media_ready& event, instant now, decision& out);

  // -- Workers
  /// Answers how many tasks this worker could run beyond those it has been granted.
  std::uint32_t on_work_request(const work_request& request, instant now, std::uint64_t random, decision& out);
  /// The worker's link ended: a hint only. It gets no more work, its leases run out by themselves.
  void on_worker_lost(const node_name& worker);
  /// What waits and a worker with that engine could do now; counted up to batch_max.
  [[nodiscard]] std::uint32_t runnable_by(const engine_id& engine) const;
  /// fenced: the holder must drop the work.
  [[nodiscard]] errc on_renewal(const lease_renewal& renewal, instant now, decision& out);
  [[nodiscard]] errc on_plan_page(const plan_page& page, instant now, decision& out);
  [[nodiscard]] errc on_commit(const task_commit& commit, instant now, decision& out);
  [[nodiscard]] errc on_failure(const task_failure& failure, instant now, std::uint64_t random, decision& out);

  /// Whether it grants anything new; it does at first. What runs goes on.
  void grant_work(bool may) noexcept { grants_ = may; }

  // -- Storage
  /// `missing`: tasks whose output is not sealed, or is not what was committed; they are done again.
  void on_verified(video_id video, std::uint32_t job, const std::vector<task_id>& missing, instant now, decision& out);
  /// The blobs of a video that is being deleted are gone: so is the video.
  void on_video_removed(video_id video, instant now, decision& out);

  // -- Users
  [[nodiscard]] errc on_delete(video_id video, instant now, decision& out);
  [[nodiscard]] errc on_retry(video_id video, instant now, decision& out);

  /// Time passed: expires leases and grants what became due. Call at `next_due` at the latest.
  void on_tick(instant now, std::uint64_t random, decision& out);
  [[nodiscard]] instant next_due(instant now) const;

  /// Re-sends what must be answered by storage (verification, deletion) after its link came back.
  void on_storage_up(decision& out);

  // -- Views
  [[nodiscard]] bool knows(video_id video) const { return videos_.contains(video); }
  [[nodiscard]] expected<video_view> view(video_id video, instant now) const;
  /// Newest first, ids less than `before` (nil: from the newest).
  [[nodiscard]] std::vector<video_view> list(const std::string& tenant, video_id before, std::uint32_t limit, instant now) const;
  [[nodiscard]] expected<output_page> outputs(video_id video, std::uint32_t from_chunk) const;
  /// Of these blobs, those that are neither the source nor a committed output of the video; nil: of any video.
  [[nodiscard]] std::vector<blob_id> unreferenced(video_id video, const std::vector<blob_id>& blobs) const;

  struct counts {
    std::size_t videos = 0, leases = 0, pending_tasks = 0, workers = 0;
  };
  [[nodiscard]] counts count() const;

private:
  using task_key = std::pair<task_kind, std::uint32_t>;
  struct task_entry {
    task_record record;
    instant not_before;
    std::uint64_t done = 0;     // frames or samples, while leased
    std::uint32_t excused = 0;  // failures that were no attempt; the wait grows with them all the same
  };
  struct video_entry {
    video_record record;
    std::map<task_key, task_entry> tasks;
    std::set<task_key> pending;
    std::set<task_key> due;                                     // of pending: no back-off holds them
    std::set<std::pair<std::int64_t, std::uint32_t>> longest;   // of due, chunks only: minus frames, index
    engine_id counted_engine;                                   // under which `counted` of them are in due_
    std::size_t counted = 0;
    std::uint32_t leases = 0;
    // Sums over its tasks, so that no report has to go through them all.
    std::size_t committed = 0;          // tasks of all kinds
    std::uint64_t frames_committed = 0;
    std::uint32_t chunks_committed = 0;
    std::uint64_t frames_running = 0;   // done of leased chunks
    findings_sum found;
    instant encoding_since;
    std::uint16_t shown_mille = 0;
  };
  struct lease_entry {
    lease_record record;
    instant expires;
  };
  struct worker_entry {
    work_request what;
    std::uint32_t leases = 0;
    std::uint64_t order = 0;  // first come, first served
  };

  video_entry* find(video_id id);
  task_entry* leased_task(const task_id& id, epoch held);
  void write(const video_entry& v, decision& out) { out.writes.push_back(v.record); }
  void publish(video_entry& v, instant now, decision& out);
  void publish_progress(video_entry& v, instant now, decision& out);
  void move(video_entry& v, video_state to);
  void add_task(video_entry& v, task_id id, const chunk_plan& chunk, decision& out);
  void make_pending(video_entry& v, task_key key, instant now);
  void make_due(video_entry& v, task_key key);
  void take(video_entry& v, task_key key);
  void take_all(video_entry& v);
  void queue(video_entry& v, instant now);
  static void count_commit(video_entry& v, const task_entry& t);
  static void recount(video_entry& v);
  static void set_done(video_entry& v, task_entry& t, std::uint64_t done);
  void back_to_pending(video_entry& v, task_entry& t, std::string why, instant now, std::uint64_t random, decision& out);
  void end_lease(epoch held, decision& out);
  void end_lease_if_done(const lease_record& lease, decision& out);
  void fail(video_entry& v, errc code, std::string message, instant now, decision& out);
  void maybe_finish(video_entry& v, instant now, decision& out);
  void verify(const video_entry& v, decision& out) const;
  void start_removal(const video_entry& v, decision& out) const;
  void hand_out(instant now, decision& out);
  void grant(worker_entry& to, video_entry& v, instant now, decision& out);
  [[nodiscard]] static bool is_tail(const video_entry& v);
  [[nodiscard]] static std::optional<task_key> next_task(const video_entry& v);
  void set_slots(worker_entry& w, std::uint32_t slots, std::uint32_t leases);
  void set_expiry(epoch held, lease_entry& lease, instant when);
  void expire(epoch held, const std::string& why, instant now, std::uint64_t random, decision& out);
  /// Greater than every revision shown by an earlier generation, or by the gateway while the bytes came in.
  [[nodiscard]] std::uint64_t first_revision() const noexcept { return std::uint64_t{last_.generation} << 32; }
  [[nodiscard]] std::uint16_t progress_mille(const video_entry& v) const;
  [[nodiscard]] video_view make_view(const video_entry& v, instant now) const;

  scheduler_config config_;
  bool grants_ = true;
  epoch last_;
  std::map<video_id, video_entry> videos_;
  std::deque<std::pair<instant, video_id>> gone_;   // deleted a while ago: what is still on its way must not begin them anew
  ready_queue ready_;                               // videos that have something to grant
  std::map<engine_id, std::size_t> due_;            // tasks that may be granted now, by the engine of their video
  std::set<std::tuple<instant, video_id, task_key>> resting_;  // pending tasks that wait for their back-off
  std::size_t pending_ = 0;
  std::map<epoch, lease_entry> leases_;
  std::set<std::pair<instant, epoch>> expiries_;
  std::map<node_name, std::set<epoch>> leases_of_;  // by worker
  std::map<node_name, worker_entry> workers_;
  std::map<engine_id, std::set<std::pair<std::uint64_t, node_name>>> hungry_;  // workers with a slot free, by their order
  std::uint32_t free_slots_ = 0;
  std::uint64_t next_order_ = 0;
};

}  // namespace latham
