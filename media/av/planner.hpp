// The plan task: one look at a source's index, or one pass over its packets without decoding any, that finds everything the
// other tasks need (media/av/packet_survey.hpp).
//
// What comes out is a function of the source's bytes and the recipe. Claims of the container are checked against what is
// there: the number of frames against the number of packets (a file of two packets that claims years must not make years of
// frames), the index against the length of the file (a cut-off file is planned as far as it goes, and says so).
//
// What only decoding shows is not in the plan's notes: the tasks that decode find it (core/findings.hpp).
#pragma once

#include "core/expected.hpp"
#include "core/model.hpp"
#include "media/av/packet_survey.hpp"
#include "media/av/task_host.hpp"

#include <cstdint>
#include <vector>

namespace latham::media {

struct planned_source {
  source_plan plan;
  std::vector<chunk_plan> chunks;
};

/// What a test may want otherwise.
struct plan_limits {
  bool from_index = true;
  std::uint64_t matroska_pass_bytes_max = index_only_above;
};

/// `how` must be valid. Errors: unsupported, unprocessable, too_large, each with a sentence for the uploader; or the host's.
[[nodiscard]] expected<planned_source> plan_source(task_host& host, std::uint64_t source_bytes, const recipe& how,
                                                   const plan_limits& limits = {});

}  // namespace latham::media
