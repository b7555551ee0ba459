// The audio task: one track, whole, decoded, put on the picture's clock, encoded to AAC-LC and cut into CMAF segments.
//
// It is a few per cent of a job's work, and an AAC encoder that starts anew at chunk borders clicks, so it is not chunked.
// The output starts at the plan's origin and is as long as the picture: gaps are filled with silence, overlaps dropped, the
// end padded or cut. The encoder's first packet is its priming; it is dropped, and there is no edit list to tell of it, so
// sample 0 is the first sample in every player. Where there is no picture, the plan's grid stands for it: whole AAC frames.
#pragma once

#include "core/expected.hpp"
#include "core/ports/media_engine.hpp"
#include "media/av/task_host.hpp"

namespace latham::media {

/// `task` is valid and of kind audio. Errors: see run_task.
[[nodiscard]] expected<void> run_audio_task(const ports::engine_task& task, task_host& host);

}  // namespace latham::media
