// From the light of a high dynamic range picture (PQ, HLG) to that of BT.709, sample by sample. Pure.
//
// Each sample goes from Y'CbCr to R'G'B', to light in units of 100 cd/m2 as a display would give it, to the primaries of
// BT.709, under Hable's curve by its brightest component (so that no colour changes), to BT.1886's gamma and to Y'CbCr again:
// what zscale and tonemap of FFmpeg compute one after the other. It is here because they compute by whatever instructions
// the processor has, each of which rounds otherwise. These use only what IEEE 754 defines to the last bit (sums, products,
// quotients, square roots, never fused), so every processor makes the same samples.
//
// Sources: ITU-R BT.2100-2 (PQ, HLG and its OOTF at 1000 cd/m2), BT.1886, BT.2020-2, BT.709-6, SMPTE EG 432-1;
// J. Hable, "Filmic Tonemapping Operators", 2010.
#pragma once

#include "core/expected.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace latham::media {

enum class hdr_transfer : std::uint8_t { pq, hlg };
enum class hdr_primaries : std::uint8_t { bt2020, display_p3, dci_p3, bt709 };
enum class hdr_matrix : std::uint8_t { bt2020, bt709, bt601 };

struct hdr_colour {
  hdr_transfer transfer = hdr_transfer::pq;
  hdr_primaries primaries = hdr_primaries::bt2020;
  hdr_matrix matrix = hdr_matrix::bt2020;

  friend bool operator==(const hdr_colour&, const hdr_colour&) = default;
};

class tone_curves {
public:
  static constexpr int source_bits = 12;      // of each sample that `map` takes
  static constexpr double peak_unknown = 10;  // 1000 cd/m2, where nobody says how bright white may be

  explicit tone_curves(const hdr_colour& source);

  [[nodiscard]] const hdr_colour& source() const noexcept { return source_; }

  /// `count` samples of 4:4:4, limited range, into 8 bits of limited range. `peak`: the brightest white, in units of 100 cd/m2, 1 to 100.
  void map(const std::uint16_t* y, const std::uint16_t* cb, const std::uint16_t* cr, std::size_t count, double peak, std::uint8_t* to_y, std::uint8_t* to_cb,
           std::uint8_t* to_cr) const;

private:
  /// A curve as chords; `step` is the way to the next point.
  struct point {
    float base = 0;
    float step = 0;
  };
  using curve = std::vector<point>;

  struct sample {
    float r, g, b;
  };

  template <class F>
  static curve curve_of(F f, double end);
  static float at(const curve& c, float x) noexcept {
    const auto i = static_cast<std::int32_t>(x);  // the conversion that a processor has
    const auto& p = c[static_cast<std::size_t>(i)];
    return p.base + (x - static_cast<float>(i)) * p.step;
  }

  hdr_colour source_;
  std::array<float, 9> to_rgb_{};      // rows R, G, B over Y, Cb, Cr, which are centred
  float y_zero_ = 0;
  std::array<float, 9> to_709_{};      // of light
  std::array<float, 3> luminance_{};   // of the source's primaries
  curve light_;                        // over R'G'B'
  curve system_;                       // HLG's OOTF over the fourth root of luminance
  curve gamma_;                        // over the square root of light
};

}  // namespace latham::media
