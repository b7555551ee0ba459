// The text task: all text subtitles of a source, in one pass over it, each as one WebVTT file.
//
// One task and not one for each track, because a container's subtitles lie scattered over all of it: the pass is what costs.
// libavcodec's decoders make ASS events of every format, media/text_cues makes WebVTT of those. Times are those of the
// packets, put on the output's clock, and cut to its length. A packet that cannot be decoded is left out; a track in which
// nothing is said gives no piece.
#pragma once

#include "core/expected.hpp"
#include "core/ports/media_engine.hpp"
#include "media/av/task_host.hpp"

namespace latham::media {

/// `task` is valid and of kind text. Errors: see run_task.
[[nodiscard]] expected<void> run_text_task(const ports::engine_task& task, task_host& host);

}  // namespace latham::media
