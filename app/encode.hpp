// `latham encode`: the engine on this machine, without a server. The same plan, chunks and bytes as a cluster makes, as
// files below a directory that any web server can hand out.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace latham::app {

struct encode_options {
  std::string file;
  std::string directory;            // made by this; must not exist or be empty
  std::string start;  // seconds into the file; empty: from its beginning
  std::string end;    // empty: to its end
  std::vector<std::string> ladder;  // "640x360"; empty: all that the source is large enough for
  std::uint32_t slots = 0;          // chunks at once; 0: one per processor
  bool json = false;
  bool unsafe_codecs = false;       // also where codec processes cannot be contained
};

/// Blocks until the ladder is complete. Progress on standard error when it is a terminal. Exit codes: 0 done, 1 it could
/// not be done here (disk, arguments), 3 the video is at fault, 130
/// interrupted (SIGINT, SIGTERM). On failure nothing is left below `directory`.
[[nodiscard]] int encode(const encode_options& options);

}  // namespace latham::app
