// Who this engine is: output bytes are equal only between engines that say the same here. Architecture, versions of every
// library that touches a sample, the revision of x264, and our own revision, which must grow with any change in media/av
// that may change an output byte.
#pragma once

#include "core/model.hpp"

namespace latham::media {

/// Computed at the first call by encoding one grey 64x64 frame of our own, because x264 tells its revision nowhere else.
/// Any thread.
[[nodiscard]] engine_id engine_identity();

}  // namespace latham::media
