#include "media/av/tone_mapper.hpp"

extern "C" {
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cstring>
#include <string>

namespace latham::media {

namespace {

// Even, as halves of the lines have colour; the margin is far more than filters of colours reach.
constexpr int band_rows = 288;
constexpr int margin_rows = 16;

template <class T>
const T* side_data_of(const AVStream& stream, AVPacketSideDataType type) {
#if LIBAVCODEC_VERSION_MAJOR >= 61
  const auto* side = av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, type);
  return side && side->size >= sizeof(T) ? reinterpret_cast<const T*>(side->data) : nullptr;
#else
  std::size_t size = 0;
  const auto* data = av_stream_get_side_data(&stream, type, &size);
  return data && size >= sizeof(T) ? reinterpret_cast<const T*>(data) : nullptr;
#endif
}

double peak_of(const AVStream& stream) {
  double peak = 0;
  if (const auto* light = side_data_of<AVContentLightMetadata>(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL)) peak = light->MaxCLL / 100.0;
  const auto* display = side_data_of<AVMasteringDisplayMetadata>(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA);
  if (peak <= 0 && display && display->has_luminance && display->max_luminance.den > 0) peak = av_q2d(display->max_luminance) / 100;
  return peak >= 1 && peak <= 100 ? peak : 0;  // PQ ends at 10 000 cd/m2
}

}  // namespace

bool is_high_dynamic_range(const AVCodecParameters& stream) {
  return stream.color_trc == AVCOL_TRC_SMPTE2084 || stream.color_trc == AVCOL_TRC_ARIB_STD_B67;
}

tone_mapper::tone_mapper(const AVStream& stream) : transfer_{stream.codecpar->color_trc}, peak_{peak_of(stream)} {}

expected<const AVFrame*> tone_mapper::map(const AVFrame& source, int width, int height) {
  if (!mapped_->buf[0] || width_ != width || height_ != height || av_frame_is_writable(mapped_.get()) == 0) {
    av_frame_unref(mapped_.get());
    mapped_->width = width_ = width;
    mapped_->height = height_ = height;
    mapped_->format = AV_PIX_FMT_YUV420P;
    mapped_->color_range = AVCOL_RANGE_MPEG;
    if (const int r = av_frame_get_buffer(mapped_.get(), 0); r < 0) return av_error("allocate a picture", r);
    scaler_.reset();
  }
  if (auto ok = scale(source); !ok) return std::move(ok).error();
  // All bands are of one height, because another height is another filter: the last one overlaps more.
  const int rows = std::min(height, band_rows);
  for (int from = 0; from < height;) {
    const int top = std::clamp(from - margin_rows, 0, height - rows);
    if (auto ok = map_band(top, rows, from); !ok) return std::move(ok).error();
    from = top + rows >= height ? height : top + rows - margin_rows;
  }
  return mapped_.get();
}

/// Makes scaled_: `source` in its own format and the wanted size, with all that must be known of its colours.
expected<void> tone_mapper::scale(const AVFrame& source) {
  av_frame_unref(scaled_.get());
  if (source.width == width_ && source.height == height_) {
    if (const int r = av_frame_ref(scaled_.get(), &source); r < 0) return av_error("hold a picture", r);
  } else {
    if (!scaler_ || !scaler_->fits(source)) {
      auto opened = picture_filter::open("scale=w=" + std::to_string(width_) + ":h=" + std::to_string(height_) +
                                           ":flags=lanczos+accurate_rnd+bitexact,format=" +
                                           av_get_pix_fmt_name(static_cast<AVPixelFormat>(source.format)),
                                         source);
      if (!opened) return std::move(opened).error();
      scaler_ = std::move(opened).value();
    }
    if (auto ok = scaler_->put(source); !ok) return ok;
    auto taken = scaler_->take(*scaled_);
    if (!taken) return std::move(taken).error();
    if (!*taken) return {errc::internal, "the scaler kept a picture for itself"};
  }
  // The stream's word holds for all of its pictures; what nobody says is what goes with it.
  scaled_->color_trc = transfer_;
  if (scaled_->color_primaries == AVCOL_PRI_UNSPECIFIED) scaled_->color_primaries = AVCOL_PRI_BT2020;
  if (scaled_->colorspace == AVCOL_SPC_UNSPECIFIED) scaled_->colorspace = AVCOL_SPC_BT2020_NCL;
  if (scaled_->color_range == AVCOL_RANGE_UNSPECIFIED) scaled_->color_range = AVCOL_RANGE_MPEG;
  return {};
}

/// Maps `rows` lines from `top` on and keeps those from `from` on, but for the margin below where the picture goes on.
expected<void> tone_mapper::map_band(int top, int rows, int from) {
  av_frame_unref(band_.get());
  if (const int r = av_frame_ref(band_.get(), scaled_.get()); r < 0) return av_error("hold a picture", r);
  band_->crop_top = static_cast<std::size_t>(top);
  band_->crop_bottom = static_cast<std::size_t>(height_ - top - rows);
  if (const int r = av_frame_apply_cropping(band_.get(), AV_FRAME_CROP_UNALIGNED); r < 0) return av_error("cut a picture", r);
  const auto mapped = [&]() -> expected<bool> {
    if (!mapper_ || !mapper_->fits(*band_)) {
      // agamma=0: the exact curves. The quick ones of zimg end where this light does not, and each instruction set has its own:
      // with AVX-512 strong colours came out visibly darker than elsewhere. It costs 70 ms for a picture of 1080p.
      std::string chain = "zscale=t=linear:npl=100:p=bt709:agamma=0,format=gbrpf32le,tonemap=tonemap=hable:desat=0";
      if (peak_ > 0) chain += ":peak=" + std::to_string(peak_);
      chain += ",zscale=t=bt709:m=bt709:r=tv:agamma=0,format=yuv420p";
      auto opened = picture_filter::open(chain, *band_);
      if (!opened) return std::move(opened).error();
      mapper_ = std::move(opened).value();
    }
    if (auto ok = mapper_->put(*band_); !ok) return std::move(ok).error();
    return mapper_->take(*mapped_band_);
  }();
  if (!mapped || !*mapped || mapped_band_->width != width_ || mapped_band_->height != rows)
    return {errc::unprocessable, "The colours of the picture cannot be converted: convert the file to SDR first."};
  const int until = top + rows == height_ ? height_ : top + rows - margin_rows;
  for (int plane = 0; plane < 3; ++plane) {
    const int shift = plane == 0 ? 0 : 1;
    for (int y = from >> shift; y < until >> shift; ++y)
      std::memcpy(mapped_->data[plane] + static_cast<std::ptrdiff_t>(y) * mapped_->linesize[plane],
                  mapped_band_->data[plane] + static_cast<std::ptrdiff_t>(y - (top >> shift)) * mapped_band_->linesize[plane],
                  static_cast<std::size_t>(width_ >> shift));
  }
  return {};
}

}  // namespace latham::media
