#include "media/av/planner.hpp"

#include "core/findings.hpp"
#include "media/av/input.hpp"
#include "media/av/packet_survey.hpp"
#include "media/av/promises.hpp"
#include "media/av/sound_planner.hpp"
#include "media/av/tone_mapper.hpp"
#include "media/av/tracks.hpp"
#include "media/av/whole_pictures.hpp"
#include "media/chunk_planner.hpp"
#include "media/ladder.hpp"

extern "C" {
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <string_view>

namespace latham::media {

namespace {

constexpr AVRational microseconds{1, AV_TIME_BASE};  // the library's own macro is not C++
constexpr std::int64_t hold_s_max = 10;                      // one packet stands for at most this, on average
constexpr std::int64_t hold_s_free = 60;                     // below this total nothing is suspicious
constexpr std::int64_t audio_lead_s_max = 10;
constexpr std::int64_t priming_us_max = 50'000;  // 2112 samples at 44.1 kHz are 48 ms

bool is_picture_stream(const AVStream& stream) {
  return stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO && (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) == 0;
}

std::string seconds_text(double s) {
  const auto tenths = std::llround(s * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
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

/// From the index where there is one, else by a pass.
expected<packet_survey> survey(task_host& host, input& in, const surveyed_streams& streams, const plan_limits& limits) {
  if (!limits.from_index) return survey_by_pass(in, streams);
  auto indexed = survey_by_index(host, in, streams, limits.matroska_pass_bytes_max);
  if (!indexed) return std::move(indexed).error();
  if (*indexed) return std::move(**indexed);
  if (in.container == "mov") return survey_by_pass(in, streams);  // untouched so far
  auto again = open_input(host, in.io->size());
  if (!again) return std::move(again).error();
  return survey_by_pass(*again, streams);
}

}  // namespace

expected<planned_source> plan_source(task_host& host, std::uint64_t source_bytes, const recipe& how, const plan_limits& limits) {
  auto opened = open_input(host, source_bytes);
  if (!opened) return std::move(opened).error();
  auto& in = *opened;

  int best = av_find_best_stream(in.demuxer.get(), AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
  if (best < 0 || !is_picture_stream(*in.demuxer->streams[best])) {
    if (in.demuxer->nb_streams == 0) return {errc::unprocessable, "The file holds nothing that can be played: upload another one."};
    return plan_sound(in, how);
  }
  surveyed_streams streams{static_cast<unsigned>(best), {}};
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
  for (const auto& track : plan.audio) streams.audio.push_back(track.stream_index);

  auto surveyed = survey(host, in, streams, limits);
  if (!surveyed) return std::move(surveyed).error();
  auto& seen = *surveyed;
  if (seen.shown == 0) return {errc::unprocessable, "The video track has no frames: upload a file that has some."};
  if (seen.keys.empty()) seen.keys.push_back({seen.first_pts, 0});  // nothing is marked: the first packet has to do

  if (seen.shifts.size() > time_shifts_max)
    return {errc::unprocessable, "The clock of the file starts anew " + std::to_string(seen.shifts.size()) +
                                   " times: its timestamps are damaged, record or remux it again."};

  const auto median = seen.step > 0 ? rational{stream.time_base.den, seen.step * stream.time_base.num}.reduced() : rational{0, 1};
  const auto nominal = av_guess_frame_rate(in.demuxer.get(), &stream, nullptr);
  plan.fps = choose_fps({nominal.num, std::max(nominal.den, 1)}, median, seen.average_rate);
  plan.segment_frames = segment_frames_of(how.segment_ms, plan.fps);

  // Pictures before the first key frame cannot be decoded (a recording that starts in the middle of a GOP).
  const auto start = std::max(seen.first_pts, std::min(seen.keys.front().pts, seen.last_pts));
  plan.origin_pts = start;
  if (seen.first_audio_us != std::numeric_limits<std::int64_t>::max()) {
    // Sound that starts earlier is kept, under the first picture; less than a frame, or than an encoder's priming, is no content.
    const auto start_us = av_rescale_q(start, stream.time_base, microseconds);
    const auto first_us = std::max(seen.first_audio_us, start_us - audio_lead_s_max * AV_TIME_BASE);
    const auto frame_us = av_rescale(AV_TIME_BASE, plan.fps.den, plan.fps.num);
    if (start_us - first_us >= std::max(frame_us, priming_us_max)) plan.origin_pts = av_rescale_q(first_us, microseconds, stream.time_base);
  }

  if (seen.end_pts == seen.last_pts) {
    // The last packet has no duration of its own.
    seen.end_pts += seen.step > 0 ? seen.step : std::max<std::int64_t>(1, pts_of_frame(1, 0, plan.time_base, plan.fps));
  }
  const auto length = static_cast<double>(seen.end_pts - plan.origin_pts) * plan.time_base.to_double();
  if (length > static_cast<double>(duration_s_max)) return {errc::too_large, "The video is longer than 24 hours: split it."};
  if (length > static_cast<double>(hold_s_free) && length > static_cast<double>(hold_s_max) * static_cast<double>(seen.shown))
    return {errc::unprocessable, "The file claims " + seconds_text(length) + " but holds only " + std::to_string(seen.shown) +
                                   " frames: its timestamps are damaged."};
  // Frame n is there when the source still lasts at the middle of its time; the end itself belongs to no frame.
  const auto frames = first_frame_showing(seen.end_pts, plan.origin_pts, plan.time_base, plan.fps);
  plan.frames = static_cast<std::uint64_t>(std::max<std::int64_t>(frames, 1));

  if (auto ok = take_part(plan, how.part); !ok) return std::move(ok).error();

  auto cut = ends_early(in, seen.last_us);
  if (!cut) return std::move(cut).error();
  plan.truncated = *cut;
  if (plan.truncated)
    plan.notes.push_back("The file ends early: only its first " + seconds_text(length) + " could be used.");
  else if (seen.damaged || seen.corrupt > seen.shifts.size() + 1)  // where recordings were joined, one is to be expected
    plan.notes.push_back("Parts of the file are damaged and were left out.");
  if (seen.disbelieved > 0) plan.notes.push_back("Damaged timestamps were left out: " + std::to_string(seen.disbelieved) + ".");
  if (!seen.shifts.empty())
    plan.notes.push_back("The clock of the file starts anew in its middle: the parts were joined.");
  plan.shifts = std::move(seen.shifts);
  if (is_high_dynamic_range(coded)) plan.notes.push_back("HDR was tone-mapped to SDR.");
  if (seen.resized) plan.notes.emplace_back(note_resized);
  plan.rungs = fit_ladder(how.rungs, plan.width, plan.height);

  planned_source out;
  out.chunks = plan_chunks(plan, seen.keys, how.chunk_segments, lead_frames_of(coded));
  out.plan = std::move(plan);
  return out;
}

}  // namespace latham::media
