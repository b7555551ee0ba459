#include "media/tone_curves.hpp"

#include <algorithm>
#include <cmath>

namespace latham::media {

namespace {

constexpr int chords = 6144;
// The most that goes into each curve. R'G'B' beyond 1 is no light that there is, but Y'CbCr can say it, and scalers do at edges.
constexpr double light_end = 1.5;
constexpr double system_end = 2;
constexpr double gamma_end = 1.5;  // square root of the most light after the curve: 2.25 times white is white all the same
constexpr float light_max = static_cast<float>(gamma_end * gamma_end);
constexpr float luminance_max = static_cast<float>(system_end * system_end * system_end * system_end);
constexpr std::size_t block = 256;      // samples at once: all of their steps fit into the first cache

// ---- Powers that are the same everywhere ------------------------------------------------------------------------------
// The C library's are chosen by processor and differ in the last bit. These are exact to about 1e-15, and in steps that
// IEEE 754 defines.

constexpr double ln2 = 0.69314718055994530942;

double logarithm(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752440) {
    m *= 2;
    --exponent;
  }
  const double s = (m - 1) / (m + 1);
  const double square = s * s;
  double sum = 0, term = s;
  for (int k = 1; k < 41; k += 2) {
    sum += term / k;
    term *= square;
  }
  return exponent * ln2 + 2 * sum;
}

double exponential(double x) {
  const double turns = std::floor(x / ln2 + 0.5);
  const double r = x - turns * ln2;
  double sum = 1, term = 1;
  for (int k = 1; k < 24; ++k) {
    term *= r / k;
    sum += term;
  }
  return std::ldexp(sum, static_cast<int>(turns));
}

double power(double x, double y) { return x <= 0 ? 0 : exponential(y * logarithm(x)); }

// ---- Curves -----------------------------------------------------------------------------------------------------------

/// BT.2100 table 4, the EOTF; in units of 100 cd/m2.
double pq_light(double v) {
  constexpr double m1 = 2610.0 / 16384, m2 = 2523.0 / 4096 * 128, c1 = 3424.0 / 4096, c2 = 2413.0 / 4096 * 32, c3 = 2392.0 / 4096 * 32;
  const double root = power(v, 1 / m2);
  return 100 * power(std::max(root - c1, 0.0) / (c2 - c3 * root), 1 / m1);
}

/// BT.2100 table 5, the inverse of the OETF: light of the scene, 0 to 1.
double hlg_light(double v) {
  constexpr double a = 0.17883277, b = 1 - 4 * a;
  static const double c = 0.5 - a * logarithm(4 * a);
  return v <= 0.5 ? v * v / 3 : (exponential((v - c) / a) + b) / 12;
}

float hable(float x) { return (x * (x * 0.15F + 0.05F) + 0.004F) / (x * (x * 0.15F + 0.5F) + 0.06F) - 0.02F / 0.3F; }

// ---- Matrices ---------------------------------------------------------------------------------------------------------

using matrix = std::array<double, 9>;

matrix inverse(const matrix& m) {
  const auto minor = [&](int a, int b, int c, int d) { return m[static_cast<std::size_t>(a)] * m[static_cast<std::size_t>(b)] - m[static_cast<std::size_t>(c)] * m[static_cast<std::size_t>(d)]; };
  const matrix adjoint{minor(4, 8, 5, 7), minor(2, 7, 1, 8), minor(1, 5, 2, 4), minor(5, 6, 3, 8), minor(0, 8, 2, 6), minor(2, 3, 0, 5), minor(3, 7, 4, 6), minor(1, 6, 0, 7), minor(0, 4, 1, 3)};
  const double determinant = m[0] * adjoint[0] + m[1] * adjoint[3] + m[2] * adjoint[6];
  matrix out{};
  for (std::size_t i = 0; i < 9; ++i) out[i] = adjoint[i] / determinant;
  return out;
}

matrix product(const matrix& a, const matrix& b) {
  matrix out{};
  for (std::size_t row = 0; row < 3; ++row)
    for (std::size_t column = 0; column < 3; ++column)
      for (std::size_t k = 0; k < 3; ++k) out[3 * row + column] += a[3 * row + k] * b[3 * k + column];
  return out;
}

struct chromaticities {
  double red_x, red_y, green_x, green_y, blue_x, blue_y, white_x, white_y;
};

chromaticities of(hdr_primaries p) {
  switch (p) {
    case hdr_primaries::bt2020: return {0.708, 0.292, 0.170, 0.797, 0.131, 0.046, 0.3127, 0.3290};
    case hdr_primaries::display_p3: return {0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290};
    case hdr_primaries::dci_p3: return {0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351};
    case hdr_primaries::bt709: break;
  }
  return {0.640, 0.330, 0.300, 0.600, 0.150, 0.060, 0.3127, 0.3290};
}

matrix to_xyz(const chromaticities& c) {
  const matrix corners{c.red_x / c.red_y, c.green_x / c.green_y, c.blue_x / c.blue_y, 1, 1, 1, (1 - c.red_x - c.red_y) / c.red_y, (1 - c.green_x - c.green_y) / c.green_y,
                       (1 - c.blue_x - c.blue_y) / c.blue_y};
  const std::array<double, 3> white{c.white_x / c.white_y, 1, (1 - c.white_x - c.white_y) / c.white_y};
  const auto back = inverse(corners);
  matrix out = corners;
  for (std::size_t column = 0; column < 3; ++column) {
    const double scale = back[3 * column] * white[0] + back[3 * column + 1] * white[1] + back[3 * column + 2] * white[2];
    for (std::size_t row = 0; row < 3; ++row) out[3 * row + column] *= scale;
  }
  return out;
}

/// Bradford's: what is white stays white.
matrix adaptation(const chromaticities& from, const chromaticities& to) {
  if (from.white_x == to.white_x && from.white_y == to.white_y) return {1, 0, 0, 0, 1, 0, 0, 0, 1};
  const matrix cone{0.8951, 0.2664, -0.1614, -0.7502, 1.7135, 0.0367, 0.0389, -0.0685, 1.0296};
  const auto seen = [&](const chromaticities& c) {
    const double x = c.white_x / c.white_y, z = (1 - c.white_x - c.white_y) / c.white_y;
    return std::array<double, 3>{cone[0] * x + cone[1] + cone[2] * z, cone[3] * x + cone[4] + cone[5] * z, cone[6] * x + cone[7] + cone[8] * z};
  };
  const auto a = seen(from), b = seen(to);
  return product(inverse(cone), product({b[0] / a[0], 0, 0, 0, b[1] / a[1], 0, 0, 0, b[2] / a[2]}, cone));
}

struct weights {
  double red, blue;
};

weights of(hdr_matrix m) {
  switch (m) {
    case hdr_matrix::bt2020: return {0.2627, 0.0593};
    case hdr_matrix::bt601: return {0.299, 0.114};
    case hdr_matrix::bt709: break;
  }
  return {0.2126, 0.0722};
}

std::array<float, 9> narrowed(const matrix& m) {
  std::array<float, 9> out{};
  std::transform(m.begin(), m.end(), out.begin(), [](double x) { return static_cast<float>(x); });
  return out;
}

std::uint8_t byte_of(float x) { return static_cast<std::uint8_t>(std::min(std::max(x + 0.5F, 0.0F), 255.0F)); }

}  // namespace

template <class F>
tone_curves::curve tone_curves::curve_of(F f, double end) {
  curve out(chords + 1);
  std::vector<float> values;
  for (int i = 0; i <= chords; ++i) values.push_back(static_cast<float>(f(end * i / chords)));
  for (std::size_t i = 0; i < chords; ++i) out[i] = {values[i], values[i + 1] - values[i]};
  out[chords] = {values[chords], 0};
  return out;
}

tone_curves::tone_curves(const hdr_colour& source) : source_{source} {
  const double levels = 1 << (source_bits - 8);
  const double y_range = 219 * levels;
  const double c_range = 224 * levels;
  y_zero_ = static_cast<float>(16 * levels);
  const auto w = of(source.matrix);
  const double green = 1 - w.red - w.blue;
  const double cr = 2 * (1 - w.red) / c_range, cb = 2 * (1 - w.blue) / c_range, y = 1 / y_range;
  to_rgb_ = narrowed({y, 0, cr, y, -cb * w.blue / green, -cr * w.red / green, y, cb, 0});

  const auto from = of(source.primaries);
  const auto to = of(hdr_primaries::bt709);
  const auto xyz = to_xyz(from);
  to_709_ = narrowed(product(inverse(to_xyz(to)), product(adaptation(from, to), xyz)));
  luminance_ = {static_cast<float>(xyz[3]), static_cast<float>(xyz[4]), static_cast<float>(xyz[5])};

  light_ = source.transfer == hdr_transfer::pq ? curve_of(pq_light, light_end) : curve_of(hlg_light, light_end);
  // A display of 1000 cd/m2: system gamma 1.2, of which the light of each component has 1 already.
  if (source.transfer == hdr_transfer::hlg) system_ = curve_of([](double root) { return 10 * power(root, 4 * 0.2); }, system_end);
  gamma_ = curve_of([](double root) { return power(root, 2 / 2.4); }, gamma_end);
}

void tone_curves::map(const std::uint16_t* y, const std::uint16_t* cb, const std::uint16_t* cr, std::size_t count, double peak, std::uint8_t* to_y, std::uint8_t* to_cb,
                      std::uint8_t* to_cr) const {
  constexpr float chroma_zero = 1 << (source_bits - 1);
  constexpr auto light_scale = static_cast<float>(chords / light_end);
  constexpr auto system_scale = static_cast<float>(chords / system_end);
  constexpr auto gamma_scale = static_cast<float>(chords / gamma_end);
  const float per_peak = 1 / hable(static_cast<float>(peak));
  // Local copies: what is written through pointers to bytes could be these, as far as a compiler knows.
  const auto rgb = to_rgb_;
  const auto primaries = to_709_;
  const float zero = y_zero_;
  std::array<float, block> r{}, g{}, b{};

  for (std::size_t from = 0; from < count; from += block) {
    const auto n = std::min(block, count - from);
    for (std::size_t i = 0; i < n; ++i) {
      const float luma = static_cast<float>(y[from + i]) - zero;
      const float blue = static_cast<float>(cb[from + i]) - chroma_zero;
      const float red = static_cast<float>(cr[from + i]) - chroma_zero;
      const float base = luma * rgb[0];
      r[i] = std::min(std::max(base + red * rgb[2], 0.0F), static_cast<float>(light_end)) * light_scale;
      g[i] = std::min(std::max(base + blue * rgb[4] + red * rgb[5], 0.0F), static_cast<float>(light_end)) * light_scale;
      b[i] = std::min(std::max(base + blue * rgb[7], 0.0F), static_cast<float>(light_end)) * light_scale;
    }
    for (std::size_t i = 0; i < n; ++i) {
      r[i] = at(light_, r[i]);
      g[i] = at(light_, g[i]);
      b[i] = at(light_, b[i]);
    }
    if (source_.transfer == hdr_transfer::hlg)
      for (std::size_t i = 0; i < n; ++i) {
        const float luminance = std::min(luminance_[0] * r[i] + luminance_[1] * g[i] + luminance_[2] * b[i], luminance_max);
        const float gain = at(system_, std::sqrt(std::sqrt(luminance)) * system_scale);
        r[i] *= gain;
        g[i] *= gain;
        b[i] *= gain;
      }
    for (std::size_t i = 0; i < n; ++i) {
      const float red = primaries[0] * r[i] + primaries[1] * g[i] + primaries[2] * b[i];
      const float green = primaries[3] * r[i] + primaries[4] * g[i] + primaries[5] * b[i];
      const float blue = primaries[6] * r[i] + primaries[7] * g[i] + primaries[8] * b[i];
      const float brightest = std::max(std::max(red, green), std::max(blue, 1e-6F));
      const float gain = hable(brightest) * per_peak / brightest;
      r[i] = std::sqrt(std::min(std::max(red * gain, 0.0F), light_max)) * gamma_scale;
      g[i] = std::sqrt(std::min(std::max(green * gain, 0.0F), light_max)) * gamma_scale;
      b[i] = std::sqrt(std::min(std::max(blue * gain, 0.0F), light_max)) * gamma_scale;
    }
    for (std::size_t i = 0; i < n; ++i) {
      r[i] = at(gamma_, r[i]);
      g[i] = at(gamma_, g[i]);
      b[i] = at(gamma_, b[i]);
    }
    for (std::size_t i = 0; i < n; ++i) {
      const float luma = 0.2126F * r[i] + 0.7152F * g[i] + 0.0722F * b[i];
      to_y[from + i] = byte_of(16 + 219 * luma);
      to_cb[from + i] = byte_of(128 + (b[i] - luma) * static_cast<float>(224 / 1.8556));
      to_cr[from + i] = byte_of(128 + (r[i] - luma) * static_cast<float>(224 / 1.5748));
    }
  }
}

}  // namespace latham::media
