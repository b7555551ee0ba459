// What core/digest.hpp runs on processors that have no instructions of their own for it. Here only so that the tests can compare
// both on a processor that has them; everybody else wants core/digest.hpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace latham::detail {

[[nodiscard]] std::uint32_t crc32c_portable(std::span<const std::uint8_t> bytes, std::uint32_t seed) noexcept;

/// Takes `blocks` blocks of 64 bytes into `state`, eight words of it.
void sha256_portable(std::uint32_t* state, const std::uint8_t* p, std::size_t blocks) noexcept;

}  // namespace latham::detail
