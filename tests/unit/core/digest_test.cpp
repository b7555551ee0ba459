#include "core/digest.hpp"

#include <gtest/gtest.h>

namespace latham {

// FIPS 180-4 / NIST CAVP vectors.
TEST(Sha256, MatchesTheStandardsVectors) {
  EXPECT_EQ(to_string(sha256::of("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(to_string(sha256::of("abc")), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_string(sha256::of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(to_string(sha256::of(std::string(1'000'000, 'a'))), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, DoesNotDependOnHowTheInputIsCut) {
  std::string input;
  for (int i = 0; i < 1000; ++i) input += static_cast<char>(i * 7);
  const auto whole = sha256::of(input);
  for (std::size_t step : {1u, 3u, 55u, 56u, 63u, 64u, 65u, 127u, 500u}) {
    sha256 hash;
    for (std::size_t at = 0; at < input.size(); at += step) hash.update(std::string_view{input}.substr(at, step));
    EXPECT_EQ(hash.finish(), whole) << step;
  }
}

TEST(Sha256, TextRoundTrips) {
  const auto digest = sha256::of("abc");
  EXPECT_EQ(parse_sha256(to_string(digest)), digest);
  EXPECT_FALSE(parse_sha256("abc"));
  EXPECT_FALSE(parse_sha256(std::string(64, 'g')));
}

// RFC 3720, appendix B.4.
TEST(Crc32c, MatchesTheStandardsVectors) {
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(crc32c("56789", crc32c("1234")), 0xe3069283u);
}

TEST(BlobDigest, IsATreeOfOneMebibyteBlocks) {
  const std::string block(mib, 'x');
  sha256 root;
  root.update(sha256::of(block).bytes);
  root.update(sha256::of("tail").bytes);
  blob_digester digester;
  const auto bytes = block + "tail";
  digester.update(std::span{reinterpret_cast<const std::uint8_t*>(bytes.data()), 1000});
  digester.update(std::span{reinterpret_cast<const std::uint8_t*>(bytes.data()) + 1000, bytes.size() - 1000});
  EXPECT_EQ(digester.finish(), root.finish());
  EXPECT_EQ(digester.blocks().size(), 2u);
  EXPECT_EQ(blob_digest({}), sha256::of(""));
}

}  // namespace latham
