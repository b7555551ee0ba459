#include "core/findings.hpp"

#include <algorithm>
#include <limits>

namespace latham {

namespace {

// Longer than any output, so that no product below overflows.
constexpr std::uint64_t samples_max = duration_s_max * 2 * 48'000;

void add(findings& to, const findings& more) {
  if (more.lost > 0) to.first_lost = to.lost > 0 ? std::min(to.first_lost, more.first_lost) : more.first_lost;
  to.lost += more.lost;
  to.reshaped = to.reshaped || more.reshaped;
}

std::string two_digits(std::uint64_t n) { return (n < 10 ? "0" : "") + std::to_string(n); }

/// "0:12", "1:00:03".
std::string place_text(std::uint64_t s) {
  const auto tail = two_digits(s % 60);
  if (s < 3600) return std::to_string(s / 60) + ":" + tail;
  return std::to_string(s / 3600) + ":" + two_digits(s / 60 % 60) + ":" + tail;
}

}  // namespace

bool is_possible(const findings& found, std::uint64_t begin, std::uint64_t end) noexcept {
  if (found.lost == 0) return found.first_lost == 0;
  return found.first_lost >= begin && found.first_lost < end && found.lost <= end - found.first_lost;
}

bool is_possible_of_chunk(const findings& found, const chunk_plan& chunk) noexcept {
  return is_possible(found, chunk.first_frame, chunk.first_frame + chunk.frames);
}

bool is_possible_of_sound(const findings& found, const source_plan& plan, std::uint32_t rate_hz) noexcept {
  if (found.reshaped || plan.fps.num <= 0 || plan.fps.den <= 0) return false;
  // One more for rounding; media/audio_segments.hpp has the exact number, which is not wanted here.
  const auto samples = static_cast<double>(plan.frames) / plan.fps.to_double() * rate_hz + 1;
  return is_possible(found, 0, static_cast<std::uint64_t>(std::min(samples, static_cast<double>(samples_max))));
}

void findings_sum::add_chunk(const findings& found) { add(pictures_, found); }

void findings_sum::add_sound(std::uint32_t stream, const findings& found) {
  auto& one = sounds_[stream];
  // Of two that lost as much the one that lost it first, whichever was heard first.
  if (found.lost > one.lost || (found.lost == one.lost && found.first_lost < one.first_lost)) one = found;
}

std::vector<std::string> findings_sum::notes(const source_plan& plan, const recipe& how) const {
  auto out = plan.notes;
  if (pictures_.reshaped && std::find(out.begin(), out.end(), note_resized) == out.end()) out.emplace_back(note_reshaped);
  findings sound;
  for (const auto& [stream, found] : sounds_) add(sound, found);
  if (pictures_.lost == 0 && sound.lost == 0) return out;

  std::uint64_t first_s = std::numeric_limits<std::uint64_t>::max();
  std::string what;
  if (pictures_.lost > 0) {
    what = std::to_string(pictures_.lost) + (pictures_.lost == 1 ? " picture" : " pictures");
    first_s = static_cast<std::uint64_t>(static_cast<double>(pictures_.first_lost) / plan.fps.to_double());
  }
  if (sound.lost > 0) {
    const auto tenths = (sound.lost * 10 + how.audio_rate_hz - 1) / how.audio_rate_hz;  // up: lost is never 0.0 s
    what += (what.empty() ? "" : " and ") + std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s of sound";
    first_s = std::min(first_s, sound.first_lost / how.audio_rate_hz);
  }
  const bool one = sound.lost == 0 ? pictures_.lost == 1 : pictures_.lost == 0;
  out.push_back(what + " could not be decoded and " + (one ? "was" : "were") + " replaced (" +
                (pictures_.lost == 1 && sound.lost == 0 ? "at " : "first at ") + place_text(first_s) + ").");
  return out;
}

}  // namespace latham
