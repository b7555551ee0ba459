// The video task: a run of chunks, each decoded once, sampled onto the output grid, scaled and encoded to every rung.
#pragma once

#include "core/expected.hpp"
#include "core/ports/media_engine.hpp"
#include "media/av/task_host.hpp"

namespace latham::media {

/// `task` is valid and of kind video. Errors: see run_task.
[[nodiscard]] expected<void> run_video_task(const ports::engine_task& task, task_host& host);

}  // namespace latham::media
