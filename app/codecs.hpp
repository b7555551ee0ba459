// How this program runs codec children, and whether this machine can contain them: the same for a worker and for
// `latham encode`.
#pragma once

#include "core/expected.hpp"
#include "core/ports/process.hpp"
#include "media/engine_client.hpp"

#include <string>

namespace latham::app {

/// `unsafe`: the owner agreed to children that nothing contains. Under sanitizers limits and filters are off and that is
/// agreed to, because their run-time needs what these take away.
[[nodiscard]] media::child_engine_options codec_options(bool unsafe);

struct codec_containment {
  bool holds = false;
  std::string words;  // a log line: "codecs contained seccomp=yes landlock=yes"
};

/// Runs one child to see. Fails when it cannot be run, or when nothing contains it and nobody agreed to that; the sentence
/// says what to do. Blocks for a child's start; not on the spawner's thread.
[[nodiscard]] expected<codec_containment> check_containment(ports::child_spawner& spawner, const media::child_engine_options& options);

}  // namespace latham::app
