// The data plane's server: a node's blob store for other nodes (net/blob_protocol.hpp), beside the actors, on a loop of its
// own so that bulk never delays control messages.
//
// It trusts no length and no number: frames have a limit and a checksum, requests under way and bytes held for a stream
// have a limit beyond which it stops reading (TCP then holds the client back), silent streams are closed, and whatever is
// malformed ends its stream. The right to write is the store's to check, by token.
#pragma once

#include "core/ids.hpp"
#include "core/ports/blob_store.hpp"
#include "core/ports/log_sink.hpp"
#include "net/loop.hpp"
#include "net/stream.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>

namespace latham::net {

struct blob_server_options {
  std::size_t streams_max = 256;                     // the longest idle one makes room
  std::size_t requests_max = 32;                     // under way for one stream
  std::size_t bytes_max = 16 * 1024 * 1024;          // held for one stream: requests under way and replies not yet taken
  milliseconds idle_max{60'000};                     // without a complete request
  ports::log_sink* log = nullptr;                    // outlives the server
};

class blob_server {
public:
  /// `where`, `store` and `own` outlive this object. `own`: this node's own copies, for requests that ask for them alone; the
  /// same object as `store` on a node that keeps no copies elsewhere.
  blob_server(loop& where, ports::blob_store& store, ports::blob_store& own, blob_server_options options = {});
  /// Closes all streams. Calls on the store that are under way end without an answer to anybody.
  ~blob_server();
  blob_server(const blob_server&) = delete;
  blob_server& operator=(const blob_server&) = delete;

  /// Serves a connected TCP socket whose preamble was accepted. Any thread.
  void adopt(descriptor connection, node_name peer);

  [[nodiscard]] std::size_t streams() const noexcept;

private:
  struct state;
  std::shared_ptr<state> state_;  // shared with completions of the store
};

}  // namespace latham::net
