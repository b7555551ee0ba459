// Files that are part of the program: the page and openapi.yaml. CMake compiles them in (http/embed.cmake), with their
// digests and a gzip form where that is smaller, so serving one is a look-up.
#pragma once

#include "http/exchange.hpp"

#include <span>
#include <string_view>

namespace latham::http {

struct asset {
  std::string_view path;   // "/assets/app-3f2a.js", "/index.html"
  std::string_view etag;   // sha256, hexadecimal
  std::string_view bytes;
  std::string_view gzip;   // empty: not worth it
};

/// Sorted by path.
[[nodiscard]] std::span<const asset> embedded_assets() noexcept;
[[nodiscard]] const asset* find_asset(std::string_view path) noexcept;
[[nodiscard]] std::string_view content_type_of(std::string_view path) noexcept;

/// Answers GET and HEAD of an embedded file; "/" is "/index.html". False when there is none at x.path.
bool answer_asset(exchange& x);

}  // namespace latham::http
