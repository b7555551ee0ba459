#include "media/av/planner.hpp"

#include "media/av/input.hpp"
#include "media/av/sound_planner.hpp"
#include "media/av/tone_mapper.hpp"
#include "media/av/tracks.hpp"
#include "media/av/whole_pictures.hpp"
#include "media/chunk_planner.hpp"
#include "media/ladder.hpp"
#include "media/timestamps.hpp"

extern "C" {
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace latham::media {

namespace {

constexpr AVRational microseconds{1, AV_TIME_BASE};  // the library's own macro is not C++
constexpr std::uint64_t packets_max = duration_s_max * 240;  // of video
constexpr std::int64_t hold_s_max = 10;                      // one packet stands for at most this, on average
constexpr std::int64_t hold_s_free = 60;                     // below this total nothing is suspicious
constexpr std::int64_t audio_lead_s_max = 10;
constexpr std::int64_t priming_us_max = 50'000;  // 2112 samples at 44.1 kHz are 48 ms
constexpr int damaged_reads_max = 1000;

/// What the pass over the packets saw.
struct packet_survey {
  std::vector<std::int64_t> pts;  // of shown video packets, sorted
  std::vector<key_frame> keys;    // sorted by pts, no two alike
  std::int64_t end_pts = std::numeric_limits<std::int64_t>::min();
  std::uint64_t packets = 0;      // video
  std::int64_t first_audio_us = std::numeric_limits<std::int64_t>::max();
  std::int64_t last_us = 0;       // end of the last packet of any stream
  std::vector<time_shift> shifts;
  std::uint64_t corrupt = 0;      // video packets that the demuxer marks so
  std::uint64_t disbelieved = 0;  // packets whose time is damaged
  bool resized = false;           // pictures have more than one size
  bool damaged = false;           // reading ended with something else than the end of the file
};

bool is_picture_stream(const AVStream& stream) {
  return stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO && (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) == 0;
}

/// When `restarts`, the container's clock may: then one second of silence between packets is reason for doubt. Elsewhere only
/// what is far out of any sense is: pictures may be minutes apart.
time_bounds bounds_of(AVRational time_base, bool restarts) {
  const auto ms = [&](std::int64_t x) { return av_rescale_q(x, AVRational{1, 1000}, time_base); };
  return {std::max<std::int64_t>(ms(700), 1), std::max<std::int64_t>(ms(restarts ? 1000 : 60'000), 1), ms(10'000), restarts};
}

/// Sees from the headers of key pictures when their size changes; of codecs whose parser tells. A change of the pixels' shape
/// alone is not seen, nor one without a key frame.
class size_watch {
public:
  explicit size_watch(const AVCodecParameters& stream) : parser_{av_parser_init(static_cast<int>(stream.codec_id))} {
    codec_ = checked(av_codec_context{avcodec_alloc_context3(nullptr)});
    if (avcodec_parameters_to_context(codec_.get(), &stream) < 0) throw std::bad_alloc{};
    if (parser_) parser_->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  }

  /// True when this picture has another size than one before.
  bool changes(const AVPacket& packet) {
    if (!parser_ || (packet.flags & AV_PKT_FLAG_KEY) == 0) return false;
    std::uint8_t* out = nullptr;
    int bytes = 0;
    av_parser_parse2(parser_.get(), codec_.get(), &out, &bytes, packet.data, packet.size, packet.pts, packet.dts, packet.pos);
    if (parser_->width <= 0 || parser_->height <= 0) return false;
    const bool changed = width_ > 0 && (parser_->width != width_ || parser_->height != height_);
    width_ = parser_->width;
    height_ = parser_->height;
    return changed;
  }

private:
  av_parser parser_;
  av_codec_context codec_;
  int width_ = 0;
  int height_ = 0;
};

expected<packet_survey> survey(const input& in, unsigned video, const std::vector<audio_track>& audio) {
  packet_survey seen;
  for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) {
    const bool wanted = i == video || std::any_of(audio.begin(), audio.end(), [i](const auto& a) { return a.stream_index == i; });
    in.demuxer->streams[i]->discard = wanted ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
  const auto restarts = (in.demuxer->iformat->flags & AVFMT_TS_DISCONT) != 0;
  time_line line{bounds_of(in.demuxer->streams[video]->time_base, restarts)};
  std::uint64_t offset = 0;
  auto latest = std::numeric_limits<std::int64_t>::min();
  constexpr std::uint32_t is_key = 1, is_shown = 2;
  const auto take = [&](const time_line::verdict& v) {
    if (!v.believed) return;
    if ((v.packet.tag & is_key) != 0) seen.keys.push_back({v.packet.time, v.packet.offset});
    if ((v.packet.tag & is_shown) == 0) return;
    seen.pts.push_back(v.packet.time);
    if (v.packet.time < latest) return;
    latest = v.packet.time;
    seen.end_pts = latest + v.packet.duration;
  };
  // Of each sound, the first time that can be believed.
  std::map<unsigned, time_line> sounds;
  for (const auto& track : audio) {
    const auto base = in.demuxer->streams[track.stream_index]->time_base;
    sounds.emplace(track.stream_index, time_line{bounds_of(base, restarts)});
  }
  const auto take_first = [&](unsigned index, const std::optional<time_line::verdict>& v) {
    if (!v || !v->believed) return;
    seen.first_audio_us =
        std::min(seen.first_audio_us, av_rescale_q(v->packet.time, in.demuxer->streams[index]->time_base, microseconds));
    sounds.erase(index);
  };
  size_watch size{*in.demuxer->streams[video]->codecpar};
  auto packet = make_packet_handle();
  for (int failures = 0;;) {
    const int r = av_read_frame(in.demuxer.get(), packet.get());
    if (in.io->failure().code != errc::none) return in.io->failure();
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r == AVERROR_EOF) break;
    if (r < 0) {
      seen.damaged = true;
      if (++failures > damaged_reads_max || avio_feof(in.demuxer->pb)) break;
      continue;
    }
    const auto index = static_cast<unsigned>(packet->stream_index);
    const auto* stream = index < in.demuxer->nb_streams ? in.demuxer->streams[index] : nullptr;
    const auto pts = index == video                  ? in.picture_time(*packet)
                     : packet->pts != AV_NOPTS_VALUE ? packet->pts
                                                     : packet->dts;
    const bool shown = (packet->flags & AV_PKT_FLAG_DISCARD) == 0;
    if (stream && pts != AV_NOPTS_VALUE) {
      const auto end_pts = pts + std::clamp<std::int64_t>(packet->duration, 0, std::numeric_limits<std::int32_t>::max());
      if (index == video) {
        if (++seen.packets > packets_max) return {errc::too_large, "The video has more frames than a day at 240 per second: split it."};
        seen.resized = size.changes(*packet) || seen.resized;
        if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) ++seen.corrupt;
        if (packet->pos >= 0) offset = static_cast<std::uint64_t>(packet->pos);
        const auto tag = ((packet->flags & AV_PKT_FLAG_KEY) != 0 ? is_key : 0) | (shown ? is_shown : 0);
        if (const auto judged = line.push({offset, pts, end_pts - pts, tag})) take(*judged);
        if (line.shifts().size() > time_shifts_max) break;  // refused below; a crafted file must not make the list longer
      } else if (const auto sound = sounds.find(index); shown && sound != sounds.end()) {
        take_first(index, sound->second.push({0, pts, end_pts - pts, 0}));
      }
      seen.last_us = std::max(seen.last_us, av_rescale_q(end_pts, stream->time_base, microseconds));
    }
    av_packet_unref(packet.get());
  }
  while (const auto judged = line.finish()) take(*judged);
  while (!sounds.empty()) {
    const auto index = sounds.begin()->first;
    const auto judged = sounds.begin()->second.finish();
    take_first(index, judged);
    if (!judged) sounds.erase(index);
  }
  seen.shifts = line.shifts();
  seen.disbelieved = line.disbelieved();
  std::sort(seen.pts.begin(), seen.pts.end());
  std::sort(seen.keys.begin(), seen.keys.end(), [](const auto& a, const auto& b) { return a.pts < b.pts; });
  const auto alike = [](const auto& a, const auto& b) { return a.pts == b.pts; };
  seen.keys.erase(std::unique(seen.keys.begin(), seen.keys.end(), alike), seen.keys.end());
  return seen;
}

/// The commonest step between shown frames, as a rate; num 0 when there is none.
rational median_rate(const packet_survey& seen, AVRational time_base, std::int64_t& step) {
  std::vector<std::int64_t> steps;
  steps.reserve(seen.pts.size());
  for (std::size_t i = 1; i < seen.pts.size(); ++i)
    if (seen.pts[i] > seen.pts[i - 1]) steps.push_back(seen.pts[i] - seen.pts[i - 1]);
  step = 0;
  if (steps.empty()) return {0, 1};
  std::nth_element(steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2), steps.end());
  step = steps[steps.size() / 2];
  return rational{time_base.den, step * time_base.num}.reduced();
}

rational average_rate(const packet_survey& seen, AVRational time_base) {
  if (seen.pts.size() < 2 || seen.pts.back() <= seen.pts.front()) return {0, 1};
  const auto count = static_cast<std::int64_t>(seen.pts.size() - 1);
  const auto span = seen.pts.back() - seen.pts.front();
  // Through a double: products of 64-bit counts and time bases overflow, and choose_fps snaps anyway.
  const double rate = static_cast<double>(count) * time_base.den / (static_cast<double>(span) * time_base.num);
  if (!(rate > 0) || rate > 100'000) return {0, 1};
  return rational{std::max<std::int64_t>(std::llround(rate * 10'000), 1), 10'000}.reduced();
}

std::string seconds_text(double s) {
  const auto tenths = std::llround(s * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

/// Does the container promise more than the bytes hold? Only said where the promise is exact.
bool ends_early(const input& in, const AVStream& video, const packet_survey& seen) {
  const int entries = avformat_index_get_entries_count(&video);
  if (in.container == "mov" && entries > 0) {
    const auto* last = avformat_index_get_entry(const_cast<AVStream*>(&video), entries - 1);
    if (last && last->pos >= 0 && static_cast<std::uint64_t>(last->pos) + static_cast<std::uint64_t>(last->size) > in.io->size())
      return true;
  }
  const auto promised = in.demuxer->duration;
  const bool exact = (in.container == "mov" || in.container == "matroska" || in.container == "flv") && !has_subtitles(in);
  if (!exact || promised == AV_NOPTS_VALUE || promised <= 0) return false;
  const auto start = in.demuxer->start_time != AV_NOPTS_VALUE ? in.demuxer->start_time : 0;
  const auto missing = promised - (seen.last_us - start);
  return missing > 2 * AV_TIME_BASE && missing > promised / 20 && in.container != "mov";
}

/// Size as displayed: square pixels, rotated, even. False when that is no size.
bool displayed_size(const input& in, AVStream& stream, source_plan& plan) {
  std::int64_t width = stream.codecpar->width;
  std::int64_t height = stream.codecpar->height;
  const auto shape = av_guess_sample_aspect_ratio(in.demuxer.get(), &stream, nullptr);
  // A pixel more than 16 times as wide as high is damage, not design.
  if (shape.num > 0 && shape.den > 0 && shape.num / shape.den <= 16 && shape.den / shape.num <= 16)
    width = av_rescale(width, shape.num, shape.den);
  if (plan.rotation % 180 != 0) std::swap(width, height);
  if (width < 2 || height < 2) return false;
  const auto even = [](std::int64_t x) { return static_cast<std::uint32_t>(std::min<std::int64_t>(x, dimension_max) / 2 * 2); };
  plan.width = even(width);
  plan.height = even(height);
  return true;
}

}  // namespace

expected<planned_source> plan_source(task_host& host, std::uint64_t source_bytes, const recipe& how) {
  auto opened = open_input(host, source_bytes);
  if (!opened) return std::move(opened).error();
  const auto& in = *opened;

  int best = av_find_best_stream(in.demuxer.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (best < 0 || !is_picture_stream(*in.demuxer->streams[best])) {
    if (in.demuxer->nb_streams == 0) return {errc::unprocessable, "The file holds nothing that can be played: upload another one."};
    return plan_sound(in, how);
  }
  auto& stream = *in.demuxer->streams[best];
  const auto& coded = *stream.codecpar;
  source_plan plan;
  plan.container = in.container;
  plan.video_codec = avcodec_get_name(coded.codec_id);
  plan.video_stream = static_cast<std::uint32_t>(best);
  plan.time_base = {stream.time_base.num, stream.time_base.den};
  plan.rotation = rotation_of(stream);
  if (!has_decoder(stream))
    return {errc::unsupported, "Latham does not decode " + plan.video_codec + " video: convert the file to H.264 first."};
  if (coded.width <= 0 || coded.height <= 0)
    return {errc::unprocessable, "The size of the picture cannot be found: the file is damaged, upload it again."};
  if (auto ok = check_size(stream); !ok) return std::move(ok).error();
  if (!displayed_size(in, stream, plan))
    return {errc::unprocessable, "The picture is too small to be encoded: it needs at least 2x2 pixels."};

  find_audio(in, plan);
  find_text(in, plan);

  auto surveyed = survey(in, plan.video_stream, plan.audio);
  if (!surveyed) return std::move(surveyed).error();
  auto& seen = *surveyed;
  if (seen.pts.empty()) return {errc::unprocessable, "The video track has no frames: upload a file that has some."};
  if (seen.keys.empty()) seen.keys.push_back({seen.pts.front(), 0});  // nothing is marked: the first packet has to do

  if (seen.shifts.size() > time_shifts_max)
    return {errc::unprocessable, "The clock of the file starts anew " + std::to_string(seen.shifts.size()) +
                                   " times: its timestamps are damaged, record or remux it again."};

  std::int64_t step = 0;
  const auto median = median_rate(seen, stream.time_base, step);
  const auto nominal = av_guess_frame_rate(in.demuxer.get(), &stream, nullptr);
  plan.fps = choose_fps({nominal.num, std::max(nominal.den, 1)}, median, average_rate(seen, stream.time_base));
  plan.segment_frames = segment_frames_of(how.segment_ms, plan.fps);

  // Pictures before the first key frame cannot be decoded (a recording that starts in the middle of a GOP).
  const auto start = std::max(seen.pts.front(), std::min(seen.keys.front().pts, seen.pts.back()));
  plan.origin_pts = start;
  if (seen.first_audio_us != std::numeric_limits<std::int64_t>::max()) {
    // Sound that starts earlier is kept, under the first picture; less than a frame, or than an encoder's priming, is no content.
    const auto start_us = av_rescale_q(start, stream.time_base, microseconds);
    const auto first_us = std::max(seen.first_audio_us, start_us - audio_lead_s_max * AV_TIME_BASE);
    const auto frame_us = av_rescale(AV_TIME_BASE, plan.fps.den, plan.fps.num);
    if (start_us - first_us >= std::max(frame_us, priming_us_max)) plan.origin_pts = av_rescale_q(first_us, microseconds, stream.time_base);
  }

  if (seen.end_pts == seen.pts.back()) {
    // The last packet has no duration of its own.
    seen.end_pts += step > 0 ? step : std::max<std::int64_t>(1, pts_of_frame(1, 0, plan.time_base, plan.fps));
  }
  const auto length = static_cast<double>(seen.end_pts - plan.origin_pts) * plan.time_base.to_double();
  if (length > static_cast<double>(duration_s_max)) return {errc::too_large, "The video is longer than 24 hours: split it."};
  if (length > static_cast<double>(hold_s_free) && length > static_cast<double>(hold_s_max) * static_cast<double>(seen.pts.size()))
    return {errc::unprocessable, "The file claims " + seconds_text(length) + " but holds only " + std::to_string(seen.pts.size()) +
                                   " frames: its timestamps are damaged."};
  // Frame n is there when the source still lasts at the middle of its time; the end itself belongs to no frame.
  const auto frames = first_frame_showing(seen.end_pts, plan.origin_pts, plan.time_base, plan.fps);
  plan.frames = static_cast<std::uint64_t>(std::max<std::int64_t>(frames, 1));

  plan.truncated = ends_early(in, stream, seen);
  if (plan.truncated)
    plan.notes.push_back("The file ends early: only its first " + seconds_text(length) + " could be used.");
  else if (seen.damaged || seen.corrupt > seen.shifts.size() + 1)  // where recordings were joined, one is to be expected
    plan.notes.push_back("Parts of the file are damaged and were left out.");
  if (seen.disbelieved > 0) plan.notes.push_back("Damaged timestamps were left out: " + std::to_string(seen.disbelieved) + ".");
  if (!seen.shifts.empty())
    plan.notes.push_back("The clock of the file starts anew in its middle: the parts were joined.");
  plan.shifts = std::move(seen.shifts);
  if (is_high_dynamic_range(coded)) plan.notes.push_back("HDR was tone-mapped to SDR.");
  if (seen.resized) plan.notes.push_back("The picture's size changes on the way: it is fitted into its first shape.");
  plan.rungs = fit_ladder(how.rungs, plan.width, plan.height);

  planned_source out;
  out.chunks = plan_chunks(plan, seen.keys, how.chunk_segments, lead_frames_of(coded));
  out.plan = std::move(plan);
  return out;
}

}  // namespace latham::media
