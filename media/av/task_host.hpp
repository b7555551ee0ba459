// What a task sees of the world: ranges of its source come in, plan pages and pieces go out. In the codec child this is the
// channel to the parent; in tests it is a file in memory. Calls block until they are done; an error of any of them means
// that nobody waits for the task any more, or that the source cannot be had, and ends the task with it.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "core/output_blob.hpp"
#include "media/av/stage_clock.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace latham::media {

class task_host {
public:
  virtual ~task_host() = default;
  /// Fills `into` (at most ports::engine_read_bytes_max) from `offset`; returns how many bytes, less only at the end.
  [[nodiscard]] virtual expected<std::size_t> read(std::uint64_t offset, std::span<std::uint8_t> into) = 0;
  [[nodiscard]] virtual expected<void> plan(const source_plan& plan, std::uint32_t first_chunk, std::vector<chunk_plan> chunks,
                                            bool complete) = 0;
  /// `bytes` are only lent.
  [[nodiscard]] virtual expected<void> piece(std::uint32_t chunk, track_kind kind, std::uint8_t rendition, std::uint32_t segment,
                                             std::uint32_t duration, std::string_view bytes) = 0;
  [[nodiscard]] virtual expected<void> chunk_done(std::uint32_t chunk, const findings& found) = 0;
  /// May be called for every frame; the host thins it out.
  [[nodiscard]] virtual expected<void> progress(std::uint64_t done) = 0;

  /// The stages of the task charge their time here.
  stage_clock clock;
};

}  // namespace latham::media
