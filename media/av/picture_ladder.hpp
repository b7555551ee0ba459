// One decoded picture in, the same picture at every rung's size out.
//
// Lanczos, and a cascade: each rung is scaled from the next larger one, which costs a quarter less than scaling all of them
// from the source and looks better. Rotation happens once, on the largest rung. Whatever the source changes to in its
// middle (size, format, range) is scaled to the same rungs: the plan's geometry holds for the whole video.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/handles.hpp"
#include "media/av/rung_encoder.hpp"

#include <cstdint>
#include <vector>

namespace latham::media {

class picture_ladder {
public:
  picture_ladder(const source_plan& plan, const colour& tags);

  /// Scales `source` to every rung. The pictures hold until the next call.
  [[nodiscard]] expected<void> show(const AVFrame& source);

  /// Picture of plan.rungs[i]: yuv420p, limited range, no side data.
  [[nodiscard]] const AVFrame& picture(std::size_t i) const { return *steps_[i].picture; }

private:
  struct step {
    int width = 0;
    int height = 0;
    av_frame picture;
    av_scaler scaler;
    int source_width = 0;
    int source_height = 0;
    int source_format = -1;
    int source_range = -1;
  };

  expected<void> scale(step& to, const AVFrame& from);
  [[nodiscard]] static expected<void> make_room(step& to);

  const std::uint32_t rotation_;
  const AVColorSpace matrix_;
  std::vector<step> steps_;  // as plan.rungs
  step upright_;             // the largest rung before it is rotated
};

}  // namespace latham::media
