#include "media/av/whole_pictures.hpp"

#include <utility>

namespace latham::media {

namespace {

constexpr int side_min = 8;  // bwdif refuses less than three lines

bool is_interlaced(AVFieldOrder order) {
  return order == AV_FIELD_TT || order == AV_FIELD_BB || order == AV_FIELD_TB || order == AV_FIELD_BT;
}

#if LIBAVUTIL_VERSION_MAJOR >= 59
bool is_interlaced(const AVFrame& picture) { return (picture.flags & AV_FRAME_FLAG_INTERLACED) != 0; }
void set_interlaced(AVFrame& picture, bool top_first) {
  picture.flags |= AV_FRAME_FLAG_INTERLACED;
  if (top_first) picture.flags |= AV_FRAME_FLAG_TOP_FIELD_FIRST;
}
#else
bool is_interlaced(const AVFrame& picture) { return picture.interlaced_frame != 0; }
void set_interlaced(AVFrame& picture, bool top_first) {
  picture.interlaced_frame = 1;
  picture.top_field_first = top_first ? 1 : 0;
}
#endif

/// Codecs whose pictures say for themselves whether they are interlaced; for others the container's word counts.
bool says_for_itself(AVCodecID codec) {
  switch (codec) {
    case AV_CODEC_ID_H264:
    case AV_CODEC_ID_HEVC:
    case AV_CODEC_ID_MPEG1VIDEO:
    case AV_CODEC_ID_MPEG2VIDEO:
    case AV_CODEC_ID_MPEG4:
    case AV_CODEC_ID_PRORES:
    case AV_CODEC_ID_MJPEG:
      return true;
    default:
      return false;
  }
}

}  // namespace

std::uint32_t lead_frames_of(const AVCodecParameters& stream) { return is_interlaced(stream.field_order) ? 2 : 0; }

expected<void> whole_pictures::read(entry& into) {
  auto got = reader_.next(*into.picture, into.pts);
  if (!got) return std::move(got).error();
  into.there = *got;
  const auto& stream = *reader_.stream().codecpar;
  if (into.there && is_interlaced(stream.field_order) && !says_for_itself(stream.codec_id))
    set_interlaced(*into.picture, stream.field_order == AV_FIELD_TT || stream.field_order == AV_FIELD_BT);
  return {};
}

bool whole_pictures::is_in_place() const {
  const auto& second = reader_.stream().time_base;
  return static_cast<double>(at_.pts) - static_cast<double>(after_.pts) <= static_cast<double>(second.den) / second.num;
}

expected<bool> whole_pictures::next(AVFrame& into, std::int64_t& pts) {
  if (!std::exchange(started_, true)) {
    if (auto ok = read(after_); !ok) return std::move(ok).error();
  }
  std::swap(before_, at_);
  std::swap(at_, after_);
  if (at_.there) {
    if (auto ok = read(after_); !ok) return std::move(ok).error();
  }
  if (!at_.there) return false;
  // Times ascend here. One that is far ahead of the next is damaged; shown, it would hold what is before it.
  while (after_.there && !is_in_place()) {
    std::swap(at_, after_);
    if (auto ok = read(after_); !ok) return std::move(ok).error();
    filter_holds_at_ = false;
  }
  pts = at_.pts;
  damaged_ = at_.picture->decode_error_flags != 0 || (at_.picture->flags & AV_FRAME_FLAG_CORRUPT) != 0;
  const bool interlaced = is_interlaced(*at_.picture) && at_.picture->width >= side_min && at_.picture->height >= side_min;
  lacks_neighbour_ = interlaced && !before_.there && !reader_.is_from_start();
  if (interlaced) {
    if (auto ok = make_whole(into); !ok) return std::move(ok).error();
    return true;
  }
  filter_.reset();
  filter_holds_at_ = false;
  av_frame_unref(&into);
  if (const int r = av_frame_ref(&into, at_.picture.get()); r < 0) return av_error("hold a picture", r);
  return true;
}

expected<void> whole_pictures::make_whole(AVFrame& into) {
  // A neighbour of another shape is none.
  const auto is_like_at = [this](const entry& e) {
    return e.there && e.picture->width == at_.picture->width && e.picture->height == at_.picture->height &&
           e.picture->format == at_.picture->format;
  };
  if (!filter_holds_at_) {
    auto opened = picture_filter::open("bwdif=mode=send_frame:parity=auto:deint=interlaced", *at_.picture);
    if (!opened) return std::move(opened).error();
    filter_ = std::move(opened).value();
    if (is_like_at(before_)) {
      if (auto ok = filter_->put(*before_.picture); !ok) return ok;
    }
    if (auto ok = filter_->put(*at_.picture); !ok) return ok;
    // What came out by now is the picture before, seen as if it were the first.
    if (auto taken = filter_->take(into); !taken) return std::move(taken).error();
  }
  filter_holds_at_ = is_like_at(after_);  // by the time that it is at_
  if (auto ok = filter_holds_at_ ? filter_->put(*after_.picture) : filter_->end(); !ok) return ok;
  auto taken = filter_->take(into);
  if (!taken) return std::move(taken).error();
  if (!*taken) return {errc::internal, "bwdif kept a picture for itself"};
  return {};
}

expected<bool> whole_pictures::back_off() {
  auto again = reader_.back_off();
  if (!again || !*again) return again;
  before_.there = at_.there = after_.there = started_ = false;
  filter_.reset();
  filter_holds_at_ = false;
  return true;
}

}  // namespace latham::media
