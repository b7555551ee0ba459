#include "net/blob_server.hpp"

#include "net/blob_protocol.hpp"
#include "net/frame.hpp"

#include <algorithm>
#include <atomic>
#include <deque>
#include <list>
#include <string>
#include <utility>
#include <vector>

namespace latham::net {

namespace {

// An append is the largest request.
constexpr std::uint32_t request_bytes_max = ports::append_bytes_max + 4096;
constexpr std::size_t reply_overhead_bytes = 256;

/// What a request makes us hold: itself, and the reply it asks for.
std::size_t cost_of(const frame& request) {
  std::size_t cost = request.payload.size() + reply_overhead_bytes;
  if ((request.type & ~own_bit) == static_cast<std::uint8_t>(message_type::read)) {
    if (const auto fields = decode<read_fields>(request.payload.view())) cost += std::min(fields->bytes, ports::read_bytes_max);
  }
  return cost;
}

}  // namespace

struct blob_server::state : std::enable_shared_from_this<state> {
  struct session;
  using session_ptr = std::shared_ptr<session>;  // shared with completions of the store, which hold it weakly

  state(loop& l, ports::blob_store& s, ports::blob_store& mine, blob_server_options o) : where{l}, store{s}, own{mine}, options{o} {}

  void adopt(descriptor connection, node_name peer);
  void close(session& s, const std::string& why);
  void make_room();

  loop& where;
  ports::blob_store& store;
  ports::blob_store& own;
  const blob_server_options options;
  std::list<session_ptr> sessions;  // the longest idle first
  std::atomic<std::size_t> count{0};
};

struct blob_server::state::session : std::enable_shared_from_this<session> {
  session(state& s, node_name p, std::unique_ptr<stream> c) : server{s}, peer{std::move(p)}, connection{std::move(c)}, idle{s.where} {}

  void start();
  void on_bytes(std::span<const std::uint8_t> bytes);
  void run_waiting();
  /// False for a request that is not of our protocol.
  [[nodiscard]] bool run(const frame& request);
  void note_activity();

  /// How the store's answer goes back: from any thread, onto the loop, into a frame.
  template <class T, class Encode>
  ports::completion<T> answer(const frame& request, std::size_t cost, Encode encode_reply) {
    return [self = weak_from_this(), &loop = server.where, type = request.type, id = request.request, cost,
            encode_reply](expected<T> result) {
      loop.post([self, type, id, cost, encode_reply, result = std::move(result)] {
        const auto s = self.lock();
        if (!s || !s->connection) return;
        if (result) {
          s->reply(static_cast<std::uint8_t>(type | reply_bit), id, encode_reply(result));
        } else {
          const failed_fields failed{static_cast<std::uint8_t>(result.error().code),
                                     result.error().message.substr(0, failed_message_bytes_max)};
          s->reply(static_cast<std::uint8_t>(message_type::failed), id, buffer{encode(failed)});
        }
        --s->under_way;
        s->bytes_held -= cost;
        s->run_waiting();
      });
    };
  }
  void reply(std::uint8_t type, std::uint64_t id, buffer payload) {
    const buffer parts[] = {frame_header(type, id, std::span{&payload, 1}), payload};
    connection->write(parts);
  }

  state& server;  // outlives: it owns us, and closes our stream when it goes
  const node_name peer;
  std::unique_ptr<stream> connection;  // empty: closed
  timer idle;
  frame_parser parser{request_bytes_max};
  std::deque<frame> waiting;
  std::size_t under_way = 0;
  std::size_t bytes_held = 0;
  bool paused = false;
  bool running = false;
};

void blob_server::state::session::note_activity() {
  idle.start(server.options.idle_max, [this] {
    const auto self = shared_from_this();
    if (under_way > 0) return note_activity();
    server.close(*this, "idle");
  });
  // Keeps the list in order of idleness.
  auto& all = server.sessions;
  for (auto at = all.begin(); at != all.end(); ++at) {
    if (at->get() != this) continue;
    all.splice(all.end(), all, at);
    break;
  }
}

void blob_server::state::session::start() {
  stream_events events;
  events.on_bytes = [this](std::span<const std::uint8_t> bytes) { on_bytes(bytes); };
  events.on_end = [this](const error& why) { server.close(*this, why.message); };
  events.on_drained = [this] { run_waiting(); };
  connection->start(std::move(events));
  note_activity();
}

void blob_server::state::session::on_bytes(std::span<const std::uint8_t> bytes) {
  const auto self = shared_from_this();
  std::vector<frame> frames;
  if (auto ok = parser.feed(bytes, frames); !ok) return server.close(*this, ok.error().message);
  if (frames.empty()) return;
  note_activity();
  for (auto& frame : frames) waiting.push_back(std::move(frame));
  run_waiting();
}

void blob_server::state::session::run_waiting() {
  if (running || !connection) return;  // a store that answers at once must not recurse
  const auto self = shared_from_this();
  running = true;
  const auto full = [this] {
    return under_way >= server.options.requests_max || bytes_held + connection->bytes_queued() >= server.options.bytes_max;
  };
  while (connection && !waiting.empty() && !full()) {
    const auto request = std::move(waiting.front());
    waiting.pop_front();
    if (!run(request)) server.close(*this, "a request that is not of this protocol");
  }
  running = false;
  if (!connection) return;
  const auto stop = !waiting.empty() || full();
  if (stop != paused) {
    paused = stop;
    connection->pause_reading(paused);
  }
}

bool blob_server::state::session::run(const frame& request) {
  const auto cost = cost_of(request);
  const auto payload = request.payload.view();
  const auto begin = [&] {
    ++under_way;
    bytes_held += cost;
  };
  const auto nothing = [](const expected<void>&) { return buffer{}; };
  const auto length = [](const expected<std::uint64_t>& n) { return buffer{encode(*n)}; };
  const auto about = [](const expected<ports::blob_stat>& s) { return buffer{encode(*s)}; };
  const bool own = (request.type & own_bit) != 0 && (request.type & reply_bit) == 0;
  auto& store = own ? server.own : server.store;
  switch (static_cast<message_type>(own ? request.type & ~own_bit : request.type)) {
    case message_type::reserve: {
      const auto token = decode<ports::write_token>(payload);
      if (!token) return false;
      begin();
      store.reserve(*token, answer<void>(request, cost, nothing));
      return true;
    }
    case message_type::open_write: {
      const auto token = decode<ports::write_token>(payload);
      if (!token) return false;
      begin();
      store.open_write(*token, answer<std::uint64_t>(request, cost, length));
      return true;
    }
    case message_type::append: {
      if (payload.size() < append_fields_bytes) return false;
      const auto fields = decode<append_fields>(payload.substr(0, append_fields_bytes));
      if (!fields) return false;
      begin();
      store.append(fields->token, fields->offset, request.payload.slice(append_fields_bytes, request.payload.size()), fields->crc,
                          answer<std::uint64_t>(request, cost, length));
      return true;
    }
    case message_type::truncate: {
      const auto fields = decode<length_fields>(payload);
      if (!fields) return false;
      begin();
      store.truncate(fields->token, fields->bytes, answer<void>(request, cost, nothing));
      return true;
    }
    case message_type::seal: {
      const auto fields = decode<length_fields>(payload);
      if (!fields) return false;
      begin();
      store.seal(fields->token, fields->bytes, answer<ports::blob_stat>(request, cost, about));
      return true;
    }
    case message_type::read: {
      const auto fields = decode<read_fields>(payload);
      if (!fields) return false;
      begin();
      store.read(fields->blob, fields->offset, fields->bytes,
                        answer<buffer>(request, cost, [](const expected<buffer>& bytes) { return *bytes; }));
      return true;
    }
    case message_type::stat: {
      const auto blob = decode<blob_id>(payload);
      if (!blob) return false;
      begin();
      store.stat(*blob, answer<ports::blob_stat>(request, cost, about));
      return true;
    }
    case message_type::remove: {
      const auto blob = decode<blob_id>(payload);
      if (!blob) return false;
      begin();
      store.remove(*blob, answer<void>(request, cost, nothing));
      return true;
    }
    case message_type::list: {
      const auto fields = decode<list_fields>(payload);
      if (!fields) return false;
      begin();
      store.list(fields->after, fields->limit,
                        answer<std::vector<ports::blob_stat>>(
                            request, cost, [](const expected<std::vector<ports::blob_stat>>& page) { return buffer{encode(*page)}; }));
      return true;
    }
    case message_type::ping:
      if (!payload.empty()) return false;
      reply(request.type | reply_bit, request.request, {});
      return true;
    case message_type::failed: break;
  }
  return false;
}

void blob_server::state::adopt(descriptor connection, node_name peer) {
  make_room();
  if (sessions.size() >= options.streams_max) {
    if (options.log != nullptr)
      options.log->write(ports::log_level::warn, "data stream refused peer=" + peer + " cause=\"all streams are busy\"");
    return;
  }
  auto opened = open_tcp_stream(where, connection.release());
  if (!opened) {
    if (options.log != nullptr)
      options.log->write(ports::log_level::warn, "data stream refused peer=" + peer + " cause=\"" + opened.error().message + "\"");
    return;
  }
  sessions.push_back(std::make_shared<session>(*this, std::move(peer), std::move(*opened)));
  count.store(sessions.size(), std::memory_order_relaxed);
  sessions.back()->start();
}

void blob_server::state::make_room() {
  if (sessions.size() < options.streams_max) return;
  const auto at = std::find_if(sessions.begin(), sessions.end(), [](const session_ptr& s) { return s->under_way == 0; });
  if (at != sessions.end()) close(**at, "made room for another stream");
}

void blob_server::state::close(session& s, const std::string& why) {
  const auto keep = s.shared_from_this();
  if (options.log != nullptr && options.log->enabled(ports::log_level::debug))
    options.log->write(ports::log_level::debug, "data stream closed peer=" + s.peer + " cause=\"" + why + "\"");
  s.connection.reset();
  s.idle.stop();
  s.waiting.clear();
  sessions.remove(keep);
  count.store(sessions.size(), std::memory_order_relaxed);
}

blob_server::blob_server(loop& where, ports::blob_store& store, ports::blob_store& own, blob_server_options options)
  : state_{std::make_shared<state>(where, store, own, options)} {}

blob_server::~blob_server() {
  auto close_all = [s = state_] {
    while (!s->sessions.empty()) s->close(*s->sessions.front(), "the node is stopping");
  };
  if (!state_->where.post(close_all)) close_all();
}

void blob_server::adopt(descriptor connection, node_name peer) {
  auto shared = std::make_shared<descriptor>(std::move(connection));  // shared: a std::function is copyable
  state_->where.post([s = state_, shared, peer = std::move(peer)] { s->adopt(std::move(*shared), peer); });
}

std::size_t blob_server::streams() const noexcept {
  return state_->count.load(std::memory_order_relaxed);
}

}  // namespace latham::net
