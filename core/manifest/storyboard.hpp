// Pictures beside the ladder: a poster, and a storyboard for whoever looks for a place on the time line.
//
// A storyboard has one tile for each segment, the segment's first picture. A chunk's tiles lie side by side in one JPEG, the
// chunk's sheet, because a chunk is what one worker makes in one go: sheets need no joining, come as soon as the chunk
// does, and are a pure function of it like everything else in its output. storyboard.vtt says which tile stands for which
// time (WebVTT with media fragments: W3C Media Fragments URI 1.0, "#xywh=").
#pragma once

#include "core/manifest/presentation.hpp"

#include <string>

namespace latham {

/// The first version of the recipe whose chunks carry pictures.
inline constexpr std::uint16_t recipe_version_images = 2;
[[nodiscard]] inline bool makes_images(const recipe& how) noexcept { return how.version >= recipe_version_images; }

/// `rendition` of a piece of kind image.
inline constexpr std::uint8_t image_sheet = 0;   // `segment`: the number of its first tile's segment; `duration`: tiles
inline constexpr std::uint8_t image_poster = 1;

struct tile_size {
  std::uint32_t width = 0;   // pixels, even
  std::uint32_t height = 0;
  friend bool operator==(const tile_size&, const tile_size&) = default;
};
/// The plan's shape in a box of 160 by 160.
[[nodiscard]] tile_size tile_size_of(const source_plan& plan) noexcept;

/// Tiles of a chunk: one for each segment that begins in it.
[[nodiscard]] std::uint32_t tile_count(const source_plan& plan, const chunk_plan& chunk) noexcept;

/// The frame on the poster: a tenth into the video, where titles are over, at the start of a segment.
[[nodiscard]] std::uint64_t poster_frame(const source_plan& plan) noexcept;

/// The rung that the poster shows: the largest with no side above 1280, or else the smallest. The plan has rungs.
[[nodiscard]] std::size_t poster_rung(const source_plan& plan) noexcept;

/// The tiles of all chunks that are there, in order. URLs are `base` + "/storyboard/N.jpg", N the chunk's number from 1.
[[nodiscard]] std::string storyboard_vtt(const output_table& table, const std::string& base);

}  // namespace latham
