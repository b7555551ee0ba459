#include "media/chunk_planner.hpp"

#include "core/assert.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>

namespace latham::media {

namespace {

__extension__ using wide = __int128;  // products of pts, time base and rate do not fit 64 bits

wide floor_div(wide a, wide b) {
  const auto q = a / b;
  return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}
wide ceil_div(wide a, wide b) { return -floor_div(-a, b); }

std::int64_t narrowed(wide x) {
  constexpr wide low = std::numeric_limits<std::int64_t>::min();
  constexpr wide high = std::numeric_limits<std::int64_t>::max();
  return static_cast<std::int64_t>(std::clamp(x, low, high));
}

bool is_known(rational r) { return r.num > 0 && r.den > 0; }
bool is_near(double a, double b, double tolerance) { return std::fabs(a - b) <= tolerance * b; }

rational snapped(rational r) {
  static constexpr std::array<rational, 16> standard = {{{24000, 1001}, {24, 1}, {25, 1}, {30000, 1001}, {30, 1}, {48, 1}, {50, 1},
                                                         {60000, 1001}, {60, 1}, {120000, 1001}, {120, 1}, {240, 1}, {15, 1}, {12, 1},
                                                         {10, 1}, {5, 1}}};
  const auto value = r.to_double();
  auto best = r.reduced();
  auto least = 0.004 * value;  // film and its NTSC rate are 0.1 % apart, 24 and 25 are 4 %
  for (const auto& s : standard) {
    const auto distance = std::fabs(s.to_double() - value);
    if (distance < least) {
      least = distance;
      best = s;
    }
  }
  // Nothing in the file is exact to more than this, and a muxer's time scale must fit 32 bits.
  if (best.num > 1'000'000 || best.den > 100'000) best = rational{std::llround(best.to_double() * 1000), 1000}.reduced();
  if (best.num > 1'000'000) best = rational{std::llround(best.to_double()), 1};
  return best;
}

}  // namespace

rational choose_fps(rational nominal, rational median, rational average) {
  rational chosen{25, 1};  // a single frame has no rate; any will do
  const bool claim_holds = is_known(nominal) && nominal.to_double() <= 1000 &&
                           ((!is_known(median) && !is_known(average)) ||
                            (is_known(average) && is_near(average.to_double(), nominal.to_double(), 0.03)) ||
                            (is_known(median) && is_near(median.to_double(), nominal.to_double(), 0.10)));
  if (claim_holds)
    chosen = nominal;
  else if (is_known(average) && (!is_known(median) || is_near(average.to_double(), median.to_double(), 0.03)))
    chosen = average;  // steady, only rounded: the average is the finer measure
  else if (is_known(median))
    chosen = median;
  if (chosen.to_double() < 0.01) chosen = {1, 100};
  if (chosen.to_double() > 1000) chosen = {1000, 1};
  chosen = snapped(chosen);
  while (chosen.num > chosen.den * fps_max) chosen = rational{chosen.num, chosen.den * 2}.reduced();
  while (chosen.num < chosen.den * 5) chosen = rational{chosen.num * 2, chosen.den}.reduced();
  return chosen;
}

std::uint32_t segment_frames_of(std::uint32_t segment_ms, rational fps) {
  const auto frames = (wide{segment_ms} * fps.num * 2 + wide{1000} * fps.den) / (wide{2000} * fps.den);
  return static_cast<std::uint32_t>(std::max<wide>(frames, 1));
}

std::int64_t first_frame_showing(std::int64_t pts, std::int64_t origin_pts, rational time_base, rational fps) {
  // (pts - origin) * tb <= (n + 1/2) / fps  <=>  n >= ((pts - origin) * tb * fps * 2 - 1) / 2
  const auto over = wide{2} * (wide{pts} - origin_pts) * time_base.num * fps.num;
  const auto under = wide{time_base.den} * fps.den;
  return narrowed(ceil_div(over - under, 2 * under));
}

std::int64_t pts_of_frame(std::int64_t n, std::int64_t origin_pts, rational time_base, rational fps) {
  const auto over = wide{n} * fps.den * time_base.den;
  const auto under = wide{fps.num} * time_base.num;
  return narrowed(origin_pts + floor_div(2 * over + under, 2 * under));
}

std::int64_t last_pts_of_frame(std::int64_t n, std::int64_t origin_pts, rational time_base, rational fps) {
  const auto over = (wide{2} * n + 1) * fps.den * time_base.den;
  const auto under = wide{2} * fps.num * time_base.num;
  return narrowed(origin_pts + floor_div(over, under));
}

expected<void> take_part(source_plan& plan, const trim& part) {
  if (part == trim{}) return {};
  const auto frame_at = [&](std::uint64_t ms) {
    return static_cast<std::uint64_t>((wide{ms} * plan.fps.num * 2 + wide{1000} * plan.fps.den) / (wide{2000} * plan.fps.den));
  };
  const auto first = frame_at(part.start_ms);
  if (first >= plan.frames) {
    const auto ms = wide{plan.frames} * plan.fps.den * 1000 / plan.fps.num;
    const auto text = std::to_string(static_cast<std::uint64_t>(ms / 1000)) + "." + std::to_string(static_cast<std::uint64_t>(ms / 100 % 10));
    return {errc::unprocessable, "The video lasts only " + text + " s: upload it again with an earlier start."};
  }
  const auto end = part.end_ms == 0 ? plan.frames : std::clamp(frame_at(part.end_ms), first + 1, plan.frames);
  plan.origin_pts = pts_of_frame(static_cast<std::int64_t>(first), plan.origin_pts, plan.time_base, plan.fps);
  plan.frames = end - first;
  plan.skipped_frames = first;
  return {};
}

chunk_range chunk_range_of(std::uint32_t chunk_segments) noexcept {
  const auto slack = std::max<std::uint32_t>(1, chunk_segments / 2);
  return {std::max<std::uint32_t>(1, chunk_segments - std::min(slack, chunk_segments)), chunk_segments + slack};
}

std::vector<chunk_plan> plan_chunks(const source_plan& plan, const std::vector<key_frame>& keys, std::uint32_t chunk_segments,
                                    std::uint32_t lead_frames) {
  LATHAM_ASSERT(plan.segment_frames > 0 && plan.frames > 0 && chunk_segments > 0 && plan.fps.num > 0 && plan.time_base.num > 0);
  const std::uint64_t segments = segment_count(plan, plan.frames);
  const auto [shortest, longest] = chunk_range_of(chunk_segments);

  // The last key frame usable for a chunk that starts at `frame`; keys.size() if there is none.
  const auto key_for = [&](std::uint64_t frame) {
    const auto limit = last_pts_of_frame(static_cast<std::int64_t>(frame) - lead_frames, plan.origin_pts, plan.time_base, plan.fps);
    const auto after = std::upper_bound(keys.begin(), keys.end(), limit, [](std::int64_t pts, const key_frame& k) { return pts < k.pts; });
    return after == keys.begin() ? keys.size() : static_cast<std::size_t>(after - keys.begin() - 1);
  };
  const auto wasted_frames = [&](std::uint64_t frame) -> std::uint64_t {
    const auto key = key_for(frame);
    if (key == keys.size()) return frame;
    const auto shown = first_frame_showing(keys[key].pts, plan.origin_pts, plan.time_base, plan.fps);
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(frame) - std::min(shown, static_cast<std::int64_t>(frame)));
  };

  std::vector<chunk_plan> out;
  for (std::uint64_t at = 0; at < segments;) {
    const auto left = segments - at;
    auto take = left;
    if (at == 0 && left > 1) {
      take = 1;
    } else if (left > longest) {
      auto least = std::numeric_limits<std::uint64_t>::max();
      for (std::uint64_t length = shortest; length <= longest; ++length) {
        // A border that leaves a stump behind costs an encoder start for little work.
        if (left - length < shortest && length != shortest) continue;
        const auto off = length > chunk_segments ? length - chunk_segments : chunk_segments - length;
        // Decoding a frame costs about a twentieth of encoding it; an odd length costs balance.
        const auto cost = 20 * wasted_frames((at + length) * plan.segment_frames) + off * plan.segment_frames;
        if (cost < least) {
          least = cost;
          take = length;
        }
      }
    }
    chunk_plan chunk;
    chunk.index = static_cast<std::uint32_t>(out.size());
    chunk.first_frame = at * plan.segment_frames;
    const auto end = at + take == segments ? plan.frames : (at + take) * plan.segment_frames;
    chunk.frames = static_cast<std::uint32_t>(end - chunk.first_frame);
    if (const auto key = key_for(chunk.first_frame); key != keys.size()) {
      chunk.seek_pts = keys[key].pts;
      chunk.seek_offset = keys[key].offset;
    } else {
      chunk.seek_pts = std::min(plan.origin_pts, keys.empty() ? plan.origin_pts : keys.front().pts);
    }
    out.push_back(chunk);
    at += take;
  }
  return out;
}

}  // namespace latham::media
