#include "media/av/input.hpp"

#include "core/model.hpp"

extern "C" {
#include <libavutil/display.h>
#include <libavutil/mem.h>
#include <libavutil/opt.h>
}

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <string_view>
#include <vector>

namespace latham::media {

namespace {

constexpr const char* formats = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,avi,flv,mpeg,ogg,mp3,wav,flac";
constexpr const char* codecs =
  "h264,hevc,vp8,vp9,libdav1d,mpeg1video,mpeg2video,mpeg4,prores,mjpeg,theora,h263,flv,"
  "aac,mp3,mp3float,mp2,mp2float,ac3,eac3,opus,vorbis,flac,alac,"
  "pcm_u8,pcm_s8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_alaw,pcm_mulaw,"
  "subrip,ass,mov_text,webvtt,text";

constexpr int streams_max = 16;
constexpr std::int64_t probe_bytes_max = 5'000'000;
constexpr std::int64_t analyze_us_max = 5'000'000;
constexpr unsigned format_probe_bytes_max = 1 << 20;
constexpr std::size_t block_bytes_max = 512u * 1024 * 1024;          // one allocation; a day's index has half of that
constexpr std::size_t plane_bytes_max = pixels_max * 2 * 5 / 4;      // of a picture that we take, 16 bits deep, with its edges

/// Bounds every single allocation of FFmpeg's while it is there. Process-wide, like what it sets.
///
/// Probing opens decoders also for streams that it finds on its way (FLV, MPEG-PS and some TS name none in their header), and
/// there is no way to give those max_pixels: a picture of 12000 x 12000 cost 650 MB before its size could be seen.
class block_limit {
public:
  explicit block_limit(std::size_t bytes) { av_max_alloc(bytes); }
  ~block_limit() { av_max_alloc(block_bytes_max); }
  block_limit(const block_limit&) = delete;
  block_limit& operator=(const block_limit&) = delete;
};

bool is_listed(std::string_view name, std::string_view list) {
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (list.substr(0, comma) == name) return true;
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return false;
}

/// One of an input format's comma-separated names is on the list.
bool any_listed(std::string_view names, std::string_view list) {
  while (!names.empty()) {
    const auto comma = std::min(names.find(','), names.size());
    if (is_listed(names.substr(0, comma), list)) return true;
    names.remove_prefix(std::min(comma + 1, names.size()));
  }
  return false;
}

error refusal(std::string_view name) {
  constexpr std::string_view playlists = "hls,concat,dash,imf,sdp,rtsp,webm_dash_manifest,ffmetadata,applehttp";
  constexpr std::string_view sounds = "aac,ac3,eac3,aiff,w64,amr,caf,dts,truehd,au,ape,wv,tta";
  if (any_listed(name, playlists))
    return {errc::unsupported, "This is a playlist, not a video: upload the media file that it names."};
  if (name.find("_pipe") != std::string_view::npos || any_listed(name, "image2,gif,apng,ico,webp_pipe"))
    return {errc::unprocessable, "This is a picture, not a video: upload a video file."};
  if (any_listed(name, sounds))
    return {errc::unsupported, "This is sound in a file that Latham does not read: convert it to MP3, M4A, OGG, FLAC or WAV first."};
  return {errc::unsupported, "This is not a video that Latham can read: upload MP4, MOV, MKV, WebM, AVI, FLV, MPEG or OGG, or sound as MP3, M4A, FLAC or WAV."};
}

int refuse_to_open(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) { return AVERROR(EPERM); }

const AVCodec* find_listed_decoder(AVCodecID id) {
  void* state = nullptr;
  while (const AVCodec* codec = av_codec_iterate(&state))
    if (codec->id == id && av_codec_is_decoder(codec) && is_listed(codec->name, codecs)) return codec;
  return nullptr;
}

}  // namespace

void input::use_only(std::uint32_t index) const {
  for (unsigned i = 0; i < demuxer->nb_streams; ++i) demuxer->streams[i]->discard = i == index ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
}

void input::shift(AVPacket& packet, const std::vector<time_shift>& shifts) {
  if (shifts.empty() || packet.pos < 0) return;
  const auto add = shift_at(shifts, static_cast<std::uint64_t>(packet.pos));
  // Damaged times may be anywhere; one that leaves the range is none.
  for (auto* time : {&packet.pts, &packet.dts})
    if (*time != AV_NOPTS_VALUE && __builtin_add_overflow(*time, add, time)) *time = AV_NOPTS_VALUE;
}

expected<input> open_container(task_host& host, std::uint64_t source_bytes) {
  if (source_bytes == 0) return {errc::unsupported, "The file is empty: upload it again."};
  av_max_alloc(block_bytes_max);
  input in;
  in.io = std::make_unique<source_io>(host, source_bytes);
  const auto read_failure = [&] { return in.io->failure(); };

  const AVInputFormat* format = nullptr;
  const int probed = av_probe_input_buffer2(in.io->context(), &format, "", nullptr, 0, format_probe_bytes_max);
  if (read_failure().code != errc::none) return read_failure();
  if (probed < 0 || !format) return refusal({});
  if (!any_listed(format->name, formats)) return refusal(format->name);
  in.container = std::string{format->name}.substr(0, std::string_view{format->name}.find(','));

  auto* raw = avformat_alloc_context();
  if (!raw) throw std::bad_alloc{};
  raw->pb = in.io->context();
  raw->flags |= AVFMT_FLAG_CUSTOM_IO;
  raw->io_open = refuse_to_open;
  raw->max_streams = streams_max + 1;  // one more can be seen to be too many; the next is refused like a lack of memory
  raw->probesize = probe_bytes_max;
  raw->max_analyze_duration = analyze_us_max;
  av_dictionary options;
  options.set("protocol_whitelist", "");
  options.set("format_whitelist", formats);
  options.set("codec_whitelist", codecs);
  // On failure avformat_open_input frees the context itself.
  const int opened = avformat_open_input(&raw, "", format, options.address());
  if (read_failure().code != errc::none) {
    if (opened >= 0) in.demuxer.reset(raw);
    return read_failure();
  }
  // More streams still are refused with the same code as too little memory.
  if (opened == AVERROR(ENOMEM))
    return {errc::too_large, "The file has more than 16 tracks, or an index that is too large: upload one with fewer tracks."};
  if (opened < 0)
    return {errc::unprocessable,
            "The file looks like " + in.container + ", but it is damaged or cut off before its index: upload it again."};
  in.demuxer.reset(raw);
  // What the container says is checked before a decoder is started, which forgets sizes that it refuses.
  for (unsigned i = 0; i < raw->nb_streams; ++i)
    if (auto ok = check_size(*raw->streams[i]); !ok) return std::move(ok).error();
  return in;
}

expected<input> open_input(task_host& host, std::uint64_t source_bytes) {
  auto opened = open_container(host, source_bytes);
  if (!opened) return opened;
  auto& in = *opened;
  auto* raw = in.demuxer.get();
  // The same limits for the decoders that probing runs, one dictionary per stream.
  std::vector<AVDictionary*> per_stream(raw->nb_streams, nullptr);
  for (unsigned i = 0; i < raw->nb_streams; ++i) {
    av_dict_set_int(&per_stream[i], "max_pixels", static_cast<std::int64_t>(pixels_max), 0);
    av_dict_set_int(&per_stream[i], "threads", 1, 0);
  }
  const int found = [&] {
    const block_limit planes{plane_bytes_max};
    return avformat_find_stream_info(raw, per_stream.empty() ? nullptr : per_stream.data());
  }();
  for (auto*& d : per_stream) av_dict_free(&d);
  if (in.io->failure().code != errc::none) return in.io->failure();
  if (raw->nb_streams > static_cast<unsigned>(streams_max))
    return {errc::too_large, "The file has more than 16 tracks: upload one with fewer."};
  if (found == AVERROR(ENOMEM)) throw std::bad_alloc{};
  if (found < 0) return {errc::unprocessable, "The streams of the file cannot be read: it is damaged, upload it again."};
  // AVI has no presentation times; where a parser tells B pictures apart, the demuxer can work them out.
  if (in.container == "avi" && !shows_in_unknown_order(in)) {
    raw->flags |= AVFMT_FLAG_GENPTS;
    // An AVI's time base is one picture.
    const int best = av_find_best_stream(raw, AVMEDIA_TYPE_VIDEO, -1, -1, nullptr, 0);
    if (best >= 0) in.picture_delay = std::clamp(raw->streams[best]->codecpar->video_delay, 0, 16);
  }
  return opened;
}

expected<void> check_size(const AVStream& stream) {
  const auto& coded = *stream.codecpar;
  if (coded.codec_type != AVMEDIA_TYPE_VIDEO || (stream.disposition & AV_DISPOSITION_ATTACHED_PIC) != 0) return {};
  if (coded.width <= static_cast<int>(dimension_max) && coded.height <= static_cast<int>(dimension_max) &&
      static_cast<std::uint64_t>(std::max(coded.width, 0)) * static_cast<std::uint64_t>(std::max(coded.height, 0)) <= pixels_max)
    return {};
  return {errc::too_large, "The picture is " + std::to_string(coded.width) + "x" + std::to_string(coded.height) +
                             ": Latham takes up to 7680x4320, scale it down first."};
}

bool shows_in_unknown_order(const input& in) {
  if (in.container != "avi") return false;
  const auto* const* streams = in.demuxer->streams;
  return std::any_of(streams, streams + in.demuxer->nb_streams, [](const AVStream* s) {
    return s->codecpar->codec_id == AV_CODEC_ID_H264 || s->codecpar->codec_id == AV_CODEC_ID_HEVC;
  });
}

bool has_decoder(const AVStream& stream) { return find_listed_decoder(stream.codecpar->codec_id) != nullptr; }

expected<av_codec_context> open_decoder(const AVStream& stream) {
  const auto* codec = find_listed_decoder(stream.codecpar->codec_id);
  if (!codec)
    return {errc::unsupported,
            "Latham does not decode " + std::string{avcodec_get_name(stream.codecpar->codec_id)} + ": convert the file to H.264 and AAC first."};
  auto decoder = checked(av_codec_context{avcodec_alloc_context3(codec)});
  if (const int r = avcodec_parameters_to_context(decoder.get(), stream.codecpar); r < 0) return av_error("copy stream parameters", r);
  decoder->pkt_timebase = stream.time_base;
  decoder->thread_count = 1;
  decoder->max_pixels = static_cast<std::int64_t>(pixels_max);
  av_dictionary options;
  options.set("codec_whitelist", codecs);
  const int opened = avcodec_open2(decoder.get(), codec, options.address());
  if (opened == AVERROR(ENOMEM)) throw std::bad_alloc{};
  if (opened < 0)
    return {errc::unprocessable, "The headers of the " + std::string{codec->name} + " stream are damaged: upload the file again."};
  return decoder;
}

std::uint32_t rotation_of(const AVStream& stream) {
#if LIBAVCODEC_VERSION_MAJOR >= 61
  const auto* side =
      av_packet_side_data_get(stream.codecpar->coded_side_data, stream.codecpar->nb_coded_side_data, AV_PKT_DATA_DISPLAYMATRIX);
  const std::uint8_t* data = side ? side->data : nullptr;
  const std::size_t size = side ? side->size : 0;
#else
  std::size_t size = 0;
  const std::uint8_t* data = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, &size);
#endif
  std::array<std::int32_t, 9> matrix{};
  if (!data || size < sizeof(matrix)) return 0;
  std::memcpy(matrix.data(), data, sizeof(matrix));
  const double counter_clockwise = av_display_rotation_get(matrix.data());
  if (!std::isfinite(counter_clockwise)) return 0;
  const auto quarters = static_cast<int>(std::lround(-counter_clockwise / 90.0));
  return static_cast<std::uint32_t>(((quarters % 4) + 4) % 4 * 90);
}

}  // namespace latham::media
