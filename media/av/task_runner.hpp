// Runs one engine task against a host. The only entry to media/av besides the child's main loop.
#pragma once

#include "core/expected.hpp"
#include "core/ports/media_engine.hpp"
#include "media/av/task_host.hpp"

namespace latham::media {

/// Blocks until the task is done. Errors: unsupported, unprocessable, too_large: the input's fault; what the host answered;
/// invalid_argument for a task that fails validate(); internal for what should not happen. Throws nothing.
[[nodiscard]] expected<void> run_task(const ports::engine_task& task, task_host& host);

}  // namespace latham::media
