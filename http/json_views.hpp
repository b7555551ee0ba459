// The product's nouns as JSON, as served by the API and the event stream and described in openapi.yaml. One function per
// noun; no handler writes JSON by hand. Text that is not UTF-8 is mended, never refused: it is somebody's file name.
#pragma once

#include "core/model.hpp"
#include "core/ports/service.hpp"

#include <nlohmann/json_fwd.hpp>

#include <string>
#include <string_view>

namespace latham::http {

[[nodiscard]] nlohmann::ordered_json to_json_value(const video_view& v);
[[nodiscard]] std::string to_json(const video_view& v);
[[nodiscard]] std::string to_json(const ports::video_page& page);

/// "2024-05-01T12:00:00.123Z" (RFC 3339).
[[nodiscard]] std::string to_rfc3339(std::int64_t utc_ms);

/// Makes a title of what a client sent: valid UTF-8 (bad bytes become U+FFFD), no control characters, blanks trimmed,
/// title_bytes_max bytes at most without cutting a character. May be empty.
[[nodiscard]] std::string clean_title(std::string_view raw);
/// The last component of a file name with either kind of slash, cleaned.
[[nodiscard]] std::string title_of_file(std::string_view filename);

}  // namespace latham::http
