#include "net/preamble.hpp"

namespace latham::net {

namespace {

constexpr std::string_view magic = "LTHM";
constexpr std::size_t name_bytes = 64;
static_assert(preamble_bytes == 8 + 2 * name_bytes && node_name_size_max < name_bytes);

bool read_name(std::string_view field, node_name& out) {
  const auto size = field.find('\0');
  if (size == std::string_view::npos || field.find_first_not_of('\0', size) != std::string_view::npos) return false;
  out = field.substr(0, size);
  return is_valid_node_name(out);
}

}  // namespace

std::string encode_preamble(const preamble& p) {
  std::string bytes{magic};
  bytes += static_cast<char>(preamble_version);
  bytes += static_cast<char>(p.kind);
  bytes.append(2, '\0');
  for (const auto* name : {&p.claimed, &p.expected}) {
    bytes += *name;
    bytes.append(name_bytes - name->size(), '\0');
  }
  return bytes;
}

expected<preamble> decode_preamble(std::string_view bytes) {
  if (bytes.size() != preamble_bytes || bytes.substr(0, 4) != magic) return {errc::corrupt, "not a preamble of latham"};
  if (static_cast<std::uint8_t>(bytes[4]) != preamble_version)
    return {errc::newer_format, "the peer speaks another version of the cluster protocol"};
  preamble p;
  p.kind = static_cast<stream_kind>(bytes[5]);
  if ((p.kind != stream_kind::control && p.kind != stream_kind::data) || bytes[6] != 0 || bytes[7] != 0 ||
      !read_name(bytes.substr(8, name_bytes), p.claimed) || !read_name(bytes.substr(8 + name_bytes, name_bytes), p.expected))
    return {errc::corrupt, "a preamble holds impossible values"};
  return p;
}

expected<void> check_answer(char answer) {
  switch (static_cast<preamble_answer>(answer)) {
    case preamble_answer::accepted: return {};
    case preamble_answer::wrong_name: return {errc::invalid_argument, "another node lives at this address"};
    case preamble_answer::wrong_version:
      return {errc::newer_format, "the node speaks another version of the cluster protocol: upgrade the older one"};
    case preamble_answer::busy: return {errc::unavailable, "the node has too many streams"};
  }
  return {errc::corrupt, "what answers is not a node of latham"};
}

}  // namespace latham::net
