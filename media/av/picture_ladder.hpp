// One decoded picture in, the same picture at every rung's size out.
//
// Lanczos (bicubic into the smallest), and a cascade: each rung is scaled from the next larger one, which costs a quarter less
// than scaling all of them from the source and looks better. Rotation happens once, on the largest rung, and so does tone
// mapping. Whatever the source changes to in its middle (size, shape of its pixels, format, range) is fitted into the same
// rungs: the plan's geometry holds for the whole video, and what is of another shape than its first picture gets black bars.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/handles.hpp"
#include "media/av/rung_encoder.hpp"
#include "media/av/tone_mapper.hpp"

#include <cstdint>
#include <memory>
#include <vector>

namespace latham::media {

class picture_ladder {
public:
  /// `stream` is the planned one, `tags` are the output's.
  picture_ladder(const source_plan& plan, const AVStream& stream, const colour& tags);

  /// Scales `source` to every rung. The pictures hold until the next call.
  [[nodiscard]] expected<void> show(const AVFrame& source);

  /// Picture of plan.rungs[i]: yuv420p, limited range, no side data.
  [[nodiscard]] const AVFrame& picture(std::size_t i) const { return *steps_[i].picture; }

  /// The picture shown last is of another shape than the first one, and stands between bars.
  [[nodiscard]] bool has_bars() const noexcept { return bars_; }

private:
  struct size {
    int width = 0;
    int height = 0;
  };

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

  /// What `source` takes of a picture of `box`, before it is turned.
  [[nodiscard]] size fitted(const AVFrame& source, size box) const;
  expected<void> place(step& to, const AVFrame& source);
  expected<void> scale(step& to, const AVFrame& from);
  [[nodiscard]] static expected<void> make_room(step& to);

  const std::uint32_t rotation_;
  const AVColorSpace matrix_;
  const size first_;          // the first picture's
  const AVRational first_pixel_;
  std::unique_ptr<tone_mapper> tones_;
  std::vector<step> steps_;  // as plan.rungs
  step upright_;             // the largest rung before it is rotated
  step inner_;               // what stands between bars
  bool bars_ = false;
};

}  // namespace latham::media
