// The source pictures that one chunk needs, decoded in display order.
//
// No container seeks to a given key frame: some land late, some early, some nowhere. So the reader seeks, looks at what it
// got, and backs off until it meets the very key frame that the plan names, at last from the start of the file. A reader is
// made for one chunk: whatever state a demuxer or decoder gathers must not leak from one chunk into the next, or the
// output would depend on how chunks were dealt out.
//
// What lies between that key frame and the chunk's first picture is decoded only to be thrown away. Pictures that no other
// refers to are skipped there, which makes the way about half as dear; close before the chunk everything is decoded again,
// because the picture that is on the screen when the chunk begins may be one of those. Only pictures from there on are given,
// and none that is shown before the key frame, whose references are missing: what comes is what a decoder that began at the
// start of the file would give, without a hole.
//
// What is damaged shows only here, and the reader keeps in mind where: packets that the decoder refused, and places where the
// container lost bytes. Whether that is to be seen in the output is the sampler's to say.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/input.hpp"

#include <cstdint>
#include <memory>
#include <set>
#include <vector>

namespace latham::media {

class chunk_reader {
public:
  /// Opens source and decoder and goes to chunk.seek_pts. Fails with errc::corrupt when the source is not the planned one.
  [[nodiscard]] static expected<std::unique_ptr<chunk_reader>> open(task_host& host, std::uint64_t source_bytes, const source_plan& plan,
                                                                    const chunk_plan& chunk);

  /// The next picture with its pts in the plan's time base; false at the end of the source. What cannot be decoded is left out.
  [[nodiscard]] expected<bool> next(AVFrame& into, std::int64_t& pts);

  /// Starts again, because what came was not enough: first without skipping, then from further back. False when it has been
  /// as far back as it goes.
  [[nodiscard]] expected<bool> back_off();

  /// Nothing comes before the first picture.
  [[nodiscard]] bool is_from_start() const noexcept { return from_start_; }

  /// A picture that belongs on the screen at some time from `from` to `to`, both included, was refused by the decoder. Known
  /// once a later picture was given. What cannot be decoded because the stream begins before its first key frame is not meant.
  [[nodiscard]] bool refused(std::int64_t from, std::int64_t to) const;

  /// The container lost bytes, or the decoder refused a picture, between `from` and `to` or within a second of that: if no
  /// picture is there, it is because of that.
  [[nodiscard]] bool torn(std::int64_t from, std::int64_t to) const;

  /// Holds until back_off.
  [[nodiscard]] const AVStream& stream() const { return *in_.stream(plan_.video_stream); }

private:
  chunk_reader(task_host& host, std::uint64_t source_bytes, const source_plan& plan, const chunk_plan& chunk)
    : host_{host}, source_bytes_{source_bytes}, plan_{plan}, chunk_{chunk} {}

  enum class landing { exact, any_key };  // at the planned key frame, or at any key frame not after it

  expected<void> reopen();
  expected<bool> go_to(std::int64_t back_off_s, landing want);
  expected<bool> go_to_start(landing want);
  void shift(AVPacket& packet);
  void watch(const AVPacket& packet);
  void refuse(std::int64_t time);
  void keep_headers();
  expected<bool> find_key(landing want);

  task_host& host_;
  const std::uint64_t source_bytes_;
  const source_plan& plan_;
  const chunk_plan& chunk_;
  input in_;
  av_codec_context decoder_;
  av_packet packet_ = make_packet_handle();
  bool sorts_stamps_ = false;                  // see shows_in_unknown_order
  std::multiset<std::int64_t> stamps_;         // of packets whose picture is still in the decoder; only if sorts_stamps_
  std::vector<std::uint8_t> headers_;  // the newest that came with a packet on the way to the key frame
  bool packet_held_ = false;  // find_key read it; the decoder has not seen it
  bool drained_ = false;
  std::int64_t position_ = -1;  // in the file, of the last packet that had one; -1 after a seek
  std::int64_t skip_until_ = INT64_MIN;  // packets shown before this may be skipped when nothing refers to them
  std::int64_t whole_from_ = INT64_MIN;  // pictures shown before this lack references
  std::int64_t believed_until_ = INT64_MAX;
  bool from_start_ = false;
  std::set<std::int64_t> refused_;   // times of pictures
  std::set<std::int64_t> torn_;      // times of the pictures on both sides of each place
  bool decodable_ = false;           // a key frame was given to the decoder, or a picture came out
  bool tear_ahead_ = false;          // and the next picture is its other side
  std::int64_t last_time_ = INT64_MIN;  // of the picture read last, and of the one decoded last
  std::int64_t sent_time_ = INT64_MIN;
  std::int64_t read_at_ = -1;        // the last packet of any stream, and where it ends
  std::int64_t read_end_ = -1;
  int backed_off_ = 0;
  bool gave_up_ = false;
};

}  // namespace latham::media
