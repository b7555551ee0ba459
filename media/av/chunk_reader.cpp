#include "media/av/chunk_reader.hpp"

#include "media/chunk_planner.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace latham::media {

namespace {

// Seconds before the planned key frame where seeking is tried, until the demuxer lands at or before it.
constexpr std::array<std::int64_t, 5> landing_tries_s = {0, 1, 4, 16, 64};
// Seconds before it where decoding is tried when the key frame alone does not give the pictures (gradual refresh, damage).
constexpr std::array<std::int64_t, 4> back_off_tries_s = {2, 10, 30, 120};
constexpr int damaged_reads_max = 1000;
// Before a chunk's first frame, in seconds: long enough for a decoder's reordering to settle after the last skipped picture.
constexpr std::int64_t decode_all_s = 1;
// Between two blocks of Matroska, but for the head of a cluster: more is bytes that made no sense to the demuxer.
constexpr std::int64_t block_gap_bytes_max = 1024;
constexpr std::int64_t tear_near_s = 1;
constexpr std::size_t damage_max = 100'000;  // places kept in mind; more than a chunk and its way have pictures
constexpr std::size_t stamps_max = 17;  // the longest reordering of H.264 and HEVC, and one

}  // namespace

expected<std::unique_ptr<chunk_reader>> chunk_reader::open(task_host& host, std::uint64_t source_bytes, const source_plan& plan,
                                                           const chunk_plan& chunk) {
  std::unique_ptr<chunk_reader> out{new chunk_reader{host, source_bytes, plan, chunk}};
  const bool from_start = chunk.first_frame == 0 && plan.skipped_frames == 0;
  if (!from_start)
    out->skip_until_ = pts_of_frame(static_cast<std::int64_t>(chunk.first_frame), plan.origin_pts, plan.time_base, plan.fps) -
                       av_rescale_q(decode_all_s, AVRational{1, 1}, to_av(plan.time_base.num, plan.time_base.den));
  // The planner ended the video with the last time that it believed.
  out->believed_until_ = pts_of_frame(static_cast<std::int64_t>(plan.frames), plan.origin_pts, plan.time_base, plan.fps);
  if (auto ok = out->reopen(); !ok) return std::move(ok).error();
  if (from_start) {
    out->from_start_ = true;
    auto found = out->find_key(landing::any_key);
    if (!found) return std::move(found).error();
    return out;
  }
  for (const auto seconds : landing_tries_s) {
    auto found = out->go_to(seconds, landing::exact);
    if (!found) return std::move(found).error();
    if (*found) return out;
  }
  auto found = out->go_to_start(landing::exact);
  if (!found) return std::move(found).error();
  if (!*found) found = out->go_to_start(landing::any_key);
  if (!found) return std::move(found).error();
  return out;
}

expected<void> chunk_reader::reopen() {
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::demux_us};
  // In this order: the old decoder and demuxer go first, so that two of them never hold memory at once.
  decoder_.reset();
  packet_held_ = false;
  av_packet_unref(packet_.get());
  in_.demuxer.reset();
  auto opened = open_input(host_, source_bytes_);
  if (!opened) return std::move(opened).error();
  in_ = std::move(opened).value();
  const auto* found = in_.stream(plan_.video_stream);
  if (!found || in_.container != plan_.container || found->time_base.num != plan_.time_base.num ||
      found->time_base.den != plan_.time_base.den || plan_.video_codec != avcodec_get_name(found->codecpar->codec_id))
    return {errc::corrupt, "the source is not the one that was planned"};
  // Matroska's demuxer steps over what it cannot read without a word; that blocks of all tracks follow one another tells.
  if (in_.container != "matroska") in_.use_only(plan_.video_stream);
  auto decoder = open_decoder(*found);
  if (!decoder) return std::move(decoder).error();
  decoder_ = std::move(decoder).value();
  drained_ = false;
  whole_from_ = INT64_MIN;
  sorts_stamps_ = shows_in_unknown_order(in_);
  stamps_.clear();
  headers_.clear();
  refused_.clear();
  torn_.clear();
  decodable_ = tear_ahead_ = false;
  last_time_ = sent_time_ = INT64_MIN;
  read_at_ = read_end_ = -1;
  return {};
}

expected<bool> chunk_reader::go_to(std::int64_t back_off_s, landing want) {
  if (!decoder_ || packet_held_ || drained_)
    if (auto ok = reopen(); !ok) return ok.error();
  from_start_ = false;
  position_ = read_at_ = read_end_ = -1;
  auto* demuxer = in_.demuxer.get();
  const auto target = chunk_.seek_pts - av_rescale_q(back_off_s, AVRational{1, 1}, stream().time_base);
  int r = -1;
  // A transport stream has no index: a search by time reads all over the file, while the planner saw where the key frame is.
  if (back_off_s == 0 && plan_.container == "mpegts" && chunk_.seek_offset > 0)
    r = av_seek_frame(demuxer, -1, static_cast<std::int64_t>(chunk_.seek_offset), AVSEEK_FLAG_BYTE);
  // Times of a clock that started anew are no order to search in.
  if (r < 0 && !plan_.shifts.empty()) return false;
  if (r < 0) r = avformat_seek_file(demuxer, static_cast<int>(plan_.video_stream), INT64_MIN, target, target, 0);
  if (r < 0) r = av_seek_frame(demuxer, static_cast<int>(plan_.video_stream), target, AVSEEK_FLAG_BACKWARD);
  if (in_.io->failure().code != errc::none) return in_.io->failure();
  if (r < 0) return false;
  return find_key(want);
}

expected<bool> chunk_reader::go_to_start(landing want) {
  if (auto ok = reopen(); !ok) return ok.error();
  from_start_ = true;
  return find_key(want);
}

expected<bool> chunk_reader::find_key(landing want) {
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::demux_us};
  for (int failures = 0;;) {
    av_packet_unref(packet_.get());
    const int r = av_read_frame(in_.demuxer.get(), packet_.get());
    if (in_.io->failure().code != errc::none) return in_.io->failure();
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r == AVERROR_EOF || (r < 0 && (++failures > damaged_reads_max || avio_feof(in_.demuxer->pb)))) return false;
    tear_ahead_ = tear_ahead_ || r < 0;
    if (r < 0) continue;
    watch(*packet_);
    if (packet_->stream_index != static_cast<int>(plan_.video_stream)) continue;
    keep_headers();
    const auto pts = in_.picture_time(*packet_);
    if ((packet_->flags & AV_PKT_FLAG_KEY) == 0 || pts == AV_NOPTS_VALUE) {
      // A stream that marks no key frames at all is decoded from its first packet.
      if (!(from_start_ && want == landing::any_key)) continue;
    } else if (pts > chunk_.seek_pts && !from_start_) {
      return false;
    } else if (want == landing::exact && pts != chunk_.seek_pts) {
      continue;
    }
    packet_held_ = true;
    if (!from_start_ && !sorts_stamps_) whole_from_ = pts;
    return true;
  }
}

void chunk_reader::shift(AVPacket& packet) {
  // Of several pictures in one transport packet only the first has a position; the planner counts the others to it.
  if (packet.pos >= 0)
    position_ = packet.pos;
  else if (position_ >= 0)
    packet.pos = position_;
  input::shift(packet, plan_.shifts);
}

/// A demuxer says once that headers change. If it said so with a packet that is passed over, the key frame brings them.
void chunk_reader::keep_headers() {
  std::size_t bytes = 0;
  if (const auto* fresh = av_packet_get_side_data(packet_.get(), AV_PKT_DATA_NEW_EXTRADATA, &bytes)) {
    headers_.assign(fresh, fresh + bytes);
  } else if (!headers_.empty()) {
    auto* copy = av_packet_new_side_data(packet_.get(), AV_PKT_DATA_NEW_EXTRADATA, headers_.size());
    if (!copy) throw std::bad_alloc{};
    std::copy(headers_.begin(), headers_.end(), copy);
  }
}

/// Shifts a packet of the video; sees from any packet whether bytes before it were lost.
void chunk_reader::watch(const AVPacket& packet) {
  const auto* from = in_.stream(static_cast<std::uint32_t>(packet.stream_index));
  if (in_.container == "matroska" && packet.pos >= 0 && from && (from->disposition & AV_DISPOSITION_ATTACHED_PIC) == 0) {
    tear_ahead_ = tear_ahead_ || (read_end_ >= 0 && packet.pos > read_end_ + block_gap_bytes_max);
    // Several packets of one block have its position.
    read_end_ = (packet.pos == read_at_ ? read_end_ : packet.pos) + packet.size;
    read_at_ = packet.pos;
  }
  if (packet.stream_index != static_cast<int>(plan_.video_stream)) return;
  shift(*packet_);
  const auto time = in_.picture_time(packet);
  if (time == AV_NOPTS_VALUE) return;
  const auto keep = [this](std::int64_t side) {
    if (side != INT64_MIN && torn_.size() < damage_max) torn_.insert(side);
  };
  if (std::exchange(tear_ahead_, (packet.flags & AV_PKT_FLAG_CORRUPT) != 0)) {
    keep(last_time_);
    keep(time);
  }
  if (tear_ahead_) keep(time);
  last_time_ = time;
}

void chunk_reader::refuse(std::int64_t time) {
  if (!decodable_ || time == INT64_MIN || refused_.size() >= damage_max) return;
  refused_.insert(time);
  // Others that refer to it may not come out either, and their neighbours be taken for out of order.
  torn_.insert(time);
}

bool chunk_reader::refused(std::int64_t from, std::int64_t to) const {
  const auto at = refused_.lower_bound(std::max(from, whole_from_));
  return at != refused_.end() && *at <= to;
}

bool chunk_reader::torn(std::int64_t from, std::int64_t to) const {
  const auto near = av_rescale_q(tear_near_s, AVRational{1, 1}, to_av(plan_.time_base.num, plan_.time_base.den));
  const auto at = torn_.lower_bound(from > INT64_MIN + near ? from - near : INT64_MIN);
  return at != torn_.end() && (to > INT64_MAX - near || *at <= to + near);
}

expected<bool> chunk_reader::back_off() {
  if (skip_until_ != INT64_MIN) {
    // Nothing was shown within the second before the chunk: a long hold, and its picture may have been skipped.
    skip_until_ = INT64_MIN;
    if (auto ok = reopen(); !ok) return ok.error();
    if (from_start_) return go_to_start(landing::any_key);
    auto found = go_to(0, landing::exact);
    if (!found || *found) return found;
  }
  if (from_start_) return false;
  while (backed_off_ < static_cast<int>(back_off_tries_s.size())) {
    const auto seconds = back_off_tries_s[static_cast<std::size_t>(backed_off_++)];
    if (auto ok = reopen(); !ok) return ok.error();
    auto found = go_to(seconds, landing::any_key);
    if (!found || *found) return found;
  }
  if (gave_up_) return false;
  gave_up_ = true;
  if (!plan_.shifts.empty()) return go_to_start(landing::any_key);
  // Nothing helped: what there is from the key frame on has to do, and the reader must not stay where the last try ended.
  if (auto ok = reopen(); !ok) return ok.error();
  return go_to(0, landing::any_key);
}

expected<bool> chunk_reader::next(AVFrame& into, std::int64_t& pts) {
  const stage_clock::scope stage{host_.clock, &ports::engine_usage::decode_us};
  for (;;) {
    av_frame_unref(&into);
    const int got = avcodec_receive_frame(decoder_.get(), &into);
    if (got == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (got >= 0) {
      decodable_ = true;
      pts = into.pts != AV_NOPTS_VALUE ? into.pts - in_.picture_delay : into.best_effort_timestamp;
      if (sorts_stamps_ && !stamps_.empty()) pts = stamps_.extract(stamps_.begin()).value();
      if (pts == AV_NOPTS_VALUE || into.width <= 0 || into.height <= 0) continue;
      if (pts < std::max(skip_until_, whole_from_) || pts > believed_until_) continue;
      return true;
    }
    if (got == AVERROR_EOF || drained_) return false;
    // EAGAIN, or a picture that could not be decoded: either way the decoder wants the next packet.
    if (got != AVERROR(EAGAIN)) refuse(sent_time_);
    for (int failures = 0; !packet_held_;) {
      const stage_clock::scope reading{host_.clock, &ports::engine_usage::demux_us};
      const int r = av_read_frame(in_.demuxer.get(), packet_.get());
      if (in_.io->failure().code != errc::none) return in_.io->failure();
      if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
      if (r == AVERROR_EOF || (r < 0 && (++failures > damaged_reads_max || avio_feof(in_.demuxer->pb)))) break;
      tear_ahead_ = tear_ahead_ || r < 0;
      if (r < 0) continue;
      watch(*packet_);
      if (packet_->stream_index == static_cast<int>(plan_.video_stream)) {
        packet_held_ = true;
      } else {
        av_packet_unref(packet_.get());
      }
    }
    drained_ = !packet_held_;
    if (sorts_stamps_ && packet_held_ && in_.picture_time(*packet_) != AV_NOPTS_VALUE) {
      stamps_.insert(in_.picture_time(*packet_));
      if (stamps_.size() > stamps_max) stamps_.erase(stamps_.begin());  // its picture was lost to damage
    }
    // A picture of unknown order needs every stamp to be given to its own picture.
    // A packet without a time may be anywhere; it is decoded.
    const auto time = packet_held_ ? in_.picture_time(*packet_) : AV_NOPTS_VALUE;
    const bool may_skip = !sorts_stamps_ && time != AV_NOPTS_VALUE && time < skip_until_;
    decoder_->skip_frame = may_skip ? AVDISCARD_NONREF : AVDISCARD_DEFAULT;
    const bool is_shown = packet_held_ && packet_->size > 0 && (packet_->flags & AV_PKT_FLAG_DISCARD) == 0;
    sent_time_ = is_shown && time != AV_NOPTS_VALUE ? time : INT64_MIN;
    decodable_ = decodable_ || (packet_held_ && (packet_->flags & AV_PKT_FLAG_KEY) != 0);
    const int sent = avcodec_send_packet(decoder_.get(), packet_held_ ? packet_.get() : nullptr);
    if (sent == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (sent == AVERROR(EAGAIN)) continue;  // cannot be after a receive that wanted more, and costs one more turn if it can
    if (sent < 0) refuse(sent_time_);
    av_packet_unref(packet_.get());
    packet_held_ = false;
  }
}

}  // namespace latham::media
