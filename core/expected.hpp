// Errors as values.
//
// Expected failures travel as `expected<T>`: a value or an `error` with a code that a caller can act on and a sentence
// for the person who reads it. Exceptions never cross a module border; a bug is LATHAM_ASSERT (core/assert.hpp).
// std::expected is C++23 and both compilers that we build with stop at C++20, hence this small one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace latham {

/// What went wrong, in terms of what the caller can do about it. Numbers are wire and disk format: append only.
enum class errc : std::uint8_t {
  none = 0,
  invalid_argument = 1,  // the caller sent nonsense: fix the request                                   (HTTP 400)
  not_found = 2,         // no such id                                                                  (404)
  conflict = 3,          // the thing is in a state that forbids this                                   (409)
  offset_mismatch = 4,   // an append does not start where the blob ends: ask for the offset, resume    (409)
  too_large = 5,         // beyond a configured limit                                                   (413)
  unsupported = 6,       // a container or codec that we do not read                                    (415)
  unprocessable = 7,     // readable, but not a video that can be transcoded                            (422)
  limited = 8,           // a queue or quota is full: try again later                                   (429)
  disk_full = 9,         // no space for the bytes                                                      (507)
  unavailable = 10,      // a needed peer is away: try again later                                      (503)
  timeout = 11,          // a deadline passed; the operation may or may not have happened               (504)
  fenced = 12,           // a newer epoch exists: drop the work                                         (never shown)
  corrupt = 13,          // stored bytes do not match their checksum                                    (500)
  io = 14,               // the disk or a socket failed                                                 (500)
  newer_format = 15,     // written by a newer version: upgrade this node                               (500)
  cancelled = 16,        // the caller gave up                                                          (499)
  bad_range = 17,        // a byte range outside the resource                                           (416)
  crashed = 18,          // a codec child died                                                          (never shown)
  internal = 19,         // a bug that did not have to end the process                                  (500)
};

/// Stable lower-case name ("disk_full"); used in JSON, logs and metrics.
[[nodiscard]] std::string_view to_string(errc code) noexcept;

/// True for codes after which the same request may succeed later without being changed.
[[nodiscard]] bool is_transient(errc code) noexcept;

struct error {
  errc code = errc::none;
  std::string message;  // one sentence for a person: what, and what to do; no secrets, no paths of other tenants

  friend bool operator==(const error&, const error&) = default;
};

template <class T>
class [[nodiscard]] expected {
public:
  expected(T value) : data_{std::in_place_index<0>, std::move(value)} {}
  expected(latham::error e) : data_{std::in_place_index<1>, std::move(e)} {}
  expected(errc code, std::string message) : data_{std::in_place_index<1>, latham::error{code, std::move(message)}} {}

  [[nodiscard]] bool has_value() const noexcept { return data_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }

  /// Access without a value is a bug and ends the process (std::get throws inside a noexcept frame).
  [[nodiscard]] T& value() & noexcept { return std::get<0>(data_); }
  [[nodiscard]] const T& value() const& noexcept { return std::get<0>(data_); }
  [[nodiscard]] T&& value() && noexcept { return std::get<0>(std::move(data_)); }
  T& operator*() & noexcept { return value(); }
  const T& operator*() const& noexcept { return value(); }
  T&& operator*() && noexcept { return std::move(*this).value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }

  [[nodiscard]] const latham::error& error() const& noexcept { return std::get<1>(data_); }
  [[nodiscard]] latham::error&& error() && noexcept { return std::get<1>(std::move(data_)); }

private:
  std::variant<T, latham::error> data_;
};

template <>
class [[nodiscard]] expected<void> {
public:
  expected() = default;
  expected(latham::error e) : error_{std::move(e)} {}
  expected(errc code, std::string message) : error_{code, std::move(message)} {}

  [[nodiscard]] bool has_value() const noexcept { return error_.code == errc::none; }
  explicit operator bool() const noexcept { return has_value(); }
  [[nodiscard]] const latham::error& error() const& noexcept { return error_; }
  [[nodiscard]] latham::error&& error() && noexcept { return std::move(error_); }

private:
  latham::error error_;
};

}  // namespace latham
