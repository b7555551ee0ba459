// Identities. 128 bits: 48 bits of UTC milliseconds, 16 bits of home shard, 64 random bits; 26 characters of Crockford
// base 32 as text (the alphabet of ULID), so ids sort by time in the database and in a list, and an upload's id already
// names the scheduler shard that owns it. Time and chance are arguments: ids are made in `make_id`, by whoever owns ports.
#pragma once

#include "core/units.hpp"

#include <array>
#include <compare>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace latham {

inline constexpr std::size_t id_text_size = 26;

/// One 128-bit identity; `Tag` keeps kinds apart at compile time.
template <class Tag>
struct basic_id {
  std::uint64_t high = 0;  // utc_ms << 16 | shard
  std::uint64_t low = 0;   // random

  friend constexpr auto operator<=>(const basic_id&, const basic_id&) = default;

  [[nodiscard]] constexpr bool is_nil() const noexcept { return high == 0 && low == 0; }
  [[nodiscard]] constexpr std::uint16_t shard() const noexcept { return static_cast<std::uint16_t>(high); }
  [[nodiscard]] constexpr utc_ms created() const noexcept { return {static_cast<std::int64_t>(high >> 16)}; }
};

/// A video as the user knows it: one upload and one current job. The upload session has the same id.
using video_id = basic_id<struct video_tag>;
using blob_id = basic_id<struct blob_tag>;

/// Builds an id. `random` must come from ports::random.
template <class Id>
[[nodiscard]] constexpr Id make_id(utc_ms now, std::uint16_t shard, std::uint64_t random) noexcept {
  return Id{static_cast<std::uint64_t>(now.value) << 16 | shard, random};
}

namespace detail {
[[nodiscard]] std::string id_to_text(std::uint64_t high, std::uint64_t low);
/// Accepts exactly 26 characters of the alphabet, either case, value below 2^128.
[[nodiscard]] bool id_from_text(std::string_view text, std::uint64_t& high, std::uint64_t& low) noexcept;
}  // namespace detail

template <class Tag>
[[nodiscard]] std::string to_string(const basic_id<Tag>& id) {
  return detail::id_to_text(id.high, id.low);
}

template <class Id>
[[nodiscard]] std::optional<Id> parse_id(std::string_view text) noexcept {
  Id id;
  if (!detail::id_from_text(text, id.high, id.low)) return std::nullopt;
  return id;
}

/// For wire and disk codecs (core/codec.hpp) and for CAF, which finds it by argument-dependent lookup.
template <class Inspector, class Tag>
typename Inspector::result_type inspect(Inspector& f, basic_id<Tag>& x) {
  return f(x.high, x.low);
}

/// The fencing token of a lease: a later grant of the same work has a greater epoch. `generation` is kept by the storage
/// nodes, so a scheduler that lost its disk never reuses one; `counter` is the scheduler's own.
struct epoch {
  std::uint32_t generation = 0;
  std::uint32_t counter = 0;
  friend constexpr auto operator<=>(const epoch&, const epoch&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, epoch& x) {
  return f(x.generation, x.counter);
}
[[nodiscard]] std::string to_string(epoch e);

/// A node's configured name ("storage-0"); unique in a cluster, stable over restarts. 1..63 of [a-z0-9-].
using node_name = std::string;
inline constexpr std::size_t node_name_size_max = 63;
[[nodiscard]] bool is_valid_node_name(std::string_view name) noexcept;

}  // namespace latham

template <class Tag>
struct std::hash<latham::basic_id<Tag>> {
  std::size_t operator()(const latham::basic_id<Tag>& id) const noexcept { return id.low ^ (id.high * 0x9e3779b97f4a7c15ull); }
};
