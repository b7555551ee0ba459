// What a source's packets say about its time line, found without decoding any: by a pass over all of them, or from the
// container's index, which is a thousandth of the bytes.
//
// MP4 and MOV: the same demuxer hands out the same packets, only that nobody fetches what is in them; so the index gives what
// the pass would, but for what shows inside of packets (a change of size that the index does not tell, damage). Files in
// fragments (ISO/IEC 14496-12, 8.8) have their index strewn over the file, and are passed over.
//
// Matroska: the cues say where key frames are, not what lies between them. Frame rate and start are measured on the first
// megabytes, the end on what follows the last cue. That is less than the pass sees (a rate that changes in the middle,
// damage), so files are passed over whole up to index_only_above bytes, and when the cues do not cover the file.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/input.hpp"
#include "media/chunk_planner.hpp"

#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace latham::media {

/// Times of pictures are in the video stream's time base.
struct packet_survey {
  std::uint64_t shown = 0;        // pictures of the video that are shown; 0: nothing else here means anything
  std::int64_t first_pts = 0;
  std::int64_t last_pts = 0;
  std::int64_t end_pts = 0;       // of the last one; last_pts when it has no duration of its own
  std::int64_t step = 0;          // the commonest between two shown pictures; 0: unknown
  rational average_rate{0, 1};    // pictures per second; num 0: unknown
  std::vector<key_frame> keys;    // sorted by pts, no two alike
  std::int64_t first_audio_us = std::numeric_limits<std::int64_t>::max();
  std::int64_t last_us = 0;       // end of the last packet of any stream
  std::vector<time_shift> shifts; // more than time_shifts_max: given up there
  std::uint64_t corrupt = 0;      // video packets that the demuxer marks so
  std::uint64_t disbelieved = 0;  // packets whose time is damaged
  bool resized = false;           // pictures have more than one size
  bool damaged = false;           // reading ended with something else than the end of the file
};

/// Packets of these streams are looked at.
struct surveyed_streams {
  unsigned video = 0;
  std::vector<unsigned> audio;
};

/// Up to this size a Matroska file is passed over although it has cues: a tenth of a second.
inline constexpr std::uint64_t index_only_above = 64 * 1024 * 1024;

/// Reads everything from where `in` is. Errors: too_large (more frames than a day can have), or the host's.
[[nodiscard]] expected<packet_survey> survey_by_pass(const input& in, const surveyed_streams& streams);

/// Nothing when the container has no index, or none to be trusted with everything; then `in` must be opened again. Bytes read
/// grow with the index, not with the file. Errors: like survey_by_pass.
[[nodiscard]] expected<std::optional<packet_survey>> survey_by_index(task_host& host, const input& in, const surveyed_streams& streams,
                                                                     std::uint64_t matroska_above = index_only_above);

}  // namespace latham::media
