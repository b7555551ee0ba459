// Checksums and digests, as pure functions.
//
// CRC-32C (Castagnoli, RFC 3720 appendix B.4) guards frames and records against accidents. SHA-256 (FIPS 180-4) names
// and verifies content. A blob's digest is a *tree*: SHA-256 over the concatenated SHA-256 of its 1 MiB blocks, so it can
// be resumed after a crash, computed in parallel, and checked by range. Both use the CPU's instructions where it has
// them. OpenSSL lives in net/ only, and these two must be usable by rules that know no library, hence our own; the test
// vectors of the standards and a bit-for-bit comparison of both code paths are in tests/unit.
#pragma once

#include "core/units.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace latham {

/// CRC-32C of `bytes`, continued from `seed` (the CRC of what came before).
[[nodiscard]] std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t seed = 0) noexcept;
[[nodiscard]] std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed = 0) noexcept;

struct sha256_digest {
  std::array<std::uint8_t, 32> bytes{};
  friend auto operator<=>(const sha256_digest&, const sha256_digest&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, sha256_digest& x) {
  return f(x.bytes);
}

/// 64 lower-case hexadecimal digits, and back.
[[nodiscard]] std::string to_string(const sha256_digest& digest);
[[nodiscard]] std::optional<sha256_digest> parse_sha256(std::string_view hex) noexcept;

class sha256 {
public:
  void update(std::span<const std::uint8_t> bytes) noexcept;
  void update(std::string_view bytes) noexcept;
  /// The digest of all bytes so far; the object must not be used afterwards.
  [[nodiscard]] sha256_digest finish() noexcept;

  [[nodiscard]] static sha256_digest of(std::span<const std::uint8_t> bytes) noexcept;
  [[nodiscard]] static sha256_digest of(std::string_view bytes) noexcept;

private:
  std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<std::uint8_t, 64> block_{};
  std::uint64_t length_ = 0;
};

inline constexpr std::uint64_t blob_block_bytes = 1 * mib;

/// A blob's tree digest, fed in order. Empty input has the digest of the empty string.
class blob_digester {
public:
  void update(std::span<const std::uint8_t> bytes);
  [[nodiscard]] sha256_digest finish();
  /// Digests of the blocks so far; after `finish` that includes the last, shorter one.
  [[nodiscard]] const std::vector<sha256_digest>& blocks() const noexcept { return blocks_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

private:
  std::vector<sha256_digest> blocks_;
  sha256 current_;
  std::uint64_t in_block_ = 0;
  std::uint64_t bytes_ = 0;
};

[[nodiscard]] sha256_digest blob_digest(std::span<const std::uint8_t> bytes);

}  // namespace latham
