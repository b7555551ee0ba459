// High dynamic range (PQ, HLG) in, BT.709 for ordinary screens out: zscale to linear light, BT.2020 to BT.709, Hable's curve.
//
// All of it in floating point and once per picture, at the size of the largest rung, because it costs more than anything else
// that is done to a picture. A size is changed before light is made linear, as a scaler without colours would. The picture is
// mapped in bands that overlap by more lines than any filter of colours looks at: in one piece a 2160p picture's intermediate
// ones would not fit into a codec process. How bright white may be is taken from the container, then from the picture's own
// metadata, then 1000 cd/m2 is meant.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"
#include "media/av/picture_filter.hpp"
#include "media/av/rung_encoder.hpp"

#include <memory>

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
  expected<void> scale(const AVFrame& source);
  expected<void> map_band(int top, int rows, int from);

  const AVColorTransferCharacteristic transfer_;
  double peak_ = 0;  // in units of 100 cd/m2; 0 leaves it to the picture
  int width_ = 0;
  int height_ = 0;
  std::unique_ptr<picture_filter> scaler_;  // to width_ x height_
  std::unique_ptr<picture_filter> mapper_;  // of bands
  av_frame scaled_ = make_frame_handle();
  av_frame band_ = make_frame_handle();
  av_frame mapped_band_ = make_frame_handle();
  av_frame mapped_ = make_frame_handle();
};

}  // namespace latham::media
