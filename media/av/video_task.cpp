// The sampler: frame n of the output shows the last source picture with pts <= (n + 1/2) / fps after the origin. That holds a
// picture over a gap of a variable rate, takes jitter out, and depends on n and the source alone, so that two chunks agree
// about their border without talking. Before the first picture of the video, the first one is shown.
//
// A frame that does not show what belongs there is lost: its picture was refused by the decoder, or the decoder had to make up
// a part of it, or the container lost it. What it shows instead is the picture before, or what the decoder made.

#include "media/av/video_task.hpp"

#include "core/manifest/storyboard.hpp"
#include "media/av/chunk_reader.hpp"
#include "media/av/picture_ladder.hpp"
#include "media/av/rung_encoder.hpp"
#include "media/av/still_pictures.hpp"
#include "media/av/whole_pictures.hpp"
#include "media/chunk_planner.hpp"

#include <memory>
#include <vector>

namespace latham::media {

namespace {

// x264 learns the distance between pts and dts from its first frames. A chunk of fewer, as of a video that has no more, would
// get another init segment than others; it is fed blanks behind its end, which start with an IDR and are not written.
constexpr std::uint64_t frames_encoded_min = 4;

/// What the source says about its colours; where it says nothing, what its size has meant since HDTV. Always said in the
/// output: players guess by size, and the rungs' sizes lie on both sides of that guess.
colour colour_of(const AVCodecParameters& coded) {
  const bool high = coded.height >= 720 || coded.width >= 1280;
  colour out;
  out.matrix = high ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
  out.primaries = high ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
  out.transfer = high ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
  if (coded.color_space != AVCOL_SPC_UNSPECIFIED && coded.color_space != AVCOL_SPC_RGB) out.matrix = coded.color_space;
  if (coded.color_primaries != AVCOL_PRI_UNSPECIFIED) out.primaries = coded.color_primaries;
  if (coded.color_trc != AVCOL_TRC_UNSPECIFIED) out.transfer = coded.color_trc;
  return out;
}

class chunk_encoder {
public:
  chunk_encoder(const ports::engine_task& task, const chunk_plan& chunk, task_host& host, std::uint64_t& done)
    : task_{task}, plan_{task.plan}, chunk_{chunk}, host_{host}, done_{done} {}

  expected<void> run() {
    auto opened = chunk_reader::open(host_, task_.source_bytes, plan_, chunk_);
    if (!opened) return std::move(opened).error();
    auto& reader = **opened;
    const auto& stream = reader.stream();
    const auto tags = is_high_dynamic_range(*stream.codecpar) ? tone_mapped_colour() : colour_of(*stream.codecpar);
    ladder_ = std::make_unique<picture_ladder>(plan_, stream, tags);
    for (std::size_t i = 0; i < plan_.rungs.size(); ++i) {
      auto rung = rung_encoder::open(host_, task_.how, plan_, chunk_, static_cast<std::uint8_t>(i), tags);
      if (!rung) return std::move(rung).error();
      rungs_.push_back(std::move(rung).value());
    }
    if (makes_images(task_.how)) stills_ = std::make_unique<still_pictures>(host_, plan_, chunk_, tags);
    whole_pictures pictures{reader};
    if (auto ok = sample(reader, pictures); !ok) return ok;
    for (std::uint64_t n = end_frame(); n < chunk_.first_frame + frames_encoded_min; ++n)
      if (auto ok = encode(n); !ok) return ok;
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::encode_us};
    for (auto& rung : rungs_)
      if (auto ok = rung->finish(); !ok) return ok;
    if (stills_)
      if (auto ok = stills_->finish(); !ok) return ok;
    return host_.chunk_done(chunk_.index, found_);
  }

private:
  [[nodiscard]] std::uint64_t end_frame() const noexcept { return chunk_.first_frame + chunk_.frames; }
  [[nodiscard]] std::int64_t last_pts_of(std::uint64_t n) const {
    return last_pts_of_frame(static_cast<std::int64_t>(n), plan_.origin_pts, plan_.time_base, plan_.fps);
  }

  /// What is on the screen.
  struct screen {
    bool empty = true;
    std::int64_t pts = 0;
    bool damaged = false;
  };

  /// Frame n is shown with what is on the screen until `next`.
  [[nodiscard]] bool is_lost(std::uint64_t n, const screen& now, std::int64_t next, const chunk_reader& reader) const {
    // Before the first picture of all, the first one is shown; nothing else may come too late.
    if (now.empty && !reader.is_from_start()) return true;
    if (now.damaged || reader.refused(now.empty ? INT64_MIN : now.pts, last_pts_of(n))) return true;
    // Held for longer than a frame: that may be meant, or because something is missing.
    return !now.empty && n > 0 && last_pts_of(n - 1) >= now.pts && reader.torn(now.pts, next);
  }
  void look(std::uint64_t n, const screen& now, std::int64_t next, const chunk_reader& reader) {
    found_.reshaped = found_.reshaped || ladder_->has_bars();
    if (!is_lost(n, now, next, reader)) return;
    if (found_.lost++ == 0) found_.first_lost = n;
  }

  expected<void> sample(const chunk_reader& reader, whole_pictures& pictures) {
    auto shown = make_frame_handle();  // the last picture so far
    auto fresh = make_frame_handle();
    bool have_shown = false;
    bool shown_lacks = false;  // its predecessor: see whole_pictures
    screen now;
    auto n = chunk_.first_frame;
    while (n < end_frame()) {
      std::int64_t pts = 0;
      auto got = pictures.next(*fresh, pts);
      if (!got) return std::move(got).error();
      const bool too_late = *got ? pts > last_pts_of(n) : true;
      if ((!have_shown || shown_lacks) && too_late) {
        // The picture that belongs at the chunk's start did not come out, or not as it should: perhaps from further back it does.
        auto again = pictures.back_off();
        if (!again) return std::move(again).error();
        if (*again) {
          have_shown = shown_lacks = false;
          now = {};
          continue;
        }
      }
      if (!*got) break;
      if (last_pts_of(n) < pts) {
        if (auto ok = show(have_shown ? *shown : *fresh); !ok) return ok;
        if (!have_shown) now.damaged = pictures.is_damaged();
        for (; n < end_frame() && last_pts_of(n) < pts; ++n) {
          look(n, now, pts, reader);
          if (auto ok = emit(n); !ok) return ok;
        }
      }
      std::swap(shown, fresh);
      have_shown = true;
      shown_lacks = pictures.lacks_neighbour();
      now = {false, pts, pictures.is_damaged()};
    }
    if (n < end_frame()) {
      if (!have_shown) return {errc::unprocessable, "The picture cannot be decoded: the file is damaged, upload it again."};
      if (auto ok = show(*shown); !ok) return ok;
      for (; n < end_frame(); ++n) {
        // That a cut-off file ends in the middle of a picture goes without saying.
        if (!plan_.truncated) look(n, now, INT64_MAX, reader);
        if (auto ok = emit(n); !ok) return ok;
      }
    }
    return {};
  }

  expected<void> show(const AVFrame& picture) {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::scale_us};
    return ladder_->show(picture);
  }
  expected<void> emit(std::uint64_t n) {
    if (auto ok = encode(n); !ok) return ok;
    if (stills_)
      if (auto ok = stills_->take(*ladder_, n); !ok) return ok;
    return host_.progress(++done_);
  }
  expected<void> encode(std::uint64_t n) {
    const stage_clock::scope stage{host_.clock, &ports::engine_usage::encode_us};
    for (std::size_t i = rungs_.size(); i-- > 0;)
      if (auto ok = rungs_[i]->encode(ladder_->picture(i), n); !ok) return ok;
    return {};
  }

  const ports::engine_task& task_;
  const source_plan& plan_;
  const chunk_plan& chunk_;
  task_host& host_;
  std::uint64_t& done_;
  std::unique_ptr<picture_ladder> ladder_;
  std::vector<std::unique_ptr<rung_encoder>> rungs_;
  std::unique_ptr<still_pictures> stills_;
  findings found_;
};

}  // namespace

expected<void> run_video_task(const ports::engine_task& task, task_host& host) {
  std::uint64_t done = 0;
  for (const auto& chunk : task.chunks) {
    chunk_encoder encoder{task, chunk, host, done};
    if (auto ok = encoder.run(); !ok) return ok;
  }
  return {};
}

}  // namespace latham::media
