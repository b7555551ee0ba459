// What a reader is told of each piece of an output blob, and what is refused as one.
#include "core/output_blob.hpp"
#include "core/codec.hpp"

#include <gtest/gtest.h>

namespace latham {

namespace {

constexpr std::size_t index_at = 12;  // after magic and length

/// A head with any index, whose length and checksum are right.
std::string head_of(std::string_view magic, const std::vector<output_entry>& entries) {
  const auto index = encode(entries);
  std::string head{magic};
  head += encode(static_cast<std::uint32_t>(index_at + index.size() + 4));
  head += index;
  head += encode(crc32c(head));
  return head;
}

}  // namespace

TEST(OutputBlob, TheIndexSaysOfEachPieceWhatItIs) {
  const std::vector<output_piece> pieces{{track_kind::text, 3, 0, 17, buffer{std::string{"words"}}},
                                         {track_kind::video, 1, 4, 48, buffer{std::string{"second rung"}}},
                                         {track_kind::video, 0, 5, 30, buffer{std::string{"later"}}},
                                         {track_kind::video, 0, 0, 48, buffer{std::string{"first"}}},
                                         {track_kind::video, 0, output_entry::init_segment, 0, buffer{std::string{"init"}}},
                                         {track_kind::audio, 2, 7, 96'256, buffer{std::string{"sound"}}}};
  const auto built = build_output_blob(pieces);
  const auto index = parse_output_index(std::string_view{built.bytes}.substr(0, built.index_bytes));
  ASSERT_TRUE(index);
  const std::size_t order[] = {4, 3, 2, 1, 5, 0};
  ASSERT_EQ(index->size(), std::size(order));
  std::uint64_t offset = built.index_bytes;
  for (std::size_t i = 0; i < index->size(); ++i) {
    const auto& piece = pieces[order[i]];
    const output_entry wanted{piece.kind,
                              piece.rendition,
                              piece.segment,
                              offset,
                              static_cast<std::uint32_t>(piece.bytes.size()),
                              piece.duration,
                              sha256::of(piece.bytes.view())};
    EXPECT_EQ((*index)[i], wanted) << i;
    EXPECT_EQ(built.bytes.substr(offset, piece.bytes.size()), piece.bytes.view());
    offset += piece.bytes.size();
  }
  EXPECT_EQ(built.bytes.size(), offset);
  EXPECT_EQ(built.digest, blob_digest(std::span{reinterpret_cast<const std::uint8_t*>(built.bytes.data()), built.bytes.size()}));
}

TEST(OutputBlob, PiecesOfTheSameNameStayInTheirOrder) {
  std::vector<output_piece> pieces;
  for (int i = 0; i < 40; ++i)
    pieces.push_back({track_kind::video, 0, 1, 0, buffer{std::string(1, static_cast<char>('a' + i % 26)) + std::to_string(i)}});
  const auto built = build_output_blob(pieces);
  std::string wanted;
  for (const auto& piece : pieces) wanted += piece.bytes.view();
  EXPECT_EQ(built.bytes.substr(built.index_bytes), wanted);
}

TEST(OutputBlob, AHeadOfAnythingElseIsCorrupt) {
  const std::vector<output_entry> one{{track_kind::video, 0, 0, 70, 5, 48, {}}};
  EXPECT_EQ(parse_output_index(head_of("LATHAMO1", one)).value(), one);
  EXPECT_EQ(parse_output_index(head_of("LATHAMO1", {})).value(), std::vector<output_entry>{});
  EXPECT_EQ(parse_output_index(head_of("LATHAMO2", one)).error().code, errc::corrupt) << "whole, but of another format";
  for (std::size_t n = 0; n < 20; ++n)
    EXPECT_EQ(parse_output_index(head_of("LATHAMO1", one).substr(0, n)).error().code, errc::corrupt) << n;
  for (std::uint32_t length = 0; length < 20; ++length) {
    const auto head = "LATHAMO1" + encode(length) + std::string(100, '\0');
    EXPECT_EQ(parse_output_index(head).error().code, errc::corrupt) << length;
  }
}

TEST(OutputBlob, AnIndexBeyondItsLimitIsRefused) {
  const auto large = head_of("LATHAMO1", std::vector<output_entry>(output_index_bytes_max / encode(output_entry{}).size() + 1));
  ASSERT_GT(large.size(), output_index_bytes_max);
  EXPECT_EQ(parse_output_index(large).error().code, errc::corrupt);
}

}  // namespace latham
