#include "media/av/packet_survey.hpp"

#include "media/av/promises.hpp"
#include "media/timestamps.hpp"

extern "C" {
#include <libavutil/mathematics.h>
}

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <string_view>

namespace latham::media {

namespace {

constexpr AVRational microseconds{1, AV_TIME_BASE};          // the library's own macro is not C++
constexpr std::uint64_t packets_max = duration_s_max * 240;  // of video
constexpr int damaged_reads_max = 1000;

// Of a Matroska file whose cues are trusted.
constexpr std::uint64_t head_bytes_max = 4 * 1024 * 1024;
constexpr std::uint64_t head_packets_max = 500;              // of video; enough for the commonest step
constexpr std::uint64_t tail_bytes_max = 8 * 1024 * 1024;    // or a sixteenth of the file
constexpr std::int64_t cue_gap_s_max = 10;                   // on average; a seek must not land minutes away
constexpr int boxes_max = 256;

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
  explicit size_watch(const AVCodecParameters& stream) : codec_{checked(av_codec_context{avcodec_alloc_context3(nullptr)})} {
    if (avcodec_parameters_to_context(codec_.get(), &stream) < 0) throw std::bad_alloc{};
    start();
  }

  /// True when this picture has another size than one before.
  bool changes(const AVPacket& packet) {
    take_headers(packet);
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
  void start() {
    parser_.reset(av_parser_init(static_cast<int>(codec_->codec_id)));
    if (parser_) parser_->flags |= PARSER_FLAG_COMPLETE_FRAMES;
  }

  /// The headers of a stream that has them outside of its packets, when they change: a parser reads them once.
  void take_headers(const AVPacket& packet) {
    std::size_t bytes = 0;
    const auto* headers = av_packet_get_side_data(&packet, AV_PKT_DATA_NEW_EXTRADATA, &bytes);
    if (!headers || bytes > static_cast<std::size_t>(INT32_MAX) - AV_INPUT_BUFFER_PADDING_SIZE) return;
    auto* copy = static_cast<std::uint8_t*>(av_mallocz(bytes + AV_INPUT_BUFFER_PADDING_SIZE));
    if (!copy) throw std::bad_alloc{};
    std::copy_n(headers, bytes, copy);
    av_freep(&codec_->extradata);
    codec_->extradata = copy;
    codec_->extradata_size = static_cast<int>(bytes);
    start();
  }

  av_codec_context codec_;
  av_parser parser_;
  int width_ = 0;
  int height_ = 0;
};

/// The commonest step; 0 when there is none. Reorders `steps`.
std::int64_t median_of(std::vector<std::int64_t>& steps) {
  if (steps.empty()) return 0;
  const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 2);
  std::nth_element(steps.begin(), middle, steps.end());
  return *middle;
}

rational rate_of(std::uint64_t pictures, std::int64_t first, std::int64_t last, AVRational time_base) {
  if (pictures < 2 || last <= first) return {0, 1};
  // Through a double: products of 64-bit counts and time bases overflow, and choose_fps snaps anyway.
  const double rate = static_cast<double>(pictures - 1) * time_base.den / (static_cast<double>(last - first) * time_base.num);
  if (!(rate > 0) || rate > 100'000) return {0, 1};
  return rational{std::max<std::int64_t>(std::llround(rate * 10'000), 1), 10'000}.reduced();
}

enum class payload { read, absent };
enum class verdict { more, enough };

/// Takes packets one by one, in file order.
class surveyor {
public:
  surveyor(const input& in, const surveyed_streams& streams, payload bytes)
    : in_{in},
      video_{streams.video},
      restarts_{(in.demuxer->iformat->flags & AVFMT_TS_DISCONT) != 0},
      line_{bounds_of(in.demuxer->streams[streams.video]->time_base, restarts_)} {
    for (unsigned i = 0; i < in.demuxer->nb_streams; ++i) {
      const bool wanted = i == video_ || std::find(streams.audio.begin(), streams.audio.end(), i) != streams.audio.end() ||
                          counts_in_promise(in, *in.demuxer->streams[i]);
      in.demuxer->streams[i]->discard = wanted ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
    }
    for (const auto index : streams.audio) sounds_.emplace(index, time_line{bounds_of(in.demuxer->streams[index]->time_base, restarts_)});
    if (bytes == payload::read) size_.emplace(*in.demuxer->streams[video_]->codecpar);
  }

  /// Reads on until `rule`, asked after each packet, has enough, or the file ends.
  template <class Rule>
  expected<void> read_until(Rule&& rule) {
    auto packet = make_packet_handle();
    for (int failures = 0;;) {
      const int r = av_read_frame(in_.demuxer.get(), packet.get());
      if (in_.io->failure().code != errc::none) return in_.io->failure();
      if (r == AVERROR(ENOMEM)) throw std::bad_alloc{};
      if (r == AVERROR_EOF) return {};
      if (r < 0) {
        seen_.damaged = true;
        if (++failures > damaged_reads_max || avio_feof(in_.demuxer->pb)) return {};
        continue;
      }
      if (auto ok = take(*packet); !ok) return ok;
      av_packet_unref(packet.get());
      if (line_.shifts().size() > time_shifts_max) return {};  // a crafted file must not make the list longer
      if (rule(*this) == verdict::enough) return {};
    }
  }

  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }
  [[nodiscard]] bool heard_all() const noexcept { return sounds_.empty(); }
  /// The demuxer said that the decoder needs new headers from some packet on.
  [[nodiscard]] bool new_headers() const noexcept { return new_headers_; }

  packet_survey finish() {
    while (const auto judged = line_.finish()) take(*judged);
    while (!sounds_.empty()) {
      const auto index = sounds_.begin()->first;
      const auto judged = sounds_.begin()->second.finish();
      take_first(index, judged);
      if (!judged) sounds_.erase(index);
    }
    seen_.shifts = line_.shifts();
    seen_.disbelieved = line_.disbelieved();
    auto& keys = seen_.keys;
    std::sort(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.pts < b.pts; });
    keys.erase(std::unique(keys.begin(), keys.end(), [](const auto& a, const auto& b) { return a.pts == b.pts; }), keys.end());
    if (pts_.empty()) return std::move(seen_);
    std::sort(pts_.begin(), pts_.end());
    seen_.shown = pts_.size();
    seen_.first_pts = pts_.front();
    seen_.last_pts = pts_.back();
    seen_.average_rate = rate_of(pts_.size(), pts_.front(), pts_.back(), in_.demuxer->streams[video_]->time_base);
    // The times are not wanted any more: their differences take their place.
    for (std::size_t i = 0; i + 1 < pts_.size(); ++i) pts_[i] = pts_[i + 1] - pts_[i];
    pts_.pop_back();
    std::erase_if(pts_, [](std::int64_t step) { return step <= 0; });
    seen_.step = median_of(pts_);
    return std::move(seen_);
  }

private:
  static constexpr std::uint32_t is_key = 1, is_shown = 2;

  expected<void> take(const AVPacket& packet) {
    const auto index = static_cast<unsigned>(packet.stream_index);
    const auto* stream = index < in_.demuxer->nb_streams ? in_.demuxer->streams[index] : nullptr;
    const auto pts = index == video_               ? in_.picture_time(packet)
                     : packet.pts != AV_NOPTS_VALUE ? packet.pts
                                                    : packet.dts;
    if (!stream || pts == AV_NOPTS_VALUE) return {};
    const bool shown = (packet.flags & AV_PKT_FLAG_DISCARD) == 0;
    const auto end_pts = pts + std::clamp<std::int64_t>(packet.duration, 0, std::numeric_limits<std::int32_t>::max());
    if (index == video_) {
      if (++packets_ > packets_max) return {errc::too_large, "The video has more frames than a day at 240 per second: split it."};
      if (size_) seen_.resized = size_->changes(packet) || seen_.resized;
      if (packets_ > 1 && av_packet_get_side_data(&packet, AV_PKT_DATA_NEW_EXTRADATA, nullptr)) new_headers_ = true;
      if ((packet.flags & AV_PKT_FLAG_CORRUPT) != 0) ++seen_.corrupt;
      if (packet.pos >= 0) offset_ = static_cast<std::uint64_t>(packet.pos);
      const auto tag = ((packet.flags & AV_PKT_FLAG_KEY) != 0 ? is_key : 0) | (shown ? is_shown : 0);
      if (const auto judged = line_.push({offset_, pts, end_pts - pts, tag})) take(*judged);
    } else if (const auto sound = sounds_.find(index); shown && sound != sounds_.end()) {
      take_first(index, sound->second.push({0, pts, end_pts - pts, 0}));
    }
    seen_.last_us = std::max(seen_.last_us, av_rescale_q(end_pts, stream->time_base, microseconds));
    return {};
  }

  void take(const time_line::verdict& v) {
    if (!v.believed) return;
    if ((v.packet.tag & is_key) != 0) seen_.keys.push_back({v.packet.time, v.packet.offset});
    if ((v.packet.tag & is_shown) == 0) return;
    pts_.push_back(v.packet.time);
    if (v.packet.time < latest_) return;
    latest_ = v.packet.time;
    seen_.end_pts = latest_ + v.packet.duration;
  }

  /// Of each sound, the first time that can be believed.
  void take_first(unsigned index, const std::optional<time_line::verdict>& v) {
    if (!v || !v->believed) return;
    seen_.first_audio_us =
        std::min(seen_.first_audio_us, av_rescale_q(v->packet.time, in_.demuxer->streams[index]->time_base, microseconds));
    sounds_.erase(index);
    if (!size_) in_.demuxer->streams[index]->discard = AVDISCARD_ALL;
  }

  const input& in_;
  const unsigned video_;
  const bool restarts_;
  time_line line_;
  std::optional<size_watch> size_;
  std::map<unsigned, time_line> sounds_;  // not heard yet
  packet_survey seen_;
  std::vector<std::int64_t> pts_;  // of shown pictures
  std::uint64_t packets_ = 0;      // video
  std::uint64_t offset_ = 0;
  std::int64_t latest_ = std::numeric_limits<std::int64_t>::min();
  bool new_headers_ = false;
};

/// Finds a box of one of two types among those from `from` to `to`, not inside of them; gives its body.
struct box {
  std::uint64_t from = 0;
  std::uint64_t to = 0;
  std::array<char, 4> type{};
};
expected<std::optional<box>> find_box(task_host& host, std::uint64_t from, std::uint64_t to, std::string_view a, std::string_view b) {
  for (int i = 0; i < boxes_max && from + 8 <= to; ++i) {
    std::array<std::uint8_t, 16> head{};
    auto got = host.read(from, head);
    if (!got) return std::move(got).error();
    const auto number = [&](std::size_t at, int bytes) {
      std::uint64_t out = 0;
      for (int k = 0; k < bytes; ++k) out = out << 8 | head[at + static_cast<std::size_t>(k)];
      return out;
    };
    auto bytes = number(0, 4);
    std::uint64_t body = 8;
    if (bytes == 1) {
      bytes = number(8, 8);
      body = 16;
    } else if (bytes == 0) {
      bytes = to - from;
    }
    if (bytes < body || bytes > to - from) return std::optional<box>{};
    box found{from + body, from + bytes, {}};
    std::copy_n(head.begin() + 4, 4, found.type.begin());
    const std::string_view type{found.type.data(), found.type.size()};
    if (type == a || type == b) return std::optional{found};
    from += bytes;
  }
  return std::optional<box>{};
}

/// The file's moov is the whole of its index: no mvex announces fragments (ISO/IEC 14496-12, 8.8.1).
expected<bool> has_whole_index(task_host& host, std::uint64_t size) {
  auto movie = find_box(host, 0, size, "moov", "moof");
  if (!movie) return std::move(movie).error();
  if (!*movie || (*movie)->type[3] != 'v') return false;
  auto extends = find_box(host, (*movie)->from, (*movie)->to, "mvex", "moof");
  if (!extends) return std::move(extends).error();
  return !*extends;
}

expected<std::optional<packet_survey>> survey_mov(task_host& host, const input& probed, const surveyed_streams& streams) {
  const std::optional<packet_survey> nothing;
  auto whole = has_whole_index(host, probed.io->size());
  if (!whole) return std::move(whole).error();
  if (!*whole) return nothing;
  // Another demuxer: the first one's parsers would look into packets that are not there.
  auto opened = open_container(host, probed.io->size());
  if (!opened) return std::move(opened).error();
  const auto& in = *opened;
  if (in.demuxer->nb_streams != probed.demuxer->nb_streams) return nothing;
  const auto* video = in.demuxer->streams[streams.video];
  if (avformat_index_get_entries_count(video) == 0) return nothing;
  in.demuxer->flags |= AVFMT_FLAG_NOPARSE;
  in.io->pretend();
  surveyor pass{in, streams, payload::absent};
  auto ok = pass.read_until([](const surveyor& s) { return s.new_headers() ? verdict::enough : verdict::more; });
  if (!ok) return std::move(ok).error();
  // What the new headers say is in the packets' codec; the pass can tell.
  if (pass.new_headers()) return nothing;
  return std::optional{pass.finish()};
}

expected<std::optional<packet_survey>> survey_matroska(const input& in, const surveyed_streams& streams) {
  const std::optional<packet_survey> nothing;
  auto* demuxer = in.demuxer.get();
  auto* video = demuxer->streams[streams.video];
  const auto stream = static_cast<int>(streams.video);
  // First of all: sound may begin before the first key frame, and what was read to probe is still there.
  surveyor head{in, streams, payload::read};
  auto read = head.read_until([&](const surveyor& s) {
    const auto at = static_cast<std::uint64_t>(std::max<std::int64_t>(avio_tell(demuxer->pb), 0));
    return (s.packets() >= head_packets_max && s.heard_all()) || at >= head_bytes_max ? verdict::enough : verdict::more;
  });
  if (!read) return std::move(read).error();
  auto seen = head.finish();
  if (seen.shown == 0 || seen.keys.empty() || seen.damaged) return nothing;

  // Cues that lie at the end are read when they are wanted for the first time.
  const auto begin = video->start_time != AV_NOPTS_VALUE ? video->start_time : 0;
  if (avformat_seek_file(demuxer, stream, INT64_MIN, begin, begin, 0) < 0 && av_seek_frame(demuxer, stream, begin, AVSEEK_FLAG_BACKWARD) < 0) {
    if (in.io->failure().code != errc::none) return in.io->failure();
    return nothing;
  }
  std::vector<key_frame> cues;
  for (int i = 0, count = avformat_index_get_entries_count(video); i < count; ++i) {
    const auto* entry = avformat_index_get_entry(video, i);
    if (entry && entry->pos >= 0 && (entry->flags & AVINDEX_KEYFRAME) != 0)
      cues.push_back({entry->timestamp, static_cast<std::uint64_t>(entry->pos)});
  }
  std::sort(cues.begin(), cues.end(), [](const auto& a, const auto& b) { return a.pts < b.pts; });
  if (cues.size() < 2 || cues.front().pts != seen.keys.front().pts || cues.back().offset >= in.io->size()) return nothing;
  const auto tail_bytes = in.io->size() - cues.back().offset;
  const auto span = static_cast<double>(cues.back().pts - cues.front().pts) * av_q2d(video->time_base);
  if (tail_bytes > std::max(tail_bytes_max, in.io->size() / 16) || span > static_cast<double>(cue_gap_s_max) * static_cast<double>(cues.size()))
    return nothing;

  if (av_seek_frame(demuxer, stream, cues.back().pts, AVSEEK_FLAG_BACKWARD) < 0) return nothing;
  surveyor tail{in, streams, payload::read};
  read = tail.read_until([](const surveyor&) { return verdict::more; });
  if (!read) return std::move(read).error();
  const auto end = tail.finish();
  // The last cue must be what it claims to be, or none of them is to be trusted.
  if (end.shown == 0 || end.damaged || end.keys.empty() || end.keys.front().pts != cues.back().pts) return nothing;
  seen.last_pts = end.last_pts;
  seen.end_pts = end.end_pts;
  seen.last_us = std::max(seen.last_us, end.last_us);
  seen.shown = std::max<std::uint64_t>(seen.shown + end.shown, cues.size());
  seen.resized = seen.resized || end.resized;
  seen.corrupt += end.corrupt;
  seen.disbelieved += end.disbelieved;
  seen.keys = std::move(cues);
  // It looks cut off: perhaps a cue from before what was read stands until the end. The pass can tell.
  auto cut = ends_early(in, seen.last_us);
  if (!cut) return std::move(cut).error();
  if (*cut) return nothing;
  return std::optional{std::move(seen)};
}

}  // namespace

expected<packet_survey> survey_by_pass(const input& in, const surveyed_streams& streams) {
  surveyor pass{in, streams, payload::read};
  auto ok = pass.read_until([](const surveyor&) { return verdict::more; });
  if (!ok) return std::move(ok).error();
  return pass.finish();
}

expected<std::optional<packet_survey>> survey_by_index(task_host& host, const input& in, const surveyed_streams& streams,
                                                       std::uint64_t matroska_above) {
  if (in.container == "mov") return survey_mov(host, in, streams);
  if (in.container == "matroska" && in.io->size() > matroska_above) return survey_matroska(in, streams);
  return std::optional<packet_survey>{};
}

}  // namespace latham::media
