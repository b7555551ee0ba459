#include "net/preamble.hpp"

#include <gtest/gtest.h>

namespace latham::net {
namespace {

const preamble golden{stream_kind::data, "worker-0", "storage-1"};

TEST(Preamble, HasGoldenBytes) {
  const auto bytes = encode_preamble(golden);
  EXPECT_EQ(bytes, std::string("LTHM\x01\x02\0\0", 8) + "worker-0" + std::string(56, '\0') + "storage-1" + std::string(55, '\0'));
  EXPECT_EQ(bytes.size(), preamble_bytes);
}

TEST(Preamble, RoundTrips) {
  for (const auto& p : {golden, preamble{stream_kind::control, std::string(63, 'a'), "b"}}) {
    const auto read = decode_preamble(encode_preamble(p));
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, p);
  }
}

TEST(Preamble, RefusesWhatIsNotOne) {
  const auto good = encode_preamble(golden);
  const auto code = [](const std::string& bytes) { return decode_preamble(bytes) ? errc::none : decode_preamble(bytes).error().code; };
  EXPECT_EQ(code(good.substr(1)), errc::corrupt);
  EXPECT_EQ(code(good + "x"), errc::corrupt);
  const auto changed = [&](std::size_t at, char to) {
    auto bytes = good;
    bytes[at] = to;
    return code(bytes);
  };
  EXPECT_EQ(changed(0, 'G'), errc::corrupt);
  EXPECT_EQ(changed(4, 2), errc::newer_format);
  EXPECT_EQ(changed(5, 3), errc::corrupt);
  EXPECT_EQ(changed(6, 1), errc::corrupt);
  EXPECT_EQ(changed(8, 'W'), errc::corrupt);    // not a valid name
  EXPECT_EQ(changed(8, '\0'), errc::corrupt);   // empty, with bytes after the padding began
  EXPECT_EQ(changed(71, 'x'), errc::corrupt);   // bytes after the padding began
}

TEST(Preamble, AnswersMeanWhatACallerCanActOn) {
  EXPECT_TRUE(check_answer('A'));
  EXPECT_EQ(check_answer('N').error().code, errc::invalid_argument);
  EXPECT_EQ(check_answer('B').error().code, errc::unavailable);
  EXPECT_EQ(check_answer('V').error().code, errc::newer_format);
  EXPECT_EQ(check_answer('H').error().code, errc::corrupt);  // "HTTP/1.1 400"
}

}  // namespace
}  // namespace latham::net
