// The gate before CAF's parser. BASP, CAF's wire protocol, starts every message with a header of 32 bytes, and CAF 0.17.6
// believes it: a handshake header with an empty payload ends the process with SIGSEGV, a length of 4 GiB is allocated. So
// each header is checked here before CAF sees it complete.
//
//   byte 0: operation, 0 to 6      bytes 4 to 7: payload length, big-endian; 0 for heartbeats (6) and for nothing else
//
// Pure. It does not look into payloads: a length inside a valid one can still lie, which a pod's memory limit must bear.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace latham::net {

inline constexpr std::size_t basp_header_bytes = 32;
inline constexpr std::uint32_t basp_payload_bytes_max = 1024 * 1024;  // control messages are 64 KiB; type lists are longer

class basp_guard {
public:
  explicit basp_guard(std::uint32_t payload_bytes_max = basp_payload_bytes_max) noexcept : payload_max_{payload_bytes_max} {}

  /// Whether the next bytes of the stream may be handed on. False: close the stream, hand on none of them. Bytes that end
  /// inside a header may be handed on, for CAF acts on complete headers only.
  [[nodiscard]] bool accept(std::span<const std::uint8_t> bytes) noexcept;

private:
  std::uint32_t payload_max_;
  std::uint8_t header_[basp_header_bytes]{};
  std::size_t header_have_ = 0;
  std::uint32_t payload_left_ = 0;
};

}  // namespace latham::net
