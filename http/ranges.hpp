// Conditional and range requests (RFC 9110, sections 13 and 14) as a pure function: which bytes, and which status.
//
// One range only: answering several costs memory and has no user among players; a request with several gets the whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace latham::http {

struct range_request {
  std::optional<std::string> range;          // "bytes=0-99"
  std::optional<std::string> if_range;       // an entity tag, in quotes
  std::optional<std::string> if_none_match;  // tags, or "*"
};

struct range_answer {
  int status = 200;           // 200, 206, 304 or 416
  std::uint64_t offset = 0;   // of the body, for 200 and 206
  std::uint64_t bytes = 0;
  std::string content_range;  // for 206 and 416
};

/// `etag` without quotes; `size` of the whole.
[[nodiscard]] range_answer answer_range(const range_request& request, std::string_view etag, std::uint64_t size);

}  // namespace latham::http
