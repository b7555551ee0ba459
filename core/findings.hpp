// The notes of a video: what the planner saw, and what its tasks found when they decoded it (findings of core/model.hpp), in at
// most one sentence for all damage and one for a change of shape. Pure: the same findings in any order make the same notes, so
// it does not matter who worked on what, or how often.
#pragma once

#include "core/model.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace latham {

/// Of the planner, where headers of packets tell.
inline constexpr std::string_view note_resized = "The picture's size changes on the way: it is fitted into its first shape.";
/// Of the tasks, where it takes decoding. Not said beside the other.
inline constexpr std::string_view note_reshaped = "The picture's shape changes on the way: it is fitted into its first shape.";

/// A task may find this in what lies from `begin` up to `end`; frames of the output grid, or samples.
[[nodiscard]] bool is_possible(const findings& found, std::uint64_t begin, std::uint64_t end) noexcept;
/// The same of the task of a chunk, of a track of sound, and of text, which finds nothing.
[[nodiscard]] bool is_possible_of_chunk(const findings& found, const chunk_plan& chunk) noexcept;
[[nodiscard]] bool is_possible_of_sound(const findings& found, const source_plan& plan, std::uint32_t rate_hz) noexcept;

/// The findings of all tasks of one video so far; each task once.
class findings_sum {
public:
  void add_chunk(const findings& found);
  /// `stream` of the source: that its sound is encoded at several rates makes no more of it lost.
  void add_sound(std::uint32_t stream, const findings& found);

  /// plan.notes and what was found.
  [[nodiscard]] std::vector<std::string> notes(const source_plan& plan, const recipe& how) const;

private:
  findings pictures_;
  std::map<std::uint32_t, findings> sounds_;
};

}  // namespace latham
