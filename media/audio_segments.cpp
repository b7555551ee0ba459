#include "media/audio_segments.hpp"

#include "core/assert.hpp"

namespace latham::media {

namespace {
__extension__ using wide = unsigned __int128;
}

std::uint64_t audio_samples(const source_plan& plan, std::uint32_t rate_hz) {
  LATHAM_ASSERT(plan.fps.num > 0 && plan.fps.den > 0);
  const auto num = static_cast<wide>(plan.fps.num);
  return static_cast<std::uint64_t>((wide{2} * plan.frames * static_cast<wide>(plan.fps.den) * rate_hz + num) / (2 * num));
}

std::uint64_t audio_segment_start(const source_plan& plan, std::uint32_t rate_hz, std::uint32_t segment) {
  LATHAM_ASSERT(plan.fps.num > 0 && plan.fps.den > 0);
  const auto frame = segment < segment_count(plan, plan.frames) ? std::uint64_t{segment} * plan.segment_frames : plan.frames;
  const auto over = wide{frame} * static_cast<wide>(plan.fps.den) * rate_hz;
  const auto under = static_cast<wide>(plan.fps.num) * aac_frame_samples;
  return static_cast<std::uint64_t>((over + under - 1) / under * aac_frame_samples);
}

}  // namespace latham::media
