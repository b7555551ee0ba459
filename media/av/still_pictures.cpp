#include "media/av/still_pictures.hpp"

#include "core/manifest/storyboard.hpp"

#include <algorithm>
#include <array>

namespace latham::media {

namespace {

constexpr int sheet_quality = 5;   // of 1 (best) to 31
constexpr int poster_quality = 3;
constexpr int scaler_flags = SWS_LANCZOS | SWS_ACCURATE_RND | SWS_BITEXACT;

expected<av_frame> make_picture(std::uint32_t width, std::uint32_t height) {
  auto picture = make_frame_handle();
  picture->width = static_cast<int>(width);
  picture->height = static_cast<int>(height);
  picture->format = AV_PIX_FMT_YUVJ420P;
  picture->color_range = AVCOL_RANGE_JPEG;
  if (const int r = av_frame_get_buffer(picture.get(), 0); r < 0) return av_error("allocate a picture", r);
  return picture;
}

expected<std::string> to_jpeg(AVFrame& picture, int quality) {
  const auto* codec = avcodec_find_encoder_by_name("mjpeg");
  if (!codec) return {errc::internal, "this build of FFmpeg has no JPEG encoder"};
  auto encoder = checked(av_codec_context{avcodec_alloc_context3(codec)});
  encoder->width = picture.width;
  encoder->height = picture.height;
  encoder->pix_fmt = AV_PIX_FMT_YUVJ420P;
  encoder->color_range = AVCOL_RANGE_JPEG;
  encoder->time_base = {1, 25};
  encoder->thread_count = 1;
  encoder->flags |= AV_CODEC_FLAG_QSCALE | AV_CODEC_FLAG_BITEXACT;
  encoder->global_quality = quality * FF_QP2LAMBDA;
  if (const int r = avcodec_open2(encoder.get(), codec, nullptr); r < 0) return av_error("open the JPEG encoder", r);
  picture.pts = 0;
  picture.quality = encoder->global_quality;
  auto packet = make_packet_handle();
  int r = avcodec_send_frame(encoder.get(), &picture);
  if (r >= 0) r = avcodec_send_frame(encoder.get(), nullptr);
  if (r >= 0) r = avcodec_receive_packet(encoder.get(), packet.get());
  if (r < 0) return av_error("encode a still picture", r);
  return std::string{reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)};
}

}  // namespace

still_pictures::still_pictures(task_host& host, const source_plan& plan, const chunk_plan& chunk, const colour& tags)
  : host_{host}, plan_{plan}, chunk_{chunk}, matrix_{tags.matrix} {}

expected<void> still_pictures::take(const picture_ladder& pictures, std::uint64_t n) {
  if (n < chunk_.first_frame || n >= chunk_.first_frame + chunk_.frames || n % plan_.segment_frames != 0) return {};
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::scale_us};
  const auto tile = tile_size_of(plan_);
  const auto index = static_cast<std::uint32_t>((n - chunk_.first_frame) / plan_.segment_frames);
  if (index >= tile_count(plan_, chunk_)) return {};  // the first of the frames that were joined to the last segment
  if (!sheet_) {
    auto made = make_picture(tile.width * tile_count(plan_, chunk_), tile.height);
    if (!made) return std::move(made).error();
    sheet_ = std::move(made).value();
  }
  // The smallest rung that is large enough; rungs ascend.
  std::size_t from = 0;
  while (from + 1 < plan_.rungs.size() && plan_.rungs[from].width < tile.width) ++from;
  if (auto ok = draw(pictures.picture(from), *sheet_, index * tile.width, tile.width, tile.height); !ok) return ok;

  if (n != poster_frame(plan_)) return {};
  const auto largest = poster_rung(plan_);
  const auto& size = plan_.rungs[largest];
  auto poster = make_picture(size.width, size.height);
  if (!poster) return std::move(poster).error();
  if (auto ok = draw(pictures.picture(largest), **poster, 0, size.width, size.height); !ok) return ok;
  auto jpeg = to_jpeg(**poster, poster_quality);
  if (!jpeg) return std::move(jpeg).error();
  return host_.piece(chunk_.index, track_kind::image, image_poster, 0, 1, *jpeg);
}

expected<void> still_pictures::finish() {
  if (!sheet_) return {};
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::scale_us};
  auto jpeg = to_jpeg(*sheet_, sheet_quality);
  if (!jpeg) return std::move(jpeg).error();
  const auto first = static_cast<std::uint32_t>(chunk_.first_frame / plan_.segment_frames);
  return host_.piece(chunk_.index, track_kind::image, image_sheet, first, tile_count(plan_, chunk_), *jpeg);
}

expected<void> still_pictures::draw(const AVFrame& from, AVFrame& to, std::uint32_t left, std::uint32_t width, std::uint32_t height) const {
  // Made anew for each: a tile costs a thousandth of the segment that it stands for.
  const av_scaler scaler{sws_getContext(from.width, from.height, AV_PIX_FMT_YUV420P, static_cast<int>(width), static_cast<int>(height), AV_PIX_FMT_YUVJ420P,
                                        scaler_flags, nullptr, nullptr, nullptr)};
  if (!scaler) return {errc::internal, "a still picture cannot be scaled"};
  sws_setColorspaceDetails(scaler.get(), sws_getCoefficients(matrix_), 0, sws_getCoefficients(SWS_CS_ITU601), 1, 0, 1 << 16, 1 << 16);
  std::array<std::uint8_t*, 4> data{};
  for (int plane = 0; plane < 3; ++plane) data[static_cast<std::size_t>(plane)] = to.data[plane] + (plane == 0 ? left : left / 2);
  const int rows = sws_scale(scaler.get(), from.data, from.linesize, 0, from.height, data.data(), to.linesize);
  if (rows != static_cast<int>(height)) return av_error("scale a still picture", rows < 0 ? rows : AVERROR_BUG);
  return {};
}

}  // namespace latham::media
