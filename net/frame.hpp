// Frames of the data plane. Pure: bytes in, frames out; no socket.
//
//   u32 length     of the payload
//   u8  type       net/blob_protocol.hpp
//   u64 request    chosen by the client, repeated in the reply
//   u32 crc32c     over the 13 bytes above and the payload
//   payload
//
// Little-endian. A frame with a length beyond the limit, a wrong checksum or anything else that is not ours ends the
// stream: after it nothing that follows can be trusted. Golden bytes are in tests/unit/net/frame_test.cpp.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace latham::net {

inline constexpr std::size_t frame_header_bytes = 17;
/// A reply to the largest read, and some room for fields.
inline constexpr std::uint32_t frame_payload_bytes_max = 4 * 1024 * 1024 + 64 * 1024;

struct frame {
  std::uint8_t type = 0;
  std::uint64_t request = 0;
  buffer payload;
};

/// The header of a frame whose payload is the parts one after the other.
[[nodiscard]] buffer frame_header(std::uint8_t type, std::uint64_t request, std::span<const buffer> payload);

class frame_parser {
public:
  explicit frame_parser(std::uint32_t payload_bytes_max = frame_payload_bytes_max) : payload_max_{payload_bytes_max} {}

  /// Takes the next bytes of the stream and adds the frames that they complete. Fails with errc::corrupt; the stream must
  /// then be closed.
  [[nodiscard]] expected<void> feed(std::span<const std::uint8_t> bytes, std::vector<frame>& out);

  /// True between frames.
  [[nodiscard]] bool at_border() const noexcept { return header_have_ == 0; }

private:
  [[nodiscard]] expected<void> finish(std::vector<frame>& out);

  std::uint32_t payload_max_;
  std::uint8_t header_[frame_header_bytes]{};
  std::size_t header_have_ = 0;
  std::uint32_t length_ = 0;
  std::vector<std::uint8_t> payload_;
};

}  // namespace latham::net
