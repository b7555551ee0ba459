// High dynamic range (PQ, HLG) in, BT.709 for ordinary screens out: see media/tone_curves.hpp for how.
//
// Once per picture, at the size of the largest rung: libswscale brings it to that size and to 4:4:4, the curves are applied,
// and libswscale takes colours to half the raster again. How bright white may be is taken from the container, then from the
// picture's own metadata, then 1000 cd/m2 is meant.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"
#include "media/av/picture_filter.hpp"
#include "media/av/rung_encoder.hpp"
#include "media/tone_curves.hpp"

#include <memory>
#include <optional>

namespace latham::media {

/// The stream is PQ or HLG.
[[nodiscard]] bool is_high_dynamic_range(const AVCodecParameters& stream);

/// What the samples mean after mapping.
[[nodiscard]] constexpr colour tone_mapped_colour() { return {AVCOL_SPC_BT709, AVCOL_PRI_BT709, AVCOL_TRC_BT709}; }

class tone_mapper {
public:
  explicit tone_mapper(const AVStream& stream);

  /// `source` as yuv420p of width x height (even), limited range. The picture holds until the next call. Fails with
  /// errc::unprocessable for colours that cannot be converted.
  [[nodiscard]] expected<const AVFrame*> map(const AVFrame& source, int width, int height);

private:
  const AVColorTransferCharacteristic transfer_;
  double peak_ = 0;  // in units of 100 cd/m2; 0 leaves it to the picture
  int width_ = 0;
  int height_ = 0;
  std::optional<tone_curves> curves_;
  std::unique_ptr<picture_filter> scaler_;   // to width_ x height_
  std::unique_ptr<picture_filter> widener_;  // to 4:4:4
  std::unique_ptr<picture_filter> halver_;   // to 4:2:0
  av_frame sized_ = make_frame_handle();
  av_frame wide_ = make_frame_handle();
  av_frame full_ = make_frame_handle();
  av_frame mapped_ = make_frame_handle();
};

}  // namespace latham::media
