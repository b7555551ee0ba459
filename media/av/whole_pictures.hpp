// The pictures of a chunk, whole: what chunk_reader gives, with the two fields of an interlaced picture made one.
//
// One picture stays one picture (bwdif, which keeps the field that is shown first and makes the lines between from it and
// from the pictures before and after), so the frame rate is untouched and times go through as they are. The result depends
// on a picture and its two neighbours and on nothing else: not on where the reader began. A chunk's first picture therefore
// needs the one before it. Where the reader began too late for that, the picture is marked and back_off brings the
// neighbour; the planner gives chunks of interlaced streams an earlier key frame, so that this is rare.
//
// A picture whose time is more than a second after the next one's is left out: the time is damaged (see media/timestamps.hpp).
// A picture that is not interlaced goes through untouched, also between others that are.
#pragma once

#include "core/expected.hpp"
#include "media/av/chunk_reader.hpp"
#include "media/av/picture_filter.hpp"

#include <array>
#include <cstdint>
#include <memory>

namespace latham::media {

/// Frames of the output grid that a chunk of this stream needs to be decoded before its first one.
[[nodiscard]] std::uint32_t lead_frames_of(const AVCodecParameters& stream);

class whole_pictures {
public:
  /// `reader` outlives this and is read by nobody else.
  explicit whole_pictures(chunk_reader& reader) : reader_{reader} {}

  /// The next picture and its time; false at the end of the source.
  [[nodiscard]] expected<bool> next(AVFrame& into, std::int64_t& pts);

  /// The picture that next gave lacked its predecessor: it is not what it would be had the reader begun earlier.
  [[nodiscard]] bool lacks_neighbour() const noexcept { return lacks_neighbour_; }

  /// The decoder made up a part of the picture that next gave.
  [[nodiscard]] bool is_damaged() const noexcept { return damaged_; }

  /// As chunk_reader::back_off; after true, pictures come from further back.
  [[nodiscard]] expected<bool> back_off();

private:
  struct entry {
    av_frame picture = make_frame_handle();
    std::int64_t pts = 0;
    bool there = false;
  };

  expected<void> read(entry& into);
  [[nodiscard]] bool is_in_place() const;
  expected<void> make_whole(AVFrame& into);

  chunk_reader& reader_;
  entry before_, at_, after_;
  bool started_ = false;
  bool lacks_neighbour_ = false;
  bool damaged_ = false;
  std::unique_ptr<picture_filter> filter_;
  bool filter_holds_at_ = false;  // and what came before it: the filter only needs the picture after
};

}  // namespace latham::media
