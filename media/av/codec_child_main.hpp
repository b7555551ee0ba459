// The codec child: what `latham codec-child` runs. One thread, one byte stream, one task at a time.
#pragma once

#include "core/expected.hpp"
#include "core/ports/media_engine.hpp"
#include "media/av/task_host.hpp"
#include "media/av/task_runner.hpp"
#include "media/child_protocol.hpp"

namespace latham::media {

/// What does a task's work: run_task, or a test's stand-in for a decoder that a file has taken over.
using task_work = expected<void> (*)(const ports::engine_task& task, task_host& host);

/// Speaks media/child_protocol.hpp over `fd` (a connected stream socket, blocking; not closed here) until the parent closes
/// it, and tells it that `in_force` contains this process. Returns the process's exit code: 0 when the parent closed the
/// stream between two tasks, 1 when it did so within one or broke the protocol. Changes process-wide settings that suit a
/// child of its own: FFmpeg's log is silenced and SIGPIPE ignored.
[[nodiscard]] int run_codec_child(int fd, containment in_force, task_work work = run_task);

/// The same for a process of its own: loads what the work needs, enters the sandbox for good, and then serves.
[[nodiscard]] int run_contained_codec_child(int fd, task_work work = run_task);

}  // namespace latham::media
