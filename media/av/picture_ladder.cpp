#include "media/av/picture_ladder.hpp"

#include "core/assert.hpp"

extern "C" {
#include <libavutil/pixdesc.h>
}

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace latham::media {

namespace {

// accurate_rnd and bitexact: the same samples whatever instructions the CPU has. The smallest rungs stand at the end of the
// cascade, where one Lanczos after the other has made edges that cost more than they show (docs/performance.md).
constexpr int scaler_flags = SWS_ACCURATE_RND | SWS_BITEXACT;
constexpr int bicubic_side_max = 240;  // pixels of the shorter side
int scaler_flags_to(int width, int height) { return scaler_flags | (std::min(width, height) <= bicubic_side_max ? SWS_BICUBIC : SWS_LANCZOS); }

// Less than this part of a side is no change of shape but other rounding: 1080 lines are coded as 1088.
constexpr double bars_min = 1.0 / 64;

bool is_sane(AVRational x) { return x.num > 0 && x.den > 0 && x.num / x.den <= 16 && x.den / x.num <= 16; }

void blacken(AVFrame& picture) {
  for (int plane = 0; plane < 3; ++plane)
    for (int y = 0; y < picture.height >> (plane == 0 ? 0 : 1); ++y)
      std::memset(picture.data[plane] + static_cast<std::ptrdiff_t>(y) * picture.linesize[plane], plane == 0 ? 16 : 128,
                  static_cast<std::size_t>(picture.width >> (plane == 0 ? 0 : 1)));
}

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

picture_ladder::picture_ladder(const source_plan& plan, const AVStream& stream, const colour& tags)
  : rotation_{plan.rotation},
    matrix_{tags.matrix},
    first_{stream.codecpar->width, stream.codecpar->height},
    first_pixel_{stream.codecpar->sample_aspect_ratio} {
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
  inner_.picture = make_frame_handle();
  if (is_high_dynamic_range(*stream.codecpar)) tones_ = std::make_unique<tone_mapper>(stream);
}

picture_ladder::size picture_ladder::fitted(const AVFrame& source, size box) const {
  const auto shape_of_pixels = [](AVRational x) { return is_sane(x) ? av_q2d(x) : 1.0; };
  const auto known = is_sane(source.sample_aspect_ratio) && is_sane(first_pixel_);
  const bool same_pixels = !known || av_cmp_q(source.sample_aspect_ratio, first_pixel_) == 0;
  if (source.width == first_.width && source.height == first_.height && same_pixels) return box;
  // How much wider it is than the first picture, which fills the box, whatever the container thinks of its shape.
  const double wider = static_cast<double>(source.width) * first_.height / (static_cast<double>(source.height) * first_.width) *
                       (same_pixels ? 1.0 : shape_of_pixels(source.sample_aspect_ratio) / shape_of_pixels(first_pixel_));
  if (wider > 1 - bars_min && wider < 1 + bars_min) return box;
  const auto even = [](double x, int most) { return std::clamp(static_cast<int>(std::lround(x / 2)) * 2, 2, most); };
  if (wider > 1) return {box.width, even(box.height / wider, box.height)};
  return {even(box.width * wider, box.width), box.height};
}

expected<void> picture_ladder::show(const AVFrame& source) {
  auto& largest = steps_.back();
  if (rotation_ == 0) {
    if (auto ok = place(largest, source); !ok) return ok;
  } else {
    if (auto ok = place(upright_, source); !ok) return ok;
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

expected<void> picture_ladder::place(step& to, const AVFrame& source) {
  const auto inner = fitted(source, {to.width, to.height});
  bars_ = inner.width != to.width || inner.height != to.height;
  const auto* picture = &source;
  if (tones_) {
    auto mapped = tones_->map(source, inner.width, inner.height);
    if (!mapped) return std::move(mapped).error();
    picture = *mapped;
  }
  if (!bars_) return scale(to, *picture);
  if (inner_.width != inner.width || inner_.height != inner.height) {
    inner_ = {};
    inner_.picture = make_frame_handle();
    inner_.width = inner.width;
    inner_.height = inner.height;
  }
  if (auto ok = scale(inner_, *picture); !ok) return ok;
  if (auto ok = make_room(to); !ok) return ok;
  blacken(*to.picture);
  const int left = (to.width - inner.width) / 4 * 2;
  const int top = (to.height - inner.height) / 4 * 2;
  for (int plane = 0; plane < 3; ++plane) {
    const int shift = plane == 0 ? 0 : 1;
    for (int y = 0; y < inner.height >> shift; ++y)
      std::memcpy(to.picture->data[plane] + static_cast<std::ptrdiff_t>((top >> shift) + y) * to.picture->linesize[plane] + (left >> shift),
                  inner_.picture->data[plane] + static_cast<std::ptrdiff_t>(y) * inner_.picture->linesize[plane],
                  static_cast<std::size_t>(inner.width >> shift));
  }
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
                                   AV_PIX_FMT_YUV420P, scaler_flags_to(to.width, to.height), nullptr, nullptr, nullptr));
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
