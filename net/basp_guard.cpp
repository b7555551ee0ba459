#include "net/basp_guard.hpp"

#include <algorithm>
#include <cstring>

namespace latham::net {

namespace {
constexpr std::uint8_t operation_max = 6;
constexpr std::uint8_t heartbeat = 6;
}  // namespace

bool basp_guard::accept(std::span<const std::uint8_t> bytes) noexcept {
  while (!bytes.empty()) {
    if (payload_left_ > 0) {
      const auto take = std::min<std::size_t>(payload_left_, bytes.size());
      payload_left_ -= static_cast<std::uint32_t>(take);
      bytes = bytes.subspan(take);
      continue;
    }
    const auto take = std::min(basp_header_bytes - header_have_, bytes.size());
    std::memcpy(header_ + header_have_, bytes.data(), take);
    header_have_ += take;
    bytes = bytes.subspan(take);
    if (header_have_ < basp_header_bytes) return true;
    const auto operation = header_[0];
    const auto length = std::uint32_t{header_[4]} << 24 | std::uint32_t{header_[5]} << 16 | std::uint32_t{header_[6]} << 8 | header_[7];
    if (operation > operation_max || (operation == heartbeat) != (length == 0) || length > payload_max_) return false;
    header_have_ = 0;
    payload_left_ = length;
  }
  return true;
}

}  // namespace latham::net
