// The public HTTP server: the page, the API and the media, on top of ports::service. And the admin server, which answers
// operators and orchestrators on a port of its own, so that a busy public side never makes a node look dead.
#pragma once

#include "core/ports/metrics.hpp"
#include "core/ports/service.hpp"
#include "http/events.hpp"
#include "http/media.hpp"
#include "http/site.hpp"
#include "http/uploads.hpp"

#include <memory>
#include <string>
#include <vector>

namespace latham::http {

struct server_options {
  std::vector<std::string> addresses = {"0.0.0.0", "::"};  // numeric
  std::uint16_t port = 8000;                               // 0: any free one
  std::string token;                                       // not empty: /api asks for "Authorization: Bearer <token>"
  std::string version = "0.0.0";                           // for GET /version
  std::string event_epoch;                                 // unique per start of the process, [a-z0-9]; empty: from the clock
  upload_options upload;
  media_options media;
  event_options events;
  site_options site;
  milliseconds call_deadline{10'000};                      // of other calls of the service
};

/// The routes of the public server. `service` outlives what is returned. Exposed so that a test can hold it against
/// openapi.yaml.
[[nodiscard]] router make_routes(ports::service& service, const server_options& options);

class http_server {
public:
  explicit http_server(server_options options);
  ~http_server();
  http_server(const http_server&) = delete;
  http_server& operator=(const http_server&) = delete;

  /// Listens and serves. `service` and `numbers` outlive this object. Answers the port. Fails with conflict when the
  /// port is taken, invalid_argument for a bad address, io.
  [[nodiscard]] expected<std::uint16_t> start(ports::service& service, ports::metrics& numbers);

  /// Stops accepting, ends event streams and idle connections, lets running requests finish until `deadline`, cuts off the
  /// rest (their uploads are aborted), and returns when no thread uses `service` any more. True when nothing was cut off.
  bool drain(milliseconds deadline);

  [[nodiscard]] net::connection_counts counts() const;

private:
  class running;
  server_options options_;
  std::unique_ptr<running> running_;
};

/// 401 when `token` is set and the head does not carry it; compares in constant time.
[[nodiscard]] std::optional<problem> check_token(const std::string& token, const request_head& head);

}  // namespace latham::http
