// What one engine task may cost at the very most, so that a file that makes a decoder spin, or a child that was taken over
// and only pretends to work, holds a slot for a time that somebody chose.
//
// The figures are many times what work of that size costs on a slow machine: a task that reaches them is not slow but stuck.
// They follow from the task alone. Whoever gives a task out enforces them: processor seconds by a limit on the child, the
// whole time by the clock of the slot, bytes of output by both who reads them from the child and who keeps them: they are in
// the node's memory until they are stored.
#pragma once

#include "core/ports/media_engine.hpp"
#include "core/units.hpp"

#include <cstdint>

namespace latham {

struct task_budget {
  std::uint32_t cpu_s = 0;  // processor seconds of the child: 60 to 86,400
  seconds whole{0};         // from start to end by the clock, waiting for bytes included
  std::uint64_t output_bytes = 0;  // of all it brings: pages of a plan, pieces of chunks
  friend bool operator==(const task_budget&, const task_budget&) = default;
};

/// Total for any task, also one that would not pass the engine's validate().
[[nodiscard]] task_budget budget_of(const ports::engine_task& task);

/// What one chunk (task.chunks[chunk]; of a task of another kind, all of its output) may weigh, in bytes. Encoders are capped
/// by bit rate, so what honest ones make of the worst picture or sound stays well below. Total like budget_of.
[[nodiscard]] std::uint64_t chunk_bytes_max(const ports::engine_task& task, std::size_t chunk);

/// Of one track of text as a WebVTT file: media/text_cues.hpp has the limits of its words, which this has room for.
inline constexpr std::uint64_t text_file_bytes_max = 24 * mib;

/// Chunks of a plan at most: no chunk is shorter than a segment, no source longer than a day.
[[nodiscard]] std::uint64_t plan_chunks_max(const recipe& how);

}  // namespace latham
