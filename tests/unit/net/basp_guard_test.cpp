#include "net/basp_guard.hpp"

#include <gtest/gtest.h>

#include <string>

namespace latham::net {
namespace {

std::string header(std::uint8_t operation, std::uint32_t length) {
  std::string bytes(basp_header_bytes, '\0');
  bytes[0] = static_cast<char>(operation);
  for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(4 + i)] = static_cast<char>(length >> (24 - 8 * i));
  return bytes;
}

bool accept(basp_guard& guard, std::string_view bytes) {
  return guard.accept({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()});
}
bool accept_once(std::string_view bytes) {
  basp_guard guard;
  return accept(guard, bytes);
}

TEST(BaspGuard, TheKillerPacketIsRefused) {
  // A server handshake without a payload: 32 bytes that end a CAF process.
  EXPECT_FALSE(accept_once(header(0, 0)));
}

TEST(BaspGuard, OnlyHeartbeatsAreEmpty) {
  for (std::uint8_t operation = 0; operation < 6; ++operation) {
    EXPECT_FALSE(accept_once(header(operation, 0))) << int{operation};
    EXPECT_TRUE(accept_once(header(operation, 1))) << int{operation};
  }
  EXPECT_TRUE(accept_once(header(6, 0)));
  EXPECT_FALSE(accept_once(header(6, 1)));
}

TEST(BaspGuard, UnknownOperationsAndGarbageAreRefused) {
  EXPECT_FALSE(accept_once(header(7, 1)));
  EXPECT_FALSE(accept_once(header(255, 0)));
  EXPECT_FALSE(accept_once("GET / HTTP/1.1\r\nHost: example\r\n\r\n"));
}

TEST(BaspGuard, LengthsHaveALimit) {
  EXPECT_TRUE(accept_once(header(3, basp_payload_bytes_max)));
  EXPECT_FALSE(accept_once(header(3, basp_payload_bytes_max + 1)));
  EXPECT_FALSE(accept_once(header(3, 0xffffffff)));
}

TEST(BaspGuard, FindsHeadersWhereverTheStreamIsCut) {
  const auto good = header(0, 100) + std::string(100, '\xff') + header(6, 0) + header(3, 5) + "hello" + header(6, 0);
  const auto bad = good + header(0, 0);
  for (std::size_t step = 1; step < 70; ++step) {
    basp_guard guard;
    std::size_t passed = 0;
    bool refused = false;
    for (std::size_t at = 0; at < bad.size() && !refused; at += step) {
      const auto part = std::string_view{bad}.substr(at, step);
      if (accept(guard, part)) {
        passed += part.size();
      } else {
        refused = true;
      }
    }
    EXPECT_TRUE(refused) << step;
    EXPECT_LT(passed, bad.size()) << "the whole bad header was handed on";
  }
}

}  // namespace
}  // namespace latham::net
