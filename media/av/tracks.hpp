// The tracks beside the picture that a plan takes from a container, and what the container says of them.
#pragma once

#include "core/model.hpp"
#include "media/av/input.hpp"

#include <string>

namespace latham::media {

/// RFC 5646 as found, at most 35 characters of it, or "und" for what cannot be one.
[[nodiscard]] std::string language_of(const AVStream& stream);

/// Adds to `plan.audio` the tracks of sound that can be decoded, in the container's order, audio_tracks_max at most, and to
/// `plan.notes` what is left out.
void find_audio(const input& in, source_plan& plan);

/// The same for `plan.text`, text_tracks_max at most. Subtitles that are pictures are left out.
void find_text(const input& in, source_plan& plan);

}  // namespace latham::media
