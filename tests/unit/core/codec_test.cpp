// Golden bytes: what these tests spell out is on people's disks. Change a format only with a new record_format.
#include "core/codec.hpp"

#include "core/ids.hpp"
#include "core/model.hpp"
#include "core/output_blob.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {
std::string hex(std::string_view bytes) {
  std::string out;
  for (unsigned char c : bytes) {
    out += "0123456789abcdef"[c >> 4];
    out += "0123456789abcdef"[c & 15];
  }
  return out;
}
}  // namespace

TEST(Codec, WritesLittleEndianFixedWidth) {
  byte_writer writer;
  writer(std::uint16_t{0x0102}, std::int32_t{-2}, true, std::string{"hi"}, std::vector<std::uint8_t>{7, 8}, video_state::ready);
  EXPECT_EQ(hex(writer.bytes()), "0201" "feffffff" "01" "020000006869" "020000000708" "05");
}

TEST(Codec, RefusesShortLyingAndOverLongInput) {
  EXPECT_FALSE(decode<std::uint32_t>("abc"));
  EXPECT_FALSE(decode<std::uint32_t>("abcde"));
  EXPECT_FALSE(decode<std::string>(std::string_view("\xff\xff\xff\xff", 4)));
  EXPECT_FALSE(decode<std::vector<std::uint64_t>>(std::string_view("\xff\xff\xff\x7f" "abc", 7)));
  EXPECT_FALSE(decode<bool>(std::string_view("\2", 1)));
}

TEST(Codec, RecipeAndPlanRoundTrip) {
  recipe how;
  how.version = 1;
  how.rungs = {{640, 360, 800}, {1920, 1080, 5000}};
  how.part = {1500, 2750};
  EXPECT_EQ(*decode<recipe>(encode(how)), how);
  source_plan plan;
  plan.container = "mov";
  plan.fps = {24, 1};
  plan.frames = 720;
  plan.rungs = how.rungs;
  plan.audio = {{1, "eng"}};
  plan.notes = {"the file ends early"};
  plan.skipped_frames = 36;
  EXPECT_EQ(*decode<source_plan>(encode(plan)), plan);
}

TEST(Codec, RecipeBytesAreFrozen) {
  recipe how;
  how.version = 1;
  how.rungs = {{640, 360, 800}};
  EXPECT_EQ(hex(encode(how)),
            "0100" "01000000" "80020000" "68010000" "20030000" "d0070000" "04000000" "eb000000" "080000007665727966617374" "80000000" "80bb0000"
            "02000000" "0000000000000000" "0000000000000000");
}

TEST(Records, EnvelopeIsFrozen) { EXPECT_EQ(hex(seal_record(1, "abc")), "4c010000" "03000000" "b73f4b36" "616263"); }

TEST(Records, RefuseDamageAndNewerFormats) {
  auto bytes = seal_record(1, "payload");
  ASSERT_TRUE(open_record(bytes));
  EXPECT_EQ(open_record(bytes)->payload, "payload");
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x40);
    auto opened = open_record(damaged);
    EXPECT_TRUE(!opened || i == 1) << i;  // byte 1 is the format, judged by whoever knows the type
  }
  EXPECT_FALSE(open_record(bytes.substr(0, bytes.size() - 1)));
  EXPECT_FALSE(open_record(""));
}

TEST(Ids, TextIsCrockfordBase32AndRoundTrips) {
  const auto id = make_id<video_id>(utc_ms{1'700'000'000'000}, 3, 0x0123456789abcdefull);
  EXPECT_EQ(to_string(id), "01HF7YAT00001G28T5CY4TQKFF");
  EXPECT_EQ(parse_id<video_id>(to_string(id)), id);
  EXPECT_EQ(id.shard(), 3);
  EXPECT_EQ(id.created().value, 1'700'000'000'000);
  EXPECT_EQ(to_string(video_id{~0ull, ~0ull}), "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
  EXPECT_FALSE(parse_id<video_id>("8ZZZZZZZZZZZZZZZZZZZZZZZZZ"));
  EXPECT_FALSE(parse_id<video_id>("0000000000000000000000000U"));
  EXPECT_FALSE(parse_id<video_id>(""));
  EXPECT_LT(make_id<video_id>(utc_ms{1}, 9, ~0ull), make_id<video_id>(utc_ms{2}, 0, 0));
}

TEST(OutputBlob, IsCanonicalAndItsIndexReadsBack) {
  output_piece init{track_kind::video, 0, output_entry::init_segment, 0, buffer{std::string{"INIT"}}};
  output_piece s0{track_kind::video, 0, 6, 48, buffer{std::string{"zero"}}};
  output_piece s1{track_kind::video, 0, 7, 48, buffer{std::string{"one"}}};
  const auto a = build_output_blob({s1, init, s0});
  const auto b = build_output_blob({init, s0, s1});
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(hex(a.bytes.substr(0, 12)), "4c415448414d4f31" + hex(encode(a.index_bytes)));
  auto index = parse_output_index(std::string_view{a.bytes}.substr(0, a.index_bytes));
  ASSERT_TRUE(index);
  ASSERT_EQ(index->size(), 3u);
  EXPECT_EQ((*index)[0].segment, output_entry::init_segment);
  EXPECT_EQ(a.bytes.substr((*index)[2].offset, (*index)[2].bytes), "one");
  EXPECT_FALSE(parse_output_index(std::string_view{a.bytes}.substr(0, a.index_bytes - 1)));
  for (std::uint32_t i = 0; i < a.index_bytes; ++i) {
    auto damaged = a.bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_FALSE(parse_output_index(damaged)) << i;
  }
}

}  // namespace latham
