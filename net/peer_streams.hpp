// ports::peer_links: the control streams of a node. CAF never sees the network: each stream ends here, and CAF gets one end
// of a socketpair whose other end is pumped, in both directions with back-pressure, to the peer. On the way in every
// header is checked (net/basp_guard.hpp) before CAF sees it.
//
// This object also owns the node's cluster listener, because one port serves both planes; data connections are passed on.
#pragma once

#include "core/ports/log_sink.hpp"
#include "core/ports/peer_links.hpp"
#include "net/address_lookup.hpp"
#include "net/loop.hpp"
#include "net/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

namespace latham::net {

struct peer_streams_options {
  node_name self;
  std::optional<ports::endpoint> listen;       // nothing: this node only dials
  std::size_t streams_max = 256;
  std::size_t pending_max = 64;
  std::size_t bytes_queued_max = 256 * 1024;   // for one stream and direction; then its source is not read
  std::uint32_t frame_bytes_max = 1024 * 1024;
  milliseconds lookup_deadline{2000};
  milliseconds connect_deadline{1000};
  milliseconds handshake_deadline{2000};
  /// Takes accepted data connections, on the loop's thread. Empty: they are closed.
  std::function<void(node_name peer, descriptor connection)> on_data;
  ports::log_sink* log = nullptr;              // outlives this object
};

class peer_streams final : public ports::peer_links {
public:
  /// `where` and `lookup` outlive this object.
  peer_streams(loop& where, address_lookup& lookup, peer_streams_options options);
  /// Ends all streams and attempts; dials under way fail with errc::unavailable. Not on the loop's thread.
  ~peer_streams() override;

  void on_accept(std::function<void(ports::control_stream)> accepted) override;
  /// Listens, if so configured; answers the port (0: does not listen). Call once, after on_accept; not on the loop's thread.
  [[nodiscard]] expected<std::uint16_t> start();

  void dial(ports::endpoint where, node_name expected, ports::completion<ports::control_stream> done) override;
  void close(std::uint64_t stream_id) override;

  struct counters {
    std::size_t streams = 0;
    std::size_t pending = 0;          // connections without a complete preamble
    std::uint64_t malformed = 0;      // streams ended because of a header that CAF must not see
  };
  /// Waits for the loop's thread; for tests and metrics.
  [[nodiscard]] counters counted() const;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with closures on the loop
};

}  // namespace latham::net
