// The connection layer of an HTTP server: accepts, keeps idle connections and those that are still sending a head on one
// loop, and gives a connection to a thread only when there is a whole request head to work on.
//
// Why not a thread per connection: idle clients, slow heads and event streams would each hold one, and a few hundred of
// them would stop everybody else. Here they cost a few hundred bytes. A thread is held only while a request runs, on one
// of several bounded *lanes*, so that slow uploads or slow downloads cannot use up the threads that answer small questions.
// Event streams live on the loop for all their life: their output is bounded and a reader that is too slow is dropped.
//
// What this file knows of HTTP: nothing. The handler (http/server.cpp) looks at the bytes and says what to do with them.
//
// Life of a connection: reading -> (queued -> running -> reading)* -> lingering -> closed, or reading -> streaming ->
// closed. Descriptors are opened and closed on the loop's thread only, so a number is never reused under a thread's feet.
// Lingering: after our last byte the sending side is shut and what still comes is thrown away for a while, because closing
// a socket with unread bytes resets it and the client might lose the answer that says why.
//
// This header must not show libuv: it is included outside net/.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"
#include "core/units.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace latham::net {

class connection_server;

struct peer_address {
  std::string host;  // numeric; an IPv4 client on an IPv6 socket does not happen (sockets are one family each)
  std::uint16_t port = 0;
};

/// A connection as the thread that runs its request sees it: blocking reads and writes with deadlines. One thread at a time.
class connection {
public:
  enum class io : std::uint8_t { ok, closed, timed_out };
  struct io_result {
    io status = io::ok;
    std::size_t bytes = 0;
  };

  /// Bytes that came and were not consumed; the handler consumes a head by erasing it. `read` takes from here first.
  [[nodiscard]] std::string& inbox() noexcept { return inbox_; }
  /// At most `bytes_max` bytes; `ok` with 0 bytes does not happen. `waited` (optional) is given the time spent waiting.
  [[nodiscard]] io_result read(char* into, std::size_t bytes_max, milliseconds timeout, nanoseconds* waited = nullptr);
  /// Writes all of both pieces in as few packets as can be. `timeout` is the longest time without any progress; the whole
  /// takes at most `timeout` + 1 s per 16 KiB, so a reader that takes single bytes does not hold a thread for ever.
  [[nodiscard]] io write(std::string_view first, std::string_view second, milliseconds timeout);

  [[nodiscard]] const peer_address& peer() const noexcept { return peer_; }
  /// True when the server is draining: this answer should be the connection's last.
  [[nodiscard]] bool last_request() const noexcept;

protected:
  friend class connection_server;
  connection() = default;
  ~connection() = default;

  int fd_ = -1;
  peer_address peer_;
  std::string inbox_;
  const connection_server* server_ = nullptr;
};

using stream_id = std::uint64_t;

/// What to do with the bytes that a connection has sent since its last request.
struct connection_decision {
  enum class action : std::uint8_t { more, refuse, dispatch, stream };
  action then = action::more;
  std::string response;          // refuse: said before the connection is closed; stream: said first
  std::size_t lane = 0;          // dispatch: which one
  std::size_t bytes_needed = 0;  // dispatch: not before so many bytes are in the inbox (head and a small body)
};

enum class connection_refusal : std::uint8_t { head_too_large, head_too_slow, lane_full, too_many_connections };

/// Implemented by http. Calls marked "loop" come on the loop's thread and must be short and must not block.
class connection_handler {
public:
  virtual ~connection_handler() = default;
  /// Loop. `bytes` is all of the inbox, `seen` of them were shown before.
  [[nodiscard]] virtual connection_decision on_bytes(std::string_view bytes, std::size_t seen, const peer_address& peer) = 0;
  /// Loop. The whole response to a connection that is turned away.
  [[nodiscard]] virtual std::string refusal(connection_refusal why) = 0;
  /// On a lane's thread: runs one request. False: close the connection after what was written.
  [[nodiscard]] virtual bool serve(connection& c) = 0;
  /// Loop. `head`: the bytes on which `stream` was decided.
  virtual void on_stream(stream_id id, std::string head) = 0;
  /// Loop. What was queued for the stream has left this process.
  virtual void on_stream_drained(stream_id id) = 0;
  /// Loop. Gone, for whatever reason; not when `send` or `close_stream` ended it, whose caller knows.
  virtual void on_stream_closed(stream_id id) = 0;
  /// Loop. The time asked for with `wake_after` has come.
  virtual void on_wake() = 0;
};

struct lane_options {
  std::string name;               // 10 characters at most: names its threads
  std::size_t threads = 8;
  std::size_t queue_max = 256;    // requests waiting for a thread; beyond that `refusal(lane_full)`
};

struct connection_limits {
  std::size_t head_bytes_max = 16 * kib;
  std::size_t gathered_bytes_max = 96 * kib;       // head and small body on the loop; greater `bytes_needed` are dispatched at once
  milliseconds head_deadline{10'000};              // first to last byte of a head (and of a small body), however it trickles
  milliseconds idle_deadline{60'000};
  milliseconds linger_deadline{5'000};
  std::uint64_t linger_bytes_max = 64 * mib;
  std::size_t connections_max = 20'000;            // lowered to what the process may open
  std::size_t connections_per_address_max = 4'096; // IPv4 address or IPv6 /64; an ingress is one address
  std::size_t stream_backlog_bytes_max = 256 * kib;
};

struct connection_counts {
  std::uint64_t open = 0;
  std::uint64_t streams = 0;
  std::uint64_t running = 0;   // on lanes, queued or in work
  std::uint64_t accepted = 0;  // total
  std::uint64_t refused = 0;   // total
  std::uint64_t dropped_streams = 0;  // total: readers that were too slow
};

class connection_server {
public:
  /// `handler` outlives the server.
  connection_server(connection_handler& handler, std::vector<lane_options> lanes, connection_limits limits);
  /// Drains with no patience if that was not done.
  ~connection_server();
  connection_server(const connection_server&) = delete;
  connection_server& operator=(const connection_server&) = delete;

  /// Binds and listens on a numeric IPv4 or IPv6 address; port 0 takes a free one. Answers the port. Before `start`.
  /// Fails with conflict (in use), unsupported (no such family here), invalid_argument, io.
  [[nodiscard]] expected<std::uint16_t> listen(const std::string& address, std::uint16_t port);
  /// Starts loop and lanes.
  [[nodiscard]] expected<void> start();

  /// Stops accepting, closes idle connections and streams, lets running requests finish until `deadline`, then cuts them
  /// off, and joins all threads. True when nothing had to be cut off. Idempotent; any thread but ours.
  bool drain(milliseconds deadline);
  [[nodiscard]] bool draining() const noexcept;

  /// Runs on the loop's thread later. False when stopping. Any thread.
  bool post(std::function<void()> work);
  /// Calls handler.on_wake() once after `delay`; replaces an earlier request. Loop.
  void wake_after(milliseconds delay);
  /// Queues bytes for a stream. False when it is gone, also when this made it too slow to live. Loop.
  bool send(stream_id id, buffer bytes);
  /// Bytes queued; 0 when gone. Loop.
  [[nodiscard]] std::size_t backlog(stream_id id) const;
  void close_stream(stream_id id);

  /// Any thread.
  [[nodiscard]] connection_counts counts() const;

private:
  struct implementation;
  std::unique_ptr<implementation> self_;
};

}  // namespace latham::net
