// GET and HEAD /media/{id}/...: playlists, init segments and segments, as stored. A resource is a text made just now or a
// range of a blob; both have an entity tag, so conditional and range requests are answered alike. Bytes of blobs are read
// in pieces with one read ahead, so that the store works while the client's socket is being filled.
#pragma once

#include "core/ports/service.hpp"
#include "http/exchange.hpp"

namespace latham::http {

struct media_options {
  std::uint32_t read_bytes = 1 * mib;
  milliseconds call_deadline{10'000};
};

class media {
public:
  media(ports::service& service, media_options options) : service_{service}, options_{options} {}
  /// Handler of the route: parameters are the id and the path below it.
  void get(exchange& x) const;
  /// Answers a browser that asks first, for players on other sites.
  static void preflight(exchange& x);

private:
  ports::service& service_;
  media_options options_;
};

}  // namespace latham::http
