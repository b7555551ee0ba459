// Where an audio track is cut. Audio segments follow the video's, so that a player may switch at the same place in both:
// segment n starts at the first AAC frame (1024 samples) at or after the start of video segment n. Pure.
#pragma once

#include "core/model.hpp"

#include <cstdint>

namespace latham::media {

/// Samples of the whole track: as long as the picture, rounded.
[[nodiscard]] std::uint64_t audio_samples(const source_plan& plan, std::uint32_t rate_hz);

/// First sample of audio segment `segment`, a multiple of aac_frame_samples; behind the last segment, the end of the last AAC
/// frame. A video segment shorter than an AAC frame may own none: then audio has no segment of that number.
[[nodiscard]] std::uint64_t audio_segment_start(const source_plan& plan, std::uint32_t rate_hz, std::uint32_t segment);

}  // namespace latham::media
