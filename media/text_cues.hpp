// Subtitles as WebVTT (W3C Recommendation candidate of 2019), from what libavcodec's decoders make of any text subtitle: the
// text field of an ASS event. Pure.
//
// The text is a stranger's and is served to browsers, so it is not passed on but written anew: markup is taken out, what is
// left is valid UTF-8 without control characters, "&", "<" and ">" are escaped (which is also what keeps a "-->" from being
// read as the times of a cue), and no cue has an empty line, which would end it early. Positions, colours and fonts are lost
// on purpose. All of it has limits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace latham::media {

inline constexpr std::size_t cue_lines_max = 8;
inline constexpr std::size_t cue_text_bytes_max = 2000;            // before it is escaped
inline constexpr std::size_t cues_max = 50'000;                    // of one track: more than one every two seconds of a day
inline constexpr std::size_t cues_bytes_max = 4 * 1024 * 1024;     // text of one track, before it is escaped
inline constexpr std::size_t track_title_bytes_max = 100;

struct text_cue {
  std::int64_t start_ms = 0;  // on the output's clock; may lie before it
  std::int64_t end_ms = 0;
  std::string text;           // lines, not escaped
  friend bool operator==(const text_cue&, const text_cue&) = default;
};

/// The words of an ASS event's text field: without override blocks and drawings; \N and \n are line ends, \h is a space.
[[nodiscard]] std::string words_of_ass(std::string_view text);

/// Valid UTF-8 (U+FFFD for what is none), no controls, lines trimmed, none empty, within cue_lines_max and
/// cue_text_bytes_max; a character is never cut. Empty when nothing is left.
[[nodiscard]] std::string clean_cue(std::string_view text);

/// One such line within track_title_bytes_max.
[[nodiscard]] std::string clean_title(std::string_view text);

/// A whole WebVTT file: cues in order of time, clipped to 0..total_ms; what lies outside, lasts for no time or says nothing is
/// left out, and so is the same cue again. `written`, if given, is their number. Takes cues whose text went through clean_cue.
[[nodiscard]] std::string webvtt(std::vector<text_cue> cues, std::int64_t total_ms, std::uint32_t* written = nullptr);

}  // namespace latham::media
