// The first bytes of every connection to the cluster port: who calls, whom it wants, and what for. The answer is one byte;
// nothing else is sent by either side before it. With TLS the certificates say who is who and ALPN says what for; then
// the names here must agree with them.
//
//   "LTHM"  u8 version (1)  u8 kind  u16 zero  claimed name, 64 bytes, zero-padded  expected name, likewise
//
// Pure. Golden bytes are in tests/unit/net/preamble_test.cpp.
#pragma once

#include "core/expected.hpp"
#include "core/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace latham::net {

inline constexpr std::size_t preamble_bytes = 136;
inline constexpr std::uint8_t preamble_version = 1;

enum class stream_kind : std::uint8_t { control = 1, data = 2 };

struct preamble {
  stream_kind kind = stream_kind::control;
  node_name claimed;   // who dials
  node_name expected;  // who should answer
  friend bool operator==(const preamble&, const preamble&) = default;
};

enum class preamble_answer : char {
  accepted = 'A',
  wrong_name = 'N',     // somebody else lives at this address now
  wrong_version = 'V',
  busy = 'B',           // too many streams
};

[[nodiscard]] std::string encode_preamble(const preamble& p);
/// Takes exactly preamble_bytes. Fails with errc::corrupt (not ours: close without an answer) and errc::newer_format.
[[nodiscard]] expected<preamble> decode_preamble(std::string_view bytes);
/// What the dialing side makes of the answer: invalid_argument (wrong name), unavailable, newer_format, corrupt.
[[nodiscard]] expected<void> check_answer(char answer);

}  // namespace latham::net
