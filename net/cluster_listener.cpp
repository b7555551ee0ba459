#include "net/cluster_listener.hpp"

#include "net/address_lookup.hpp"

#include <sys/socket.h>

#include <list>
#include <string_view>
#include <utility>

namespace latham::net {

namespace {
constexpr int backlog = 128;

struct pending_connection {
  pending_connection(loop& where, std::unique_ptr<stream> c) : connection{std::move(c)}, deadline{where} {}
  std::unique_ptr<stream> connection;
  timer deadline;
  std::string received;
};
}  // namespace

struct cluster_listener::state : std::enable_shared_from_this<state> {
  state(loop& l, cluster_listener_options o, cluster_handlers h) : where{l}, options{std::move(o)}, handlers{std::move(h)} {}

  void on_connection(int status);
  void on_bytes(pending_connection& p, std::span<const std::uint8_t> bytes);
  void drop(pending_connection& p, const char* why);
  void log(ports::log_level level, const std::string& line) const {
    if (options.log != nullptr && options.log->enabled(level)) options.log->write(level, line);
  }

  loop& where;
  const cluster_listener_options options;
  const cluster_handlers handlers;
  tcp_handle listener;
  std::list<std::shared_ptr<pending_connection>> waiting;  // the oldest first; shared with the callback that is running
};

expected<std::uint16_t> cluster_listener::start() {
  auto& s = *state_;
  sockaddr_storage address{};
  if (!numeric_address(s.options.listen, address)) return {errc::invalid_argument, "the cluster port listens on a numeric address"};
  if (!is_loopback(address))
    return {errc::invalid_argument,
            "the cluster port opens beyond this host with mutual TLS only, which is not configured: listen on 127.0.0.1"};
  auto made = tcp_handle::make([&](uv_tcp_t* t) { return uv_tcp_init(s.where.raw(), t); });
  if (!made) return std::move(made).error();
  s.listener = std::move(*made);
  s.listener.get()->data = &s;
  int rc = uv_tcp_bind(s.listener.get(), reinterpret_cast<const sockaddr*>(&address), 0);
  if (rc == 0)
    rc = uv_listen(s.listener.stream(), backlog, [](uv_stream_t* l, int status) {
      static_cast<state*>(l->data)->shared_from_this()->on_connection(status);
    });
  sockaddr_storage bound{};
  int size = sizeof bound;
  if (rc == 0) rc = uv_tcp_getsockname(s.listener.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  if (rc < 0) {
    s.listener.reset();
    auto failed = uv_error(rc, "listen on the cluster port");
    failed.code = errc::io;
    return failed;
  }
  const auto text = to_string(bound);
  return static_cast<std::uint16_t>(std::stoul(text.substr(text.rfind(':') + 1)));
}

void cluster_listener::state::on_connection(int status) {
  if (status < 0) return log(ports::log_level::warn, std::string{"connection not accepted cause=\""} + uv_strerror(status) + "\"");
  auto made = tcp_handle::make([&](uv_tcp_t* t) { return uv_tcp_init(where.raw(), t); });
  if (!made || uv_accept(listener.stream(), made->stream()) < 0) return;
  sockaddr_storage peer{};
  int size = sizeof peer;
  if (uv_tcp_getpeername(made->get(), reinterpret_cast<sockaddr*>(&peer), &size) < 0) return;  // gone already
  if (!is_loopback(peer))
    return log(ports::log_level::warn, "connection refused peer=" + net::to_string(peer) + " cause=\"beyond this host without TLS\"");
  if (waiting.size() >= options.pending_max) drop(*waiting.front(), "made room for another connection");
  waiting.push_back(std::make_shared<pending_connection>(where, make_stream(std::move(*made))));
  auto& p = *waiting.back();
  p.deadline.start(options.handshake_deadline, [this, &p] { drop(p, "no preamble in time"); });
  stream_events events;
  events.on_bytes = [this, &p](std::span<const std::uint8_t> bytes) { on_bytes(p, bytes); };
  events.on_end = [this, &p](const error&) { drop(p, "closed before its preamble"); };
  p.connection->start(std::move(events));
}

void cluster_listener::state::drop(pending_connection& p, const char* why) {
  log(ports::log_level::debug, std::string{"connection dropped cause=\""} + why + "\"");
  waiting.remove_if([&](const auto& x) { return x.get() == &p; });
}

void cluster_listener::state::on_bytes(pending_connection& p, std::span<const std::uint8_t> bytes) {
  p.received.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  // The dialing side waits for our answer, so more than a preamble is not one of us.
  if (p.received.size() > preamble_bytes) return drop(p, "talks before it was accepted");
  if (p.received.size() < preamble_bytes) return;
  const auto answer = [&](preamble_answer a) { p.connection->write(buffer{std::string(1, static_cast<char>(a))}); };
  const auto hello = decode_preamble(p.received);
  if (!hello) {
    if (hello.error().code == errc::newer_format) answer(preamble_answer::wrong_version);
    return drop(p, hello.error().message.c_str());
  }
  if (hello->expected != options.self) {
    answer(preamble_answer::wrong_name);
    return drop(p, "it looks for another node");
  }
  const auto control = hello->kind == stream_kind::control;
  if (control && handlers.control_has_room && !handlers.control_has_room()) {
    answer(preamble_answer::busy);
    return drop(p, "too many control streams");
  }
  answer(preamble_answer::accepted);
  auto connection = std::move(p.connection);
  connection->pause_reading(true);
  connection->start({});
  const auto peer = hello->claimed;
  waiting.remove_if([&](const auto& x) { return x.get() == &p; });
  if (control) return handlers.on_control(peer, std::move(connection));
  descriptor copy{connection->duplicate_descriptor()};
  if (copy) handlers.on_data(peer, std::move(copy));
}

cluster_listener::cluster_listener(loop& where, cluster_listener_options options, cluster_handlers handlers)
  : state_{std::make_shared<state>(where, std::move(options), std::move(handlers))} {}

cluster_listener::~cluster_listener() {
  state_->waiting.clear();
  state_->listener.reset();
}

std::size_t cluster_listener::pending() const noexcept {
  return state_->waiting.size();
}

}  // namespace latham::net
