#include "core/digest.hpp"

#include "core/digest_portable.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <vector>

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
  for (std::size_t step : {1u, 3u, 55u, 56u, 63u, 64u, 65u, 127u, 129u, 500u}) {
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

// Processors without the instructions must come to the same digests.
TEST(Crc32c, IsTheSameWithoutInstructionsOfItsOwn) {
  EXPECT_EQ(detail::crc32c_portable({}, 0), 0u);
  EXPECT_EQ(detail::crc32c_portable({}, 0x12345678), 0x12345678u);
  std::vector<std::uint8_t> bytes;
  for (std::size_t n = 0; n < 200; ++n) {
    EXPECT_EQ(detail::crc32c_portable(bytes, 7), crc32c(std::span<const std::uint8_t>{bytes}, 7)) << n;
    bytes.push_back(static_cast<std::uint8_t>(n * 151 + 255));
  }
}

TEST(Sha256, IsTheSameWithoutInstructionsOfItsOwn) {
  // "abc" and its padding, FIPS 180-4, 5.1.1; once alone, and once behind four other blocks.
  constexpr std::array<std::uint32_t, 8> begin{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::vector<std::uint8_t> padded(64);
  padded[0] = 'a', padded[1] = 'b', padded[2] = 'c', padded[3] = 0x80, padded[63] = 24;
  auto state = begin;
  detail::sha256_portable(state.data(), padded.data(), 1);
  EXPECT_EQ(state,
            (std::array<std::uint32_t, 8>{0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223, 0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad}));
  std::vector<std::uint8_t> longer;
  for (int i = 0; i < 256; ++i) longer.push_back(static_cast<std::uint8_t>(i * 37 + 11));
  const auto wanted = sha256::of(std::span<const std::uint8_t>{longer});
  longer.push_back(0x80);
  longer.resize(320);
  longer[318] = 8;  // 2048 bits
  state = begin;
  detail::sha256_portable(state.data(), longer.data(), 5);
  for (std::size_t i = 0; i < 32; ++i) EXPECT_EQ(static_cast<std::uint8_t>(state[i / 4] >> (24 - 8 * (i % 4))), wanted.bytes[i]) << i;
  detail::sha256_portable(state.data(), nullptr, 0);
}

TEST(Sha256, BytesAndTextHaveTheSameDigest) {
  const std::vector<std::uint8_t> bytes{'a', 'b', 'c'};
  EXPECT_EQ(sha256::of(std::span<const std::uint8_t>{bytes}), sha256::of("abc"));
  EXPECT_NE(sha256::of(std::span<const std::uint8_t>{bytes}), sha256::of(""));
  sha256 hash;
  hash.update("ab");
  hash.update("");
  hash.update("c");
  EXPECT_EQ(hash.finish(), sha256::of("abc"));
}

TEST(BlobDigest, OfWholeBlocksHasNoEmptyOneBehindThem) {
  const std::string two(2 * mib, 'x');
  const std::span bytes{reinterpret_cast<const std::uint8_t*>(two.data()), two.size()};
  sha256 root;
  for (int i = 0; i < 2; ++i) root.update(sha256::of(std::string_view{two}.substr(0, mib)).bytes);
  const auto wanted = root.finish();
  EXPECT_EQ(blob_digest(bytes), wanted);
  blob_digester digester;
  for (std::size_t at = 0; at < bytes.size(); at += 300'000) {
    digester.update(bytes.subspan(at, std::min<std::size_t>(300'000, bytes.size() - at)));
    EXPECT_EQ(digester.bytes(), std::min<std::size_t>(at + 300'000, bytes.size()));
  }
  EXPECT_EQ(digester.finish(), wanted);
  EXPECT_EQ(digester.blocks().size(), 2u);
}

TEST(BlobDigest, ASecondBlobDoesNotBeginWhereTheFirstEnded) {
  const std::vector<std::uint8_t> odd(100, 1);
  blob_digester digester;
  digester.update(odd);
  (void)digester.finish();
  EXPECT_EQ(digester.finish(), blob_digest(odd)) << "its last block is not counted twice";
  digester.update(odd);
  (void)digester.finish();
  ASSERT_EQ(digester.blocks().size(), 2u);
  EXPECT_EQ(digester.blocks()[1], digester.blocks()[0]);
}

TEST(BlobDigest, ASingleByteIsABlock) {
  const std::vector<std::uint8_t> byte{7};
  EXPECT_EQ(blob_digest(byte), sha256::of(sha256::of(std::span<const std::uint8_t>{byte}).bytes));
}

}  // namespace latham
