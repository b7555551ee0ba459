// Whether a file was cut off: what its container promises, against what its bytes hold.
//
// Only promises that are exact count. An index names bytes (MP4, MOV); a RIFF file (AVI, WAV) says how long it is; the length
// of Matroska, FLV and FLAC is that of the stream that ends last. Subtitles are streams, too, and a cue may stand longer than
// anything else lasts: whoever surveys a file has to look at theirs. Other containers promise nothing, or guess.
#pragma once

#include "core/expected.hpp"
#include "media/av/input.hpp"

#include <cstdint>

namespace latham::media {

/// The packets of a subtitle stream have to be looked at, for their ends.
[[nodiscard]] bool counts_in_promise(const input& in, const AVStream& stream);

/// After the survey, which found the last packet of all streams, subtitles included, to end at `end_us` of the container's
/// clock. May read the first bytes of the file. Errors: the host's.
[[nodiscard]] expected<bool> ends_early(const input& in, std::int64_t end_us);

}  // namespace latham::media
