// HLS and DASH manifests, rendered from what is committed. Pure functions: nothing is stored, so a manifest can never
// disagree with the segments behind it.
//
// HLS: RFC 8216 with fMP4 (EXT-X-MAP), version 7; EVENT while encoding (a prefix without gaps), VOD when ready.
// DASH: ISO/IEC 23009-1 live profile with SegmentTimeline; dynamic while encoding, static when ready. Both name the same
// CMAF segments (ISO/IEC 23000-19). URLs are absolute paths below `base`, because players resolve relative ones
// differently once redirects and query strings come in.
//
// Sound alone: each rate of the ladder of sound is a variant (and a group of its tracks) in HLS, a Representation of each
// track's AdaptationSet in DASH.
//
// Paths below base: master.m3u8, manifest.mpd, and per rendition {name}/playlist.m3u8, {name}/init.mp4, {name}/{n}.m4s,
// n counted from 1; {name} is "640x360" or "audio-0". Of subtitles {name}/playlist.m3u8 and {name}/1.vtt, {name} "text-0".
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace latham {

struct presented_rendition {
  std::string name;                        // path element
  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;
  rung size;                               // video
  std::string language = "und";            // audio
  std::uint32_t kbit = 0;                  // audio: its rung of a ladder of sound; 0: there is no such ladder
  std::uint32_t source = 0;                // audio: renditions of the same number are one track at several rates
  std::string codecs;                      // RFC 6381
  std::uint64_t average_bit_s = 0;
  std::uint64_t peak_bit_s = 0;
  std::uint32_t timescale = 1;             // ticks per second of `durations`
  std::vector<std::uint64_t> durations;    // of each visible segment, in ticks
  std::uint64_t duration_max = 0;          // of all segments, in ticks; 0: not known before they are visible
};

/// A whole WebVTT file. It has no segments: text is offered once the video is ready, when a file can be had at once.
struct presented_text {
  std::string name;                        // path element
  std::uint8_t rendition = 0;
  std::string language = "und";
  std::string title;                       // may be empty
  bool forced = false;
  std::uint64_t bytes = 0;
};

struct presentation {
  std::string base;                        // "/media/01ABC..."
  bool finished = false;                   // nothing will be added
  rational fps;
  std::uint64_t total_ms = 0;              // of the whole video
  std::uint32_t segment_ms = 2000;
  std::int64_t available_from_ms = 0;      // UTC; for the dynamic MPD
  std::vector<presented_rendition> video;  // ascending; empty: sound alone
  std::vector<presented_rendition> audio;
  std::vector<presented_text> text;        // empty until the video is ready
};

[[nodiscard]] std::string hls_master(const presentation& p);
[[nodiscard]] std::string hls_media(const presentation& p, const presented_rendition& r);
/// One segment, the whole file. Without X-TIMESTAMP-MAP: its 0 is then that of the media (RFC 8216, 3.5), which starts at 0.
[[nodiscard]] std::string hls_text(const presentation& p, const presented_text& t);
[[nodiscard]] std::string dash_manifest(const presentation& p);

/// RFC 6381 codec string of an init segment: from its avcC box ("avc1.64001f") or its esds ("mp4a.40.2"). Fails with
/// corrupt when there is neither.
[[nodiscard]] expected<std::string> codecs_of(std::string_view init_segment);

/// Duration of video segment `segment` of the plan in frames; 0 when there is none of that number.
[[nodiscard]] std::uint32_t segment_frames_of(const source_plan& plan, std::uint32_t segment) noexcept;

}  // namespace latham
