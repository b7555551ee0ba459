#include "net/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace latham::net {

namespace {

constexpr std::size_t read_bytes = 64 * 1024;

template <class Handle>
struct plain_state : std::enable_shared_from_this<plain_state<Handle>> {
  Handle socket;
  std::shared_ptr<stream_events> events;  // shared: a callback keeps its own copy while it runs
  bool closed = false;                    // by the owner: no callback any more
  bool ended = false;
  bool reading = false;
  bool paused = false;

  struct request {
    uv_write_t uv{};
    std::vector<buffer> parts;
    std::shared_ptr<plain_state> self;
  };

  void read() {
    if (reading || paused || ended || closed) return;
    socket.get()->data = this;
    const int rc = uv_read_start(
        socket.stream(),
        [](uv_handle_t*, std::size_t, uv_buf_t* out) {
          // One buffer per thread: libuv reads and calls back at once, and nobody keeps the bytes.
          thread_local std::array<char, read_bytes> memory;
          *out = uv_buf_init(memory.data(), static_cast<unsigned>(memory.size()));
        },
        [](uv_stream_t* s, ssize_t count, const uv_buf_t* bytes) {
          const auto self = static_cast<plain_state*>(s->data)->shared_from_this();
          if (count < 0) return self->end(uv_error(static_cast<int>(count), "the stream ended"));
          if (count == 0) return;
          const auto callbacks = self->events;
          if (callbacks && callbacks->on_bytes)
            callbacks->on_bytes({reinterpret_cast<const std::uint8_t*>(bytes->base), static_cast<std::size_t>(count)});
        });
    if (rc == 0) reading = true;
  }

  void stop_reading() {
    if (!reading) return;
    uv_read_stop(socket.stream());
    reading = false;
  }

  void end(const error& why) {
    if (ended || closed) return;
    ended = true;
    stop_reading();
    const auto callbacks = events;
    if (callbacks && callbacks->on_end) callbacks->on_end(why);
  }

  void write(std::span<const buffer> parts) {
    if (closed || ended) return;
    std::vector<buffer> rest;
    for (const auto& part : parts) {
      if (!part.empty()) rest.push_back(part);
    }
    if (rest.empty()) return;
    auto raw = raw_buffers(rest);
    const int taken = uv_try_write(socket.stream(), raw.data(), static_cast<unsigned>(raw.size()));
    if (taken > 0) {
      auto left = static_cast<std::size_t>(taken);
      std::size_t first = 0;
      while (first < rest.size() && left >= rest[first].size()) left -= rest[first++].size();
      if (first == rest.size()) return;
      rest.erase(rest.begin(), rest.begin() + static_cast<std::ptrdiff_t>(first));
      rest[0] = rest[0].slice(left, rest[0].size());
    }
    auto pending = std::make_unique<request>();
    pending->parts = std::move(rest);
    pending->self = this->shared_from_this();
    pending->uv.data = pending.get();
    raw = raw_buffers(pending->parts);
    const int rc = uv_write(&pending->uv, socket.stream(), raw.data(), static_cast<unsigned>(raw.size()), [](uv_write_t* w, int status) {
      const std::unique_ptr<request> done{static_cast<request*>(w->data)};
      const auto self = done->self;
      if (self->closed) return;
      if (status < 0) return self->end(uv_error(status, "cannot write to the stream"));
      const auto callbacks = self->events;
      if (callbacks && callbacks->on_drained) callbacks->on_drained();
    });
    if (rc == 0) (void)pending.release();  // the callback owns it
    // Else the descriptor is gone, and reading reports that.
  }

  static std::vector<uv_buf_t> raw_buffers(const std::vector<buffer>& parts) {
    std::vector<uv_buf_t> raw;
    raw.reserve(parts.size());
    for (const auto& part : parts)
      raw.push_back(uv_buf_init(const_cast<char*>(reinterpret_cast<const char*>(part.data())), static_cast<unsigned>(part.size())));
    return raw;
  }
};

template <class Handle>
class plain_stream final : public stream {
public:
  explicit plain_stream(Handle socket) : state_{std::make_shared<plain_state<Handle>>()} {
    state_->socket = std::move(socket);
    state_->socket.get()->data = state_.get();
  }
  ~plain_stream() override {
    state_->closed = true;
    state_->events.reset();
    state_->socket.reset();
  }
  void start(stream_events events) override {
    state_->events = std::make_shared<stream_events>(std::move(events));
    state_->read();
  }
  void pause_reading(bool paused) override {
    state_->paused = paused;
    if (paused) {
      state_->stop_reading();
    } else if (state_->events) {
      state_->read();
    }
  }
  void write(std::span<const buffer> parts) override { state_->write(parts); }
  std::size_t bytes_queued() const noexcept override { return uv_stream_get_write_queue_size(state_->socket.stream()); }
  int duplicate_descriptor() const noexcept override {
    uv_os_fd_t fd = -1;
    if (uv_fileno(state_->socket.base(), &fd) < 0) return -1;
    return ::fcntl(fd, F_DUPFD_CLOEXEC, 0);
  }

private:
  std::shared_ptr<plain_state<Handle>> state_;  // shared with callbacks and writes under way
};

}  // namespace

std::unique_ptr<stream> make_stream(tcp_handle connected) {
  uv_tcp_nodelay(connected.get(), 1);
  return std::make_unique<plain_stream<tcp_handle>>(std::move(connected));
}

std::unique_ptr<stream> make_stream(pipe_handle connected) {
  return std::make_unique<plain_stream<pipe_handle>>(std::move(connected));
}

expected<std::unique_ptr<stream>> open_tcp_stream(loop& where, int fd) {
  descriptor owned{fd};
  auto made = tcp_handle::make([&](uv_tcp_t* t) { return uv_tcp_init(where.raw(), t); });
  if (!made) return std::move(made).error();
  if (const int rc = uv_tcp_open(made->get(), fd); rc < 0) return uv_error(rc, "adopt a connection");
  (void)owned.release();
  return make_stream(std::move(*made));
}

expected<std::unique_ptr<stream>> open_pipe_stream(loop& where, int fd) {
  descriptor owned{fd};
  auto made = pipe_handle::make([&](uv_pipe_t* p) { return uv_pipe_init(where.raw(), p, 0); });
  if (!made) return std::move(made).error();
  if (const int rc = uv_pipe_open(made->get(), fd); rc < 0) return uv_error(rc, "adopt a socket");
  (void)owned.release();
  return make_stream(std::move(*made));
}

void descriptor::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

expected<socket_pair> make_socket_pair(bool blocking_theirs) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    const auto code = errno == EMFILE || errno == ENFILE || errno == ENOBUFS ? errc::limited : errc::io;
    return {code, std::string{"make a socket pair: "} + std::strerror(errno)};
  }
  socket_pair made{descriptor{ends[0]}, descriptor{ends[1]}};
  if (blocking_theirs) ::fcntl(ends[1], F_SETFL, ::fcntl(ends[1], F_GETFL) & ~O_NONBLOCK);
  return made;
}

}  // namespace latham::net
