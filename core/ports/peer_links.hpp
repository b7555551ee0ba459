// Control streams to other nodes. Production: net dials and accepts TCP (TLS beyond loopback), learns the peer's name,
// and hands over one end of a socketpair per stream; CAF never sees the network. Simulation: test-multiplexer
// connections. Either way the actors attach `stream.handle` to CAF through the environment (actors/env.hpp).
#pragma once

#include "core/ids.hpp"
#include "core/ports/completion.hpp"

#include <cstdint>
#include <functional>
#include <string>

namespace latham::ports {

struct endpoint {
  std::string host;        // name or address
  std::uint16_t port = 0;
  friend bool operator==(const endpoint&, const endpoint&) = default;
};

struct control_stream {
  std::uint64_t id = 0;     // unique in this process; for close() and logs
  node_name peer;           // verified where TLS is on, claimed on loopback without it
  std::int64_t handle = -1; // production: a descriptor whose ownership passes to the receiver
};

class peer_links {
public:
  virtual ~peer_links() = default;
  /// Called for every accepted stream, on the port's thread. Set once, before start.
  virtual void on_accept(std::function<void(control_stream)> accepted) = 0;
  /// Connect deadline 1 s, handshake 2 s. Fails with unavailable, timeout, or invalid_argument (wrong name).
  virtual void dial(endpoint where, node_name expected, completion<control_stream> done) = 0;
  /// Ends a stream; both sides see it close. Unknown ids are ignored.
  virtual void close(std::uint64_t stream_id) = 0;
};

}  // namespace latham::ports
