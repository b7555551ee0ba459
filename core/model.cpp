#include "core/model.hpp"

#include "core/codec.hpp"

#include <algorithm>

namespace latham {

std::string to_string(const rung& r) { return std::to_string(r.width) + "x" + std::to_string(r.height); }

sha256_digest digest_of(const recipe& r) { return sha256::of(encode(r)); }

std::uint32_t segment_count(const source_plan& plan, std::uint64_t frames) noexcept {
  if (plan.segment_frames == 0 || frames == 0) return 0;
  const std::uint64_t length = plan.segment_frames;
  const auto all = [&](std::uint64_t n) { return n < length + last_segment_frames_min ? 1 : (n - last_segment_frames_min) / length + 1; };
  if (frames >= plan.frames) return static_cast<std::uint32_t>(all(frames));
  return static_cast<std::uint32_t>(std::min((frames + length - 1) / length, all(plan.frames)));
}

std::uint32_t segment_count(const source_plan& plan, const chunk_plan& chunk) noexcept {
  if (plan.segment_frames == 0) return 0;
  const std::uint64_t before = chunk.first_frame / plan.segment_frames;
  const std::uint64_t until = segment_count(plan, chunk.first_frame + chunk.frames);
  return static_cast<std::uint32_t>(until - std::min(before, until));  // a chunk that starts within the last segment has none
}

std::string_view to_string(video_state s) noexcept {
  switch (s) {
    case video_state::receiving: return "receiving";
    case video_state::queued: return "queued";
    case video_state::planning: return "planning";
    case video_state::encoding: return "encoding";
    case video_state::finishing: return "finishing";
    case video_state::ready: return "ready";
    case video_state::failed: return "failed";
    case video_state::deleting: return "deleting";
  }
  return "unknown";
}

bool is_edge(video_state from, video_state to) noexcept {
  using enum video_state;
  if (from == deleting) return false;
  if (to == deleting) return true;
  if (to == failed) return from != ready && from != failed;
  switch (from) {
    case receiving: return to == queued;
    case queued: return to == planning;
    case planning: return to == encoding;
    case encoding: return to == finishing;
    case finishing: return to == ready;
    case failed: return to == queued;
    default: return false;
  }
}

std::string_view to_string(priority_class p) noexcept {
  switch (p) {
    case priority_class::low: return "low";
    case priority_class::normal: return "normal";
    case priority_class::high: return "high";
  }
  return "unknown";
}

}  // namespace latham
