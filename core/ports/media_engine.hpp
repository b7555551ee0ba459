// The media engine: everything that touches a codec, as seen by a worker's slot. The production engine is a child
// process per slot (media/engine_client.hpp speaks its protocol); the simulation has a model of it. The engine never
// opens anything: it asks its host for ranges of the source and hands back pieces.
//
// One session runs one task. Sequence: start -> any number of on_read (answer each with `supply`), on_plan, on_piece,
// on_progress, on_chunk_done -> exactly one on_end. Listener calls come on the engine's thread, in order, and must not
// block. After `on_end` no call follows; destroying the session cancels it (its slot's child is replaced if needed).
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"
#include "core/model.hpp"
#include "core/output_blob.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace latham::ports {

inline constexpr std::uint32_t plan_page_chunks_max = 256;
inline constexpr std::uint32_t engine_read_bytes_max = 1 * 1024 * 1024;

enum class engine_task_kind : std::uint8_t { plan = 0, video = 1, audio = 2, text = 3 };  // text: all tracks of it

struct engine_task {
  engine_task_kind kind = engine_task_kind::plan;
  std::uint64_t source_bytes = 0;
  recipe how;
  source_plan plan;                  // all kinds but plan
  std::vector<chunk_plan> chunks;    // video: a run of consecutive chunks, encoded one after the other
  std::uint32_t audio_index = 0;     // audio: which of plan.audio
  friend bool operator==(const engine_task&, const engine_task&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, engine_task& x) {
  return f(x.kind, x.source_bytes, x.how, x.plan, x.chunks, x.audio_index);
}

/// Where one task's processor time went, in microseconds of the engine's own thread.
struct engine_usage {
  std::uint64_t demux_us = 0;
  std::uint64_t decode_us = 0;
  std::uint64_t scale_us = 0;
  std::uint64_t encode_us = 0;
  std::uint64_t mux_us = 0;
  std::uint64_t pipe_us = 0;   // to and from the host
  std::uint64_t other_us = 0;
  std::uint64_t wait_us = 0;   // not processor time: waiting for the host to answer a read
  friend bool operator==(const engine_usage&, const engine_usage&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, engine_usage& x) {
  return f(x.demux_us, x.decode_us, x.scale_us, x.encode_us, x.mux_us, x.pipe_us, x.other_us, x.wait_us);
}

class engine_listener {
public:
  virtual ~engine_listener() = default;
  /// The engine waits for these bytes: answer with session.supply(read, ...). At most one is open at a time.
  virtual void on_read(std::uint64_t read, std::uint64_t offset, std::uint32_t bytes) = 0;
  /// Plan task: the header comes with the first page (first_chunk == 0) and may be refined with the last (`complete`).
  virtual void on_plan(source_plan plan, std::uint32_t first_chunk, std::vector<chunk_plan> chunks, bool complete) = 0;
  /// A finished piece of chunk `chunk` (0 for audio and text).
  virtual void on_piece(std::uint32_t chunk, output_piece piece) = 0;
  /// All pieces of `chunk` were delivered, and this is what decoding showed of the source.
  virtual void on_chunk_done(std::uint32_t chunk, const findings& found) = 0;
  /// Output frames (video) or samples (audio) finished since start; at most five times a second.
  virtual void on_progress(std::uint64_t done) = 0;
  /// Comes just before the end of a task that was worked on; for measuring, so nobody has to listen.
  virtual void on_usage(const engine_usage&) {}
  /// The end. Errors: unsupported, unprocessable, too_large (the input's fault: do not retry), crashed, timeout (retry).
  virtual void on_end(expected<void> result) = 0;
};

class engine_session {
public:
  virtual ~engine_session() = default;
  /// Answers a read; an error ends the task with it. Shorter than asked only at the end of the source. Any thread.
  virtual void supply(std::uint64_t read, expected<buffer> bytes) = 0;
};

class media_engine {
public:
  virtual ~media_engine() = default;
  [[nodiscard]] virtual engine_id id() const = 0;
  /// Runs `task` on slot `slot` (0-based; one session per slot at a time). The listener is kept until on_end.
  [[nodiscard]] virtual std::unique_ptr<engine_session> start(std::uint32_t slot, engine_task task, std::shared_ptr<engine_listener> listener) = 0;
};

}  // namespace latham::ports
