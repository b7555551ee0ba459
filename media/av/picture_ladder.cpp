#include "media/av/picture_ladder.hpp"

#include "core/assert.hpp"

extern "C" {
#include <libavutil/pixdesc.h>
}

#include <utility>

namespace latham::media {

namespace {

// accurate_rnd and bitexact: the same samples whatever instructions the CPU has.
constexpr int scaler_flags = SWS_LANCZOS | SWS_ACCURATE_RND | SWS_BITEXACT;

bool is_full_range(const AVFrame& frame) {
  return frame.color_range == AVCOL_RANGE_JPEG || frame.format == AV_PIX_FMT_YUVJ420P || frame.format == AV_PIX_FMT_YUVJ422P ||
         frame.format == AV_PIX_FMT_YUVJ444P || frame.format == AV_PIX_FMT_YUVJ440P;
}

/// Turns one plane by quarters clockwise; `width` and `height` are the source's.
void rotate_plane(const std::uint8_t* from, int from_stride, std::uint8_t* to, int to_stride, int width, int height,
                  std::uint32_t degrees) {
  for (int y = 0; y < height; ++y) {
    const auto* row = from + static_cast<std::ptrdiff_t>(y) * from_stride;
    if (degrees == 180) {
      auto* out = to + static_cast<std::ptrdiff_t>(height - 1 - y) * to_stride + (width - 1);
      for (int x = 0; x < width; ++x) *out-- = row[x];
    } else if (degrees == 90) {
      auto* out = to + (height - 1 - y);
      for (int x = 0; x < width; ++x, out += to_stride) *out = row[x];
    } else {
      auto* out = to + static_cast<std::ptrdiff_t>(width - 1) * to_stride + y;
      for (int x = 0; x < width; ++x, out -= to_stride) *out = row[x];
    }
  }
}

}  // namespace

picture_ladder::picture_ladder(const source_plan& plan, const colour& tags) : rotation_{plan.rotation}, matrix_{tags.matrix} {
  LATHAM_ASSERT(!plan.rungs.empty());
  for (const auto& r : plan.rungs) {
    step s;
    s.width = static_cast<int>(r.width);
    s.height = static_cast<int>(r.height);
    s.picture = make_frame_handle();
    steps_.push_back(std::move(s));
  }
  upright_.width = steps_.back().width;
  upright_.height = steps_.back().height;
  if (rotation_ % 180 != 0) std::swap(upright_.width, upright_.height);
  upright_.picture = make_frame_handle();
}

expected<void> picture_ladder::show(const AVFrame& source) {
  auto& largest = steps_.back();
  if (rotation_ == 0) {
    if (auto ok = scale(largest, source); !ok) return ok;
  } else {
    if (auto ok = scale(upright_, source); !ok) return ok;
    if (auto ok = make_room(largest); !ok) return ok;
    for (int plane = 0; plane < 3; ++plane) {
      const int shift = plane == 0 ? 0 : 1;
      rotate_plane(upright_.picture->data[plane], upright_.picture->linesize[plane], largest.picture->data[plane],
                   largest.picture->linesize[plane], upright_.width >> shift, upright_.height >> shift, rotation_);
    }
  }
  for (std::size_t i = steps_.size() - 1; i-- > 0;)
    if (auto ok = scale(steps_[i], *steps_[i + 1].picture); !ok) return ok;
  return {};
}

expected<void> picture_ladder::make_room(step& to) {
  // A reference to a decoder's picture must not be written to; a buffer of our own is used again.
  if (to.picture->buf[0] && av_frame_is_writable(to.picture.get()) > 0 && to.picture->width == to.width) return {};
  av_frame_unref(to.picture.get());
  to.picture->width = to.width;
  to.picture->height = to.height;
  to.picture->format = AV_PIX_FMT_YUV420P;
  to.picture->color_range = AVCOL_RANGE_MPEG;
  if (const int r = av_frame_get_buffer(to.picture.get(), 0); r < 0) return av_error("allocate a picture", r);
  return {};
}

expected<void> picture_ladder::scale(step& to, const AVFrame& from) {
  const bool full = is_full_range(from);
  if (from.width == to.width && from.height == to.height && from.format == AV_PIX_FMT_YUV420P && !full) {
    av_frame_unref(to.picture.get());
    if (const int r = av_frame_ref(to.picture.get(), &from); r < 0) return av_error("hold a picture", r);
    // Captions and the like would end up in the output's packets.
    while (to.picture->nb_side_data > 0) av_frame_remove_side_data(to.picture.get(), to.picture->side_data[0]->type);
    return {};
  }
  if (!to.scaler || to.source_width != from.width || to.source_height != from.height || to.source_format != from.format ||
      to.source_range != static_cast<int>(full)) {
    to.source_width = from.width;
    to.source_height = from.height;
    to.source_format = from.format;
    to.source_range = static_cast<int>(full);
    to.scaler.reset(sws_getContext(from.width, from.height, static_cast<AVPixelFormat>(from.format), to.width, to.height,
                                   AV_PIX_FMT_YUV420P, scaler_flags, nullptr, nullptr, nullptr));
    if (!to.scaler) return {errc::unprocessable, "The picture's format cannot be scaled: convert the file to H.264 first."};
    // The same matrix on both sides: samples keep their meaning, which the output's tags tell. Only the range is narrowed.
    const int* matrix = sws_getCoefficients(matrix_);
    sws_setColorspaceDetails(to.scaler.get(), matrix, full ? 1 : 0, matrix, 0, 0, 1 << 16, 1 << 16);
  }
  if (auto ok = make_room(to); !ok) return ok;
  const int rows = sws_scale(to.scaler.get(), from.data, from.linesize, 0, from.height, to.picture->data, to.picture->linesize);
  if (rows != to.height) return av_error("scale a picture", rows < 0 ? rows : AVERROR_BUG);
  return {};
}

}  // namespace latham::media
