// The codec child: what `latham codec-child` runs. One thread, one byte stream, one task at a time.
#pragma once

namespace latham::media {

/// Speaks media/child_protocol.hpp over `fd` (a connected stream socket, blocking; not closed here) until the parent closes
/// it. Returns the process's exit code: 0 when the parent closed the stream between two tasks, 1 when it did so within one or
/// broke the protocol. Changes process-wide settings that suit a child of its own: FFmpeg's log is silenced and SIGPIPE ignored.
[[nodiscard]] int run_codec_child(int fd);

}  // namespace latham::media
