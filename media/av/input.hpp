// Opening a source that a stranger made.
//
// Containers and codecs come from explicit lists; playlists and pictures are recognised only to say so. The demuxer gets
// one stream of bytes and an opener that always refuses, so a playlist posing as a video, or a container that refers to
// another file, cannot make us open anything. Streams, probing and picture size are bounded before any decoder runs.
#pragma once

#include "core/expected.hpp"
#include "media/av/handles.hpp"
#include "media/av/source_io.hpp"

#include <memory>
#include <string>

namespace latham::media {

struct input {
  std::unique_ptr<source_io> io;  // outlives the demuxer, which reads through it
  av_input_context demuxer;
  std::string container;          // "mov", "matroska"...

  [[nodiscard]] AVStream* stream(std::uint32_t index) const { return index < demuxer->nb_streams ? demuxer->streams[index] : nullptr; }
  /// Streams other than `index` are skipped by the demuxer where it can.
  void use_only(std::uint32_t index) const;
};

/// Errors: unsupported (not a container that we read), unprocessable (damaged, a picture, no stream), too_large (limits), or
/// whatever the host answered to a read.
[[nodiscard]] expected<input> open_input(task_host& host, std::uint64_t source_bytes);

/// An open single-threaded decoder for a stream. Errors: unsupported (codec not on our list), unprocessable (bad headers).
[[nodiscard]] expected<av_codec_context> open_decoder(const AVStream& stream);

/// True when open_decoder would find a decoder on our list.
[[nodiscard]] bool has_decoder(const AVStream& stream);

/// Degrees clockwise that a player has to turn the picture: 0, 90, 180, 270.
[[nodiscard]] std::uint32_t rotation_of(const AVStream& stream);

}  // namespace latham::media
