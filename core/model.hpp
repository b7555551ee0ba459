// The nouns of the product: recipe, plan, chunk, track, output blob, states of a video. Plain values with one `inspect`
// each, used by records, the codec child's protocol and actor messages alike. No rule lives here.
//
// Media time: `pts` values are in the source stream's own time base; everything after planning counts *frames* of the
// constant output grid (frame n is shown at n / fps) and *segments* of `segment_frames` frames, but for the last one.
#pragma once

#include "core/digest.hpp"
#include "core/ids.hpp"
#include "core/units.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace latham {

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, rational& x) {
  return f(x.num, x.den);
}

// ---- Limits ------------------------------------------------------------------------------------------------------

inline constexpr std::size_t title_bytes_max = 200;
inline constexpr std::size_t tenant_bytes_max = 64;
inline constexpr std::size_t rungs_max = 16;
inline constexpr std::size_t audio_tracks_max = 8;
inline constexpr std::size_t text_tracks_max = 8;                // of subtitles
inline constexpr std::uint32_t dimension_max = 8192;             // pixels, each side of a source
inline constexpr std::uint64_t pixels_max = 7680ull * 4320;      // per source frame
inline constexpr std::uint64_t duration_s_max = 24 * 3600;       // of a source
inline constexpr std::uint32_t fps_max = 60;                     // faster sources are halved until they fit
inline constexpr std::uint32_t control_message_bytes_max = 64 * 1024;
inline constexpr std::size_t failure_text_bytes_max = 500;       // of one failed task, as recorded and shown
inline constexpr std::uint32_t attempts_max = 5;                 // grants of one chunk before the job is parked as poison

// ---- Recipe ------------------------------------------------------------------------------------------------------

/// One video rendition of the ladder. The box is nominal: the planner fits the source's shape into it.
struct rung {
  std::uint32_t width = 0;   // pixels, even
  std::uint32_t height = 0;  // pixels, even
  std::uint32_t maxrate_kbit = 0;
  friend bool operator==(const rung&, const rung&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, rung& x) {
  return f(x.width, x.height, x.maxrate_kbit);
}
/// "640x360": the name in URLs, JSON and logs.
[[nodiscard]] std::string to_string(const rung& r);

/// The part of the source that is wanted, in milliseconds of its playing time. Put onto whole frames by the planner.
struct trim {
  std::uint64_t start_ms = 0;
  std::uint64_t end_ms = 0;  // 0: up to its end
  friend bool operator==(const trim&, const trim&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, trim& x) {
  return f(x.start_ms, x.end_ms);
}

/// Everything that decides the output beside the source. Frozen in the job when it is planned; its digest is part of it.
struct recipe {
  std::uint16_t version = 2;             // 2: chunks carry storyboard tiles and the poster
  std::vector<rung> rungs;               // ascending height; at most rungs_max
  std::uint32_t segment_ms = 2000;       // nominal; rounded to whole frames by the planner
  std::uint32_t chunk_segments = 4;      // segments per chunk, before alignment to key frames
  std::uint32_t crf_tenths = 235;        // x264's constant rate factor, in tenths
  std::string preset = "veryfast";
  std::uint32_t audio_kbit = 128;
  std::uint32_t audio_rate_hz = 48000;
  std::uint32_t audio_channels = 2;
  trim part{};
  friend bool operator==(const recipe&, const recipe&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, recipe& x) {
  return f(x.version, x.rungs, x.segment_ms, x.chunk_segments, x.crf_tenths, x.preset, x.audio_kbit, x.audio_rate_hz, x.audio_channels,
           x.part);
}
[[nodiscard]] sha256_digest digest_of(const recipe& r);

/// Architecture and library versions ("x86_64 avcodec-59.37.100 x264-164 ..."). Outputs are equal within one engine id;
/// a worker of another engine gets no chunk of the job.
using engine_id = std::string;

// ---- Plan --------------------------------------------------------------------------------------------------------

enum class track_kind : std::uint8_t { video = 0, audio = 1, image = 2, text = 3 };  // image: core/manifest/storyboard.hpp

/// One encoder run of the video track: whole segments, all rungs, decoded once.
struct chunk_plan {
  std::uint32_t index = 0;
  std::uint64_t first_frame = 0;  // of the output grid; a multiple of segment_frames
  std::uint32_t frames = 0;       // whole segments: a multiple of segment_frames, but for the last chunk
  std::int64_t seek_pts = 0;      // last source key frame at or before the first frame, source time base
  std::uint64_t seek_offset = 0;  // that key frame's byte position, a hint for read-ahead; 0 when unknown
  friend bool operator==(const chunk_plan&, const chunk_plan&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, chunk_plan& x) {
  return f(x.index, x.first_frame, x.frames, x.seek_pts, x.seek_offset);
}

struct audio_track {
  std::uint32_t stream_index = 0;  // in the container
  std::string language;            // RFC 5646 as found, or "und"
  std::uint32_t kbit = 0;          // a rung of a ladder of sound; 0: the recipe's one rate
  friend bool operator==(const audio_track&, const audio_track&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, audio_track& x) {
  return f(x.stream_index, x.language, x.kbit);
}

/// Subtitles that are text in the source.
struct text_track {
  std::uint32_t stream_index = 0;  // in the container
  std::string language;            // RFC 5646 as found, or "und"
  std::string title;               // valid UTF-8 on one line; may be empty
  bool forced = false;             // shown also to those who asked for none: of what is said in another language
  friend bool operator==(const text_track&, const text_track&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, text_track& x) {
  return f(x.stream_index, x.language, x.title, x.forced);
}

/// From this byte of the source on, `add` goes onto the times of video packets: the container's clock started anew there.
struct time_shift {
  std::uint64_t offset = 0;
  std::int64_t add = 0;  // in source_plan::time_base
  friend bool operator==(const time_shift&, const time_shift&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, time_shift& x) {
  return f(x.offset, x.add);
}
inline constexpr std::size_t time_shifts_max = 256;

/// What one look at the source found; all but the list of chunks, which is appended to the job page by page.
///
/// A source without a picture has no rungs, no size and no chunks: its renditions are the tracks of sound alone. Its grid is
/// the AAC frame (fps = audio rate / 1024), which is what its sound is cut into, so that everything that counts frames and
/// segments needs no second way to count. The clock is then that of the first sound.
struct source_plan {
  std::string container;            // short libavformat name
  std::string video_codec;          // without a picture: that of the first sound
  std::uint32_t video_stream = 0;   // index in the container
  rational time_base;               // of the video stream
  std::int64_t origin_pts = 0;      // pts of output frame 0, in time_base
  rational fps;                     // of the output grid
  std::uint64_t frames = 0;         // N, on the output grid
  std::uint32_t segment_frames = 0;
  std::uint32_t width = 0;          // as displayed: rotated, square pixels, even
  std::uint32_t height = 0;
  std::uint32_t rotation = 0;       // degrees clockwise to apply: 0, 90, 180, 270
  std::vector<rung> rungs;          // the ladder that this source gets: actual sizes
  std::vector<audio_track> audio;
  bool truncated = false;           // the container promises more than the bytes hold
  std::vector<std::string> notes;   // said to the user, e.g. "the file ends early"
  std::vector<time_shift> shifts;   // ascending by offset; usually none
  std::uint64_t skipped_frames = 0; // of the output grid, before frame 0: cut off by the recipe's trim
  std::vector<text_track> text;
  friend bool operator==(const source_plan&, const source_plan&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, source_plan& x) {
  return f(x.container, x.video_codec, x.video_stream, x.time_base, x.origin_pts, x.fps, x.frames, x.segment_frames, x.width, x.height,
           x.rotation, x.rungs, x.audio, x.truncated, x.notes, x.shifts, x.text, x.skipped_frames);
}

/// False for a source of sound alone: nothing of it is chunked, scaled, or shown on a poster.
[[nodiscard]] inline bool has_picture(const source_plan& plan) noexcept { return !plan.rungs.empty(); }

/// What the last segment holds at least, unless the whole video is shorter: fewer frames are joined to the segment before,
/// which then has up to segment_frames + last_segment_frames_min - 1. A player that ignores edit lists (hls.js) takes each
/// segment to start later than it does by what the encoder needs to reorder frames, two of them; a last segment no longer
/// than that lies behind the end for it, so it never has all of the video and never ends. Twice as much leaves room.
inline constexpr std::uint32_t last_segment_frames_min = 4;

/// Segments of the first `frames` frames, which end where a segment does; of the whole video when that is plan.frames.
[[nodiscard]] std::uint32_t segment_count(const source_plan& plan, std::uint64_t frames) noexcept;
/// Segments of a chunk.
[[nodiscard]] std::uint32_t segment_count(const source_plan& plan, const chunk_plan& chunk) noexcept;

/// Audio of a chunk-free track is cut into segments that follow the video's: segment n starts at the first AAC frame
/// (1024 samples) at or after the video segment's start.
inline constexpr std::uint32_t aac_frame_samples = 1024;

// ---- Output ------------------------------------------------------------------------------------------------------

/// Where one piece of one rendition lies in an output blob.
struct output_entry {
  static constexpr std::uint32_t init_segment = 0xffffffff;

  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;                  // rung index for video, track index for audio and text, what it is for images
  std::uint32_t segment = init_segment;        // absolute number from 0, or init_segment
  std::uint64_t offset = 0;                    // in the blob
  std::uint32_t bytes = 0;
  std::uint32_t duration = 0;                  // video: frames; audio: samples; images: tiles; text: cues; 0 for the init segment
  sha256_digest digest;
  friend bool operator==(const output_entry&, const output_entry&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_entry& x) {
  return f(x.kind, x.rendition, x.segment, x.offset, x.bytes, x.duration, x.digest);
}

/// What the manifests need to know of one rendition in one output blob, so that they can be rendered without reading it.
struct rendition_summary {
  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;
  std::uint64_t bytes = 0;         // of its segments
  std::uint64_t peak_bit_s = 0;    // of its most expensive segment
  std::string codecs;              // RFC 6381, e.g. "avc1.64001f"
  friend bool operator==(const rendition_summary&, const rendition_summary&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, rendition_summary& x) {
  return f(x.kind, x.rendition, x.bytes, x.peak_bit_s, x.codecs);
}

/// One committed output: the blob and what it holds in short. The full index is at the head of the blob itself
/// (core/output_blob.hpp).
struct output_ref {
  blob_id blob;
  node_name store;                 // the storage node that sealed it
  std::uint64_t bytes = 0;
  std::uint32_t index_bytes = 0;   // length of the index at the head
  sha256_digest digest;            // tree digest of the whole blob
  std::vector<rendition_summary> renditions;
  friend bool operator==(const output_ref&, const output_ref&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, output_ref& x) {
  return f(x.blob, x.store, x.bytes, x.index_bytes, x.digest, x.renditions);
}

/// What only decoding shows of a source: found by a task of its chunk or track, and a function of source, recipe and engine like
/// the output itself. core/findings.hpp puts it into words.
///
/// Lost is what the output has something else in the place of. Video counts frames of the output grid, so that a picture that
/// two chunks decode counts where it is shown, and only there; sound counts samples of the output.
struct findings {
  std::uint64_t lost = 0;
  std::uint64_t first_lost = 0;  // from the start of the output; 0 when nothing is lost
  bool reshaped = false;         // a picture of another shape than the first one was fitted into it
  friend bool operator==(const findings&, const findings&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, findings& x) {
  return f(x.lost, x.first_lost, x.reshaped);
}

// ---- States ------------------------------------------------------------------------------------------------------

/// receiving -> queued -> planning -> encoding -> finishing -> ready; any -> failed (retry -> queued); any -> deleting.
/// The same words in API, records, command line, page and metrics. Numbers are disk format.
enum class video_state : std::uint8_t { receiving = 0, queued = 1, planning = 2, encoding = 3, finishing = 4, ready = 5, failed = 6, deleting = 7 };
[[nodiscard]] std::string_view to_string(video_state s) noexcept;
/// The edges of the drawing above; a state never moves along any other.
[[nodiscard]] bool is_edge(video_state from, video_state to) noexcept;

enum class priority_class : std::uint8_t { low = 0, normal = 1, high = 2 };
[[nodiscard]] std::string_view to_string(priority_class p) noexcept;

// ---- What people see ---------------------------------------------------------------------------------------------

/// A video as shown by every view of it: GET /api/v1/videos/{id}, events, `latham status`.
struct video_view {
  video_id id;
  std::string tenant = "default";
  std::string title;
  video_state state = video_state::receiving;
  std::uint64_t revision = 0;      // grows with each visible change; orders events of one video
  std::int64_t created_ms = 0;     // UTC
  std::uint64_t bytes = 0;         // durable so far
  std::uint64_t bytes_total = 0;   // 0 while unknown
  std::uint16_t progress_mille = 0;
  std::vector<std::pair<rung, std::uint16_t>> rungs;  // and how many thousandths of each are done
  std::int64_t eta_s = -1;         // -1: unknown
  std::uint64_t duration_ms = 0;   // 0 until planned
  std::uint32_t width = 0;
  std::uint32_t height = 0;
  rational fps{0, 1};
  std::uint32_t chunks = 0;
  std::uint32_t chunks_done = 0;
  bool playable = false;           // its first chunk, if it has a picture, and its sound are there: the manifests can be asked for
  bool pictures = false;           // a poster and a storyboard come with it; neither with sound alone nor by recipe 1
  std::string source_format;       // "mov, h264" once planned
  std::vector<std::string> notes;
  std::string error_code;          // to_string(errc) when failed
  std::string error_message;
  friend bool operator==(const video_view&, const video_view&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, video_view& x) {
  return f(x.id, x.tenant, x.title, x.state, x.revision, x.created_ms, x.bytes, x.bytes_total, x.progress_mille, x.rungs, x.eta_s,
           x.duration_ms, x.width, x.height, x.fps, x.chunks, x.chunks_done, x.playable, x.pictures, x.source_format, x.notes, x.error_code, x.error_message);
}

}  // namespace latham
