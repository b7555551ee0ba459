#include "media/av/text_task.hpp"

#include "media/av/input.hpp"
#include "media/text_cues.hpp"

extern "C" {
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::media {

namespace {

constexpr AVRational microseconds{1, AV_TIME_BASE};
constexpr int damaged_reads_max = 1000;
constexpr std::int64_t hold_ms = 4000;  // of a cue that does not say how long it stands
constexpr std::int64_t cue_ms_max = 24 * 3600 * 1000;
constexpr int fields_before_text = 8;   // ReadOrder, Layer, Style, Name, three margins, Effect

class decoded_subtitle {
public:
  decoded_subtitle() = default;
  ~decoded_subtitle() { avsubtitle_free(&subtitle_); }
  decoded_subtitle(const decoded_subtitle&) = delete;
  decoded_subtitle& operator=(const decoded_subtitle&) = delete;
  [[nodiscard]] AVSubtitle* get() noexcept { return &subtitle_; }

private:
  AVSubtitle subtitle_{};
};

std::string words_of(const AVSubtitle& subtitle) {
  std::string out;
  for (unsigned i = 0; i < subtitle.num_rects; ++i) {
    const auto& rect = *subtitle.rects[i];
    if (!out.empty()) out += '\n';
    if (rect.type == SUBTITLE_TEXT && rect.text) out += rect.text;
    if (rect.type != SUBTITLE_ASS || !rect.ass) continue;
    std::string_view event{rect.ass};
    int fields = 0;
    for (; fields < fields_before_text; ++fields) {
      const auto comma = event.find(',');
      if (comma == std::string_view::npos) break;
      event.remove_prefix(comma + 1);
    }
    if (fields == fields_before_text) out += words_of_ass(event);
  }
  return out;
}

/// Packets of one track in, cues on the output's clock out.
class track_reader {
public:
  track_reader(const AVStream& stream, std::int64_t origin_us, av_codec_context decoder)
    : stream_{stream}, origin_us_{origin_us}, decoder_{std::move(decoder)} {
    // Text in some old code page is shown as far as it can be read instead of being refused.
    decoder_->sub_charenc_mode = FF_SUB_CHARENC_MODE_IGNORE;
  }

  void take(AVPacket& packet) {
    const auto pts = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
    if (pts == AV_NOPTS_VALUE || packet.size <= 0 || cues_.size() >= cues_max || bytes_ >= cues_bytes_max) return;
    decoded_subtitle decoded;
    int got = 0;
    const int r = avcodec_decode_subtitle2(decoder_.get(), decoded.get(), &got, &packet);
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r < 0 || got == 0) return;
    text_cue cue;
    cue.text = clean_cue(words_of(*decoded.get()));
    if (cue.text.empty()) return;
    // Damaged times may be anywhere; far outside of a day is outside of the video, too.
    const auto limit = std::int64_t{1000} * cue_ms_max;
    const auto start_us = std::clamp(av_rescale_q(pts, stream_.time_base, microseconds), -2 * limit + origin_us_, 2 * limit + origin_us_) - origin_us_;
    const std::int64_t shown_ms = decoded.get()->end_display_time;
    const auto lasts_us = packet.duration > 0                             ? av_rescale_q(packet.duration, stream_.time_base, microseconds)
                          : shown_ms > 0 && shown_ms < std::int64_t{UINT32_MAX} ? shown_ms * 1000
                                                                          : hold_ms * 1000;
    const auto to_ms = [](std::int64_t us) { return us >= 0 ? (us + 500) / 1000 : -((-us + 500) / 1000); };
    cue.start_ms = to_ms(start_us);
    cue.end_ms = to_ms(start_us + std::clamp<std::int64_t>(lasts_us, 0, limit));
    bytes_ += cue.text.size();
    cues_.push_back(std::move(cue));
  }

  [[nodiscard]] std::vector<text_cue> finish() { return std::move(cues_); }

private:
  const AVStream& stream_;
  const std::int64_t origin_us_;
  av_codec_context decoder_;
  std::vector<text_cue> cues_;
  std::size_t bytes_ = 0;
};

}  // namespace

expected<void> run_text_task(const ports::engine_task& task, task_host& host) {
  auto opened = open_input(host, task.source_bytes);
  if (!opened) return std::move(opened).error();
  const auto& in = *opened;
  const auto& plan = task.plan;
  const auto origin_us = av_rescale_q(plan.origin_pts, to_av(plan.time_base.num, plan.time_base.den), microseconds);
  for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) in.demuxer->streams[i]->discard = AVDISCARD_ALL;
  std::vector<track_reader> tracks;
  for (const auto& track : plan.text) {
    auto* stream = in.stream(track.stream_index);
    if (!stream || in.container != plan.container || stream->codecpar->codec_type != AVMEDIA_TYPE_SUBTITLE)
      return {errc::corrupt, "the source is not the one that was planned"};
    stream->discard = AVDISCARD_DEFAULT;
    auto decoder = open_decoder(*stream);
    if (!decoder) return std::move(decoder).error();
    tracks.emplace_back(*stream, origin_us, std::move(decoder).value());
  }

  auto packet = make_packet_handle();
  for (int failures = 0;;) {
    const int r = [&] {
      const stage_clock::scope stage{host.clock, &ports::engine_usage::demux_us};
      return av_read_frame(in.demuxer.get(), packet.get());
    }();
    if (in.io->failure().code != errc::none) return in.io->failure();
    if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
    if (r == AVERROR_EOF || (r < 0 && (++failures > damaged_reads_max || avio_feof(in.demuxer->pb)))) break;
    if (r < 0) continue;
    const stage_clock::scope stage{host.clock, &ports::engine_usage::decode_us};
    for (std::size_t i = 0; i < tracks.size(); ++i)
      if (packet->stream_index == static_cast<int>(plan.text[i].stream_index)) tracks[i].take(*packet);
    av_packet_unref(packet.get());
  }

  const auto total_ms = static_cast<std::int64_t>(plan.frames * 1000 * static_cast<std::uint64_t>(plan.fps.den) / static_cast<std::uint64_t>(plan.fps.num));
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    std::uint32_t cues = 0;
    const auto file = webvtt(tracks[i].finish(), total_ms, &cues);
    if (cues == 0) continue;
    if (auto sent = host.piece(0, track_kind::text, static_cast<std::uint8_t>(i), 0, cues, file); !sent) return sent;
  }
  return host.chunk_done(0, {});
}

}  // namespace latham::media
