// The notes of a video do not depend on who committed what first, and no frame is counted twice or left out, however the
// video is dealt out to chunks.
#include "core/findings.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <random>

namespace latham {

RC_GTEST_PROP(FindingsProperty, NotesDoNotDependOnOrderOrOnChunks, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  source_plan plan;
  plan.fps = {25, 1};
  plan.frames = 200;
  plan.rungs = {{640, 360, 800}};
  std::vector<bool> lost(plan.frames);
  for (std::size_t n = 0; n < lost.size(); ++n) lost[n] = random() % 8 == 0;
  const auto dealt = [&](std::uint64_t chunk_frames) {
    std::vector<findings> out;
    for (std::uint64_t first = 0; first < plan.frames; first += chunk_frames) {
      findings found;
      const auto frames = std::min(chunk_frames, plan.frames - first);
      for (auto n = first; n < first + frames; ++n)
        if (lost[n] && found.lost++ == 0) found.first_lost = n;
      RC_ASSERT(is_possible(found, first, first + frames));
      out.push_back(found);
    }
    std::shuffle(out.begin(), out.end(), random);
    findings_sum sum;
    for (const auto& found : out) sum.add_chunk(found);
    return sum.notes(plan, recipe{});
  };
  const auto whole = dealt(plan.frames);
  RC_ASSERT(whole.empty() == (std::count(lost.begin(), lost.end(), true) == 0));
  for (const std::uint64_t frames : {7u, 50u, 51u}) RC_ASSERT(dealt(frames) == whole);
}

RC_GTEST_PROP(FindingsProperty, NotesOfSoundDoNotDependOnOrder, (std::uint64_t seed)) {
  std::mt19937_64 random{seed};
  source_plan plan;
  plan.fps = {25, 1};
  plan.frames = 25 * 60;
  std::vector<std::pair<std::uint32_t, findings>> rates;
  for (int i = 0; i < 6; ++i) {
    const auto lost = random() % 3 * 48'000;
    rates.emplace_back(random() % 3, findings{lost, lost == 0 ? 0 : random() % 4 * 48'000, false});
  }
  const auto notes = [&] {
    findings_sum sum;
    for (const auto& [stream, found] : rates) sum.add_sound(stream, found);
    return sum.notes(plan, recipe{});
  };
  const auto before = notes();
  std::shuffle(rates.begin(), rates.end(), random);
  RC_ASSERT(notes() == before);
}

}  // namespace latham
