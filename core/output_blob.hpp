// The output blob: one chunk's (or one audio track's) renditions in one file.
//
// Layout: magic "LATHAMO1" | u32 index_bytes | index (list of output_entry, core/codec.hpp) | u32 crc32c of all before |
// pieces back to back in index order. `index_bytes` counts from the first byte up to and including the checksum, so a
// reader that knows it (output_ref) gets the whole index in one read. The layout is canonical: equal pieces give an
// equal blob, whoever made it. Golden bytes: tests/unit/output_blob_test.cpp.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"
#include "core/model.hpp"

#include <string>
#include <vector>

namespace latham {

inline constexpr std::uint32_t output_index_bytes_max = 16 * 1024 * 1024;

struct output_piece {
  track_kind kind = track_kind::video;
  std::uint8_t rendition = 0;
  std::uint32_t segment = output_entry::init_segment;
  std::uint32_t duration = 0;
  buffer bytes;
};

struct built_output {
  std::string bytes;
  std::uint32_t index_bytes = 0;
  sha256_digest digest;  // blob_digest(bytes)
};

/// Sorts the pieces into canonical order (kind, rendition, init first, segment) and lays them out. Pure.
[[nodiscard]] built_output build_output_blob(std::vector<output_piece> pieces);

/// Parses the head of a blob: at least its first `index_bytes` bytes. Fails with errc::corrupt.
[[nodiscard]] expected<std::vector<output_entry>> parse_output_index(std::string_view head);

}  // namespace latham
