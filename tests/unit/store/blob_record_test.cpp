#include "store/blob_record.hpp"

#include "core/codec.hpp"

#include <gtest/gtest.h>

namespace latham::store {
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

TEST(BlobRecord, HasGoldenBytes) {
  blob_record record;
  record.state = blob_state::sealed;
  record.nonce = 0x0102030405060708;
  record.bytes_max = 4096;
  record.bytes = 4096;
  record.digest.bytes.fill(0xab);
  std::string digest;
  for (int i = 0; i < 32; ++i) digest += "ab";
  EXPECT_EQ(hex(encode(record)), "01" "0807060504030201" "0010000000000000" "0010000000000000" + digest);
  block_page page;
  page.blocks.resize(1);
  page.blocks[0].bytes.fill(0xab);
  EXPECT_EQ(hex(encode(page)), "01000000" + digest);
}

TEST(BlobRecord, KeysSortLikeIdsAndRoundTrip) {
  const blob_id low{1, 2};
  const blob_id high{1, 0x8000000000000000};
  EXPECT_LT(blob_key(low), blob_key(high));
  ASSERT_TRUE(blob_of_key(blob_key(high)));
  EXPECT_EQ(*blob_of_key(blob_key(high)), high);
  EXPECT_FALSE(blob_of_key("blob/x"));
  EXPECT_FALSE(blob_of_key("job/" + to_string(low)));
  EXPECT_EQ(block_page_key(low, 255), "block/" + to_string(low) + "/000000ff");
}

TEST(BlobRecord, ImpossibleValuesAreCorrupt) {
  blob_record record;
  record.bytes = 2;
  record.bytes_max = 1;
  EXPECT_EQ(read_blob_record(to_record(record)).error().code, errc::corrupt);
  record.bytes_max = 2;
  EXPECT_TRUE(read_blob_record(to_record(record)));
  record.state = static_cast<blob_state>(3);
  EXPECT_EQ(read_blob_record(to_record(record)).error().code, errc::corrupt);
  auto bytes = to_record(record);
  bytes.pop_back();
  EXPECT_EQ(read_blob_record(bytes).error().code, errc::corrupt);
}

TEST(BlobRecord, AnAppendFitsTheReservationWithoutOverflow) {
  blob_record record;
  record.nonce = 1;
  record.bytes_max = 100;
  const ports::write_token token{blob_id{1, 1}, 1, 100};
  EXPECT_TRUE(check_append(&record, token, 90, 90, 10));
  EXPECT_EQ(check_append(&record, token, 90, 90, 11).error().code, errc::too_large);
  EXPECT_EQ(check_append(&record, token, 90, 90, ~std::uint64_t{0}).error().code, errc::too_large);
  EXPECT_EQ(check_append(&record, token, 90, 91, 1).error().code, errc::offset_mismatch);
}

TEST(SpaceAccount, IsWhatTheRecordsTake) {
  space_account space;
  blob_record open;
  open.bytes_max = 100;
  space.change({}, open);
  auto written = open;
  written.bytes = 30;
  space.change(open, written);
  EXPECT_EQ(space.all(), (blob_space{30, 70}));
  auto sealed = written;
  sealed.state = blob_state::sealed;
  space.change(written, sealed);
  EXPECT_EQ(space.all(), (blob_space{30, 0}));
  blob_record dead;
  dead.state = blob_state::dead;
  space.change(sealed, dead);
  EXPECT_EQ(space.all(), blob_space{});
}

TEST(SpaceAccountDeathTest, WhatNobodyHadIsNotGivenBack) {
  blob_record open;
  open.bytes_max = 100;
  EXPECT_DEATH(space_account{}.change(open, {}), "");
}

}  // namespace
}  // namespace latham::store
