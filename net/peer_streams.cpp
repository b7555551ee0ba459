#include "net/peer_streams.hpp"

#include "net/basp_guard.hpp"
#include "net/cluster_listener.hpp"
#include "net/dialer.hpp"

#include <future>
#include <map>
#include <string>
#include <utility>

namespace latham::net {

namespace {

/// One control stream: the peer on one side, CAF on the other.
struct pump {
  pump(std::unique_ptr<stream> p, std::unique_ptr<stream> l, std::uint32_t frame_bytes_max)
    : peer{std::move(p)}, local{std::move(l)}, guard{frame_bytes_max} {}
  std::unique_ptr<stream> peer;
  std::unique_ptr<stream> local;
  basp_guard guard;
  bool peer_paused = false;
  bool local_paused = false;
};

struct attempt {
  std::unique_ptr<dial_attempt> dialing;
  ports::completion<ports::control_stream> done;
};

}  // namespace

struct peer_streams::state : std::enable_shared_from_this<state> {
  state(loop& l, address_lookup& a, peer_streams_options o) : where{l}, lookup{a}, options{std::move(o)} {}

  expected<std::uint16_t> start();
  void dial(ports::endpoint endpoint, node_name expected_name, ports::completion<ports::control_stream> done);
  void on_dialed(std::uint64_t number, const node_name& name, expected<dialed> result);
  /// Joins a peer's stream to a new socketpair; the result is for CAF.
  expected<ports::control_stream> join(node_name peer, std::unique_ptr<stream> connection, const std::string& early);
  void from_peer(std::uint64_t id, std::span<const std::uint8_t> bytes);
  void from_local(std::uint64_t id, std::span<const std::uint8_t> bytes);
  void resume(std::uint64_t id);
  void end(std::uint64_t id, const std::string& why);
  void shut_down();
  void log(ports::log_level level, const std::string& line) const {
    if (options.log != nullptr && options.log->enabled(level)) options.log->write(level, line);
  }

  loop& where;
  address_lookup& lookup;
  const peer_streams_options options;
  std::function<void(ports::control_stream)> accepted;
  std::unique_ptr<cluster_listener> listener;
  std::map<std::uint64_t, std::shared_ptr<pump>> streams;  // shared with the callback that is running
  std::map<std::uint64_t, attempt> attempts;
  std::uint64_t next_id = 1;
  std::uint64_t malformed = 0;
  bool closed = false;
};

expected<std::uint16_t> peer_streams::state::start() {
  if (!options.listen) return std::uint16_t{0};
  cluster_listener_options listening;
  listening.self = options.self;
  listening.listen = *options.listen;
  listening.pending_max = options.pending_max;
  listening.handshake_deadline = options.handshake_deadline;
  listening.log = options.log;
  cluster_handlers handlers;
  handlers.control_has_room = [this] { return streams.size() < options.streams_max; };
  handlers.on_control = [this](node_name peer, std::unique_ptr<stream> connection) {
    auto joined = join(std::move(peer), std::move(connection), {});
    if (!joined) return log(ports::log_level::warn, "control stream refused cause=\"" + joined.error().message + "\"");
    if (accepted) {
      accepted(*joined);
    } else {
      descriptor{static_cast<int>(joined->handle)}.reset();  // nobody wants it; the pump sees the end
    }
  };
  handlers.on_data = [this](node_name peer, descriptor connection) {
    if (options.on_data) options.on_data(std::move(peer), std::move(connection));
  };
  listener = std::make_unique<cluster_listener>(where, std::move(listening), std::move(handlers));
  return listener->start();
}

void peer_streams::state::dial(ports::endpoint endpoint, node_name expected_name, ports::completion<ports::control_stream> done) {
  if (closed) return done(error{errc::unavailable, "the node is stopping"});
  if (streams.size() + attempts.size() >= options.streams_max) return done(error{errc::limited, "too many control streams"});
  if (!is_valid_node_name(expected_name)) return done(error{errc::invalid_argument, "not a node's name"});
  const auto number = next_id++;
  dialer_options how;
  how.self = options.self;
  how.lookup_deadline = options.lookup_deadline;
  how.connect_deadline = options.connect_deadline;
  how.handshake_deadline = options.handshake_deadline;
  auto& slot = attempts[number];
  slot.done = std::move(done);
  slot.dialing = std::make_unique<dial_attempt>(where, lookup, how, std::vector{std::move(endpoint)}, stream_kind::control, expected_name,
                                                [this, number, expected_name](expected<dialed> result) {
                                                  on_dialed(number, expected_name, std::move(result));
                                                });
}

void peer_streams::state::on_dialed(std::uint64_t number, const node_name& name, expected<dialed> result) {
  const auto at = attempts.find(number);
  const auto finished = std::move(at->second);  // destroyed last: we are inside its callback
  attempts.erase(at);
  if (!result) return finished.done(result.error());
  finished.done(join(name, std::move(result->connection), result->early));
}

expected<ports::control_stream> peer_streams::state::join(node_name peer, std::unique_ptr<stream> connection, const std::string& early) {
  auto pair = make_socket_pair();
  if (!pair) return std::move(pair).error();
  auto local = open_pipe_stream(where, pair->ours.release());
  if (!local) return std::move(local).error();
  const auto id = next_id++;
  auto made = std::make_shared<pump>(std::move(connection), std::move(*local), options.frame_bytes_max);
  streams.emplace(id, made);
  stream_events peer_events;
  peer_events.on_bytes = [this, id](std::span<const std::uint8_t> bytes) { from_peer(id, bytes); };
  peer_events.on_end = [this, id](const error& why) { end(id, why.message); };
  peer_events.on_drained = [this, id] { resume(id); };
  stream_events local_events;
  local_events.on_bytes = [this, id](std::span<const std::uint8_t> bytes) { from_local(id, bytes); };
  local_events.on_end = [this, id](const error&) { end(id, "closed by this node"); };
  local_events.on_drained = [this, id] { resume(id); };
  made->local->start(std::move(local_events));
  made->peer->start(std::move(peer_events));
  if (!early.empty()) from_peer(id, {reinterpret_cast<const std::uint8_t*>(early.data()), early.size()});
  if (!streams.contains(id)) return {errc::corrupt, "the node sent what is not the control protocol"};
  if (!made->peer_paused) made->peer->pause_reading(false);
  log(ports::log_level::info, "control stream open peer=" + peer + " stream=" + std::to_string(id));
  ports::control_stream out;
  out.id = id;
  out.peer = std::move(peer);
  out.handle = pair->theirs.release();
  return out;
}

void peer_streams::state::from_peer(std::uint64_t id, std::span<const std::uint8_t> bytes) {
  const auto at = streams.find(id);
  if (at == streams.end()) return;
  const auto p = at->second;
  if (!p->guard.accept(bytes)) {
    ++malformed;
    return end(id, "malformed control frame");
  }
  p->local->write(buffer{std::vector<std::uint8_t>{bytes.begin(), bytes.end()}});
  if (p->local->bytes_queued() > options.bytes_queued_max && !p->peer_paused) {
    p->peer_paused = true;
    p->peer->pause_reading(true);
  }
}

void peer_streams::state::from_local(std::uint64_t id, std::span<const std::uint8_t> bytes) {
  const auto at = streams.find(id);
  if (at == streams.end()) return;
  const auto p = at->second;
  p->peer->write(buffer{std::vector<std::uint8_t>{bytes.begin(), bytes.end()}});
  if (p->peer->bytes_queued() > options.bytes_queued_max && !p->local_paused) {
    p->local_paused = true;
    p->local->pause_reading(true);
  }
}

void peer_streams::state::resume(std::uint64_t id) {
  const auto at = streams.find(id);
  if (at == streams.end()) return;
  const auto p = at->second;
  if (p->peer_paused && p->local->bytes_queued() <= options.bytes_queued_max / 2) {
    p->peer_paused = false;
    p->peer->pause_reading(false);
  }
  if (p->local_paused && p->peer->bytes_queued() <= options.bytes_queued_max / 2) {
    p->local_paused = false;
    p->local->pause_reading(false);
  }
}

void peer_streams::state::end(std::uint64_t id, const std::string& why) {
  const auto at = streams.find(id);
  if (at == streams.end()) return;
  const auto keep = std::move(at->second);
  streams.erase(at);
  keep->peer.reset();
  keep->local.reset();
  log(ports::log_level::info, "control stream closed stream=" + std::to_string(id) + " cause=\"" + why + "\"");
}

void peer_streams::state::shut_down() {
  closed = true;
  listener.reset();
  auto unfinished = std::move(attempts);
  attempts.clear();
  for (auto& [number, a] : unfinished) {
    a.dialing.reset();
    a.done(error{errc::unavailable, "the node is stopping"});
  }
  while (!streams.empty()) end(streams.begin()->first, "the node is stopping");
  accepted = nullptr;
}

namespace {
/// Runs `work` on the loop and waits; here when the loop has stopped.
template <class Work>
auto on_loop(loop& where, Work work) -> decltype(work()) {
  LATHAM_ASSERT(!where.on_thread());
  using result = decltype(work());
  auto promise = std::make_shared<std::promise<result>>();  // shared: the loop may still be inside it
  auto answer = promise->get_future();
  const auto posted = where.post([promise, &work] {
    if constexpr (std::is_void_v<result>) {
      work();
      promise->set_value();
    } else {
      promise->set_value(work());
    }
  });
  if (!posted) return work();
  return answer.get();
}
}  // namespace

peer_streams::peer_streams(loop& where, address_lookup& lookup, peer_streams_options options)
  : state_{std::make_shared<state>(where, lookup, std::move(options))} {}

peer_streams::~peer_streams() {
  on_loop(state_->where, [this] { state_->shut_down(); });
}

void peer_streams::on_accept(std::function<void(ports::control_stream)> accepted) {
  // On the loop, which reads it; afterwards no call of an earlier one is under way.
  on_loop(state_->where, [&] { state_->accepted = std::move(accepted); });
}

expected<std::uint16_t> peer_streams::start() {
  return on_loop(state_->where, [this] { return state_->start(); });
}

void peer_streams::dial(ports::endpoint where, node_name expected, ports::completion<ports::control_stream> done) {
  auto work = [s = state_, where = std::move(where), expected = std::move(expected), done] { s->dial(where, expected, done); };
  if (!state_->where.post(std::move(work))) done(error{errc::unavailable, "the node is stopping"});
}

void peer_streams::close(std::uint64_t stream_id) {
  state_->where.post([s = state_, stream_id] { s->end(stream_id, "closed by its owner"); });
}

peer_streams::counters peer_streams::counted() const {
  return on_loop(state_->where, [this] {
    return counters{state_->streams.size(), state_->listener ? state_->listener->pending() : 0, state_->malformed};
  });
}

}  // namespace latham::net
