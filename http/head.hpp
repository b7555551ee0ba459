// The head of a request, read strictly: a pure function from bytes to what they mean.
//
// libhttp-parser does the grammar. On top of it this file refuses whatever two programs in a row could read differently,
// because that is how one request is smuggled inside another: both Content-Length and Transfer-Encoding, several lengths,
// a coding other than exactly "chunked", line feeds without carriage return, folded lines, no Host or several.
//
// Heads are scanned on the loop's thread: the cost is one pass over at most 16 KiB, and until the end of the head is there
// only the new bytes are looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::http {

inline constexpr std::size_t head_fields_max = 100;
inline constexpr std::size_t target_bytes_max = 4096;

struct request_head {
  std::string method;
  std::string target;                                       // origin form: starts with '/', or "*"
  bool http_1_0 = false;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case, in order
  std::size_t bytes = 0;                                    // with the empty line, and empty lines before it
  bool chunked = false;
  std::optional<std::uint64_t> content_length;
  bool keep_alive = false;
  bool expects_continue = false;

  /// The first field called `name` (lower case); nothing: not there.
  [[nodiscard]] const std::string* field(std::string_view name) const noexcept;
  /// The target up to '?'.
  [[nodiscard]] std::string_view path() const noexcept;
  [[nodiscard]] bool has_body() const noexcept { return chunked || content_length.value_or(0) > 0; }
};

struct head_scan {
  enum class state : std::uint8_t { incomplete, complete, refused };
  state what = state::incomplete;
  request_head head;  // complete
  int status = 0;     // refused: 400, 414, 431, 501 or 505
  std::string why;    // refused: one sentence for a person
};

/// Looks at all bytes since the last request; `seen` of them were looked at before without an end.
[[nodiscard]] head_scan scan_head(std::string_view bytes, std::size_t seen = 0);

[[nodiscard]] bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

}  // namespace latham::http
