// Is this machine fit to run codecs? Asked once, when a node starts, so that a machine that cannot contain them is found
// by the person who starts it and not by the first upload.
#pragma once

#include "core/expected.hpp"
#include "core/ports/process.hpp"
#include "media/child_protocol.hpp"
#include "media/engine_client.hpp"

namespace latham::media {

/// Starts a child as `options` say, waits for its hello and ends it: what contains it. Blocks for the 50 ms that a child
/// takes to start, ten seconds at most; not on the spawner's thread. Fails with the spawner's error, errc::crashed when the
/// child ended or said something else first, or errc::timeout.
[[nodiscard]] expected<containment> probe_child(ports::child_spawner& spawner, const engine_id& id, const child_engine_options& options);

}  // namespace latham::media
