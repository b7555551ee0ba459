// One listening HTTP site: connection layer, front and routes put together. The public server and the admin server are two
// of these. Here is decided what a head means before a thread is spent on it: whose threads, or the loop's own (streams).
#pragma once

#include "http/front.hpp"
#include "http/router.hpp"
#include "net/connection_server.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace latham::http {

/// Owns the streams of a site. All calls come on the loop's thread.
class stream_owner {
public:
  virtual ~stream_owner() = default;
  virtual void on_open(net::stream_id id, const request_head& head) = 0;
  virtual void on_drained(net::stream_id id) = 0;
  virtual void on_closed(net::stream_id id) = 0;
  virtual void on_wake() = 0;
};

struct site_options {
  net::connection_limits limits;
  front_options front;
  std::size_t api_threads = 16;
  std::size_t media_threads = 16;   // each may be held by a slow reader of a segment
  std::size_t upload_threads = 32;  // uploads at one time
  std::size_t queue_max = 256;      // of each lane
  std::size_t streams_max = 12'000;
  std::uint64_t small_body_bytes_max = 64 * kib;  // read on the loop, so that a trickling one holds no thread
};

class site final : net::connection_handler {
public:
  struct callbacks {
    /// A problem refuses the request before its body is read. Called on the loop and on lanes.
    std::function<std::optional<problem>(const route&, const request_head&)> guard;
    /// Told of each answer: the route's name ("none" for no route), status, time, and bytes of the request's body.
    std::function<void(std::string_view route, int status, nanoseconds took, std::uint64_t body_bytes)> observe;
    /// Paths without a route, for GET (the page).
    std::function<bool(exchange&)> fallback;
  };

  site(router routes, site_options options, callbacks calls);
  ~site() override;

  /// Set before `start`, when there are stream routes.
  void set_streams(stream_owner& owner) { streams_ = &owner; }
  /// "::" that the machine cannot do is left out when another address worked. Answers the port.
  [[nodiscard]] expected<std::uint16_t> start(const std::vector<std::string>& addresses, std::uint16_t port);
  bool drain(milliseconds deadline);
  [[nodiscard]] net::connection_server& connections() noexcept { return connections_; }
  [[nodiscard]] const router& routes() const noexcept { return routes_; }

private:
  net::connection_decision on_bytes(std::string_view bytes, std::size_t seen, const net::peer_address& peer) override;
  std::string refusal(net::connection_refusal why) override;
  bool serve(net::connection& c) override;
  void on_stream(net::stream_id id, std::string head) override;
  void on_stream_drained(net::stream_id id) override;
  void on_stream_closed(net::stream_id id) override;
  void on_wake() override;
  void answer(exchange& x);

  router routes_;
  site_options options_;
  callbacks calls_;
  stream_owner* streams_ = nullptr;
  front front_;
  net::connection_server connections_;
};

}  // namespace latham::http
