#include "core/output_blob.hpp"

#include "core/codec.hpp"

#include <algorithm>
#include <tuple>

namespace latham {

namespace {
constexpr std::string_view magic = "LATHAMO1";
constexpr std::size_t prefix_bytes = 8 + 4;  // magic, index_bytes
constexpr std::size_t suffix_bytes = 4;      // checksum

// Init segments sort first within their rendition although their number is the greatest.
auto order_of(const output_piece& p) { return std::tuple{p.kind, p.rendition, p.segment + 1}; }
}  // namespace

built_output build_output_blob(std::vector<output_piece> pieces) {
  std::stable_sort(pieces.begin(), pieces.end(), [](const auto& a, const auto& b) { return order_of(a) < order_of(b); });
  std::vector<output_entry> entries;
  entries.reserve(pieces.size());
  for (const auto& piece : pieces) {
    output_entry entry;
    entry.kind = piece.kind;
    entry.rendition = piece.rendition;
    entry.segment = piece.segment;
    entry.bytes = static_cast<std::uint32_t>(piece.bytes.size());
    entry.duration = piece.duration;
    entry.digest = sha256::of(piece.bytes.view());
    entries.push_back(entry);
  }
  // All fields are fixed width, so the index is as long before its offsets are known as after.
  const auto index_bytes = static_cast<std::uint32_t>(prefix_bytes + encode(entries).size() + suffix_bytes);
  std::uint64_t offset = index_bytes;
  for (auto& entry : entries) {
    entry.offset = offset;
    offset += entry.bytes;
  }
  built_output out;
  out.index_bytes = index_bytes;
  out.bytes.reserve(offset);
  out.bytes = magic;
  out.bytes += encode(index_bytes);
  out.bytes += encode(entries);
  out.bytes += encode(crc32c(out.bytes));
  for (const auto& piece : pieces) out.bytes += piece.bytes.view();
  out.digest = blob_digest(std::span{reinterpret_cast<const std::uint8_t*>(out.bytes.data()), out.bytes.size()});
  return out;
}

expected<std::vector<output_entry>> parse_output_index(std::string_view head) {
  const auto bad = [](const char* why) { return error{errc::corrupt, std::string{"output blob: "} + why}; };
  if (head.size() < prefix_bytes + suffix_bytes || head.substr(0, magic.size()) != magic) return bad("not an output blob");
  auto index_bytes = decode<std::uint32_t>(head.substr(magic.size(), 4));
  if (!index_bytes || *index_bytes < prefix_bytes + suffix_bytes || *index_bytes > output_index_bytes_max || *index_bytes > head.size())
    return bad("index is longer than what was read");
  const auto covered = head.substr(0, *index_bytes - suffix_bytes);
  auto crc = decode<std::uint32_t>(head.substr(covered.size(), suffix_bytes));
  if (!crc || *crc != crc32c(covered)) return bad("index does not match its checksum");
  return decode<std::vector<output_entry>>(covered.substr(prefix_bytes));
}

}  // namespace latham
