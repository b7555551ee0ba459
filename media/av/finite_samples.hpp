// Sound that the encoder takes. It refuses a whole task for one sample that is no number, which a damaged file of floating
// point samples has sooner or later, and anything that a decoder made of damage can be absurdly loud.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace latham::media {

/// Far beyond what is audible as sound (full scale is 1), and far below where the encoder's arithmetic ends.
inline constexpr float loudest_sample = 64.0F;

/// What is no number becomes silence; what is louder is cut. Anything else stays what it is, to the bit.
inline void make_finite(float* samples, std::int64_t count) {
  for (auto* end = samples + count; samples != end; ++samples) {
    if (std::isnan(*samples)) *samples = 0;
    *samples = std::clamp(*samples, -loudest_sample, loudest_sample);
  }
}

}  // namespace latham::media
