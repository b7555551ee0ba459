#include "core/task_budget.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

namespace latham {

namespace {

constexpr double cpu_s_min = 60;
constexpr double cpu_s_max = 24 * 3600;

// Measured on one core: x264 "veryfast" with scaling 16 ns a pixel of output, H.264 and HEVC 3 to 8 ns a pixel of source,
// sound 30 ms a second, a demuxer more than 1 GB/s. Ten times that, and more where it varies more.
constexpr double output_pixel_s = 200e-9;
constexpr double source_pixel_s = 50e-9;
constexpr double sound_second_s = 0.3;
constexpr double bytes_per_cpu_s = 50e6;

// A chunk may be decoded anew from further and further before its key frame, when that alone does not give its pictures:
// without skipping, then from 2, 10, 30 and 120 s before (media/av/chunk_reader.cpp). Each try decodes the lead again; half
// of them are counted, because each is counted at ten times what it costs.
constexpr double back_off_s = 2 + 10 + 30 + 120;
constexpr double leads = 3;

constexpr double share_of_a_core = 0.25;  // what a child gets at least, beside others
constexpr double bytes_per_s = 1e6;       // what storage delivers at least
constexpr seconds patience{600};

/// x264's presets by what they cost, "veryfast" being 1.
double effort(std::string_view preset) {
  constexpr std::array<std::pair<std::string_view, double>, 9> efforts{{{"ultrafast", 1},
                                                                        {"superfast", 1},
                                                                        {"veryfast", 1},
                                                                        {"faster", 2},
                                                                        {"fast", 3},
                                                                        {"medium", 4},
                                                                        {"slow", 6},
                                                                        {"slower", 12},
                                                                        {"veryslow", 24}}};
  const auto* found = std::find_if(efforts.begin(), efforts.end(), [&](const auto& e) { return e.first == preset; });
  return found == efforts.end() ? 1 : found->second;
}

double video_cpu_s(const ports::engine_task& task) {
  const auto& plan = task.plan;
  double rung_pixels = 0;
  for (const auto& rung : plan.rungs) rung_pixels += double{1} * rung.width * rung.height;
  const auto source_pixels = double{1} * plan.width * plan.height;
  const auto fps = std::clamp(plan.fps.to_double(), 1.0, double{fps_max});
  double total = 0;
  for (const auto& chunk : task.chunks) {
    const auto key_s = (static_cast<double>(chunk.seek_pts) - static_cast<double>(plan.origin_pts)) * plan.time_base.to_double();
    const auto lead_s = std::clamp(static_cast<double>(chunk.first_frame) / fps - key_s, 0.0, double{duration_s_max});
    // Twice the grid's frames: a source may be faster than its output.
    const auto decoded = 2 * (chunk.frames + fps * (leads * lead_s + back_off_s));
    total += rung_pixels * chunk.frames * output_pixel_s * effort(task.how.preset) + source_pixels * decoded * source_pixel_s;
  }
  return total;
}

double sound_cpu_s(const source_plan& plan) {
  const auto fps = std::clamp(plan.fps.to_double(), 1.0, double{fps_max});
  return static_cast<double>(plan.frames) / fps * sound_second_s;
}

}  // namespace

task_budget budget_of(const ports::engine_task& task) {
  const auto bytes = static_cast<double>(task.source_bytes);
  auto cpu_s = cpu_s_min + bytes / bytes_per_cpu_s;
  if (task.kind == ports::engine_task_kind::video) cpu_s += video_cpu_s(task);
  // Text is a pass over the source like the plan; its cues are bounded and cost nothing beside it.
  if (task.kind == ports::engine_task_kind::audio) cpu_s += sound_cpu_s(task.plan);
  if (!(cpu_s < cpu_s_max)) cpu_s = cpu_s_max;  // also when it is no number
  task_budget out;
  out.cpu_s = static_cast<std::uint32_t>(std::ceil(cpu_s));
  out.whole = patience + seconds{std::llround(cpu_s / share_of_a_core + std::min(bytes / bytes_per_s, cpu_s_max))};
  return out;
}

}  // namespace latham
