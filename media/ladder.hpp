// The ladder that one source gets: a recipe's nominal boxes fitted to the source's shape.
//
// Rules: never upscale; keep the aspect ratio; sizes are even (4:2:0 needs that); a portrait source gets the boxes turned
// on their side, so "720p" means 720 pixels on the short side either way; a source smaller than every box gets one rung of
// its own size. Two boxes that come out as the same size count once. Pure: a function of its arguments.
#pragma once

#include "core/model.hpp"

#include <cstdint>
#include <vector>

namespace latham::media {

/// Actual rungs in ascending size, at least one, for a source displayed as width x height (square pixels, both >= 2).
/// `boxes` must not be empty. maxrate is the box's.
[[nodiscard]] std::vector<rung> fit_ladder(const std::vector<rung>& boxes, std::uint32_t width, std::uint32_t height);

}  // namespace latham::media
