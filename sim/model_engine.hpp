// A model of the media engine: it reads the source as the real one would, takes virtual time for every chunk, and makes
// outputs that are a function of (source, recipe, task) and of nothing else. It says nothing about codecs; those are
// tested with the real library in tests/integration/media.
#pragma once

#include "core/ports/media_engine.hpp"
#include "sim/events.hpp"
#include "sim/ledger.hpp"

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace latham::sim {

struct model_video {
  std::uint32_t chunks = 6;
  std::uint32_t segments_per_chunk = 3;
  std::uint32_t segment_frames = 48;
  std::uint32_t rungs = 3;
  std::uint32_t audio_tracks = 1;
  std::uint32_t text_tracks = 0;   // of subtitles; some have no words, which is found out by their task
  std::uint32_t poison = 0;  // 1: the codec crashes on it every time
};

inline constexpr std::size_t model_source_bytes_min = 64;

/// What one look at the source finds.
[[nodiscard]] source_plan model_plan(const model_video& video);
[[nodiscard]] std::vector<chunk_plan> model_chunks(const model_video& video);

/// A source that the engine understands: the model in its first bytes, then bytes made from `seed`.
[[nodiscard]] std::string make_source(const model_video& video, std::uint64_t seed, std::size_t bytes);

/// Of one release of the model, and of the one after it: other bytes of everything but the init segments.
inline constexpr const char* model_engine_before = "model-1";
inline constexpr const char* model_engine_after = "model-2";

/// The pieces of one task, as every worker with that engine must make them.
[[nodiscard]] std::vector<output_piece> model_pieces(const model_video& video, std::uint64_t seed, const engine_id& engine, ports::engine_task_kind kind, std::uint32_t index);

/// Whether a track of subtitles has anything that could be shown. All of them are one task, which makes a piece of each that has.
[[nodiscard]] bool model_text_has_words(std::uint64_t seed, std::uint32_t track);

/// What each engine must find in the source by the same task: damage in some of them.
[[nodiscard]] findings model_findings(const model_video& video, std::uint64_t seed, ports::engine_task_kind kind, std::uint32_t index);

/// What befalls the codec children of one node. Chances are of a thousand chunks.
struct engine_trouble {
  std::int64_t crash_mille = 0;
  std::size_t crash_fault = ledger::no_fault;
  std::int64_t hang_mille = 0;   // no sign of life any more
  std::size_t hang_fault = ledger::no_fault;
  std::int64_t slower = 1;
  std::size_t slow_fault = ledger::no_fault;
};

/// What the model of one node's engine needs of its world.
struct engine_world {
  events* time = nullptr;
  /// Runs the closure after the wait unless the node has died by then.
  std::function<void(nanoseconds, std::function<void()>)> later;
  const engine_trouble* trouble = nullptr;      // outlives the node
  std::function<void(std::size_t fault)> bites;
  nanoseconds per_chunk{seconds{1}};            // of one rung of average complexity
  engine_id engine = model_engine_before;
};

[[nodiscard]] std::unique_ptr<ports::media_engine> make_model_engine(engine_world world);

}  // namespace latham::sim
