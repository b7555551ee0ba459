#include "media/ladder.hpp"

#include "core/assert.hpp"

#include <algorithm>

namespace latham::media {

namespace {

/// a * b / c to the nearest even number, at least 2.
std::uint32_t scaled_to_even(std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  const auto half = (a * b + c) / (2 * c);
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(half, 1) * 2);
}

std::uint32_t even_below(std::uint32_t x) { return std::max<std::uint32_t>(x - x % 2, 2); }

}  // namespace

std::vector<rung> fit_ladder(const std::vector<rung>& boxes, std::uint32_t width, std::uint32_t height) {
  LATHAM_ASSERT(!boxes.empty() && width >= 2 && height >= 2);
  auto sorted = boxes;
  std::stable_sort(sorted.begin(), sorted.end(), [](const rung& a, const rung& b) {
    return std::uint64_t{a.width} * a.height < std::uint64_t{b.width} * b.height;
  });
  const bool portrait = height > width;
  std::vector<rung> out;
  for (auto box : sorted) {
    if (portrait != (box.height > box.width)) std::swap(box.width, box.height);
    rung fitted{box.width, box.height, box.maxrate_kbit};
    if (std::uint64_t{width} * box.height >= std::uint64_t{height} * box.width)
      fitted.height = scaled_to_even(box.width, height, width);
    else
      fitted.width = scaled_to_even(box.height, width, height);
    // Rounding to even may ask for one pixel more than an odd source has; the source's own even size is meant then.
    if (fitted.width > width + 1 || fitted.height > height + 1) continue;
    fitted.width = std::min(fitted.width, even_below(width));
    fitted.height = std::min(fitted.height, even_below(height));
    // Boxes of several shapes may come out alike, or in another order than their areas.
    if (!out.empty() && (fitted.width < out.back().width || fitted.height < out.back().height ||
                         (fitted.width == out.back().width && fitted.height == out.back().height)))
      continue;
    out.push_back(fitted);
  }
  if (out.empty()) out.push_back({even_below(width), even_below(height), sorted.front().maxrate_kbit});
  return out;
}

}  // namespace latham::media
