// Recipe 1 and what a request may change of it.
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"

#include <string_view>
#include <vector>

namespace latham {

/// The default ladder, ascending: 144p to 2160p with their VBV caps.
[[nodiscard]] const std::vector<rung>& default_ladder();

/// The recipe for a requested ladder (width and height only; empty: the default). Each size gets the cap of the default
/// rung with the nearest pixel count, scaled by pixels beyond the ends. Fails with invalid_argument and a sentence for
/// odd, zero, too large, repeated or too many sizes.
/// And for a part that is empty or longer than a day.
[[nodiscard]] expected<recipe> make_recipe(const std::vector<rung>& requested, const trim& part = {});

inline constexpr std::uint32_t crf_tenths_min = 10;  // of a recipe, and of its rungs

/// x264's constant rate factor of a rung, in tenths. The recipe's own, less what two ends of the ladder need to look as
/// good at their size as its middle: the smallest rungs are scaled the most and pay most for a fixed grid of key frames, and on
/// the largest three fixed B-frames save bytes at the cost of likeness (docs/performance.md has the measurements).
[[nodiscard]] std::uint32_t crf_tenths_of(const recipe& how, const rung& size) noexcept;

/// "640x360", "640X360" or "640*360"? Only the first two. Fails with invalid_argument.
[[nodiscard]] expected<rung> parse_rung(std::string_view text);

/// A place in a video: seconds, with up to three decimals ("83.5"). Fails with invalid_argument.
[[nodiscard]] expected<std::uint64_t> parse_seconds_ms(std::string_view text);

}  // namespace latham
