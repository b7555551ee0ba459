#include "core/cluster/placement.hpp"

#include <algorithm>

namespace latham {

namespace {

/// The finalizer of SplitMix64: every bit of the input reaches every bit of the output.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

std::uint64_t placement_weight(const node_name& member, blob_id blob) noexcept {
  std::uint64_t name = 0xcbf29ce484222325ull;  // FNV-1a
  for (const auto c : member) name = (name ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return mix(mix(mix(name) ^ blob.high) ^ blob.low);
}

std::vector<node_name> placement_of(blob_id blob, std::vector<node_name> members) {
  std::sort(members.begin(), members.end(), [blob](const node_name& a, const node_name& b) {
    const auto wa = placement_weight(a, blob), wb = placement_weight(b, blob);
    return wa != wb ? wa > wb : a < b;
  });
  return members;
}

}  // namespace latham
