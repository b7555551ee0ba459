// The way out: TCP connection, preamble, answer. It hands over a stream on which the peer is known and has agreed.
// TLS comes between the connection and the preamble, as a stream that wraps the one made here; until then addresses
// beyond this host are refused, because a claimed name is no proof.
//
// On the loop's thread.
#pragma once

#include "core/ports/peer_links.hpp"
#include "net/address_lookup.hpp"
#include "net/loop.hpp"
#include "net/preamble.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace latham::net {

struct dialer_options {
  node_name self;
  milliseconds lookup_deadline{2000};
  milliseconds connect_deadline{1000};    // for each address
  milliseconds handshake_deadline{2000};
};

struct dialed {
  std::unique_ptr<stream> connection;  // paused: start it, handle `early`, resume reading
  std::string early;                   // what the peer sent right after its answer
};

/// One attempt; destroying it cancels, and no callback follows.
class dial_attempt {
public:
  /// Tries the endpoints one after the other until one answers. `done` is called once, never inside this call; it may
  /// destroy the attempt. Fails with unavailable, timeout, invalid_argument (wrong name; beyond this host without TLS),
  /// newer_format, limited. `lookup` outlives the attempt.
  dial_attempt(loop& where, address_lookup& lookup, const dialer_options& options, std::vector<ports::endpoint> endpoints, stream_kind kind,
               node_name expected_name, std::function<void(expected<dialed>)> done);
  ~dial_attempt();
  dial_attempt(const dial_attempt&) = delete;
  dial_attempt& operator=(const dial_attempt&) = delete;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with callbacks under way
};

}  // namespace latham::net
