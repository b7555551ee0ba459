// The JPEGs of a chunk: its sheet of storyboard tiles and, in one chunk of the video, the poster. Made from pictures that
// were decoded and scaled for the ladder anyway. core/manifest/storyboard.hpp says what is on them.
//
// JPEG means full range and the matrix of BT.601 (JFIF 1.02), whatever the video is in.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/handles.hpp"
#include "media/av/picture_ladder.hpp"
#include "media/av/task_host.hpp"

#include <cstdint>
#include <string>

namespace latham::media {

class still_pictures {
public:
  /// All arguments outlive this.
  still_pictures(task_host& host, const source_plan& plan, const chunk_plan& chunk, const colour& tags);

  /// Frame `n` of the output grid is what `pictures` shows. Frames come in order.
  [[nodiscard]] expected<void> take(const picture_ladder& pictures, std::uint64_t n);

  /// Hands the sheet over.
  [[nodiscard]] expected<void> finish();

private:
  /// Scales `from` into `to`, a full-range picture, `left` pixels from its left side.
  expected<void> draw(const AVFrame& from, AVFrame& to, std::uint32_t left, std::uint32_t width, std::uint32_t height) const;

  task_host& host_;
  const source_plan& plan_;
  const chunk_plan& chunk_;
  const AVColorSpace matrix_;
  av_frame sheet_;
};

}  // namespace latham::media
