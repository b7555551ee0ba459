// Where a video is cut: the output grid's frame rate and the borders of its chunks. Pure functions of source and recipe:
// the layout *is* the output (an encoder starts anew at each border), so load, time and workers must not reach in here.
//
// A chunk is whole segments, so that it never has fewer frames than the last of them (last_segment_frames_min). Its decoder has to start at the last source key frame at or before its first frame and throw
// away what lies between; that waste is least when the chunk starts just after a key frame. So each border is chosen among
// the segment borders near the nominal length, by the waste it causes, going forward with a bounded look ahead: a list of
// chunks can be appended to while the source is still being read. A whole-file optimum was refused for that reason.
//
// The first chunk is a single segment: nothing can be played before it is encoded, and it is a quarter of the work.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"

#include <cstdint>
#include <vector>

namespace latham::media {

/// The constant rate of the output. `nominal` is what the container claims, `median` the commonest step between frames and
/// `average` frames per second over the whole; a rate with num 0 is unknown. The claim is believed when either measure
/// supports it. Rates near a standard one are snapped to it; above fps_max they are halved, below 5 doubled, until they fit.
[[nodiscard]] rational choose_fps(rational nominal, rational median, rational average);

/// Frames of a segment of `segment_ms`, rounded; at least 1.
[[nodiscard]] std::uint32_t segment_frames_of(std::uint32_t segment_ms, rational fps);

/// The first frame of the output grid that shows a source frame of `pts`, or a later one: frame n shows the last source
/// frame with pts <= origin + (n + 1/2) / fps. May be negative for frames before the origin.
[[nodiscard]] std::int64_t first_frame_showing(std::int64_t pts, std::int64_t origin_pts, rational time_base, rational fps);

/// The pts of output frame n, rounded to the time base; and of the last moment that still counts for frame n.
[[nodiscard]] std::int64_t pts_of_frame(std::int64_t n, std::int64_t origin_pts, rational time_base, rational fps);
[[nodiscard]] std::int64_t last_pts_of_frame(std::int64_t n, std::int64_t origin_pts, rational time_base, rational fps);

/// Leaves only `part` of the planned source: moves the origin and the number of frames by whole frames, each end to the nearest;
/// at least one is left. Fails with errc::unprocessable when the source ends before the part starts.
[[nodiscard]] expected<void> take_part(source_plan& plan, const trim& part);

struct key_frame {
  std::int64_t pts = 0;        // source time base
  std::uint64_t offset = 0;    // byte position, 0 when unknown
  friend bool operator==(const key_frame&, const key_frame&) = default;
};

struct chunk_range {
  std::uint32_t chunk_segments_min = 1;
  std::uint32_t chunk_segments_max = 1;
};
/// How far alignment may move a chunk's length from the recipe's: half of it either way, at least one segment.
[[nodiscard]] chunk_range chunk_range_of(std::uint32_t chunk_segments) noexcept;

/// Cuts plan.frames frames into chunks. Uses origin_pts, time_base, fps, frames and segment_frames of `plan`, which must be
/// valid; `keys` ascend by pts. A chunk's decoder starts at least `lead_frames` before its first frame. Every frame is in
/// exactly one chunk; every chunk but the last is whole segments and within chunk_range_of, but for the first, which is one
/// segment, and the last two, which may be shorter.
[[nodiscard]] std::vector<chunk_plan> plan_chunks(const source_plan& plan, const std::vector<key_frame>& keys,
                                                  std::uint32_t chunk_segments, std::uint32_t lead_frames = 0);

}  // namespace latham::media
