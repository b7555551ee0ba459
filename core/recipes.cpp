#include "core/recipes.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace latham {

const std::vector<rung>& default_ladder() {
  static const std::vector<rung> ladder = {{256, 144, 200},   {426, 240, 400},   {640, 360, 800},   {854, 480, 1400},
                                           {1280, 720, 2800}, {1920, 1080, 5000}, {2560, 1440, 9000}, {3840, 2160, 18000}};
  return ladder;
}

namespace {

std::uint64_t pixels(const rung& r) { return std::uint64_t{r.width} * r.height; }

std::uint32_t maxrate_for(const rung& asked) {
  const auto& ladder = default_ladder();
  const auto& nearest = *std::min_element(ladder.begin(), ladder.end(), [&](const rung& a, const rung& b) {
    const auto distance = [&](const rung& r) { return std::abs(std::log(static_cast<double>(pixels(r)) / static_cast<double>(pixels(asked)))); };
    return distance(a) < distance(b);
  });
  const auto scaled = nearest.maxrate_kbit * std::pow(static_cast<double>(pixels(asked)) / static_cast<double>(pixels(nearest)), 0.75);
  return pixels(asked) == pixels(nearest) ? nearest.maxrate_kbit : static_cast<std::uint32_t>(std::max(50.0, std::round(scaled / 10) * 10));
}

}  // namespace

expected<recipe> make_recipe(const std::vector<rung>& requested, const trim& part) {
  recipe out;
  constexpr auto longest_ms = duration_s_max * 1000;
  if (part.start_ms > longest_ms || part.end_ms > longest_ms) return {errc::invalid_argument, "a video lasts at most 24 hours; start and end lie within"};
  if (part.end_ms != 0 && part.end_ms <= part.start_ms) return {errc::invalid_argument, "the end has to come after the start"};
  out.part = part;
  if (requested.empty()) {
    out.rungs = default_ladder();
    return out;
  }
  if (requested.size() > rungs_max) return {errc::invalid_argument, "a ladder has at most 16 rungs; leave some out"};
  for (auto asked : requested) {
    if (asked.width < 16 || asked.height < 16 || asked.width > 3840 || asked.height > 3840)
      return {errc::invalid_argument, "rung " + to_string(asked) + " is out of range: each side is 16 to 3840 pixels"};
    if (asked.width % 2 != 0 || asked.height % 2 != 0)
      return {errc::invalid_argument, "rung " + to_string(asked) + " has an odd side; H.264 4:2:0 needs even ones"};
    asked.maxrate_kbit = maxrate_for(asked);
    out.rungs.push_back(asked);
  }
  std::sort(out.rungs.begin(), out.rungs.end(), [](const rung& a, const rung& b) { return std::pair{pixels(a), a.width} < std::pair{pixels(b), b.width}; });
  for (std::size_t i = 1; i < out.rungs.size(); ++i)
    if (out.rungs[i] == out.rungs[i - 1]) return {errc::invalid_argument, "rung " + to_string(out.rungs[i]) + " is listed twice"};
  return out;
}

std::uint32_t crf_tenths_of(const recipe& how, const rung& size) noexcept {
  const auto lines = std::min(size.width, size.height);
  const std::uint32_t better = lines <= 160 ? 10 : lines <= 270 || lines > 720 ? 5 : 0;
  // Never below what a recipe may ask for: budgets are made for that.
  return std::max(how.crf_tenths, better + crf_tenths_min) - better;
}

expected<rung> parse_rung(std::string_view text) {
  const auto bad = error{errc::invalid_argument, "a rung is WIDTHxHEIGHT in pixels, for example 640x360"};
  rung out;
  auto at = std::from_chars(text.data(), text.data() + text.size(), out.width);
  if (at.ec != std::errc{} || at.ptr == text.data() + text.size() || (*at.ptr != 'x' && *at.ptr != 'X')) return bad;
  at = std::from_chars(at.ptr + 1, text.data() + text.size(), out.height);
  if (at.ec != std::errc{} || at.ptr != text.data() + text.size()) return bad;
  return out;
}

expected<std::uint64_t> parse_seconds_ms(std::string_view text) {
  const error bad{errc::invalid_argument, "a place in the video is a number of seconds with up to three decimals, for example 83.5"};
  const auto point = text.find('.');
  const auto whole = text.substr(0, point);
  const auto decimals = point == std::string_view::npos ? std::string_view{} : text.substr(point + 1);
  if (whole.empty() || whole.size() > 9 || decimals.size() > 3 || (point != std::string_view::npos && decimals.empty())) return bad;
  std::uint64_t ms = 0;
  const auto take = [&ms](char digit) {
    if (digit < '0' || digit > '9') return false;
    ms = ms * 10 + static_cast<std::uint64_t>(digit - '0');
    return true;
  };
  if (!std::all_of(whole.begin(), whole.end(), take) || !std::all_of(decimals.begin(), decimals.end(), take)) return bad;
  for (auto missing = decimals.size(); missing < 3; ++missing) ms *= 10;
  return ms;
}

}  // namespace latham
