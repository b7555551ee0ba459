#include "core/task_budget.hpp"

#include "core/manifest/storyboard.hpp"

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

// Bytes. x264 keeps its cap over any stretch of time, but for what its buffer of two seconds lets through at once; of noise it
// made 1.1 times the cap, buffer included. Where the cap is too small to be kept there is still a frame's header, its line in
// the index, and a little for each block: 30 bytes a frame and 0.01 bit a pixel were measured. AAC of noise and clicks came to
// 1.06 times its rate, of the lowest rates to 13 kbit/s more.
constexpr double video_rate_factor = 1.5;
constexpr double video_buffer_s = 2;
constexpr double video_frame_bytes = 256;
constexpr double video_frame_bytes_per_pixel = 1.0 / 64;
constexpr double sound_rate_factor = 1.25;
constexpr double sound_extra_kbit = 24;
constexpr double segment_bytes = 2048;       // its boxes, and those of an init segment
constexpr double still_bytes_per_pixel = 3;  // twice the picture before it became a JPEG
constexpr double still_bytes = 16'384;
constexpr double output_bytes_floor = 65'536;
constexpr double plan_head_bytes = 32'768;   // of one page: all that media/child_protocol's validate() lets through
constexpr double plan_chunk_bytes = 64;
constexpr double output_bytes_ceiling = 2.5 * 1024 * 1024 * 1024;

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

double fps_of(const source_plan& plan) { return std::clamp(plan.fps.to_double(), 1.0, double{fps_max}); }

/// A picture every ten seconds is a grid, too.
double lasts_s(const source_plan& plan, std::uint64_t frames) {
  const auto fps = plan.fps.to_double();
  return static_cast<double>(frames) / (fps > 0 ? std::min(fps, double{fps_max}) : 1);
}

double pixels_of(std::uint32_t width, std::uint32_t height) { return double{1} * width * height; }

double video_cpu_s(const ports::engine_task& task) {
  const auto& plan = task.plan;
  double rung_pixels = 0;
  for (const auto& rung : plan.rungs) rung_pixels += pixels_of(rung.width, rung.height);
  const auto source_pixels = pixels_of(plan.width, plan.height);
  const auto fps = fps_of(plan);
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
  return lasts_s(plan, plan.frames) * sound_second_s;
}

double video_bytes(const ports::engine_task& task, const chunk_plan& chunk) {
  const auto& plan = task.plan;
  const auto segments = double{1} + segment_count(plan, chunk);
  double total = 0;
  for (const auto& rung : plan.rungs)
    total += video_rate_factor * rung.maxrate_kbit * 125 * (lasts_s(plan, chunk.frames) + video_buffer_s) + segments * segment_bytes +
             chunk.frames * (video_frame_bytes + video_frame_bytes_per_pixel * pixels_of(rung.width, rung.height));
  if (!makes_images(task.how) || plan.rungs.empty()) return total;
  const auto tile = tile_size_of(plan);
  const auto& poster = plan.rungs[poster_rung(plan)];
  return total + 2 * still_bytes + still_bytes_per_pixel * (pixels_of(tile.width, tile.height) * segments + pixels_of(poster.width, poster.height));
}

double sound_bytes(const ports::engine_task& task) {
  const auto& plan = task.plan;
  const auto rung = task.audio_index < plan.audio.size() ? plan.audio[task.audio_index].kbit : 0;
  const auto kbit = sound_rate_factor * (rung == 0 ? task.how.audio_kbit : rung) + sound_extra_kbit;
  return lasts_s(plan, plan.frames) * kbit * 125 + (1.0 + segment_count(plan, plan.frames)) * segment_bytes;
}

double plan_bytes(const recipe& how) {
  const auto chunks = static_cast<double>(plan_chunks_max(how));
  return chunks * plan_chunk_bytes + (chunks / ports::plan_page_chunks_max + 2) * plan_head_bytes;
}

std::uint64_t to_output_bytes(double bytes) {
  return static_cast<std::uint64_t>(std::ceil(bytes < output_bytes_ceiling ? bytes : output_bytes_ceiling));  // the ceiling also when it is no number
}

}  // namespace

std::uint64_t plan_chunks_max(const recipe& how) {
  // Twice, because a segment is a whole number of frames and may be that much shorter than was asked for.
  return 2 * duration_s_max * 1000 / std::max<std::uint64_t>(how.segment_ms, 1) + ports::plan_page_chunks_max;
}

std::uint64_t chunk_bytes_max(const ports::engine_task& task, std::size_t chunk) {
  auto bytes = output_bytes_floor;
  switch (task.kind) {
    case ports::engine_task_kind::plan: bytes += plan_bytes(task.how); break;
    case ports::engine_task_kind::video: bytes += chunk < task.chunks.size() ? video_bytes(task, task.chunks[chunk]) : 0; break;
    case ports::engine_task_kind::audio: bytes += sound_bytes(task); break;
    case ports::engine_task_kind::text: bytes += static_cast<double>(task.plan.text.size()) * static_cast<double>(text_file_bytes_max); break;
  }
  return to_output_bytes(bytes);
}

task_budget budget_of(const ports::engine_task& task) {
  const auto bytes = static_cast<double>(task.source_bytes);
  auto cpu_s = cpu_s_min + bytes / bytes_per_cpu_s;
  if (task.kind == ports::engine_task_kind::video) cpu_s += video_cpu_s(task);
  // Text is a pass over the source like the plan; its cues are bounded and cost nothing beside it.
  if (task.kind == ports::engine_task_kind::audio) cpu_s += sound_cpu_s(task.plan);
  if (!(cpu_s < cpu_s_max)) cpu_s = cpu_s_max;  // also when it is no number
  task_budget out;
  out.cpu_s = static_cast<std::uint32_t>(std::ceil(cpu_s));
  const auto chunks = task.kind == ports::engine_task_kind::video ? task.chunks.size() : 1;
  double output_bytes = 0;
  for (std::size_t i = 0; i < chunks; ++i) output_bytes += static_cast<double>(chunk_bytes_max(task, i));
  out.output_bytes = to_output_bytes(output_bytes);
  out.whole = patience + seconds{std::llround(cpu_s / share_of_a_core + std::min(bytes / bytes_per_s, cpu_s_max))};
  return out;
}

}  // namespace latham
