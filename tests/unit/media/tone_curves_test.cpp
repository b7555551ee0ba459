#include "media/tone_curves.hpp"

#include "core/digest.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace latham::media {

namespace {

struct samples {
  std::vector<std::uint16_t> y, cb, cr;

  void add(int luma, int blue = 2048, int red = 2048) {
    y.push_back(static_cast<std::uint16_t>(luma));
    cb.push_back(static_cast<std::uint16_t>(blue));
    cr.push_back(static_cast<std::uint16_t>(red));
  }
};

struct mapped {
  std::vector<std::uint8_t> y, cb, cr;
};

mapped map(const hdr_colour& colour, const samples& s, double peak = tone_curves::peak_unknown) {
  mapped out{std::vector<std::uint8_t>(s.y.size()), std::vector<std::uint8_t>(s.y.size()), std::vector<std::uint8_t>(s.y.size())};
  tone_curves{colour}.map(s.y.data(), s.cb.data(), s.cr.data(), s.y.size(), peak, out.y.data(), out.cb.data(), out.cr.data());
  return out;
}

/// All greys of limited range.
samples greys() {
  samples out;
  for (int luma = 256; luma <= 3760; ++luma) out.add(luma);
  return out;
}

}  // namespace

TEST(ToneCurves, GreysStayGreyAndInTheirOrder) {
  for (const auto transfer : {hdr_transfer::pq, hdr_transfer::hlg})
    for (const auto primaries : {hdr_primaries::bt2020, hdr_primaries::display_p3, hdr_primaries::dci_p3, hdr_primaries::bt709})
      for (const auto matrix : {hdr_matrix::bt2020, hdr_matrix::bt709, hdr_matrix::bt601}) {
        const auto out = map({transfer, primaries, matrix}, greys());
        EXPECT_EQ(out.y.front(), 16);
        for (std::size_t i = 0; i < out.y.size(); ++i) {
          ASSERT_EQ(out.cb[i], 128) << i;
          ASSERT_EQ(out.cr[i], 128) << i;
          ASSERT_GE(out.y[i], out.y[i == 0 ? 0 : i - 1]) << i;
        }
      }
}

/// A peak at which the curve ends becomes white, by definition.
TEST(ToneCurves, ThePeakBecomesWhite) {
  samples s;
  s.add(3760);  // 10 000 cd/m2 in PQ
  EXPECT_EQ(map({}, s, 100).y[0], 235);
  EXPECT_EQ(map({hdr_transfer::hlg, hdr_primaries::bt2020, hdr_matrix::bt2020}, s, 10).y[0], 235);  // 1000 cd/m2
}

/// 100 cd/m2 is 50.8 % of PQ's signal (BT.2100). Hable's curve for a peak of 1000 cd/m2 takes 1 to 0.2207 / 0.7062 of white,
/// which is 0.616 in gamma 2.4.
TEST(ToneCurves, OrdinaryWhiteLandsWhereTheCurveSays) {
  samples s;
  s.add(256 + static_cast<int>(0.508 * 3504));
  EXPECT_NEAR(map({}, s).y[0], 16 + 0.616 * 219, 1);
}

/// Whatever twelve bits can say, also what no camera says: sizes that are no multiple of anything, nothing beyond the ends.
TEST(ToneCurves, TakeEverySampleThereIs) {
  std::mt19937 random{7};
  for (const std::size_t count : {0, 1, 255, 256, 257, 5000}) {
    samples s;
    for (std::size_t i = 0; i < count; ++i) s.add(static_cast<int>(random() % 4096), static_cast<int>(random() % 4096), static_cast<int>(random() % 4096));
    for (const double peak : {1.0, 100.0})
      for (const auto transfer : {hdr_transfer::pq, hdr_transfer::hlg}) EXPECT_EQ(map({transfer, hdr_primaries::dci_p3, hdr_matrix::bt601}, s, peak).y.size(), count);
  }
}

/// The samples are part of what an engine makes: another digest here is another engine_revision. The same on every processor.
TEST(ToneCurves, SamplesAreWhatTheyWere) {
  std::mt19937 random{1};
  samples s;
  for (int i = 0; i < 100'000; ++i) s.add(static_cast<int>(random() % 4096), static_cast<int>(random() % 4096), static_cast<int>(random() % 4096));
  const auto digest = [&](hdr_transfer transfer) {
    const auto out = map({transfer, hdr_primaries::bt2020, hdr_matrix::bt2020}, s);
    std::string all{out.y.begin(), out.y.end()};
    all.append(out.cb.begin(), out.cb.end());
    all.append(out.cr.begin(), out.cr.end());
    return to_string(sha256::of(all));
  };
  EXPECT_EQ(digest(hdr_transfer::pq), "25f9f199c1dfa457b1da0176ad3c05de947e30c23a130c3c8fd39af42e53f8f6");
  EXPECT_EQ(digest(hdr_transfer::hlg), "a5de914b8ff012a77e5f7b595b41e6e7aff67e7b0dd439a2488caa2500ec3171");
}

}  // namespace latham::media
