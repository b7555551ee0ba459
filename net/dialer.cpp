#include "net/dialer.hpp"

#include <sys/socket.h>

#include <utility>

namespace latham::net {

struct dial_attempt::state : std::enable_shared_from_this<state> {
  state(loop& l, const dialer_options& o) : where{l}, options{o}, deadline{l} {}

  void start(address_lookup& lookup, std::vector<ports::endpoint> names);
  void next();
  void connect(const sockaddr_storage& address);
  void greet();
  void on_answer(std::span<const std::uint8_t> bytes);
  void finish(expected<dialed> result);
  void forget() {
    done = nullptr;
    deadline.stop();
    connecting.reset();
    connection.reset();
  }

  loop& where;
  const dialer_options options;
  preamble hello;
  std::function<void(expected<dialed>)> done;  // empty: over
  std::vector<ports::endpoint> endpoints;
  std::size_t at = 0;
  error last{errc::unavailable, "no address"};
  timer deadline;
  tcp_handle connecting;
  std::unique_ptr<stream> connection;
};

void dial_attempt::state::finish(expected<dialed> result) {
  const auto self = shared_from_this();
  auto callback = std::move(done);
  forget();
  if (callback) callback(std::move(result));
}

void dial_attempt::state::start(address_lookup& lookup, std::vector<ports::endpoint> names) {
  deadline.start(options.lookup_deadline, [self = weak_from_this()] {
    if (auto s = self.lock()) s->finish(error{errc::timeout, "looking up the node's address takes too long"});
  });
  lookup.resolve(std::move(names), [self = weak_from_this(), &l = where](expected<std::vector<ports::endpoint>> found) {
    l.post([self, found = std::move(found)] {
      const auto s = self.lock();
      if (!s || !s->done) return;
      if (!found) return s->finish(found.error());
      s->endpoints = *found;
      s->next();
    });
  });
}

void dial_attempt::state::next() {
  connecting.reset();
  connection.reset();
  if (at >= endpoints.size()) return finish(last);
  sockaddr_storage address{};
  const auto& endpoint = endpoints[at++];
  if (!numeric_address(endpoint, address)) {
    last = {errc::unavailable, "not an address: " + endpoint.host};
    return next();
  }
  if (!is_loopback(address)) {
    last = {errc::invalid_argument,
            "a node beyond this host (" + to_string(address) + ") is reached with mutual TLS only, which is not configured"};
    return next();
  }
  connect(address);
}

void dial_attempt::state::connect(const sockaddr_storage& address) {
  auto made = tcp_handle::make([&](uv_tcp_t* t) { return uv_tcp_init(where.raw(), t); });
  if (!made) return finish(std::move(made).error());
  connecting = std::move(*made);
  deadline.start(options.connect_deadline, [self = weak_from_this()] {
    if (auto s = self.lock()) {
      s->last = {errc::timeout, "the node does not answer"};
      s->next();
    }
  });
  struct request {
    uv_connect_t uv{};
    std::weak_ptr<state> self;
    uv_tcp_t* handle = nullptr;
  };
  auto pending = std::make_unique<request>();
  pending->self = weak_from_this();
  pending->handle = connecting.get();
  pending->uv.data = pending.get();
  const int rc =
      uv_tcp_connect(&pending->uv, connecting.get(), reinterpret_cast<const sockaddr*>(&address), [](uv_connect_t* c, int status) {
        const std::unique_ptr<request> r{static_cast<request*>(c->data)};
        const auto s = r->self.lock();
        // A late answer of an address that was given up: its handle is not the current one any more.
        if (!s || !s->done || s->connecting.get() != r->handle) return;
        if (status < 0) {
          s->last = uv_error(status, "cannot connect to the node");
          return s->next();
        }
        s->connection = make_stream(std::move(s->connecting));
        s->greet();
      });
  if (rc < 0) {
    last = uv_error(rc, "cannot connect to the node");
    return next();
  }
  (void)pending.release();  // the callback owns it
}

void dial_attempt::state::greet() {
  deadline.start(options.handshake_deadline, [self = weak_from_this()] {
    if (auto s = self.lock()) s->finish(error{errc::timeout, "the node does not complete the handshake"});
  });
  stream_events events;
  events.on_bytes = [this](std::span<const std::uint8_t> bytes) { on_answer(bytes); };
  events.on_end = [this](const error& why) { finish(error{errc::unavailable, "the node refused the stream: " + why.message}); };
  connection->start(std::move(events));
  connection->write(buffer{encode_preamble(hello)});
}

void dial_attempt::state::on_answer(std::span<const std::uint8_t> bytes) {
  if (auto ok = check_answer(static_cast<char>(bytes[0])); !ok) return finish(std::move(ok).error());
  dialed result;
  result.early.assign(reinterpret_cast<const char*>(bytes.data()) + 1, bytes.size() - 1);
  connection->pause_reading(true);
  connection->start({});
  connection->pause_reading(true);
  result.connection = std::move(connection);
  finish(std::move(result));
}

dial_attempt::dial_attempt(loop& where, address_lookup& lookup, const dialer_options& options, std::vector<ports::endpoint> endpoints,
                           stream_kind kind, node_name expected_name, std::function<void(expected<dialed>)> done)
  : state_{std::make_shared<state>(where, options)} {
  state_->hello = {kind, options.self, std::move(expected_name)};
  state_->done = std::move(done);
  state_->start(lookup, std::move(endpoints));
}

dial_attempt::~dial_attempt() {
  state_->forget();
}

}  // namespace latham::net
