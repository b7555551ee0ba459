#include "net/frame.hpp"
#include "net/blob_protocol.hpp"

#include <gtest/gtest.h>

namespace latham::net {
namespace {

std::string hex(std::string_view bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  for (const char c : bytes) {
    const auto u = static_cast<unsigned char>(c);
    out += digits[u >> 4];
    out += digits[u & 15];
  }
  return out;
}

std::string make_frame(std::uint8_t type, std::uint64_t request, const std::string& payload) {
  const buffer part{payload};
  return std::string{frame_header(type, request, std::span{&part, 1}).view()} + payload;
}

expected<void> feed(frame_parser& parser, std::string_view bytes, std::vector<frame>& out) {
  return parser.feed({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, out);
}

const ports::write_token golden_token{blob_id{0x1122334455667788, 0x99aabbccddeeff00}, 0x0102030405060708, 4096};

TEST(Frame, HasGoldenBytes) {
  EXPECT_EQ(hex(make_frame(6, 0x0102030405060708, "abc")), "03000000060807060504030201d2e88210616263");
  EXPECT_EQ(hex(make_frame(16, 1, "")), "000000001001000000000000001c4b6c80");
}

TEST(Frame, FieldsHaveGoldenBytes) {
  EXPECT_EQ(static_cast<std::uint8_t>(message_type::read) | own_bit, 0x46);
  EXPECT_EQ(static_cast<std::uint8_t>(message_type::read) | own_bit | reply_bit, 0xc6);
  const std::string token = "887766554433221100ffeeddccbbaa9908070605040302010010000000000000";
  EXPECT_EQ(hex(encode(golden_token)), token);
  EXPECT_EQ(hex(encode(append_fields{golden_token, 1, 2})), token + "010000000000000002000000");
  EXPECT_EQ(encode(append_fields{golden_token, 1, 2}).size(), append_fields_bytes);
  EXPECT_EQ(hex(encode(length_fields{golden_token, 3})), token + "0300000000000000");
  EXPECT_EQ(hex(encode(read_fields{golden_token.blob, 4, 5})), "887766554433221100ffeeddccbbaa99040000000000000005000000");
  EXPECT_EQ(hex(encode(list_fields{golden_token.blob, 6})), "887766554433221100ffeeddccbbaa9906000000");
  EXPECT_EQ(hex(encode(failed_fields{4, "no"})), "04020000006e6f");
  ports::blob_stat about;
  about.blob = golden_token.blob;
  about.bytes = 7;
  about.sealed = true;
  EXPECT_EQ(hex(encode(about)), "887766554433221100ffeeddccbbaa99070000000000000001" + std::string(64, '0') + "0000000000000000");
}

TEST(Frame, SurvivesAnyCut) {
  const auto bytes = make_frame(3, 77, std::string(1000, 'x')) + make_frame(16, 78, "") + make_frame(6, 79, "tail");
  for (const std::size_t step : {1u, 2u, 16u, 17u, 18u, 999u, 5000u}) {
    frame_parser parser;
    std::vector<frame> frames;
    for (std::size_t at = 0; at < bytes.size(); at += step) ASSERT_TRUE(feed(parser, std::string_view{bytes}.substr(at, step), frames));
    ASSERT_EQ(frames.size(), 3u) << step;
    EXPECT_EQ(frames[0].payload.view(), std::string(1000, 'x'));
    EXPECT_EQ(frames[1].request, 78u);
    EXPECT_EQ(frames[2].payload.view(), "tail");
    EXPECT_TRUE(parser.at_border());
  }
}

TEST(Frame, AnyFlippedBitIsFound) {
  const auto good = make_frame(3, 77, "payload");
  for (std::size_t bit = 32; bit < good.size() * 8; ++bit) {  // the length's bits are another test
    auto bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    frame_parser parser;
    std::vector<frame> frames;
    EXPECT_FALSE(feed(parser, bad, frames)) << bit;
    EXPECT_TRUE(frames.empty());
  }
}

TEST(Frame, ALengthBeyondTheLimitIsRefusedAtTheHeader) {
  frame_parser parser{100};
  std::vector<frame> frames;
  EXPECT_FALSE(feed(parser, make_frame(3, 1, std::string(101, 'x')).substr(0, frame_header_bytes), frames));
  frame_parser other{100};
  EXPECT_TRUE(feed(other, make_frame(3, 1, std::string(100, 'x')), frames));
  EXPECT_EQ(frames.size(), 1u);
}

TEST(Frame, AnUnknownErrorCodeIsInternal) {
  EXPECT_EQ(error_of({200, "?"}).code, errc::internal);
  EXPECT_EQ(error_of({0, "?"}).code, errc::internal);
  EXPECT_EQ(error_of({12, "?"}).code, errc::fenced);
}

}  // namespace
}  // namespace latham::net
