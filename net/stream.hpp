// A byte stream on a loop: what TCP, a socketpair and (one layer up) TLS have in common. The code above it, framing and
// pumping, does not know which one it has; TLS slots in as one more implementation that wraps another stream.
//
// Everything on the loop's thread. A stream may be destroyed inside any of its own callbacks.
#pragma once

#include "core/buffer.hpp"
#include "core/expected.hpp"
#include "net/loop.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace latham::net {

struct stream_events {
  std::function<void(std::span<const std::uint8_t>)> on_bytes;
  /// Once, and nothing after it: the peer closed (errc::unavailable) or the stream failed. Never inside a call of ours.
  std::function<void(const error&)> on_end;
  /// After a write that had to wait, each time the kernel takes more: look at `bytes_queued`.
  std::function<void()> on_drained;
};

class stream {
public:
  /// Closes at once: what the kernel has not taken is lost. No callback follows.
  virtual ~stream() = default;
  /// Begins to read. Called again, it hands the stream to a new owner: the old events are never called again.
  virtual void start(stream_events events) = 0;
  /// Stops or resumes reading: back-pressure on the peer.
  virtual void pause_reading(bool paused) = 0;
  /// Queues the parts, in order. The caller looks at `bytes_queued` and stops producing; there is no other limit.
  virtual void write(std::span<const buffer> parts) = 0;
  void write(const buffer& bytes) { write(std::span{&bytes, 1}); }
  /// Bytes written that the kernel has not taken.
  [[nodiscard]] virtual std::size_t bytes_queued() const noexcept = 0;
  /// A copy of the descriptor, or -1: to move a plain connection to another loop. The caller owns it.
  [[nodiscard]] virtual int duplicate_descriptor() const noexcept = 0;
};

/// A connected TCP handle, or a pipe handle opened on one end of a socketpair.
[[nodiscard]] std::unique_ptr<stream> make_stream(tcp_handle connected);
[[nodiscard]] std::unique_ptr<stream> make_stream(pipe_handle connected);
/// A connected TCP socket, or one end of a socketpair, that no loop has yet. Takes the descriptor, also when it fails.
[[nodiscard]] expected<std::unique_ptr<stream>> open_tcp_stream(loop& where, int descriptor);
[[nodiscard]] expected<std::unique_ptr<stream>> open_pipe_stream(loop& where, int descriptor);

/// One end of a connection inside this host, for somebody who is not on a loop.
class descriptor {
public:
  descriptor() = default;
  explicit descriptor(int fd) noexcept : fd_{fd} {}
  descriptor(descriptor&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
  descriptor& operator=(descriptor&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  ~descriptor() { reset(); }
  void reset() noexcept;
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  explicit operator bool() const noexcept { return fd_ >= 0; }

private:
  int fd_ = -1;
};

struct socket_pair {
  descriptor ours;
  descriptor theirs;
};
/// Both ends non-blocking unless `blocking_theirs`, and closed on exec. Fails with limited, io.
[[nodiscard]] expected<socket_pair> make_socket_pair(bool blocking_theirs = false);

}  // namespace latham::net
