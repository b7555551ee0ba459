#include "media/av/cmaf_muxer.hpp"

#include <cstring>
#include <string_view>
#include <utility>

namespace latham::media {

namespace {

using namespace std::string_view_literals;

constexpr int io_buffer_bytes = 64 * 1024;

// At the head of each segment, so that it says by itself what it is: brands msdh (DASH media segment) and cmfs (CMAF
// segment). libavformat leaves this to its own DASH and HLS muxers.
constexpr auto segment_type = "\0\0\0\x18styp" "msdh" "\0\0\0\0" "msdh" "cmfs"sv;
static_assert(segment_type.size() == 0x18);

#if LIBAVFORMAT_VERSION_MAJOR >= 61
using write_bytes = const std::uint8_t;
#else
using write_bytes = std::uint8_t;
#endif

int append(void* to, write_bytes* bytes, int size) {
  try {
    static_cast<std::string*>(to)->append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    return size;
  } catch (const std::bad_alloc&) {
    return AVERROR(ENOMEM);
  }
}

/// Bytes of the ftyp and moov boxes at the head.
std::size_t header_bytes(std::string_view bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= 8) {
    std::uint32_t size = 0;
    for (int i = 0; i < 4; ++i) size = size << 8 | static_cast<std::uint8_t>(bytes[at + static_cast<std::size_t>(i)]);
    const auto type = bytes.substr(at + 4, 4);
    if ((type != "ftyp" && type != "moov") || size < 8 || size > bytes.size() - at) break;
    at += size;
  }
  return at;
}

}  // namespace

expected<std::unique_ptr<cmaf_muxer>> cmaf_muxer::open(const AVCodecContext& encoder, AVRational time_base, std::uint32_t first_segment) {
  std::unique_ptr<cmaf_muxer> out{new cmaf_muxer};
  AVFormatContext* raw = nullptr;
  if (const int r = avformat_alloc_output_context2(&raw, nullptr, "mp4", nullptr); r < 0) return av_error("allocate a muxer", r);
  out->muxer_.reset(raw);
  auto* buffer = static_cast<unsigned char*>(av_malloc(io_buffer_bytes));
  if (!buffer) throw std::bad_alloc{};
  out->io_.reset(avio_alloc_context(buffer, io_buffer_bytes, 1, &out->written_, nullptr, append, nullptr));
  if (!out->io_) {
    av_free(buffer);
    throw std::bad_alloc{};
  }
  raw->pb = out->io_.get();
  raw->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  auto* stream = avformat_new_stream(raw, nullptr);
  if (!stream) throw std::bad_alloc{};
  if (const int r = avcodec_parameters_from_context(stream->codecpar, &encoder); r < 0) return av_error("describe a track", r);
  stream->codecpar->codec_tag = 0;
  stream->time_base = time_base;
  stream->avg_frame_rate = encoder.framerate;
  out->encoder_time_base_ = encoder.time_base;

  const bool is_video = encoder.codec_type == AVMEDIA_TYPE_VIDEO;
  av_dictionary options;
  options.set("movflags", is_video ? "cmaf+frag_custom+delay_moov+default_base_moof+frag_discont+skip_trailer"
                                   : "cmaf+frag_custom+empty_moov+default_base_moof+skip_trailer");
  options.set("use_editlist", std::int64_t{is_video ? 1 : 0});
  options.set("fragment_index", std::int64_t{first_segment} + 1);
  if (is_video) options.set("video_track_timescale", std::int64_t{time_base.den});
  if (const int r = avformat_write_header(raw, options.address()); r < 0) return av_error("write the header of a track", r);
  if (const char* key = options.left_over()) return error{errc::internal, std::string{"the muxer knows no option "} + key};
  return out;
}

expected<void> cmaf_muxer::write(AVPacket& packet) {
  packet.stream_index = 0;
  // The muxer may have chosen a time base of its own when it wrote the header.
  av_packet_rescale_ts(&packet, encoder_time_base_, muxer_->streams[0]->time_base);
  const int r = av_write_frame(muxer_.get(), &packet);
  av_packet_unref(&packet);
  if (r < 0) return av_error("write a packet", r);
  return {};
}

expected<void> cmaf_muxer::flush() {
  if (const int r = av_write_frame(muxer_.get(), nullptr); r < 0) return av_error("end a fragment", r);
  avio_flush(io_.get());
  if (io_->error < 0) return av_error("write a fragment", io_->error);
  return {};
}

expected<std::string> cmaf_muxer::cut() {
  if (auto ok = flush(); !ok) return ok.error();
  if (init_.empty()) {
    const auto size = header_bytes(written_);
    init_ = written_.substr(0, size);
    written_.erase(0, size);
    // A delayed moov takes the first flush for itself.
    if (written_.empty())
      if (auto ok = flush(); !ok) return ok.error();
  }
  if (init_.empty() || written_.empty()) return {errc::internal, "the muxer made no segment"};
  written_.insert(0, segment_type);
  return std::exchange(written_, {});
}

}  // namespace latham::media
