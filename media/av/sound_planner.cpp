#include "media/av/sound_planner.hpp"

#include "media/av/promises.hpp"
#include "media/av/tracks.hpp"
#include "media/chunk_planner.hpp"
#include "media/timestamps.hpp"

extern "C" {
#include <libavutil/intreadwrite.h>
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace latham::media {

namespace {

constexpr int damaged_reads_max = 1000;
constexpr int first_packets_max = 64;         // that a decoder may take before its first frame
constexpr std::uint64_t packets_max = duration_s_max * 1000;  // of all tracks: frames of 1 ms are the shortest that there are
constexpr std::int64_t hold_s_max = 10;       // one packet stands for at most this, on average
constexpr std::int64_t hold_s_free = 60;      // below this total nothing is suspicious
constexpr std::uint32_t kbit_min = 32;        // a rate below this is no rung

std::int64_t duration_of(const AVPacket& packet, const AVStream& stream, bool is_trimmed) {
  auto duration = packet.duration;
  if (duration <= 0) {
    const int samples = av_get_audio_frame_duration2(stream.codecpar, packet.size);
    if (samples > 0 && stream.codecpar->sample_rate > 0) duration = av_rescale_q(samples, {1, stream.codecpar->sample_rate}, stream.time_base);
  }
  // What the encoder added to fill its last frame is not content. Ogg's demuxer has taken it off already.
  std::size_t bytes = 0;
  const auto* skip = av_packet_get_side_data(&packet, AV_PKT_DATA_SKIP_SAMPLES, &bytes);
  if (skip && bytes >= 8 && !is_trimmed && stream.codecpar->sample_rate > 0)
    duration -= av_rescale_q(AV_RL32(skip + 4), {1, stream.codecpar->sample_rate}, stream.time_base);
  return std::clamp<std::int64_t>(duration, 0, std::numeric_limits<std::int32_t>::max());
}

/// One track, as its packets go by.
class track_survey {
public:
  track_survey(const AVStream& stream, const AVInputFormat& format)
    : stream_{stream}, is_trimmed_{std::string_view{format.name} == "ogg"}, line_{bounds_of(stream.time_base, (format.flags & AVFMT_TS_DISCONT) != 0)} {
    if (auto opened = open_decoder(stream)) decoder_ = std::move(opened).value();
  }

  void take(const AVPacket& packet) {
    const auto pts = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    look_for_first_sample(packet);
    if (pts == AV_NOPTS_VALUE || (packet.flags & AV_PKT_FLAG_DISCARD) != 0) return;
    if (packet.pos >= 0) offset_ = static_cast<std::uint64_t>(packet.pos);
    if (const auto judged = line_.push({offset_, pts, duration_of(packet, stream_, is_trimmed_), 0})) settle(*judged);
  }
  void end() {
    while (const auto judged = line_.finish()) settle(*judged);
  }

  [[nodiscard]] bool any() const noexcept { return first_.has_value(); }
  /// Of the first sample that is heard. A time of the decoder's that lies elsewhere than its packet is that of a damaged one.
  [[nodiscard]] std::int64_t begin() const {
    const auto near = av_rescale_q(1, AVRational{1, 1}, stream_.time_base);
    return sample_ && std::abs(static_cast<double>(*sample_) - static_cast<double>(*first_)) <= static_cast<double>(near) ? *sample_ : *first_;
  }
  [[nodiscard]] std::int64_t end_pts() const noexcept { return end_; }
  [[nodiscard]] const AVStream& stream() const noexcept { return stream_; }
  [[nodiscard]] const time_line& line() const noexcept { return line_; }

private:
  static time_bounds bounds_of(AVRational time_base, bool restarts) {
    const auto s = [&](std::int64_t x) { return std::max<std::int64_t>(av_rescale_q(x, AVRational{1, 1}, time_base), 1); };
    return {s(1), s(1), s(10), restarts};  // as the audio task has it
  }

  void settle(const time_line::verdict& v) {
    if (!v.believed) return;
    const auto past = v.packet.time > INT64_MAX / 2 ? v.packet.time : v.packet.time + v.packet.duration;
    if (!first_) {
      first_ = v.packet.time;
      end_ = past;
    }
    end_ = std::max(end_, past);
  }

  void look_for_first_sample(const AVPacket& packet) {
    if (!decoder_ || sample_ || ++tried_ > first_packets_max) return;
    if (avcodec_send_packet(decoder_.get(), &packet) == AVERROR(ENOMEM)) throw std::bad_alloc{};
    const int got = avcodec_receive_frame(decoder_.get(), frame_.get());
    if (got == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (got < 0) return;
    if (frame_->pts != AV_NOPTS_VALUE) sample_ = frame_->pts;
    decoder_.reset();
  }

  const AVStream& stream_;
  const bool is_trimmed_;
  time_line line_;
  av_codec_context decoder_;  // until its first frame
  av_frame frame_ = make_frame_handle();
  int tried_ = 0;
  std::uint64_t offset_ = 0;
  std::optional<std::int64_t> sample_;  // decoded
  std::optional<std::int64_t> first_;   // believed
  std::int64_t end_ = 0;
};

std::string seconds_text(double s) {
  const auto tenths = std::llround(s * 10);
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

/// The ladder of sound, ascending.
std::vector<std::uint32_t> rates_of(const recipe& how, std::size_t tracks) {
  if (tracks * 2 > audio_tracks_max || how.audio_kbit / 2 < kbit_min) return {how.audio_kbit};
  return {how.audio_kbit / 2, how.audio_kbit};
}

}  // namespace

expected<planned_source> plan_sound(const input& in, const recipe& how) {
  source_plan plan;
  plan.container = in.container;
  find_audio(in, plan);
  if (plan.audio.empty()) {
    for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) {
      const auto& coded = *in.demuxer->streams[i]->codecpar;
      if (coded.codec_type == AVMEDIA_TYPE_AUDIO)
        return {errc::unsupported, "Latham does not decode " + std::string{avcodec_get_name(coded.codec_id)} + " sound: convert the file to AAC first."};
    }
    return {errc::unprocessable, "The file has neither a video track nor sound: upload one that has."};
  }
  find_text(in, plan);

  std::map<unsigned, track_survey> tracks;
  for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) {
    auto& stream = *in.demuxer->streams[i];
    stream.discard = counts_in_promise(in, stream) ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
  for (const auto& track : plan.audio) {
    auto& stream = *in.demuxer->streams[track.stream_index];
    stream.discard = AVDISCARD_DEFAULT;
    tracks.try_emplace(track.stream_index, stream, *in.demuxer->iformat);
  }
  std::int64_t words_end_us = 0;  // of subtitles
  std::uint64_t packets = 0, corrupt = 0;
  bool damaged = false;
  auto packet = make_packet_handle();
  for (int failures = 0;;) {
    const int r = av_read_frame(in.demuxer.get(), packet.get());
    if (in.io->failure().code != errc::none) return in.io->failure();
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r == AVERROR_EOF) break;
    if (r < 0) {
      damaged = true;
      if (++failures > damaged_reads_max || avio_feof(in.demuxer->pb)) break;
      continue;
    }
    if (const auto at = tracks.find(static_cast<unsigned>(packet->stream_index)); at != tracks.end()) {
      if (++packets > packets_max) return {errc::too_large, "The sound has more packets than a day of it can have: split it."};
      if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) ++corrupt;
      at->second.take(*packet);
      if (at->second.line().shifts().size() > time_shifts_max) break;  // refused below; a crafted file must not make the list longer
    } else if (const auto* words = in.stream(static_cast<std::uint32_t>(packet->stream_index)); words && packet->pts != AV_NOPTS_VALUE) {
      const auto duration = std::clamp<std::int64_t>(packet->duration, 0, std::numeric_limits<std::int32_t>::max());
      words_end_us = std::max(words_end_us, av_rescale_q(std::min(packet->pts, INT64_MAX / 2) + duration, words->time_base, {1, AV_TIME_BASE}));
    }
    av_packet_unref(packet.get());
  }
  for (auto& [index, track] : tracks) track.end();

  // A track without a packet is no track. The clock is that of the first one left.
  std::erase_if(plan.audio, [&](const auto& a) { return !tracks.at(a.stream_index).any(); });
  if (plan.audio.empty()) return {errc::unprocessable, "The sound has no samples: upload a file that has some."};
  const auto& clock = tracks.at(plan.audio.front().stream_index);
  for (const auto& [index, track] : tracks)
    if (track.line().shifts().size() > time_shifts_max)
      return {errc::unprocessable, "The clock of the file starts anew more than " + std::to_string(time_shifts_max) +
                                     " times: its timestamps are damaged, record or remux it again."};
  plan.video_codec = avcodec_get_name(clock.stream().codecpar->codec_id);
  plan.time_base = {clock.stream().time_base.num, clock.stream().time_base.den};
  plan.shifts = clock.line().shifts();

  const auto rate = static_cast<int>(how.audio_rate_hz);
  plan.fps = rational{rate, aac_frame_samples}.reduced();
  plan.segment_frames = segment_frames_of(how.segment_ms, plan.fps);
  plan.origin_pts = clock.begin();
  for (const auto& a : plan.audio) {
    const auto& track = tracks.at(a.stream_index);
    plan.origin_pts = std::min(plan.origin_pts, av_rescale_q(track.begin(), track.stream().time_base, clock.stream().time_base));
  }
  // In samples, and by the arithmetic of the audio task: the last sample must not fall behind the end by rounding.
  const auto origin = av_rescale_q(plan.origin_pts, clock.stream().time_base, {1, rate});
  double samples = 0;
  std::uint64_t disbelieved = 0;
  for (const auto& a : plan.audio) {
    const auto& track = tracks.at(a.stream_index);
    samples = std::max(samples, static_cast<double>(av_rescale_q(track.end_pts(), track.stream().time_base, {1, rate})) - static_cast<double>(origin));
    disbelieved += track.line().disbelieved();
  }
  const auto length_s = samples / rate;
  if (length_s > static_cast<double>(duration_s_max)) return {errc::too_large, "The sound is longer than 24 hours: split it."};
  if (length_s > static_cast<double>(hold_s_free) && length_s > static_cast<double>(hold_s_max) * static_cast<double>(packets))
    return {errc::unprocessable, "The file claims " + seconds_text(length_s) + " but holds only " + std::to_string(packets) +
                                   " packets of sound: its timestamps are damaged."};
  plan.frames = static_cast<std::uint64_t>(std::max(1.0, std::ceil(samples / aac_frame_samples)));
  if (auto ok = take_part(plan, how.part); !ok) return std::move(ok).error();

  const auto begin_us = in.demuxer->start_time != AV_NOPTS_VALUE ? in.demuxer->start_time : 0;
  auto cut = ends_early(in, std::max(begin_us + static_cast<std::int64_t>(length_s * AV_TIME_BASE), words_end_us));
  if (!cut) return std::move(cut).error();
  plan.truncated = *cut;
  if (plan.truncated)
    plan.notes.push_back("The file ends early: only its first " + seconds_text(length_s) + " could be used.");
  else if (damaged || corrupt > plan.shifts.size() + 1)  // where recordings were joined, one is to be expected
    plan.notes.push_back("Parts of the file are damaged and were left out.");
  if (disbelieved > 0) plan.notes.push_back("Damaged timestamps were left out: " + std::to_string(disbelieved) + ".");
  if (!plan.shifts.empty()) plan.notes.push_back("The clock of the file starts anew in its middle: the parts were joined.");

  const auto found = std::exchange(plan.audio, {});
  for (const auto& track : found)
    for (const auto kbit : rates_of(how, found.size())) plan.audio.push_back({track.stream_index, track.language, kbit});
  planned_source out;
  out.plan = std::move(plan);
  return out;
}

}  // namespace latham::media
