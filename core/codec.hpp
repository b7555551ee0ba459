// The CAF-free codec of everything that is stored or framed: records, outbox entries, the codec child's protocol, the
// data plane. One `inspect(f, x)` per type lists its fields; this file's writer and reader use it, and so does CAF for
// messages, whose own encoding is never a disk format.
//
// Encoding: integers little-endian and fixed width; bool and enums as their integer; strings and vectors as u32 count
// then elements; std::array and nested types field by field. Reading is strict: every count is checked against what is
// left before anything is allocated, and enums must be validated by their owner afterwards (`validate` hook).
//
// A record on disk is an envelope {magic u8, format u8, reserved u16, length u32, crc32c u32} + payload; see `seal_record`.
#pragma once

#include "core/digest.hpp"
#include "core/expected.hpp"

#include <array>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace latham {

namespace detail {
template <class T>
inline constexpr bool is_plain = std::is_integral_v<T> || std::is_enum_v<T>;
}

class byte_writer {
public:
  using result_type = void;
  static constexpr bool reads_state = true;
  static constexpr bool writes_state = false;

  template <class... Ts>
  void operator()(const Ts&... xs) {
    (put(xs), ...);
  }

  [[nodiscard]] const std::string& bytes() const noexcept { return out_; }
  [[nodiscard]] std::string take() noexcept { return std::move(out_); }

private:
  template <class T>
  void put(const T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      out_ += x ? '\1' : '\0';
    } else if constexpr (std::is_enum_v<T>) {
      put(static_cast<std::underlying_type_t<T>>(x));
    } else if constexpr (std::is_integral_v<T>) {
      auto u = static_cast<std::make_unsigned_t<T>>(x);
      for (std::size_t i = 0; i < sizeof(T); ++i) out_ += static_cast<char>(u >> (8 * i) & 0xff);
    } else {
      inspect(*this, const_cast<T&>(x));  // inspect takes a reference to mutable for the reader's sake; we only read
    }
  }
  void put(const std::string& x) {
    put(static_cast<std::uint32_t>(x.size()));
    out_ += x;
  }
  template <class T>
  void put(const std::vector<T>& xs) {
    put(static_cast<std::uint32_t>(xs.size()));
    for (const auto& x : xs) put(x);
  }
  template <class T, std::size_t N>
  void put(const std::array<T, N>& xs) {
    for (const auto& x : xs) put(x);
  }
  template <class A, class B>
  void put(const std::pair<A, B>& x) {
    put(x.first);
    put(x.second);
  }

  std::string out_;
};

/// Reads what byte_writer wrote. After a short or lying input `ok()` is false and the rest of the fields keep their
/// defaults; nothing throws and nothing larger than the input is allocated.
class byte_reader {
public:
  using result_type = void;
  static constexpr bool reads_state = false;
  static constexpr bool writes_state = true;

  explicit byte_reader(std::string_view in) : in_{in} {}

  template <class... Ts>
  void operator()(Ts&... xs) {
    (get(xs), ...);
  }

  [[nodiscard]] bool ok() const noexcept { return ok_; }
  /// True when the input was well-formed and nothing is left over.
  [[nodiscard]] bool complete() const noexcept { return ok_ && in_.empty(); }
  [[nodiscard]] std::string_view rest() const noexcept { return in_; }

private:
  template <class T>
  void get(T& x) {
    if constexpr (std::is_same_v<T, bool>) {
      std::uint8_t u = 0;
      get(u);
      if (u > 1) ok_ = false;
      x = u == 1;
    } else if constexpr (std::is_enum_v<T>) {
      std::underlying_type_t<T> u{};
      get(u);
      x = static_cast<T>(u);
    } else if constexpr (std::is_integral_v<T>) {
      if (!ok_ || in_.size() < sizeof(T)) {
        ok_ = false;
        return;
      }
      std::make_unsigned_t<T> u = 0;
      for (std::size_t i = 0; i < sizeof(T); ++i)
        u = static_cast<std::make_unsigned_t<T>>(u | static_cast<std::make_unsigned_t<T>>(static_cast<std::uint8_t>(in_[i])) << (8 * i));
      in_.remove_prefix(sizeof(T));
      x = static_cast<T>(u);
    } else {
      inspect(*this, x);
    }
  }
  void get(std::string& x) {
    std::uint32_t size = 0;
    get(size);
    if (!ok_ || size > in_.size()) {
      ok_ = false;
      return;
    }
    x.assign(in_.substr(0, size));
    in_.remove_prefix(size);
  }
  template <class T>
  void get(std::vector<T>& xs) {
    std::uint32_t count = 0;
    get(count);
    // Every element takes at least one byte, so a count above what is left is a lie.
    if (!ok_ || count > in_.size()) {
      ok_ = false;
      return;
    }
    xs.clear();
    for (std::uint32_t i = 0; i < count && ok_; ++i) {
      T x{};
      get(x);
      if (ok_) xs.push_back(std::move(x));
    }
  }
  template <class T, std::size_t N>
  void get(std::array<T, N>& xs) {
    for (auto& x : xs) get(x);
  }
  template <class A, class B>
  void get(std::pair<A, B>& x) {
    get(x.first);
    get(x.second);
  }

  std::string_view in_;
  bool ok_ = true;
};

template <class T>
[[nodiscard]] std::string encode(const T& x) {
  byte_writer writer;
  writer(x);
  return writer.take();
}

/// Fails with errc::corrupt on short, lying or over-long input.
template <class T>
[[nodiscard]] expected<T> decode(std::string_view bytes) {
  T x{};
  byte_reader reader{bytes};
  reader(x);
  if (!reader.complete()) return {errc::corrupt, "bytes do not decode as the expected type"};
  return x;
}

inline constexpr std::uint8_t record_magic = 0x4c;  // 'L'
inline constexpr std::size_t record_header_bytes = 12;

/// Wraps a payload for disk. `format` is the version of the payload's type.
[[nodiscard]] std::string seal_record(std::uint8_t format, std::string_view payload);

struct opened_record {
  std::uint8_t format = 0;
  std::string_view payload;  // points into the argument of open_record
};
/// Fails with errc::corrupt for a wrong magic, length or checksum.
[[nodiscard]] expected<opened_record> open_record(std::string_view bytes);

/// A typed record: `T::record_format` is what this build writes. A newer format is refused with errc::newer_format and
/// the remedy; there are no older ones yet.
template <class T>
[[nodiscard]] std::string to_record(const T& x) {
  return seal_record(T::record_format, encode(x));
}
template <class T>
[[nodiscard]] expected<T> from_record(std::string_view bytes) {
  auto opened = open_record(bytes);
  if (!opened) return std::move(opened).error();
  if (opened->format > T::record_format)
    return {errc::newer_format, "a record was written by a newer version of latham; upgrade this node"};
  if (opened->format < T::record_format)
    return {errc::corrupt, "a record was written by an unreleased older version of latham; start with an empty data directory"};
  return decode<T>(opened->payload);
}

}  // namespace latham
