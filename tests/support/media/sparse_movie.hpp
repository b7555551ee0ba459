// A movie of any size that takes no room: real packets of a small file, repeated and padded with zeros, muxed by the library
// into a file that keeps only what is not zero.
#pragma once

#include "media/av/handles.hpp"
#include "media/av/task_host.hpp"

#include <algorithm>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace latham::testing {

/// A file with holes, in memory.
class sparse_file {
public:
  static constexpr std::uint64_t block_bytes = 4096;

  void write(const std::uint8_t* bytes, std::size_t count) {
    while (count > 0) {
      const auto within = position_ % block_bytes;
      const auto some = std::min<std::size_t>(count, block_bytes - within);
      const auto at = position_ / block_bytes;
      const bool empty = bytes[0] == 0 && std::memcmp(bytes, bytes + 1, some - 1) == 0;
      if (auto block = blocks_.find(at); block != blocks_.end() || !empty) {
        auto& into = blocks_[at];
        if (into.empty()) into.assign(block_bytes, '\0');
        std::memcpy(into.data() + within, bytes, some);
      }
      bytes += some;
      count -= some;
      position_ += some;
      size_ = std::max(size_, position_);
    }
  }
  std::int64_t seek(std::int64_t offset, int whence) {
    if ((whence & AVSEEK_SIZE) != 0) return static_cast<std::int64_t>(size_);
    const auto base = whence == SEEK_CUR ? position_ : whence == SEEK_END ? size_ : 0;
    position_ = base + static_cast<std::uint64_t>(offset);
    return static_cast<std::int64_t>(position_);
  }
  std::size_t read(std::uint64_t offset, std::span<std::uint8_t> into) const {
    const auto count = offset < size_ ? std::min<std::uint64_t>(into.size(), size_ - offset) : 0;
    for (std::uint64_t done = 0; done < count;) {
      const auto within = (offset + done) % block_bytes;
      const auto some = std::min(count - done, block_bytes - within);
      const auto block = blocks_.find((offset + done) / block_bytes);
      if (block == blocks_.end())
        std::memset(into.data() + done, 0, some);
      else
        std::memcpy(into.data() + done, block->second.data() + within, some);
      done += some;
    }
    return count;
  }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }

private:
  std::map<std::uint64_t, std::string> blocks_;
  std::uint64_t position_ = 0;
  std::uint64_t size_ = 0;
};

/// Repeats `period_s` seconds of the small file `path` (whose packets must be fewer bytes than `packet_bytes`) `times` times into
/// a movie of `format`, every packet of video padded to `packet_bytes`.
inline sparse_file make_sparse_movie(const std::string& path, const char* format, int times, int period_s, int packet_bytes) {
  const auto must = [](int r, const char* what) {
    if (r < 0) throw std::runtime_error{what};
    return r;
  };
  AVFormatContext* raw = nullptr;
  must(avformat_open_input(&raw, path.c_str(), nullptr, nullptr), "open the small file");
  const media::av_input_context in{raw};
  must(avformat_find_stream_info(raw, nullptr), "probe the small file");
  std::vector<media::av_packet> packets;
  for (auto packet = media::make_packet_handle(); av_read_frame(raw, packet.get()) >= 0; packet = media::make_packet_handle())
    packets.push_back(std::move(packet));

  sparse_file out;
  must(avformat_alloc_output_context2(&raw, nullptr, format, nullptr), "make a muxer");
  const media::av_output_context muxer{raw};
  auto* buffer = static_cast<unsigned char*>(av_malloc(1 << 16));
  const media::av_io_context io{avio_alloc_context(
      buffer, 1 << 16, 1, &out, nullptr,
      [](void* to, auto* bytes, int count) {
        static_cast<sparse_file*>(to)->write(bytes, static_cast<std::size_t>(count));
        return count;
      },
      [](void* to, std::int64_t offset, int whence) { return static_cast<sparse_file*>(to)->seek(offset, whence); })};
  io->direct = 1;
  raw->pb = io.get();
  raw->flags |= AVFMT_FLAG_CUSTOM_IO;
  for (unsigned i = 0; i < in->nb_streams; ++i) {
    auto* stream = avformat_new_stream(raw, nullptr);
    must(avcodec_parameters_copy(stream->codecpar, in->streams[i]->codecpar), "copy a stream");
    stream->codecpar->codec_tag = 0;
    stream->time_base = in->streams[i]->time_base;
  }
  must(avformat_write_header(raw, nullptr), "write the header");
  std::vector<std::uint8_t> padded(static_cast<std::size_t>(packet_bytes) + AV_INPUT_BUFFER_PADDING_SIZE);
  auto packet = media::make_packet_handle();
  for (int round = 0; round < times; ++round)
    for (const auto& from : packets) {
      const auto index = static_cast<unsigned>(from->stream_index);
      auto* stream = raw->streams[index];
      const auto period = av_rescale_q(period_s, AVRational{1, 1}, in->streams[index]->time_base);
      if (from->pts < 0 || from->pts >= period) continue;  // an encoder's priming
      must(av_packet_ref(packet.get(), from.get()), "copy a packet");
      packet->pts += round * period;
      packet->dts += round * period;
      if (in->streams[index]->codecpar->codec_type == AVMEDIA_TYPE_VIDEO) {
        std::fill(padded.begin(), padded.end(), std::uint8_t{0});
        std::memcpy(padded.data(), from->data, static_cast<std::size_t>(from->size));
        packet->data = padded.data();  // only lent: written before the next is made
        packet->size = packet_bytes;
      }
      av_packet_rescale_ts(packet.get(), in->streams[index]->time_base, stream->time_base);
      must(av_write_frame(raw, packet.get()), "write a packet");
      av_packet_unref(packet.get());
    }
  must(av_write_trailer(raw), "write the trailer");
  avio_flush(raw->pb);
  return out;
}

}  // namespace latham::testing
