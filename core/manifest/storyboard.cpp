#include "core/manifest/storyboard.hpp"

#include <algorithm>
#include <fmt/format.h>

namespace latham {

namespace {

constexpr std::uint32_t tile_side = 160;
constexpr std::uint32_t poster_side_max = 1280;

std::string vtt_time(std::uint64_t frames, rational fps) {
  const auto ms = (frames * 1000 * static_cast<std::uint64_t>(fps.den) * 2 + static_cast<std::uint64_t>(fps.num)) / (2 * static_cast<std::uint64_t>(fps.num));
  return fmt::format("{:02}:{:02}:{:02}.{:03}", ms / 3'600'000, ms / 60'000 % 60, ms / 1000 % 60, ms % 1000);
}

}  // namespace

tile_size tile_size_of(const source_plan& plan) noexcept {
  const auto longest = std::max<std::uint64_t>({plan.width, plan.height, 1});
  const auto even = [&](std::uint64_t side) { return static_cast<std::uint32_t>(std::max<std::uint64_t>((side * tile_side + longest) / (2 * longest), 1) * 2); };
  return {even(plan.width), even(plan.height)};
}

std::uint32_t tile_count(const source_plan& plan, const chunk_plan& chunk) noexcept { return segment_count(plan, chunk); }

std::uint64_t poster_frame(const source_plan& plan) noexcept { return std::uint64_t{segment_count(plan, plan.frames) / 10} * plan.segment_frames; }

std::size_t poster_rung(const source_plan& plan) noexcept {
  std::size_t largest = 0;
  while (largest + 1 < plan.rungs.size() && std::max(plan.rungs[largest + 1].width, plan.rungs[largest + 1].height) <= poster_side_max) ++largest;
  return largest;
}

std::string storyboard_vtt(const output_table& table, const std::string& base) {
  const auto& plan = table.plan;
  const auto [width, height] = tile_size_of(plan);
  std::string out = "WEBVTT\n";
  for (const auto& [index, entry] : table.chunks) {
    const auto& chunk = entry.first;
    for (std::uint32_t tile = 0; tile < tile_count(plan, chunk); ++tile) {
      const auto from = chunk.first_frame + std::uint64_t{tile} * plan.segment_frames;
      const auto to = from + segment_frames_of(plan, static_cast<std::uint32_t>(from / plan.segment_frames));
      out += fmt::format("\n{} --> {}\n{}/storyboard/{}.jpg#xywh={},0,{},{}\n", vtt_time(from, plan.fps), vtt_time(to, plan.fps), base, index + 1, tile * width, width, height);
    }
  }
  return out;
}

}  // namespace latham
