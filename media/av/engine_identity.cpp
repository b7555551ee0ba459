#include "media/av/engine_identity.hpp"

#include "media/av/handles.hpp"

extern "C" {
#include <libavfilter/avfilter.h>
}

#include <string_view>

namespace latham::media {

namespace {

constexpr int engine_revision = 11;

std::string version_text(unsigned version) {
  return std::to_string(AV_VERSION_MAJOR(version)) + "." + std::to_string(AV_VERSION_MINOR(version)) + "." +
         std::to_string(AV_VERSION_MICRO(version));
}

constexpr const char* architecture() {
#if defined(__x86_64__)
  return "x86_64";
#elif defined(__aarch64__)
  return "aarch64";
#else
  return "other";
#endif
}

/// "core 164 r3095 baee400" -> "164-r3095", from the message that x264 puts into a stream's first packet.
std::string x264_text() {
  const auto* codec = avcodec_find_encoder_by_name("libx264");
  if (!codec) return "none";
  auto encoder = checked(av_codec_context{avcodec_alloc_context3(codec)});
  encoder->width = encoder->height = 64;
  encoder->pix_fmt = AV_PIX_FMT_YUV420P;
  encoder->time_base = {1, 25};
  encoder->thread_count = 1;
  encoder->max_b_frames = 0;
  encoder->log_level_offset = 100;  // below every threshold: this runs in processes whose log is not FFmpeg's. (Above 255 it would wrap.)
  if (avcodec_open2(encoder.get(), codec, nullptr) < 0) return "unknown";
  auto frame = make_frame_handle();
  frame->width = frame->height = 64;
  frame->format = AV_PIX_FMT_YUV420P;
  frame->pts = 0;
  if (av_frame_get_buffer(frame.get(), 0) < 0) return "unknown";
  for (int plane = 0; plane < 3; ++plane) {
    const auto rows = plane == 0 ? 64 : 32;
    std::fill_n(frame->data[plane], static_cast<std::size_t>(frame->linesize[plane]) * rows, std::uint8_t{128});
  }
  auto packet = make_packet_handle();
  if (avcodec_send_frame(encoder.get(), frame.get()) < 0 || avcodec_send_frame(encoder.get(), nullptr) < 0 ||
      avcodec_receive_packet(encoder.get(), packet.get()) < 0)
    return "unknown";
  const std::string_view bytes{reinterpret_cast<const char*>(packet->data), static_cast<std::size_t>(packet->size)};
  constexpr std::string_view mark = "x264 - core ";
  const auto at = bytes.find(mark);
  if (at == std::string_view::npos) return "unknown";
  std::string out;
  int spaces = 0;
  for (const char c : bytes.substr(at + mark.size(), 40)) {
    if (c == ' ' && ++spaces == 2) break;
    if (c == '\0' || (c == '-' && spaces > 0)) break;
    out += c == ' ' ? '-' : c;
  }
  return out;
}

engine_id identity() {
  return std::string{architecture()} + " avcodec-" + version_text(avcodec_version()) + " avformat-" + version_text(avformat_version()) +
         " avfilter-" + version_text(avfilter_version()) + " swscale-" + version_text(swscale_version()) + " swresample-" +
         version_text(swresample_version()) + " x264-" + x264_text() + " latham-" + std::to_string(engine_revision);
}

}  // namespace

engine_id engine_identity() {
  static const engine_id id = identity();
  return id;
}

}  // namespace latham::media
