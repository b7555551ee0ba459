#include "media/av/tone_mapper.hpp"

extern "C" {
#include <libavutil/mastering_display_metadata.h>
#include <libavutil/pixdesc.h>
}

#include <optional>
#include <string>

namespace latham::media {

namespace {

// libswscale only changes the raster of colours here; what they mean is changed between the two.
constexpr const char* exact = "+accurate_rnd+bitexact+full_chroma_int";
constexpr const char* left = "_h_chr_pos=0:";    // where BT.709 has its colours: above each other, at the left of their two columns,
constexpr const char* middle = "_v_chr_pos=128"; // between their two lines

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

template <class T>
const T* side_data_of(const AVFrame& picture, AVFrameSideDataType type) {
  const auto* side = av_frame_get_side_data(&picture, type);
  return side && side->size >= sizeof(T) ? reinterpret_cast<const T*>(side->data) : nullptr;
}

/// In units of 100 cd/m2; 0 when neither says anything that can be.
double peak_of(const AVContentLightMetadata* light, const AVMasteringDisplayMetadata* display) {
  double peak = light ? light->MaxCLL / 100.0 : 0;
  if (peak <= 0 && display && display->has_luminance && display->max_luminance.den > 0) peak = av_q2d(display->max_luminance) / 100;
  return peak >= 1 && peak <= 100 ? peak : 0;  // PQ ends at 10 000 cd/m2
}

double peak_of(const AVStream& stream) {
  return peak_of(side_data_of<AVContentLightMetadata>(stream, AV_PKT_DATA_CONTENT_LIGHT_LEVEL),
                 side_data_of<AVMasteringDisplayMetadata>(stream, AV_PKT_DATA_MASTERING_DISPLAY_METADATA));
}

double peak_of(const AVFrame& picture) {
  return peak_of(side_data_of<AVContentLightMetadata>(picture, AV_FRAME_DATA_CONTENT_LIGHT_LEVEL),
                 side_data_of<AVMasteringDisplayMetadata>(picture, AV_FRAME_DATA_MASTERING_DISPLAY_METADATA));
}

/// Its samples are R, G and B, whatever its colour space says.
bool is_rgb(const AVFrame& picture) {
  const auto* about = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(picture.format));
  return about && (about->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
}

/// How far the samples reach, said to libswscale on both sides: left alone it makes full range limited at one time and not at another.
const char* range_of(const AVFrame& picture) { return picture.color_range == AVCOL_RANGE_JPEG && !is_rgb(picture) ? "pc" : "tv"; }

/// The stream's word on the transfer holds for all of its pictures; what nobody says is what goes with it. Nothing for what
/// cannot be converted.
std::optional<hdr_colour> colour_of(const AVFrame& picture, AVColorTransferCharacteristic transfer) {
  hdr_colour out;
  out.transfer = transfer == AVCOL_TRC_ARIB_STD_B67 ? hdr_transfer::hlg : hdr_transfer::pq;
  switch (picture.color_primaries) {
    case AVCOL_PRI_UNSPECIFIED:
    case AVCOL_PRI_BT2020: out.primaries = hdr_primaries::bt2020; break;
    case AVCOL_PRI_SMPTE432: out.primaries = hdr_primaries::display_p3; break;
    case AVCOL_PRI_SMPTE431: out.primaries = hdr_primaries::dci_p3; break;
    case AVCOL_PRI_BT709: out.primaries = hdr_primaries::bt709; break;
    default: return std::nullopt;
  }
  switch (is_rgb(picture) ? AVCOL_SPC_BT2020_NCL : picture.colorspace) {  // R'G'B' is made Y'CbCr of BT.2020 on the way
    case AVCOL_SPC_UNSPECIFIED:
    case AVCOL_SPC_BT2020_NCL: out.matrix = hdr_matrix::bt2020; break;
    case AVCOL_SPC_BT709: out.matrix = hdr_matrix::bt709; break;
    case AVCOL_SPC_BT470BG:
    case AVCOL_SPC_SMPTE170M: out.matrix = hdr_matrix::bt601; break;
    default: return std::nullopt;
  }
  return out;
}

/// Where the colours of `picture` are, as libswscale wants to be told.
std::string chroma_position(const AVFrame& picture) {
  switch (picture.chroma_location) {
    case AVCHROMA_LOC_TOPLEFT: return "in_h_chr_pos=0:in_v_chr_pos=0";
    case AVCHROMA_LOC_CENTER: return "in_h_chr_pos=128:in_v_chr_pos=128";
    case AVCHROMA_LOC_TOP: return "in_h_chr_pos=128:in_v_chr_pos=0";
    default: return std::string{"in"} + left + "in" + middle;
  }
}

expected<void> through(std::unique_ptr<picture_filter>& filter, const std::string& chain, const AVFrame& from, AVFrame& into) {
  av_frame_unref(&into);
  if (!filter || !filter->fits(from)) {
    auto opened = picture_filter::open(chain, from);
    if (!opened) return std::move(opened).error();
    filter = std::move(opened).value();
  }
  if (auto ok = filter->put(from); !ok) return ok;
  auto taken = filter->take(into);
  if (!taken) return std::move(taken).error();
  if (!*taken) return {errc::internal, "the scaler kept a picture for itself"};
  return {};
}

}  // namespace

bool is_high_dynamic_range(const AVCodecParameters& stream) {
  return stream.color_trc == AVCOL_TRC_SMPTE2084 || stream.color_trc == AVCOL_TRC_ARIB_STD_B67;
}

tone_mapper::tone_mapper(const AVStream& stream) : transfer_{stream.codecpar->color_trc}, peak_{peak_of(stream)} {}

expected<const AVFrame*> tone_mapper::map(const AVFrame& source, int width, int height) {
  const auto colour = colour_of(source, transfer_);
  if (!colour) return {errc::unprocessable, "The colours of the picture cannot be converted: convert the file to SDR first."};
  if (!curves_ || curves_->source() != *colour) curves_.emplace(*colour);
  const bool resized = width_ != width || height_ != height;
  if (!full_->buf[0] || resized || av_frame_is_writable(full_.get()) == 0) {
    av_frame_unref(full_.get());
    full_->width = width_ = width;
    full_->height = height_ = height;
    full_->format = AV_PIX_FMT_YUV444P;
    full_->color_range = AVCOL_RANGE_MPEG;
    full_->colorspace = AVCOL_SPC_BT709;
    if (const int r = av_frame_get_buffer(full_.get(), 0); r < 0) return av_error("allocate a picture", r);
    if (resized) scaler_.reset();
  }
  const AVFrame* picture = &source;
  if (source.width != width || source.height != height) {
    // Before light is made linear, as a scaler without colours would.
    const std::string size = "scale=w=" + std::to_string(width) + ":h=" + std::to_string(height) + ":flags=lanczos" + exact +
                             (is_rgb(source) ? std::string{} : std::string{":in_range="} + range_of(source) + ":out_range=" + range_of(source));
    if (auto ok = through(scaler_, size + ",format=" + av_get_pix_fmt_name(static_cast<AVPixelFormat>(source.format)), source, *sized_); !ok) return std::move(ok).error();
    picture = sized_.get();
  }
  const std::string matrix = is_rgb(source) ? ":out_color_matrix=bt2020:out_range=tv" : std::string{":in_range="} + range_of(source) + ":out_range=tv";
  const std::string wide = std::string{"scale=flags=bilinear"} + exact + ":" + chroma_position(source) + matrix + ",format=yuv444p12le";
  if (auto ok = through(widener_, wide, *picture, *wide_); !ok) return std::move(ok).error();

  const double own = peak_of(source);
  const double peak = peak_ > 0 ? peak_ : own > 0 ? own : tone_curves::peak_unknown;
  for (int y = 0; y < height; ++y) {
    const auto line = [&](int plane) { return reinterpret_cast<const std::uint16_t*>(wide_->data[plane] + static_cast<std::ptrdiff_t>(y) * wide_->linesize[plane]); };
    const auto into = [&](int plane) { return full_->data[plane] + static_cast<std::ptrdiff_t>(y) * full_->linesize[plane]; };
    curves_->map(line(0), line(1), line(2), static_cast<std::size_t>(width), peak, into(0), into(1), into(2));
  }
  const std::string halved = std::string{"scale=flags=bilinear"} + exact + ":out" + left + "out" + middle + ",format=yuv420p";
  if (auto ok = through(halver_, halved, *full_, *mapped_); !ok) return std::move(ok).error();
  return mapped_.get();
}

}  // namespace latham::media
