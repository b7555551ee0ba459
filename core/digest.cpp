#include "core/digest.hpp"

#include "core/digest_portable.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace latham {

// ---- CRC-32C -----------------------------------------------------------------------------------------------------

namespace {

constexpr auto crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    auto c = i;
    for (int k = 0; k < 8; ++k) c = (c & 1) != 0 ? 0x82f63b78u ^ c >> 1 : c >> 1;
    table[i] = c;
  }
  return table;
}();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc_sse42(const std::uint8_t* p, std::size_t n, std::uint32_t c) noexcept {
  std::uint64_t wide = c;
  for (; n >= 8; n -= 8, p += 8) {
    std::uint64_t word;
    std::memcpy(&word, p, 8);
    wide = _mm_crc32_u64(wide, word);
  }
  c = static_cast<std::uint32_t>(wide);
  for (; n > 0; --n) c = _mm_crc32_u8(c, *p++);
  return c;
}
#endif

}  // namespace

std::uint32_t detail::crc32c_portable(std::span<const std::uint8_t> bytes, std::uint32_t seed) noexcept {
  auto c = ~seed;
  for (const auto byte : bytes) c = crc_table[(c ^ byte) & 0xff] ^ c >> 8;
  return ~c;
}

std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t seed) noexcept {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2") != 0) return ~crc_sse42(bytes.data(), bytes.size(), ~seed);
#endif
  return detail::crc32c_portable(bytes, seed);
}

std::uint32_t crc32c(std::string_view bytes, std::uint32_t seed) noexcept {
  return crc32c(std::span{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, seed);
}

// ---- SHA-256 -----------------------------------------------------------------------------------------------------

namespace {

alignas(16) constexpr std::array<std::uint32_t, 64> k256 = {
  0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
  0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
  0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
  0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
  0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
  0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

}  // namespace

void detail::sha256_portable(std::uint32_t* state, const std::uint8_t* p, std::size_t blocks) noexcept {
  for (; blocks > 0; --blocks, p += 64) {
    std::array<std::uint32_t, 64> w;
    for (std::size_t i = 0; i < 16; ++i)
      w[i] = std::uint32_t{p[4 * i]} << 24 | std::uint32_t{p[4 * i + 1]} << 16 | std::uint32_t{p[4 * i + 2]} << 8 | p[4 * i + 3];
    for (std::size_t i = 16; i < 64; ++i) {
      const auto s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ w[i - 15] >> 3;
      const auto s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ w[i - 2] >> 10;
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    std::array<std::uint32_t, 8> v;
    std::copy_n(state, 8, v.begin());
    auto& [a, b, c, d, e, f, g, h] = v;
    for (std::size_t i = 0; i < 64; ++i) {
      const auto t1 = h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + k256[i] + w[i];
      const auto t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
      h = g; g = f; f = e; e = d + t1; d = c; c = b; b = a; a = t1 + t2;
    }
    for (std::size_t i = 0; i < 8; ++i) state[i] += v[i];
  }
}

namespace {

#if defined(__x86_64__)
// The SHA extensions keep the state as (a b e f) and (c d g h) and do four rounds per step: two sha256rnds2, with the
// message schedule advanced by sha256msg1/msg2 (Intel SDM volume 2, "SHA256RNDS2").
__attribute__((target("sha,sse4.1"))) void compress_sha_ni(std::uint32_t* state, const std::uint8_t* p, std::size_t blocks) noexcept {
  const auto swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
  auto low = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state)), 0xb1);
  auto high = _mm_shuffle_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(state + 4)), 0x1b);
  auto abef = _mm_alignr_epi8(low, high, 8);
  auto cdgh = _mm_blend_epi16(high, low, 0xf0);
  for (; blocks > 0; --blocks, p += 64) {
    const auto abef_before = abef;
    const auto cdgh_before = cdgh;
    __m128i w[4];  // std::array would drop the vector type's alignment attribute
    for (std::size_t i = 0; i < 4; ++i) w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 16 * i)), swap);
    for (std::size_t group = 0; group < 16; ++group) {
      if (group >= 4) {
        // w[t..t+3] from the sixteen words before it; slot group % 4 is the oldest and is replaced.
        const auto& w0 = w[group % 4];
        const auto& w1 = w[(group + 1) % 4];
        const auto& w2 = w[(group + 2) % 4];
        const auto& w3 = w[(group + 3) % 4];
        const auto sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
        w[group % 4] = _mm_sha256msg2_epu32(sum, w3);
      }
      auto wk = _mm_add_epi32(w[group % 4], _mm_load_si128(reinterpret_cast<const __m128i*>(&k256[4 * group])));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, wk);
      wk = _mm_shuffle_epi32(wk, 0x0e);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, wk);
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const auto feba = _mm_shuffle_epi32(abef, 0x1b);
  const auto dchg = _mm_shuffle_epi32(cdgh, 0xb1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state), _mm_blend_epi16(feba, dchg, 0xf0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

bool has_sha_ni() noexcept {
  unsigned a = 7, b = 0, c = 0, d = 0;
  __asm__("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  return (b & 1u << 29) != 0 && __builtin_cpu_supports("sse4.1") != 0;
}
#endif

void compress(std::uint32_t* state, const std::uint8_t* p, std::size_t blocks) noexcept {
#if defined(__x86_64__)
  static const bool fast = has_sha_ni();
  if (fast) return compress_sha_ni(state, p, blocks);
#endif
  detail::sha256_portable(state, p, blocks);
}

}  // namespace

void sha256::update(std::span<const std::uint8_t> bytes) noexcept {
  if (bytes.empty()) return;
  const auto held = static_cast<std::size_t>(length_ % 64);
  length_ += bytes.size();
  auto* p = bytes.data();
  auto n = bytes.size();
  if (held > 0) {
    const auto take = std::min(n, 64 - held);
    std::memcpy(block_.data() + held, p, take);
    p += take;
    n -= take;
    if (held + take < 64) return;
    compress(state_.data(), block_.data(), 1);
  }
  if (n >= 64) compress(state_.data(), p, n / 64);
  std::memcpy(block_.data(), p + n / 64 * 64, n % 64);
}

void sha256::update(std::string_view bytes) noexcept {
  update(std::span{reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}

sha256_digest sha256::finish() noexcept {
  const auto bits = length_ * 8;
  std::array<std::uint8_t, 72> padding{0x80};
  const auto held = static_cast<std::size_t>(length_ % 64);
  const auto zeros = held < 56 ? 56 - held : 120 - held;
  for (std::size_t i = 0; i < 8; ++i) padding[zeros + i] = static_cast<std::uint8_t>(bits >> (56 - 8 * i));
  update(std::span{padding.data(), zeros + 8});
  sha256_digest digest;
  for (std::size_t i = 0; i < 32; ++i) digest.bytes[i] = static_cast<std::uint8_t>(state_[i / 4] >> (24 - 8 * (i % 4)));
  return digest;
}

sha256_digest sha256::of(std::span<const std::uint8_t> bytes) noexcept {
  sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

sha256_digest sha256::of(std::string_view bytes) noexcept {
  sha256 hash;
  hash.update(bytes);
  return hash.finish();
}

std::string to_string(const sha256_digest& digest) {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (auto byte : digest.bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::optional<sha256_digest> parse_sha256(std::string_view hex) noexcept {
  if (hex.size() != 64) return std::nullopt;
  sha256_digest digest;
  for (std::size_t i = 0; i < hex.size(); ++i) {
    const auto c = hex[i];
    const int value = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (value < 0) return std::nullopt;
    digest.bytes[i / 2] = static_cast<std::uint8_t>(digest.bytes[i / 2] << 4 | value);
  }
  return digest;
}

// ---- Tree digest ---------------------------------------------------------------------------------------------------

void blob_digester::update(std::span<const std::uint8_t> bytes) {
  bytes_ += bytes.size();
  while (!bytes.empty()) {
    const auto take = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), blob_block_bytes - in_block_));
    current_.update(bytes.first(take));
    in_block_ += take;
    bytes = bytes.subspan(take);
    if (in_block_ == blob_block_bytes) {
      blocks_.push_back(current_.finish());
      current_ = {};
      in_block_ = 0;
    }
  }
}

sha256_digest blob_digester::finish() {
  if (in_block_ > 0) {
    blocks_.push_back(current_.finish());
    current_ = {};
    in_block_ = 0;
  }
  sha256 root;
  for (const auto& block : blocks_) root.update(block.bytes);
  return root.finish();
}

sha256_digest blob_digest(std::span<const std::uint8_t> bytes) {
  blob_digester digester;
  digester.update(bytes);
  return digester.finish();
}

}  // namespace latham
