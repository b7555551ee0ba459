// What to believe of the times that packets carry, and how a clock that starts anew is made to run on.
//
// A broadcast recording has two kinds of wrong times. A single damaged one stands alone: those around it agree with one
// another and not with it; it is not believed, or one flipped bit makes a day of video. And the clock may start anew where a
// recording was interrupted or two were joined: then all that follows agrees. From there on a shift is added, so that the
// first packet after the break follows the last one before it; where that is, is told by its byte position, because that is
// all a reader knows that starts in the middle. A long hold is neither: what follows agrees, and the step is believed up to
// a limit (any step, where the container has one clock). Pure, and one pass: a packet is judged when some that follow it are
// known.
#pragma once

#include "core/model.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace latham::media {

struct packet_time {
  std::uint64_t offset = 0;   // byte position
  std::int64_t time = 0;      // when it is shown
  std::int64_t duration = 0;  // 0 when unknown
  std::uint32_t tag = 0;      // the caller's
};

/// All in the stream's time base.
struct time_bounds {
  std::int64_t back = 0;   // reordering: a packet may be shown this much before the one that came before it, or 17 pictures
  std::int64_t doubt = 0;  // a longer step has to be borne out by packets that follow
  std::int64_t jump = 0;   // a step longer than this is a clock that started anew; only if restarts
  bool restarts = false;   // the container allows that
};

class time_line {
public:
  static constexpr std::size_t look_ahead = 24;

  explicit time_line(time_bounds bounds) : bounds_{bounds} {}

  struct verdict {
    packet_time packet;  // its time shifted
    bool believed = false;
  };

  /// Packets in file order. Gives the verdict on the oldest one that is not judged yet, once enough follow it.
  [[nodiscard]] std::optional<verdict> push(const packet_time& packet);
  /// No more packets come: call until it gives nothing.
  [[nodiscard]] std::optional<verdict> finish();

  [[nodiscard]] const std::vector<time_shift>& shifts() const noexcept { return shifts_; }
  [[nodiscard]] std::uint64_t disbelieved() const noexcept { return disbelieved_; }

private:
  verdict judge();
  [[nodiscard]] bool in_step(std::int64_t from, std::int64_t to) const;

  const time_bounds bounds_;
  std::deque<packet_time> window_;
  std::vector<time_shift> shifts_;
  std::optional<std::int64_t> last_;  // believed, shifted
  std::optional<std::int64_t> before_hold_;
  std::int64_t end_ = 0;              // of all that is believed
  std::int64_t add_ = 0;
  std::int64_t back_ = 0;
  std::uint64_t disbelieved_ = 0;
};

/// What a plan's shifts add to the time of a video packet at `offset`.
[[nodiscard]] std::int64_t shift_at(const std::vector<time_shift>& shifts, std::uint64_t offset) noexcept;

/// The same for other streams, whose packets lie near the video's but not in step with them: of the shifts that hold around
/// `offset`, the one that brings `time` nearest to `expected`. All in the shifts' time base.
[[nodiscard]] std::int64_t shift_near(const std::vector<time_shift>& shifts, std::uint64_t offset, std::int64_t time,
                                      std::optional<std::int64_t> expected) noexcept;

}  // namespace latham::media
