// What the scheduler knows and persists. One writer per video: the scheduler of its home shard. store/scheduler_records
// gives each a key; the payload is `inspect` inside a checksummed envelope (core/codec.hpp). Golden bytes are tested.
#pragma once

#include "core/cluster/shard_claim.hpp"
#include "core/expected.hpp"
#include "core/model.hpp"
#include "core/ports/media_engine.hpp"

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace latham {

using task_kind = ports::engine_task_kind;
[[nodiscard]] std::string_view to_string(task_kind kind) noexcept;

/// One unit of work: the plan (index 0), chunk `index` of the video track, audio track `index`, or
/// all tracks of text (index 0).
struct task_id {
  video_id video;
  task_kind kind = task_kind::plan;
  std::uint32_t index = 0;
  friend auto operator<=>(const task_id&, const task_id&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_id& x) {
  return f(x.video, x.kind, x.index);
}
[[nodiscard]] std::string to_string(const task_id& id);

/// An uploaded source: sealed, immutable, readable at `store`.
struct source_ref {
  blob_id blob;
  node_name store;
  std::uint64_t bytes = 0;
  sha256_digest digest;
  friend bool operator==(const source_ref&, const source_ref&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, source_ref& x) {
  return f(x.blob, x.store, x.bytes, x.digest);
}

/// What storage tells the scheduler, at least once, when an upload is complete (its outbox entry).
struct media_ready {
  video_id video;
  std::string tenant;
  std::string title;
  std::int64_t created_ms = 0;
  priority_class priority = priority_class::normal;
  recipe how;
  source_ref source;
  friend bool operator==(const media_ready&, const media_ready&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, media_ready& x) {
  return f(x.video, x.tenant, x.title, x.created_ms, x.priority, x.how, x.source);
}

struct video_record {
  static constexpr std::uint8_t record_format = 5;  // 2: shifts of time; 3: rates of sound; 4: tracks of text; 5: a part of the source, tenths of CRF

  media_ready request;
  video_state state = video_state::queued;
  std::uint64_t revision = 0;
  std::uint32_t job = 1;            // grows with each retry by hand
  std::string engine;               // frozen when planned
  source_plan plan;                 // valid when plan_known
  bool plan_known = false;
  bool plan_complete = false;
  std::uint32_t chunks = 0;         // planned so far
  errc error_code = errc::none;     // when failed
  std::string error_message;
  friend bool operator==(const video_record&, const video_record&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, video_record& x) {
  return f(x.request, x.state, x.revision, x.job, x.engine, x.plan, x.plan_known, x.plan_complete, x.chunks, x.error_code, x.error_message);
}

enum class task_state : std::uint8_t { pending = 0, leased = 1, committed = 2 };

struct task_record {
  static constexpr std::uint8_t record_format = 2;  // 2: findings

  task_id id;
  task_state state = task_state::pending;
  chunk_plan chunk;                 // video tasks
  std::uint32_t attempts = 0;       // counted at grant: an input that kills its worker never completes
  epoch held;                       // of the newest grant; commits under any other are fenced
  std::string last_error;
  output_ref output;                // committed tasks of all kinds but plan
  findings found;                   // of the same
  friend bool operator==(const task_record&, const task_record&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, task_record& x) {
  return f(x.id, x.state, x.chunk, x.attempts, x.held, x.last_error, x.output, x.found);
}

/// A run of consecutive tasks of one kind, granted to one worker.
struct lease_record {
  static constexpr std::uint8_t record_format = 1;

  epoch held;                       // also its key
  video_id video;
  task_kind kind = task_kind::plan;
  std::uint32_t first = 0;
  std::uint32_t count = 0;
  node_name worker;
  std::uint64_t incarnation = 0;    // of the worker's process
  friend bool operator==(const lease_record&, const lease_record&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, lease_record& x) {
  return f(x.held, x.video, x.kind, x.first, x.count, x.worker, x.incarnation);
}

struct scheduler_meta {
  static constexpr std::uint8_t record_format = 1;

  epoch last;                       // the newest epoch that was ever granted
  friend bool operator==(const scheduler_meta&, const scheduler_meta&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, scheduler_meta& x) {
  return f(x.last);
}

/// A shard that another scheduler gave away, whole, and that is not owned yet.
struct shard_adoption {
  static constexpr std::uint8_t record_format = 1;

  std::uint16_t shard = 0;
  predecessor giver;                // if a later life of it went on, these records are old
  std::uint32_t attempt = 0;        // of that life to give it away
  friend bool operator==(const shard_adoption&, const shard_adoption&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, shard_adoption& x) {
  return f(x.shard, x.giver, x.attempt);
}

/// A storage node that told this scheduler of all its uploads since the scheduler's disk was new. One that is not known is
/// asked to announce everything again: that is how a scheduler that lost its disk gets its jobs back.
struct storage_known {
  static constexpr std::uint8_t record_format = 1;

  node_name storage;
  friend bool operator==(const storage_known&, const storage_known&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, storage_known& x) {
  return f(x.storage);
}

struct erase_video {
  video_id video;  // the video, all its tasks
  std::uint32_t chunks = 0;
  std::uint32_t audio = 0;
  std::uint32_t text = 0;   // tasks: one or none
};
struct erase_lease {
  epoch held;
};

using scheduler_write = std::variant<video_record, task_record, lease_record, scheduler_meta, erase_video, erase_lease>;

}  // namespace latham
