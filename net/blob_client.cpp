#include "net/blob_client.hpp"

#include "net/blob_protocol.hpp"
#include "net/frame.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace latham::net {

namespace {

instant now() {
  return {std::chrono::duration_cast<nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count()};
}

struct call {
  message_type type = message_type::ping;
  std::vector<buffer> payload;
  std::size_t cost = 0;
  instant deadline;
  std::function<void(expected<buffer>)> done;
};

}  // namespace

struct blob_client::state : std::enable_shared_from_this<state> {
  enum class phase { idle, connecting, up, backing_off };

  state(blob_client_context c, node_name n, blob_client_options o)
    : context{std::move(c)}, node{std::move(n)}, options{o} {}

  void submit(call c);
  void connect();
  void on_dialed(expected<dialed> result);
  void on_bytes(std::span<const std::uint8_t> bytes);
  void send_waiting();
  void lose(const error& why);
  void fail_all(const error& why);
  void watch_deadlines();
  void on_deadline();
  void note_activity();
  void shut_down();
  [[nodiscard]] std::uint8_t type_of(const call& c) const {
    return static_cast<std::uint8_t>(static_cast<std::uint8_t>(c.type) | (options.own_copies ? own_bit : 0));
  }

  const blob_client_context context;
  const node_name node;
  const blob_client_options options;

  phase now_in = phase::idle;
  std::unique_ptr<dial_attempt> dialing;
  std::uint64_t attempt = 0;  // a resolver's late answer belongs to an older one
  std::unique_ptr<stream> connection;
  frame_parser parser;
  std::optional<timer> deadline;  // made and destroyed on the loop's thread, unlike this object
  std::optional<timer> idle;
  instant retry_at;
  error last_failure{errc::unavailable, "the node is away"};
  milliseconds back_off{0};

  std::deque<call> waiting;
  std::size_t bytes_waiting = 0;
  std::map<std::uint64_t, call> sent;  // by request number, so oldest first
  std::size_t bytes_sent = 0;
  std::uint64_t next_request = 1;
  bool closed = false;
};

void blob_client::state::submit(call c) {
  if (closed) return c.done(error{errc::unavailable, "the node is stopping"});
  if (!deadline) {
    deadline.emplace(context.where);
    idle.emplace(context.where);
  }
  if (now_in == phase::backing_off) {
    if (now() < retry_at) return c.done(last_failure);
    now_in = phase::idle;
  }
  if (waiting.size() >= options.requests_waiting_max || bytes_waiting + c.cost > options.bytes_waiting_max)
    return c.done(error{errc::limited, "too much is waiting for the node: wait for an answer before the next call"});
  c.deadline = now() + options.request_deadline;
  bytes_waiting += c.cost;
  waiting.push_back(std::move(c));
  if (now_in == phase::idle) connect();
  if (now_in == phase::up) send_waiting();
  watch_deadlines();
}

void blob_client::state::connect() {
  now_in = phase::connecting;
  context.resolver.resolve(node, [self = weak_from_this(), &loop = context.where,
                                  mine = ++attempt](expected<std::vector<ports::endpoint>> found) {
    loop.post([self, mine, found = std::move(found)] {
      const auto s = self.lock();
      if (!s || s->attempt != mine || s->now_in != phase::connecting) return;
      if (!found) return s->lose(found.error());
      s->dialing = std::make_unique<dial_attempt>(s->context.where, s->context.lookup, s->context.dialing, *found, stream_kind::data,
                                                  s->node, [raw = s.get()](expected<dialed> result) { raw->on_dialed(std::move(result)); });
    });
  });
}

void blob_client::state::on_dialed(expected<dialed> result) {
  dialing.reset();
  if (!result) return lose(result.error());
  now_in = phase::up;
  back_off = milliseconds{0};
  parser = frame_parser{};
  connection = std::move(result->connection);
  stream_events events;
  events.on_bytes = [this](std::span<const std::uint8_t> bytes) { on_bytes(bytes); };
  events.on_end = [this](const error& why) { lose({errc::unavailable, "the stream to the node was lost: " + why.message}); };
  connection->start(std::move(events));
  const auto early = result->early;
  if (!early.empty()) on_bytes({reinterpret_cast<const std::uint8_t*>(early.data()), early.size()});
  if (now_in != phase::up) return;
  connection->pause_reading(false);
  note_activity();
  send_waiting();
}

void blob_client::state::note_activity() {
  idle->start(options.idle_max, [this] {
    if (!sent.empty() || !waiting.empty()) return note_activity();
    connection.reset();
    if (now_in == phase::up) now_in = phase::idle;
  });
}

void blob_client::state::send_waiting() {
  while (now_in == phase::up && !waiting.empty() && sent.size() < options.requests_under_way_max &&
         (sent.empty() || bytes_sent + waiting.front().cost <= options.bytes_under_way_max)) {
    auto next = std::move(waiting.front());
    waiting.pop_front();
    bytes_waiting -= next.cost;
    bytes_sent += next.cost;
    const auto number = next_request++;
    std::vector<buffer> parts{frame_header(type_of(next), number, next.payload)};
    parts.insert(parts.end(), next.payload.begin(), next.payload.end());
    next.payload.clear();  // the stream keeps what it needs
    sent.emplace(number, std::move(next));
    note_activity();
    connection->write(parts);
  }
}

void blob_client::state::on_bytes(std::span<const std::uint8_t> bytes) {
  const auto self = shared_from_this();
  std::vector<frame> frames;
  const auto parsed = parser.feed(bytes, frames);
  for (auto& reply : frames) {
    const auto at = sent.find(reply.request);
    const auto failed = reply.type == static_cast<std::uint8_t>(message_type::failed);
    if (at == sent.end() || (!failed && reply.type != (type_of(at->second) | reply_bit)))
      return lose({errc::corrupt, "the node answers what was not asked"});
    auto answered = std::move(at->second);
    sent.erase(at);
    bytes_sent -= answered.cost;
    if (!failed) {
      answered.done(std::move(reply.payload));
    } else if (const auto why = decode<failed_fields>(reply.payload.view())) {
      answered.done(error_of(*why));
    } else {
      answered.done(error{errc::corrupt, "the node's answer does not decode"});
    }
    if (now_in != phase::up) return;  // a completion may have closed us
  }
  if (!parsed) return lose(parsed.error());
  if (!frames.empty()) {
    note_activity();
    send_waiting();
    watch_deadlines();
  }
}

void blob_client::state::lose(const error& why) {
  const auto self = shared_from_this();
  dialing.reset();
  connection.reset();
  idle->stop();
  last_failure = why;
  if (why.code != errc::not_found && why.code != errc::invalid_argument) last_failure.code = errc::unavailable;
  // Doubling with jitter: a restarted node is not to be greeted by everybody at the same moment.
  back_off = std::min(back_off.count() == 0 ? options.back_off_first : back_off * 2, options.back_off_max);
  const auto jitter =
      back_off.count() > 1 ? static_cast<std::int64_t>(context.chance.next() % static_cast<std::uint64_t>(back_off.count() / 2 + 1)) : 0;
  retry_at = now() + back_off - milliseconds{jitter};
  now_in = phase::backing_off;
  fail_all(last_failure);
}

void blob_client::state::fail_all(const error& why) {
  std::map<std::uint64_t, call> lost;
  std::deque<call> unsent;
  lost.swap(sent);
  unsent.swap(waiting);
  bytes_sent = bytes_waiting = 0;
  deadline->stop();
  for (auto& [number, c] : lost) c.done(why);
  for (auto& c : unsent) c.done(why);
}

void blob_client::state::watch_deadlines() {
  if (sent.empty() && waiting.empty()) return deadline->stop();
  if (deadline->active()) return;  // armed for an older call, so early enough
  // All calls have the same time, so the oldest is due first.
  const auto due = sent.empty() ? waiting.front().deadline : sent.begin()->second.deadline;
  const auto left = std::chrono::duration_cast<milliseconds>(due - now()) + milliseconds{1};
  deadline->start(left, [this] { on_deadline(); });
}

void blob_client::state::on_deadline() {
  const auto self = shared_from_this();
  const auto t = now();
  std::vector<call> late;
  bool stuck = false;
  while (!sent.empty() && sent.begin()->second.deadline <= t) {
    stuck = true;
    bytes_sent -= sent.begin()->second.cost;
    late.push_back(std::move(sent.begin()->second));
    sent.erase(sent.begin());
  }
  while (!waiting.empty() && waiting.front().deadline <= t) {
    bytes_waiting -= waiting.front().cost;
    late.push_back(std::move(waiting.front()));
    waiting.pop_front();
  }
  for (auto& c : late) c.done(error{errc::timeout, "the node does not answer in time"});
  if (stuck && now_in == phase::up) return lose({errc::unavailable, "the node stopped answering"});
  watch_deadlines();
}

void blob_client::state::shut_down() {
  closed = true;
  ++attempt;
  now_in = phase::idle;
  dialing.reset();
  connection.reset();
  if (deadline) fail_all({errc::unavailable, "the node is stopping"});
  deadline.reset();
  idle.reset();
}

// ---- the port ------------------------------------------------------------------------------------------------------

namespace {

/// The other half of blob_server's `answer`: a reply's payload as the call's result.
template <class T>
std::function<void(expected<buffer>)> decoding(ports::completion<T> done) {
  return [done = std::move(done)](expected<buffer> reply) {
    if (!reply) return done(std::move(reply).error());
    if constexpr (std::is_void_v<T>) {
      if (!reply->empty()) return done(error{errc::corrupt, "the node's answer does not decode"});
      done({});
    } else if constexpr (std::is_same_v<T, buffer>) {
      done(std::move(reply));
    } else {
      done(decode<T>(reply->view()));
    }
  };
}

template <class State>
void post_call(const std::shared_ptr<State>& s, call c) {
  auto shared = std::make_shared<call>(std::move(c));  // shared: posted, or answered here
  if (!s->context.where.post([s, shared] { s->submit(std::move(*shared)); }))
    shared->done(error{errc::unavailable, "the node is stopping"});
}

constexpr std::size_t small_cost = 256;

template <class Fields>
call make_call(message_type type, const Fields& fields, std::function<void(expected<buffer>)> done) {
  call c;
  c.type = type;
  c.payload.emplace_back(encode(fields));
  c.cost = c.payload[0].size() + small_cost;
  c.done = std::move(done);
  return c;
}

}  // namespace

blob_client::blob_client(blob_client_context context, node_name node, blob_client_options options)
  : state_{std::make_shared<state>(std::move(context), std::move(node), options)} {}

blob_client::~blob_client() {
  if (!state_->context.where.post([s = state_] { s->shut_down(); })) state_->shut_down();
}

void blob_client::reserve(ports::write_token token, ports::completion<void> done) {
  post_call(state_, make_call(message_type::reserve, token, decoding<void>(std::move(done))));
}

void blob_client::open_write(ports::write_token token, ports::completion<std::uint64_t> done) {
  post_call(state_, make_call(message_type::open_write, token, decoding<std::uint64_t>(std::move(done))));
}

void blob_client::append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc,
                         ports::completion<std::uint64_t> done) {
  // A frame beyond the limit would end the stream, and with it the calls of others.
  const auto too_large = bytes.size() > ports::append_bytes_max;
  auto c = make_call(message_type::append, append_fields{token, offset, crc}, decoding<std::uint64_t>(std::move(done)));
  if (too_large) {
    auto fail = [answer = std::move(c.done)] { answer(error{errc::too_large, "an append has 1 MiB at most"}); };
    if (!state_->context.where.post(fail)) fail();
    return;
  }
  c.cost += bytes.size();
  c.payload.push_back(std::move(bytes));
  post_call(state_, std::move(c));
}

void blob_client::truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) {
  post_call(state_, make_call(message_type::truncate, length_fields{token, bytes}, decoding<void>(std::move(done))));
}

void blob_client::seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) {
  post_call(state_, make_call(message_type::seal, length_fields{token, bytes}, decoding<ports::blob_stat>(std::move(done))));
}

void blob_client::read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) {
  auto checked = [done = std::move(done), bytes](expected<buffer> reply) {
    if (reply && reply->size() > bytes) return done(error{errc::corrupt, "the node answers more than was asked"});
    done(std::move(reply));
  };
  auto c = make_call(message_type::read, read_fields{blob, offset, bytes}, std::move(checked));
  c.cost += std::min(bytes, ports::read_bytes_max);
  post_call(state_, std::move(c));
}

void blob_client::stat(blob_id blob, ports::completion<ports::blob_stat> done) {
  post_call(state_, make_call(message_type::stat, blob, decoding<ports::blob_stat>(std::move(done))));
}

void blob_client::remove(blob_id blob, ports::completion<void> done) {
  post_call(state_, make_call(message_type::remove, blob, decoding<void>(std::move(done))));
}

void blob_client::list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) {
  post_call(state_, make_call(message_type::list, list_fields{after, limit}, decoding<std::vector<ports::blob_stat>>(std::move(done))));
}

}  // namespace latham::net
