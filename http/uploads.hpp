// POST /api/v1/videos: a body becomes an upload, as a stream. Bytes are collected to pieces of 1 MiB and handed to the
// service with a few under way at a time; when they are not acknowledged fast enough the socket is simply not read, and
// TCP tells the client. A client that leaves takes its upload with it: there is no way to resume one of these.
//
// Forms: fields first (title, ladder, priority, start, end), then one file. Fields after the file come too late and are refused rather
// than silently ignored. A raw body (video/* or application/octet-stream) takes its fields from the query.
#pragma once

#include "core/ports/service.hpp"
#include "http/exchange.hpp"

#include <atomic>

namespace latham::http {

struct upload_options {
  std::uint64_t bytes_max = 64 * gib;
  std::size_t piece_bytes = 1 * mib;
  std::size_t pieces_in_flight_max = 8;
  milliseconds call_deadline{30'000};   // of create and of progress of appends
  milliseconds finish_deadline{120'000};
};

class uploads {
public:
  uploads(ports::service& service, upload_options options) : service_{service}, options_{options} {}
  /// Handler of the route: 201 with Location and the video.
  void post(exchange& x) const;

private:
  void post_form(exchange& x, std::string_view boundary) const;
  void post_raw(exchange& x) const;

  ports::service& service_;
  upload_options options_;
};

/// "256x144 640x360", separated by blanks or commas. Fails with invalid_argument.
[[nodiscard]] expected<std::vector<rung>> parse_ladder(std::string_view text);
/// "low", "normal" or "high". Fails with invalid_argument.
[[nodiscard]] expected<priority_class> parse_priority(std::string_view text);

}  // namespace latham::http
