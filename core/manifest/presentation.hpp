// From what the scheduler committed to what the manifests show. Pure.
#pragma once

#include "core/manifest/manifests.hpp"
#include "core/output_blob.hpp"
#include "core/scheduler/scheduler.hpp"

#include <map>
#include <optional>

namespace latham {

/// Everything about one video that its manifests and segment look-ups need: the output pages put together, and the index
/// of each audio blob (their segments' durations follow the codec's frames, so they are read, not computed).
struct output_table {
  video_id video;
  std::int64_t created_ms = 0;
  source_plan plan;
  recipe how;                                             // for segment_ms and the audio rate
  video_state state = video_state::queued;
  std::uint32_t chunks_total = 0;
  bool plan_complete = false;
  std::map<std::uint32_t, std::pair<chunk_plan, output_ref>> chunks;
  std::map<std::uint32_t, output_ref> audio;
  std::map<std::uint32_t, std::vector<output_entry>> audio_index;
  std::optional<output_ref> text;                         // all of its tracks
};

/// What the manifests need of a chunk's (or a track's) pieces: sizes and codecs, by kind and rendition. Fails with corrupt
/// for an init segment that is none.
[[nodiscard]] expected<std::vector<rendition_summary>> summarise(const std::vector<output_piece>& pieces, const source_plan& plan, const recipe& how);

/// Fails with errc::conflict while there is nothing to play yet: no first chunk, or audio that is still to come.
[[nodiscard]] expected<presentation> make_presentation(const output_table& table);

/// One path below /media/{id}/.
struct media_path {
  enum class what : std::uint8_t { hls_master, dash, playlist, init, segment, poster, storyboard, sheet };
  what kind = what::hls_master;
  track_kind track = track_kind::video;
  std::uint8_t rendition = 0;
  std::uint32_t segment = 0;  // from 0; of a sheet: its chunk
};
/// Fails with not_found for anything else than the paths of core/manifest/manifests.hpp for this plan, and poster.jpg,
/// storyboard.vtt and storyboard/N.jpg, N a chunk's number from 1, where there is a picture.
[[nodiscard]] expected<media_path> parse_media_path(std::string_view path, const source_plan& plan);

/// The chunk that holds video segment `segment`, if it is committed.
[[nodiscard]] const output_ref* output_of_segment(const output_table& table, std::uint32_t segment);

}  // namespace latham
