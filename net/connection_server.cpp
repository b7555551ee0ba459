#include "net/connection_server.hpp"

#include "net/loop.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <future>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

namespace latham::net {

namespace {

using steady = std::chrono::steady_clock;

constexpr auto tick = milliseconds{250};  // how exact deadlines of connections are
constexpr int accepts_per_wake = 64;
constexpr std::size_t read_bytes = 64 * kib;
constexpr std::size_t descriptors_kept_free = 512;  // for disk, peers and children of the same process

int wait_for(int fd, short events, milliseconds timeout) {
  pollfd p{fd, events, 0};
  const auto until = steady::now() + timeout;
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(until - steady::now());
    const int rc = ::poll(&p, 1, static_cast<int>(std::max<milliseconds::rep>(left.count(), 0)));
    if (rc >= 0 || errno != EINTR) return rc;
  }
}

struct bound_address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

expected<bound_address> parse_address(const std::string& address, std::uint16_t port) {
  bound_address result;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  if (::inet_pton(AF_INET, address.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(port);
    result.size = sizeof *v4;
    return result;
  }
  if (::inet_pton(AF_INET6, address.c_str(), &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    result.size = sizeof *v6;
    return result;
  }
  return {errc::invalid_argument, "not a numeric IPv4 or IPv6 address: " + address};
}

std::uint16_t port_of(const sockaddr_storage& storage) {
  return storage.ss_family == AF_INET6 ? ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port)
                                       : ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
}

peer_address peer_of(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET6)
    ::inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr, text.data(), text.size());
  else
    ::inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(storage).sin_addr, text.data(), text.size());
  return {text.data(), port_of(storage)};
}

/// What the cap per address counts by. One IPv6 host owns a whole /64, so single addresses there mean nothing.
std::string group_of(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET6)
    return {reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in6&>(storage).sin6_addr), 8};
  return {reinterpret_cast<const char*>(&reinterpret_cast<const sockaddr_in&>(storage).sin_addr), 4};
}

/// The number of descriptors this process may have, raised to `wanted` where the hard limit allows.
std::size_t raise_descriptor_limit(std::size_t wanted) {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  if (limit.rlim_cur < wanted) {
    rlimit raised = limit;
    raised.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
    if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  }
  return static_cast<std::size_t>(limit.rlim_cur);
}

}  // namespace

connection::io_result connection::read(char* into, std::size_t bytes_max, milliseconds timeout, nanoseconds* waited) {
  if (waited != nullptr) *waited = nanoseconds{0};
  if (!inbox_.empty()) {
    const auto bytes = std::min(bytes_max, inbox_.size());
    std::memcpy(into, inbox_.data(), bytes);
    inbox_.erase(0, bytes);
    return {io::ok, bytes};
  }
  const auto until = steady::now() + timeout;
  for (;;) {
    const auto got = ::recv(fd_, into, bytes_max, MSG_DONTWAIT);
    if (got > 0) return {io::ok, static_cast<std::size_t>(got)};
    if (got == 0) return {io::closed, 0};
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return {io::closed, 0};
    const auto before = steady::now();
    const auto left = std::chrono::ceil<milliseconds>(until - before);
    if (left <= milliseconds{0}) return {io::timed_out, 0};
    const int rc = wait_for(fd_, POLLIN, left);
    if (waited != nullptr) *waited += steady::now() - before;
    if (rc == 0) return {io::timed_out, 0};
    if (rc < 0) return {io::closed, 0};
  }
}

connection::io connection::write(std::string_view first, std::string_view second, milliseconds timeout) {
  const auto total = first.size() + second.size();
  const auto until = steady::now() + timeout + seconds{total / (16 * kib)};
  while (!first.empty() || !second.empty()) {
    std::array<iovec, 2> pieces{};
    std::size_t count = 0;
    for (const auto& piece : {first, second})
      if (!piece.empty()) pieces[count++] = {const_cast<char*>(piece.data()), piece.size()};
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = count;
    const auto sent = ::sendmsg(fd_, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN && errno != EWOULDBLOCK) return io::closed;
      const auto left = std::min(timeout, std::chrono::ceil<milliseconds>(until - steady::now()));
      if (left <= milliseconds{0}) return io::timed_out;
      const int rc = wait_for(fd_, POLLOUT, left);
      if (rc == 0) return io::timed_out;
      if (rc < 0) return io::closed;
      continue;
    }
    auto done = static_cast<std::size_t>(sent);
    const auto of_first = std::min(done, first.size());
    first.remove_prefix(of_first);
    second.remove_prefix(done - of_first);
  }
  return io::ok;
}

bool connection::last_request() const noexcept { return server_ != nullptr && server_->draining(); }

struct connection_server::implementation {
  enum class phase : std::uint8_t { reading, running, streaming, lingering };

  struct peer : connection {
    implementation* owner = nullptr;
    std::uint64_t id = 0;
    std::string group;
    handle<uv_poll_t> poll;
    int polled = 0;  // events asked for now
    phase where = phase::reading;
    steady::time_point deadline;
    std::size_t seen = 0;          // bytes of the inbox that the handler was shown
    bool decided = false;          // `decision` waits for a small body
    connection_decision decision;
    std::uint64_t lingered = 0;
    std::deque<buffer> out;        // streaming
    std::size_t out_offset = 0;    // in out.front()
    std::size_t out_bytes = 0;

    ~peer() {
      poll.reset();
      if (fd_ >= 0) ::close(fd_);
    }
    void give(int fd, peer_address address, const connection_server* server) {
      fd_ = fd;
      peer_ = std::move(address);
      server_ = server;
    }
    [[nodiscard]] int fd() const noexcept { return fd_; }
    std::string& bytes() noexcept { return inbox_; }
    [[nodiscard]] const peer_address& address() const noexcept { return peer_; }
  };

  struct listener {
    int fd = -1;
    handle<uv_poll_t> poll;
    implementation* owner = nullptr;
    ~listener() {
      poll.reset();
      if (fd >= 0) ::close(fd);
    }
  };

  /// A bounded queue and its threads.
  struct lane {
    lane_options options;
    std::mutex mutex;
    std::condition_variable changed;
    std::deque<peer*> queue;
    bool stopping = false;
    std::vector<std::thread> threads;
  };

  connection_server* face;
  connection_handler& handler;
  connection_limits limits;
  std::vector<std::unique_ptr<lane>> lanes;

  // On the loop's thread, or on any while it does not run.
  std::vector<std::unique_ptr<listener>> listeners;
  std::unordered_map<std::uint64_t, std::unique_ptr<peer>> peers;
  std::unordered_map<std::string, std::size_t> by_group;
  std::uint64_t next_id = 1;
  std::unique_ptr<timer> tick_timer;
  std::unique_ptr<timer> wake_timer;
  int spare_fd = -1;  // given up for a moment when descriptors run out, so that the newcomer can be turned away
  std::vector<char> scratch = std::vector<char>(read_bytes);

  std::atomic<bool> draining{false};
  std::atomic<std::uint64_t> open{0}, streams{0}, running{0}, accepted{0}, refused{0}, dropped_streams{0};
  std::mutex drain_mutex;
  std::condition_variable drain_changed;
  bool started = false;
  bool stopped = false;

  loop where{"http"};  // last: its thread ends before what it uses is gone

  implementation(connection_server* f, connection_handler& h, std::vector<lane_options> options, connection_limits l)
    : face{f}, handler{h}, limits{l} {
    for (auto& o : options) {
      lanes.push_back(std::make_unique<lane>());
      lanes.back()->options = std::move(o);
    }
  }

  // ---- Listening ----

  void on_acceptable(listener& from) {
    for (int i = 0; i < accepts_per_wake; ++i) {
      sockaddr_storage storage{};
      socklen_t size = sizeof storage;
      const int fd = ::accept4(from.fd, reinterpret_cast<sockaddr*>(&storage), &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd < 0) {
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if ((errno == EMFILE || errno == ENFILE) && spare_fd >= 0) {
          ::close(spare_fd);
          const int turned_away = ::accept4(from.fd, nullptr, nullptr, SOCK_CLOEXEC);
          if (turned_away >= 0) ::close(turned_away);
          spare_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
          ++refused;
        }
        return;
      }
      admit(fd, storage);
    }
  }

  void admit(int fd, const sockaddr_storage& storage) {
    ++accepted;
    auto group = group_of(storage);
    auto& of_group = by_group[group];
    if (peers.size() >= limits.connections_max || of_group >= limits.connections_per_address_max) {
      ++refused;
      const auto response = handler.refusal(connection_refusal::too_many_connections);
      (void)::send(fd, response.data(), response.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
      ::close(fd);
      if (of_group == 0) by_group.erase(group);
      return;
    }
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    auto made = std::make_unique<peer>();
    auto& p = *made;
    p.give(fd, peer_of(storage), face);
    p.owner = this;
    p.id = next_id++;
    auto poll = handle<uv_poll_t>::make([&](uv_poll_t* h) { return uv_poll_init(where.raw(), h, fd); });
    if (!poll) return;  // the peer's destructor closes the descriptor
    p.poll = std::move(*poll);
    p.poll.get()->data = &p;
    p.group = std::move(group);
    ++of_group;
    ++open;
    peers.emplace(p.id, std::move(made));
    read_on(p);
  }

  // ---- One connection on the loop ----

  void ask(peer& p, int events) {
    if (p.polled == events) return;
    p.polled = events;
    if (events == 0) {
      uv_poll_stop(p.poll.get());
      return;
    }
    uv_poll_start(p.poll.get(), events, [](uv_poll_t* h, int status, int ready) {
      auto& x = *static_cast<peer*>(h->data);
      x.owner->on_ready(x, status, ready);
    });
  }

  void forget(peer& p) {
    if (p.where == phase::streaming) --streams;
    if (const auto it = by_group.find(p.group); it != by_group.end() && --it->second == 0) by_group.erase(it);
    --open;
    peers.erase(p.id);
    notify_drain();
  }

  /// Waits for (the rest of) a request.
  void read_on(peer& p) {
    p.where = phase::reading;
    p.decided = false;
    p.seen = 0;
    if (p.bytes().empty()) {
      if (draining) {
        linger(p);
        return;
      }
      p.deadline = steady::now() + limits.idle_deadline;
      ask(p, UV_READABLE);
    } else {
      p.deadline = steady::now() + limits.head_deadline;
      consider(p);
    }
  }

  void on_ready(peer& p, int status, int ready) {
    if (status < 0) {
      gone(p);
      return;
    }
    switch (p.where) {
      case phase::reading: on_readable(p); return;
      case phase::lingering: on_lingering(p); return;
      case phase::streaming:
        if ((ready & UV_WRITABLE) != 0 && !flush(p)) return;
        if ((ready & UV_READABLE) != 0) on_stream_input(p);
        return;
      case phase::running: return;  // not polled
    }
  }

  /// The peer went away by itself.
  void gone(peer& p) {
    const auto id = p.id;
    const bool was_stream = p.where == phase::streaming;
    forget(p);
    if (was_stream) handler.on_stream_closed(id);
  }

  void on_readable(peer& p) {
    const auto got = ::recv(p.fd(), scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      gone(p);
      return;
    }
    if (p.bytes().empty()) p.deadline = steady::now() + limits.head_deadline;
    p.bytes().append(scratch.data(), static_cast<std::size_t>(got));
    consider(p);
  }

  void consider(peer& p) {
    if (!p.decided) {
      p.decision = handler.on_bytes(p.bytes(), p.seen, p.address());
      p.seen = p.bytes().size();
      switch (p.decision.then) {
        case connection_decision::action::more:
          if (p.bytes().size() > limits.head_bytes_max) {
            refuse(p, handler.refusal(connection_refusal::head_too_large));
          } else {
            ask(p, UV_READABLE);
          }
          return;
        case connection_decision::action::refuse: refuse(p, p.decision.response); return;
        case connection_decision::action::stream: become_stream(p); return;
        case connection_decision::action::dispatch: p.decided = true; break;
      }
    }
    if (p.bytes().size() < p.decision.bytes_needed && p.decision.bytes_needed <= limits.gathered_bytes_max) {
      ask(p, UV_READABLE);
      return;
    }
    dispatch(p);
  }

  void dispatch(peer& p) {
    auto& l = *lanes.at(p.decision.lane);
    {
      const std::lock_guard lock{l.mutex};
      if (l.queue.size() < l.options.queue_max && !l.stopping) {
        ask(p, 0);
        p.where = phase::running;
        ++running;
        l.queue.push_back(&p);
        l.changed.notify_one();
        return;
      }
    }
    refuse(p, handler.refusal(connection_refusal::lane_full));
  }

  void returned(peer& p, bool keep) {
    --running;
    if (keep)
      read_on(p);
    else
      linger(p);
    notify_drain();
  }

  void refuse(peer& p, const std::string& response) {
    ++refused;
    // Little has been sent on this connection since its last answer was read, so this fits its buffer or does not matter.
    (void)::send(p.fd(), response.data(), response.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    linger(p);
  }

  void linger(peer& p) {
    p.where = phase::lingering;
    p.lingered = 0;
    std::string{}.swap(p.bytes());
    p.deadline = steady::now() + limits.linger_deadline;
    if (::shutdown(p.fd(), SHUT_WR) != 0) {
      forget(p);
      return;
    }
    ask(p, UV_READABLE);
  }

  void on_lingering(peer& p) {
    const auto got = ::recv(p.fd(), scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got > 0) p.lingered += static_cast<std::uint64_t>(got);
    if (got <= 0 || p.lingered > limits.linger_bytes_max) forget(p);
  }

  void on_tick() {
    const auto now = steady::now();
    // A walk over all connections four times a second is 20,000 comparisons, well under a millisecond; an ordered
    // structure would cost more at each request.
    std::vector<peer*> late;
    for (auto& [id, p] : peers)
      if ((p->where == phase::reading || p->where == phase::lingering) && p->deadline <= now) late.push_back(p.get());
    for (auto* p : late) {
      if (p->where == phase::reading && !p->bytes().empty())
        refuse(*p, handler.refusal(connection_refusal::head_too_slow));
      else
        forget(*p);
    }
    tick_timer->start(tick, [this] { on_tick(); });
  }

  // ---- Streams ----

  void become_stream(peer& p) {
    if (draining) {
      refuse(p, handler.refusal(connection_refusal::lane_full));
      return;
    }
    p.where = phase::streaming;
    ++streams;
    auto head = std::exchange(p.bytes(), {});
    const auto id = p.id;
    ask(p, UV_READABLE);
    if (queue(p, buffer{std::move(p.decision.response)})) handler.on_stream(id, std::move(head));
  }

  void on_stream_input(peer& p) {
    // A client of a stream has nothing to say; whatever it sends is thrown away.
    const auto got = ::recv(p.fd(), scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) gone(p);
  }

  /// False when the peer is gone.
  bool queue(peer& p, buffer bytes) {
    if (bytes.empty()) return true;
    if (p.out_bytes + bytes.size() > limits.stream_backlog_bytes_max) {
      ++dropped_streams;
      forget(p);
      return false;
    }
    p.out_bytes += bytes.size();
    p.out.push_back(std::move(bytes));
    return (p.polled & UV_WRITABLE) != 0 ? true : flush(p, false);
  }

  bool flush(peer& p, bool tell = true) {
    while (!p.out.empty()) {
      std::array<iovec, 16> pieces{};
      std::size_t count = 0;
      for (const auto& b : p.out) {
        if (count == pieces.size()) break;
        const auto skip = count == 0 ? p.out_offset : 0;
        pieces[count++] = {const_cast<std::uint8_t*>(b.data()) + skip, b.size() - skip};
      }
      msghdr message{};
      message.msg_iov = pieces.data();
      message.msg_iovlen = count;
      const auto sent = ::sendmsg(p.fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN || errno == EWOULDBLOCK) {
          ask(p, UV_READABLE | UV_WRITABLE);
          return true;
        }
        if (tell)
          gone(p);
        else
          forget(p);
        return false;
      }
      auto done = static_cast<std::size_t>(sent);
      p.out_bytes -= done;
      while (done > 0) {
        const auto left = p.out.front().size() - p.out_offset;
        if (done < left) {
          p.out_offset += done;
          break;
        }
        done -= left;
        p.out_offset = 0;
        p.out.pop_front();
      }
    }
    ask(p, UV_READABLE);
    // Not from inside `send`: its caller learns from the result, and is not called back in the middle of its own loop.
    if (tell) {
      const auto id = p.id;
      handler.on_stream_drained(id);
      return peers.contains(id);
    }
    return true;
  }

  peer* stream(stream_id id) const {
    const auto it = peers.find(id);
    return it == peers.end() || it->second->where != phase::streaming ? nullptr : it->second.get();
  }

  // ---- Lanes ----

  void run_lane(lane& l) {
    for (;;) {
      peer* p = nullptr;
      {
        std::unique_lock lock{l.mutex};
        l.changed.wait(lock, [&] { return l.stopping || !l.queue.empty(); });
        if (l.queue.empty()) return;
        p = l.queue.front();
        l.queue.pop_front();
      }
      const bool keep = handler.serve(*p);
      // When the loop no longer takes work, the peer is destroyed with its owner.
      if (!where.post([this, p, keep] { returned(*p, keep); })) {
        --running;
        notify_drain();
      }
    }
  }

  void stop_lanes() {
    for (auto& l : lanes) {
      {
        const std::lock_guard lock{l->mutex};
        l->stopping = true;
      }
      l->changed.notify_all();
    }
    for (auto& l : lanes)
      for (auto& t : l->threads)
        if (t.joinable()) t.join();
  }

  // ---- The end ----

  void notify_drain() {
    if (!draining) return;
    const std::lock_guard lock{drain_mutex};
    drain_changed.notify_all();
  }

  void begin_drain() {
    listeners.clear();
    std::vector<peer*> idle;
    for (auto& [id, p] : peers)
      if (p->where == phase::streaming || (p->where == phase::reading && p->bytes().empty())) idle.push_back(p.get());
    for (auto* p : idle) {
      if (p->where == phase::streaming) {
        gone(*p);
      } else {
        linger(*p);
      }
    }
  }

  /// Wakes threads that wait for a client; their requests end with errors.
  void cut_off() {
    for (auto& [id, p] : peers) (void)::shutdown(p->fd(), SHUT_RDWR);
  }
};

connection_server::connection_server(connection_handler& handler, std::vector<lane_options> lanes, connection_limits limits)
  : self_{std::make_unique<implementation>(this, handler, std::move(lanes), limits)} {}

connection_server::~connection_server() { drain(milliseconds{0}); }

expected<std::uint16_t> connection_server::listen(const std::string& address, std::uint16_t port) {
  auto parsed = parse_address(address, port);
  if (!parsed) return std::move(parsed).error();
  const int family = parsed->storage.ss_family;
  auto made = std::make_unique<implementation::listener>();
  made->owner = self_.get();
  made->fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (made->fd < 0)
    return {errno == EAFNOSUPPORT ? errc::unsupported : errc::io, "cannot make a socket for " + address + ": " + std::strerror(errno)};
  const int on = 1;
  (void)::setsockopt(made->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (family == AF_INET6) (void)::setsockopt(made->fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(made->fd, reinterpret_cast<const sockaddr*>(&parsed->storage), parsed->size) != 0 || ::listen(made->fd, 4096) != 0) {
    const auto code = errno == EADDRINUSE ? errc::conflict : errno == EADDRNOTAVAIL ? errc::unsupported : errc::io;
    return {code, "cannot listen on " + address + " port " + std::to_string(port) + ": " + std::strerror(errno)};
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  if (::getsockname(made->fd, reinterpret_cast<sockaddr*>(&bound), &size) != 0) return {errc::io, "getsockname failed"};
  self_->listeners.push_back(std::move(made));
  return port_of(bound);
}

expected<void> connection_server::start() {
  auto& s = *self_;
  const auto descriptors = raise_descriptor_limit(s.limits.connections_max + 2 * descriptors_kept_free);
  s.limits.connections_max =
    std::min(s.limits.connections_max, descriptors > 2 * descriptors_kept_free ? descriptors - descriptors_kept_free : descriptors / 2);
  s.spare_fd = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  for (auto& l : s.listeners) {
    auto poll = handle<uv_poll_t>::make([&](uv_poll_t* h) { return uv_poll_init(s.where.raw(), h, l->fd); });
    if (!poll) return std::move(poll).error();
    l->poll = std::move(*poll);
    l->poll.get()->data = l.get();
    uv_poll_start(l->poll.get(), UV_READABLE, [](uv_poll_t* h, int status, int) {
      auto& from = *static_cast<implementation::listener*>(h->data);
      if (status == 0) from.owner->on_acceptable(from);
    });
  }
  s.started = true;
  for (auto& l : s.lanes)
    for (std::size_t i = 0; i < l->options.threads; ++i) {
      l->threads.emplace_back([&s, lane = l.get()] { s.run_lane(*lane); });
      const auto name = (l->options.name + "-" + std::to_string(i)).substr(0, 15);
      ::pthread_setname_np(l->threads.back().native_handle(), name.c_str());
    }
  // Before the thread: the handler may ask to be woken in work that was posted before the start, and by the first client.
  s.tick_timer = std::make_unique<timer>(s.where);
  s.wake_timer = std::make_unique<timer>(s.where);
  s.tick_timer->start(tick, [&s] { s.on_tick(); });
  s.where.start();
  return {};
}

bool connection_server::drain(milliseconds deadline) {
  auto& s = *self_;
  if (std::exchange(s.stopped, true)) return true;
  s.draining = true;
  bool calm = true;
  if (s.started) {
    const auto until = steady::now() + deadline;
    std::promise<void> begun;
    if (s.where.post([&] {
          s.begin_drain();
          begun.set_value();
        }))
      begun.get_future().wait();
    {
      std::unique_lock lock{s.drain_mutex};
      calm = s.drain_changed.wait_until(lock, until, [&] { return s.open == 0; });
      // A client that merely does not hang up is not a reason to wait or to complain.
      if (!calm) calm = s.running == 0;
    }
    std::promise<void> cut;
    if (s.where.post([&] {
          s.cut_off();
          cut.set_value();
        }))
      cut.get_future().wait();
    s.stop_lanes();
    std::promise<void> cleared;
    if (s.where.post([&] {
          s.tick_timer.reset();
          s.wake_timer.reset();
          s.peers.clear();
          s.by_group.clear();
          s.open = 0;
          s.streams = 0;
          cleared.set_value();
        }))
      cleared.get_future().wait();
    s.where.stop();
  }
  s.listeners.clear();
  s.peers.clear();
  if (s.spare_fd >= 0) ::close(std::exchange(s.spare_fd, -1));
  return calm;
}

bool connection_server::draining() const noexcept { return self_->draining; }
bool connection_server::post(std::function<void()> work) { return self_->where.post(std::move(work)); }

void connection_server::wake_after(milliseconds delay) {
  if (self_->wake_timer) self_->wake_timer->start(delay, [s = self_.get()] { s->handler.on_wake(); });
}

bool connection_server::send(stream_id id, buffer bytes) {
  auto* p = self_->stream(id);
  return p != nullptr && self_->queue(*p, std::move(bytes));
}

std::size_t connection_server::backlog(stream_id id) const {
  const auto* p = self_->stream(id);
  return p == nullptr ? 0 : p->out_bytes;
}

void connection_server::close_stream(stream_id id) {
  if (auto* p = self_->stream(id)) self_->forget(*p);
}

connection_counts connection_server::counts() const {
  const auto& s = *self_;
  return {s.open, s.streams, s.running, s.accepted, s.refused, s.dropped_streams};
}

}  // namespace latham::net
