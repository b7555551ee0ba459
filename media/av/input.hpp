// Opening a source that a stranger made.
//
// Containers and codecs come from explicit lists; playlists and pictures are recognised only to say so. The demuxer gets
// one stream of bytes and an opener that always refuses, so a playlist posing as a video, or a container that refers to
// another file, cannot make us open anything. Streams, probing and picture size are bounded before any decoder runs.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"
#include "media/av/source_io.hpp"
#include "media/timestamps.hpp"

#include <memory>
#include <string>
#include <vector>

namespace latham::media {

struct input {
  std::unique_ptr<source_io> io;  // outlives the demuxer, which reads through it
  av_input_context demuxer;
  std::string container;          // "mov", "matroska"...

  std::int64_t picture_delay = 0; // what presentation times of pictures are late by, in their time base: see picture_time

  /// When a packet's picture is shown. AVI knows decoding times only; what the demuxer makes of them is late by the decoder's
  /// delay, against the sound too.
  [[nodiscard]] std::int64_t picture_time(const AVPacket& packet) const {
    return packet.pts != AV_NOPTS_VALUE ? packet.pts - picture_delay : packet.dts;
  }

  /// Puts a packet of the planned video onto the plan's clock; once per packet.
  static void shift(AVPacket& packet, const std::vector<time_shift>& shifts);

  [[nodiscard]] AVStream* stream(std::uint32_t index) const { return index < demuxer->nb_streams ? demuxer->streams[index] : nullptr; }
  /// Streams other than `index` are skipped by the demuxer where it can.
  void use_only(std::uint32_t index) const;
};

/// Only the container's headers and index: no stream is probed. Errors: like open_input.
[[nodiscard]] expected<input> open_container(task_host& host, std::uint64_t source_bytes);

/// Errors: unsupported (not a container that we read), unprocessable (damaged, a picture, no stream), too_large (limits), or
/// whatever the host answered to a read.
[[nodiscard]] expected<input> open_input(task_host& host, std::uint64_t source_bytes);

/// errc::too_large for a picture beyond dimension_max or pixels_max.
[[nodiscard]] expected<void> check_size(const AVStream& stream);

/// True when packets carry decoding times only and nothing tells the order in which their pictures are shown (H.264 in AVI):
/// then the n-th picture that the decoder gives has the n-th smallest of its packets' times.
[[nodiscard]] bool shows_in_unknown_order(const input& in);

/// An open single-threaded decoder for a stream. Errors: unsupported (codec not on our list), unprocessable (bad headers).
[[nodiscard]] expected<av_codec_context> open_decoder(const AVStream& stream);

/// True when open_decoder would find a decoder on our list.
[[nodiscard]] bool has_decoder(const AVStream& stream);

/// Degrees clockwise that a player has to turn the picture: 0, 90, 180, 270.
[[nodiscard]] std::uint32_t rotation_of(const AVStream& stream);

}  // namespace latham::media
