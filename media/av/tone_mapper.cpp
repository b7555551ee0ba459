#include "media/av/tone_mapper.hpp"

extern "C" {
#include <libavutil/mastering_display_metadata.h>
}

#include <cmath>
#include <string>

namespace latham::media {

namespace {

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
  av_frame_unref(given_.get());
  if (const int r = av_frame_ref(given_.get(), &source); r < 0) return av_error("hold a picture", r);
  // The stream's word holds for all of its pictures; what nobody says is what goes with it.
  given_->color_trc = transfer_;
  if (given_->color_primaries == AVCOL_PRI_UNSPECIFIED) given_->color_primaries = AVCOL_PRI_BT2020;
  if (given_->colorspace == AVCOL_SPC_UNSPECIFIED) given_->colorspace = AVCOL_SPC_BT2020_NCL;
  if (given_->color_range == AVCOL_RANGE_UNSPECIFIED) given_->color_range = AVCOL_RANGE_MPEG;
  if (!filter_ || width_ != width || height_ != height || !filter_->fits(*given_)) {
    width_ = width;
    height_ = height;
    std::string chain;
    int from_width = source.width, from_height = source.height;
    if (from_width % 2 != 0 || from_height % 2 != 0) {  // zscale refuses half a sample of colour
      from_width -= from_width % 2;
      from_height -= from_height % 2;
      chain += "crop=" + std::to_string(from_width) + ":" + std::to_string(from_height) + ":0:0:exact=1,";
    }
    chain += "zscale=t=linear:npl=100";
    if (width != from_width || height != from_height)
      chain += ":f=lanczos:w=" + std::to_string(width) + ":h=" + std::to_string(height);
    chain += ",format=gbrpf32le,zscale=p=bt709,tonemap=tonemap=hable:desat=0";
    if (peak_ > 0) chain += ":peak=" + std::to_string(std::lround(peak_));
    chain += ",zscale=t=bt709:m=bt709:r=tv,format=yuv420p";
    auto opened = picture_filter::open(chain, *given_);
    if (!opened) return std::move(opened).error();
    filter_ = std::move(opened).value();
  }
  auto mapped = [&]() -> expected<bool> {
    if (auto ok = filter_->put(*given_); !ok) return std::move(ok).error();
    return filter_->take(*mapped_);
  }();
  if (!mapped || !*mapped || mapped_->width != width || mapped_->height != height)
    return {errc::unprocessable, "The colours of the picture cannot be converted: convert the file to SDR first."};
  return mapped_.get();
}

}  // namespace latham::media
