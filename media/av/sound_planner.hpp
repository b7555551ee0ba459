// The plan of a source without a picture: a recording, a song with or without its cover, a video file with no video in it.
//
// One pass over the packets like the planner of pictures, but for one thing: where the first sample stands is asked of the
// decoder, because only it knows how much of the first packets is an encoder's priming. The output then starts with that
// sample and ends within one AAC frame after the last.
#pragma once

#include "media/av/input.hpp"
#include "media/av/planner.hpp"

namespace latham::media {

/// `in` is open and has no video track; a cover does not count. Each track is planned at two rates, the recipe's and half of
/// it, where that makes no more than audio_tracks_max renditions, and at the recipe's otherwise. Errors: see plan_source.
[[nodiscard]] expected<planned_source> plan_sound(const input& in, const recipe& how);

}  // namespace latham::media
