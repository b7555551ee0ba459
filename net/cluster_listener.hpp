// The way in: the one cluster port of a node. Each connection has two seconds to say who it is and what for
// (net/preamble.hpp); then it goes to the data plane or to the control plane, as a stream on which both sides agree.
//
// Newcomers are never refused because others are pending: that would let a handful of silent sockets lock every valid peer
// out. The oldest pending connection is dropped instead. Addresses beyond this host are refused until TLS proves names;
// TLS comes between the accepted connection and the preamble, as a stream that wraps the one made here.
//
// On the loop's thread, but for the constructor.
#pragma once

#include "core/ids.hpp"
#include "core/ports/log_sink.hpp"
#include "core/ports/peer_links.hpp"
#include "net/loop.hpp"
#include "net/preamble.hpp"
#include "net/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace latham::net {

struct cluster_listener_options {
  node_name self;
  ports::endpoint listen;                 // numeric host; port 0: any free one
  std::size_t pending_max = 64;           // connections whose preamble is not complete
  milliseconds handshake_deadline{2000};
  ports::log_sink* log = nullptr;         // outlives the listener
};

struct cluster_handlers {
  /// Whether there is room for one more control stream; otherwise the peer is told that the node is busy.
  std::function<bool()> control_has_room;
  /// A control stream, paused: start it and resume reading.
  std::function<void(node_name peer, std::unique_ptr<stream> connection)> on_control;
  /// A data connection, for the loop of the data plane.
  std::function<void(node_name peer, descriptor connection)> on_data;
};

class cluster_listener {
public:
  cluster_listener(loop& where, cluster_listener_options options, cluster_handlers handlers);
  /// Closes the listener and what is pending.
  ~cluster_listener();
  cluster_listener(const cluster_listener&) = delete;
  cluster_listener& operator=(const cluster_listener&) = delete;

  /// Listens; answers the port. Fails with invalid_argument (not an address; beyond this host without TLS), io.
  [[nodiscard]] expected<std::uint16_t> start();
  [[nodiscard]] std::size_t pending() const noexcept;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with callbacks under way
};

}  // namespace latham::net
