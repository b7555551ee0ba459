#include "sim/network.hpp"

#include "core/assert.hpp"
#include "core/reach.hpp"

#include <caf/io/network/operation.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace latham::sim {

namespace {

using connection = caf::io::connection_handle;

constexpr nanoseconds connect_deadline{seconds{1}};       // as ports::peer_links promises
constexpr nanoseconds handshake_deadline{seconds{2}};
constexpr nanoseconds call_deadline{seconds{10}};         // of a request on the data plane
constexpr nanoseconds retransmit_first{milliseconds{200}};

}  // namespace

// ---- Ports -----------------------------------------------------------------------------------------------------------

class sim_links : public ports::peer_links {
public:
  sim_links(network& net, node_index node, std::uint64_t life) : net_{net}, node_{node}, life_{life} {}
  void on_accept(std::function<void(ports::control_stream)> accepted) override {
    if (net_.is_up(node_, life_)) net_.stations_[node_].accepted = std::move(accepted);
  }
  void dial(ports::endpoint where, node_name, ports::completion<ports::control_stream> done) override { net_.dial(node_, life_, where.host, std::move(done)); }
  void close(std::uint64_t id) override {
    if (net_.is_up(node_, life_)) net_.close(id, node_);
  }

private:
  network& net_;
  const node_index node_;
  const std::uint64_t life_;
};

/// The blobs of another node: requests go out on one flow, answers come back on another. A stream stays with the process that
/// it was dialed to, and its name is looked up again when it is lost.
class sim_store : public ports::blob_store {
public:
  sim_store(network& net, node_index from, std::uint64_t life, node_name name, bool own) : net_{net}, from_{from}, life_{life}, name_{std::move(name)}, own_{own} { connect(); }

  void reserve(ports::write_token token, ports::completion<void> done) override {
    call<void>("reserve", 64, std::move(done), [token](ports::blob_store& s, ports::completion<void> d) { s.reserve(token, std::move(d)); });
  }
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override {
    call<std::uint64_t>("open_write", 64, std::move(done), [token](ports::blob_store& s, ports::completion<std::uint64_t> d) { s.open_write(token, std::move(d)); });
  }
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
    const auto size = bytes.size();
    call<std::uint64_t>("append", size, std::move(done),
                        [token, offset, bytes = std::move(bytes), crc](ports::blob_store& s, ports::completion<std::uint64_t> d) { s.append(token, offset, bytes, crc, std::move(d)); });
  }
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override {
    call<void>("truncate", 64, std::move(done), [token, bytes](ports::blob_store& s, ports::completion<void> d) { s.truncate(token, bytes, std::move(d)); });
  }
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override {
    call<ports::blob_stat>("seal", 64, std::move(done), [token, bytes](ports::blob_store& s, ports::completion<ports::blob_stat> d) { s.seal(token, bytes, std::move(d)); });
  }
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    call<buffer>("read", 64, std::move(done), [blob, offset, bytes](ports::blob_store& s, ports::completion<buffer> d) { s.read(blob, offset, bytes, std::move(d)); });
  }
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override {
    call<ports::blob_stat>("stat", 64, std::move(done), [blob](ports::blob_store& s, ports::completion<ports::blob_stat> d) { s.stat(blob, std::move(d)); });
  }
  void remove(blob_id blob, ports::completion<void> done) override {
    call<void>("remove", 64, std::move(done), [blob](ports::blob_store& s, ports::completion<void> d) { s.remove(blob, std::move(d)); });
  }
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override {
    call<std::vector<ports::blob_stat>>("list", 64, std::move(done),
                                        [after, limit](ports::blob_store& s, ports::completion<std::vector<ports::blob_stat>> d) { s.list(after, limit, std::move(d)); });
  }

private:
  void connect() {
    const auto where = net_.index_of(name_);
    if (requests_ != nullptr && where == to_) return;
    to_ = where;
    requests_ = net_.make_flow(from_, to_);
    answers_ = net_.make_flow(to_, from_);
  }

  struct open_state {
    bool open = true;
  };
  template <class T>
  struct state : open_state {
    ports::completion<T> done;
    std::uint64_t id = 0;
    bool late = false;  // when it was given up: arrives all the same once the link heals
  };

  /// All calls have as long, so their deadlines come in the order of the calls, and nearly all of them for nothing: one event
  /// waits for the oldest call that is still open.
  struct deadline {
    nanoseconds when;
    std::shared_ptr<open_state> call;
    std::function<void()> give_up;
  };
  void watch() {
    net_.time_.at(deadlines_.front().when, [this] {
      while (!deadlines_.empty() && (!deadlines_.front().call->open || deadlines_.front().when <= net_.time_.now())) {
        auto due = std::move(deadlines_.front());
        deadlines_.pop_front();
        if (due.call->open) due.give_up();
      }
      watching_ = !deadlines_.empty();
      if (watching_) watch();
    });
  }

  template <class T>
  static std::size_t size_of(const expected<T>& result) {
    if constexpr (std::is_same_v<T, buffer>)
      return result ? result->size() : 64;
    else
      return 64;
  }

  template <class T, class F>
  void call(const char* what, std::size_t bytes, ports::completion<T> done, F f) {
    if (std::exchange(lost_, false)) connect();
    auto c = std::make_shared<state<T>>();  // shared by request, answer and deadline
    c->done = std::move(done);
    c->id = net_.next_call_++;
    const auto finish = [this, c](expected<T> result) {
      if (!c->done) return;
      c->open = false;
      net_.calls_.erase(c->id);
      auto tell = std::exchange(c->done, nullptr);
      if (net_.is_up(from_, life_)) tell(std::move(result));
    };
    net_.calls_[c->id] = {from_, to_, [this, c, finish](error why) {
      c->late = net_.time_.draw(4) == 0;
      lost_ = true;
      finish(std::move(why));
    }};
    deadlines_.push_back({net_.time_.now() + call_deadline, c, [this, c, finish] {
      c->late = net_.time_.draw(4) == 0;
      lost_ = true;
      finish(error{errc::timeout, "the storage node does not answer in time"});
    }});
    if (!std::exchange(watching_, true)) watch();
    if (net_.trace_.keeps()) net_.trace_.say(net_.time_.now(), trace::what::data, from_, to_, what);
    net_.send(requests_, bytes, [this, c, finish, to = to_, answers = answers_, f = std::move(f)] {
      if (!c->done && !c->late) return;
      auto& station = net_.stations_[to];
      auto* store = own_ ? station.own : station.blobs;
      if (!station.up || store == nullptr) {
        // Nobody listens: the kernel of a machine that is on says so.
        net_.time_.after(net_.draw_latency(), [this, finish] {
          lost_ = true;
          finish(error{errc::unavailable, "the storage node is away"});
        });
        return;
      }
      f(*store, [this, finish, answers](expected<T> result) {
        const auto size = size_of(result);
        net_.send(answers, size, [finish, result = std::move(result)] { finish(result); });
      });
    });
  }

  network& net_;
  const node_index from_;
  const std::uint64_t life_;
  const node_name name_;
  node_index to_ = trace::nobody;
  bool lost_ = false;
  const bool own_;  // of the node's own copies alone
  network::flow_ptr requests_;
  network::flow_ptr answers_;
  std::deque<deadline> deadlines_;
  bool watching_ = false;
};

namespace {

/// For a name that nobody configured.
class nowhere : public ports::blob_store {
public:
  void reserve(ports::write_token, ports::completion<void> done) override { done(why()); }
  void open_write(ports::write_token, ports::completion<std::uint64_t> done) override { done(why()); }
  void append(ports::write_token, std::uint64_t, buffer, std::uint32_t, ports::completion<std::uint64_t> done) override { done(why()); }
  void truncate(ports::write_token, std::uint64_t, ports::completion<void> done) override { done(why()); }
  void seal(ports::write_token, std::uint64_t, ports::completion<ports::blob_stat> done) override { done(why()); }
  void read(blob_id, std::uint64_t, std::uint32_t, ports::completion<buffer> done) override { done(why()); }
  void stat(blob_id, ports::completion<ports::blob_stat> done) override { done(why()); }
  void remove(blob_id, ports::completion<void> done) override { done(why()); }
  void list(blob_id, std::uint32_t, ports::completion<std::vector<ports::blob_stat>> done) override { done(why()); }

private:
  static error why() { return {errc::not_found, "there is no such node"}; }
};

}  // namespace

class sim_transport : public ports::blob_transport {
public:
  sim_transport(network& net, node_index node, std::uint64_t life) : net_{net}, node_{node}, life_{life} {}
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name& name) override { return store(name, false); }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name& name) override { return store(name, true); }

private:
  std::shared_ptr<ports::blob_store> store(const node_name& name, bool own) {
    auto& found = stores_[{name, own}];
    if (found) return found;
    const auto to = net_.index_of(name);
    if (to == trace::nobody)
      found = std::make_shared<nowhere>();
    else
      found = std::make_shared<sim_store>(net_, node_, life_, name, own);
    return found;
  }

  network& net_;
  const node_index node_;
  const std::uint64_t life_;
  std::map<std::pair<node_name, bool>, std::shared_ptr<ports::blob_store>> stores_;
};

std::unique_ptr<ports::peer_links> network::links_of(node_index node) { return std::make_unique<sim_links>(*this, node, stations_[node].life); }
std::unique_ptr<ports::blob_transport> network::transport_of(node_index node) { return std::make_unique<sim_transport>(*this, node, stations_[node].life); }

// ---- Nodes -----------------------------------------------------------------------------------------------------------

node_index network::add(std::string name, std::uint64_t address) {
  const auto node = static_cast<node_index>(stations_.size());
  stations_.emplace_back();
  stations_.back().name = std::move(name);
  stations_.back().address = address;
  names_.emplace(stations_.back().name, node);
  return node;
}

node_index network::index_of(const std::string& name) const {
  const auto at = names_.find(name);
  return at == names_.end() ? trace::nobody : at->second;
}

std::string network::address_of(node_index node) const { return stations_[node].name + "@" + std::to_string(stations_[node].address); }

void network::up(node_index node, std::uint64_t life, multiplexer* wire, ports::blob_store* blobs, ports::blob_store* own) {
  auto& s = stations_[node];
  LATHAM_ASSERT(!s.up);
  s.up = true;
  s.life = life;
  s.wire = wire;
  s.blobs = blobs;
  s.own = own;
  s.accepted = nullptr;
}

void network::down(node_index node, bool silent) {
  auto& s = stations_[node];
  if (!s.up) return;
  s.up = false;
  s.accepted = nullptr;
  s.waiting.clear();
  s.paused_by = ledger::no_fault;
  for (const auto& [id, dialing] : std::exchange(s.ends, {})) {
    auto at = links_.find(id);
    if (at == links_.end()) continue;
    auto& own = dialing ? at->second.a : at->second.b;
    if (own.closed) continue;
    own.closed = true;
    if (!silent) say_closed(id, !dialing);
  }
  // Requests that it had taken are lost with it; those who wait hear of it when their stream is closed.
  std::vector<std::uint64_t> lost;
  for (const auto& [id, c] : calls_)
    if (c.to == node || c.from == node) lost.push_back(id);
  for (const auto id : lost) {
    if (calls_.at(id).from == node) {
      calls_.erase(id);
      continue;
    }
    if (silent || find(ill::blocked, node, calls_.at(id).from) != nullptr) continue;
    time_.after(draw_latency(), [this, id] {
      auto at = calls_.find(id);
      if (at != calls_.end()) std::function<void(error)>{at->second.fail}({errc::unavailable, "the storage node went away"});
    });
  }
}

std::set<node_index> network::linked_to(node_index node) const {
  std::set<node_index> out;
  for (const auto& [id, l] : links_) {
    if (l.a.closed || l.b.closed) continue;
    if (l.a.node == node) out.insert(l.b.node);
    if (l.b.node == node) out.insert(l.a.node);
  }
  return out;
}

void network::pause(node_index node, std::size_t fault) { stations_[node].paused_by = fault; }

void network::resume(node_index node) {
  auto& s = stations_[node];
  s.paused_by = ledger::no_fault;
  for (auto& one : std::exchange(s.waiting, {})) time_.after(nanoseconds{0}, std::move(one));
}

// ---- Flows -----------------------------------------------------------------------------------------------------------

network::affliction* network::find(ill what, node_index from, node_index to) {
  for (auto& a : afflictions_)
    if (a.what == what && a.from[from] && a.to[to]) return &a;
  return nullptr;
}

bool network::bites(std::size_t fault, node_index from, node_index to) {
  if (!ledger_.bites(fault)) return false;
  if (trace_.keeps()) trace_.say(time_.now(), trace::what::fault, from, to, ledger_.kind(fault) + " bites");
  return true;
}

network::flow_ptr network::make_flow(node_index from, node_index to) {
  auto f = std::make_shared<flow>();
  f->from = from;
  f->to = to;
  flows_.push_back(f);
  if (flows_.size() % 256 == 0) std::erase_if(flows_, [](const auto& weak) { return weak.expired(); });
  return f;
}

void network::send(const flow_ptr& f, std::size_t bytes, thunk deliver) {
  bytes_ += bytes;
  if (f->from == f->to) {
    // A node's own store, beside the network.
    time_.after(nanoseconds{0}, std::move(deliver));
    return;
  }
  if (auto* cut = find(ill::blocked, f->from, f->to); cut != nullptr || !f->held.empty()) {
    if (cut != nullptr) bites(cut->fault, f->from, f->to);
    f->held.push_back(std::move(deliver));
    held_most_ = std::max(held_most_, f->held.size());
    return;
  }
  auto wait = draw_latency();
  if (!afflictions_.empty()) {
    if (auto* slow = find(ill::slow, f->from, f->to)) {
      wait += time_.draw(nanoseconds{0}, milliseconds{slow->amount});
      bites(slow->fault, f->from, f->to);
    }
    if (auto* lossy = find(ill::lossy, f->from, f->to)) {
      // TCP says it again, and waits twice as long each time.
      for (auto again = retransmit_first; time_.chance(lossy->amount) && again < seconds{5}; again *= 2) {
        wait += again;
        bites(lossy->fault, f->from, f->to);
      }
    }
    if (auto* narrow = find(ill::narrow, f->from, f->to)) {
      const auto takes = nanoseconds{static_cast<std::int64_t>(bytes + 60) * 1'000'000'000 / std::max<std::int64_t>(1, narrow->amount)};
      narrow->free_at = std::max(narrow->free_at, time_.now()) + takes;
      wait = std::max(wait, narrow->free_at - time_.now());
      if (takes > latency) bites(narrow->fault, f->from, f->to);
    }
  }
  f->last = std::max(f->last, time_.now() + wait);
  time_.at(f->last, [this, f, deliver = std::move(deliver)]() mutable { arrive(f, std::move(deliver)); });
}

void network::arrive(const flow_ptr& f, thunk deliver) {
  if (auto* cut = find(ill::blocked, f->from, f->to); cut != nullptr || !f->held.empty()) {
    if (cut != nullptr) bites(cut->fault, f->from, f->to);
    f->held.push_back(std::move(deliver));
    held_most_ = std::max(held_most_, f->held.size());
    return;
  }
  auto& to = stations_[f->to];
  if (to.paused_by != ledger::no_fault) {
    bites(to.paused_by, f->from, f->to);
    to.waiting.push_back(std::move(deliver));
    held_most_ = std::max(held_most_, to.waiting.size());
    return;
  }
  deliver();
  touched(f->to);
}

/// A link healed: what was held goes on.
void network::release() {
  for (const auto& weak : flows_) {
    auto f = weak.lock();
    if (!f || f->held.empty() || find(ill::blocked, f->from, f->to) != nullptr) continue;
    for (auto& one : std::exchange(f->held, {})) {
      f->last = std::max(f->last, time_.now() + draw_latency());
      time_.at(f->last, [this, f, deliver = std::move(one)]() mutable { arrive(f, std::move(deliver)); });
    }
  }
}

void network::afflict(std::size_t fault, ill what, std::vector<node_index> from, std::vector<node_index> to, std::int64_t amount) {
  affliction a{fault, what, std::vector<bool>(stations_.size()), std::vector<bool>(stations_.size()), amount, {}};
  for (const auto node : from) a.from[node] = true;
  for (const auto node : to) a.to[node] = true;
  afflictions_.push_back(std::move(a));
}

void network::heal(std::size_t fault) {
  if (std::erase_if(afflictions_, [fault](const affliction& a) { return a.fault == fault; }) > 0) release();
}

void network::reset(std::size_t fault, node_index a, node_index b) {
  for (const auto& [id, l] : links_) {
    if (!(l.a.node == a && l.b.node == b) && !(l.a.node == b && l.b.node == a)) continue;
    if (l.a.closed && l.b.closed) continue;
    bites(fault, a, b);
    time_.after(draw_latency(), [this, id = id] { reset_end(id, true); });
    time_.after(draw_latency(), [this, id = id] { reset_end(id, false); });
  }
  for (const auto& [id, c] : calls_) {
    if (!(c.from == a && c.to == b) && !(c.from == b && c.to == a)) continue;
    bites(fault, a, b);
    time_.after(draw_latency(), [this, id = id] {
      auto at = calls_.find(id);
      if (at != calls_.end()) std::function<void(error)>{at->second.fail}({errc::unavailable, "the stream was reset"});
    });
  }
}

// ---- Control streams -------------------------------------------------------------------------------------------------

void network::dial(node_index from, std::uint64_t life, const std::string& host, ports::completion<ports::control_stream> done) {
  const auto answer = [this, from, life, done = std::move(done)](nanoseconds wait, expected<ports::control_stream> result) {
    time_.after(wait, [this, from, life, done, result = std::move(result)] {
      if (!is_up(from, life)) return;
      done(result);
      touched(from);
    });
  };
  node_index to = 0;
  while (to < stations_.size() && address_of(to) != host) ++to;
  if (to == stations_.size()) return answer(connect_deadline, error{errc::timeout, "nobody is at that address"});
  for (const auto& [a, b] : {std::pair{from, to}, std::pair{to, from}}) {
    if (auto* cut = find(ill::blocked, a, b)) {
      bites(cut->fault, a, b);
      return answer(connect_deadline, error{errc::timeout, "no answer"});
    }
  }
  if (auto* no = find(ill::refusing, from, to)) {
    bites(no->fault, from, to);
    return answer(draw_latency() * 2, error{errc::unavailable, "refused"});
  }
  if (auto* stalled = find(ill::stalling, from, to)) {
    bites(stalled->fault, from, to);
    return answer(handshake_deadline, error{errc::timeout, "the handshake was not answered"});
  }
  time_.after(draw_latency(), [this, from, life, to, answer] {
    auto& server = stations_[to];
    if (!server.up || !server.accepted) return answer(draw_latency(), error{errc::unavailable, "refused"});
    if (server.paused_by != ledger::no_fault) {
      bites(server.paused_by, from, to);
      return answer(handshake_deadline, error{errc::timeout, "the handshake was not answered"});
    }
    if (!is_up(from, life)) return;
    const auto id = next_link_++;
    auto& l = links_[id];
    l.a = {from, life, next_handle_++, false, make_flow(from, to), {}, nullptr};
    l.b = {to, server.life, next_handle_++, false, make_flow(to, from), {}, nullptr};
    stations_[from].ends.emplace_back(id, true);
    server.ends.emplace_back(id, false);
    server.accepted({id, name_of(from), l.b.handle});
    touched(to);
    answer(draw_latency(), ports::control_stream{id, name_of(to), l.a.handle});
  });
}

void network::close(std::uint64_t id, node_index who) {
  auto at = links_.find(id);
  if (at == links_.end()) return;
  const bool dialing = at->second.a.node == who;
  // Not inside the caller's turn: the multiplexer must not be entered twice.
  time_.after(nanoseconds{1}, [this, id, dialing] { reset_end(id, dialing); });
  say_closed(id, !dialing);
}

void network::say_closed(std::uint64_t id, bool to_dialing_end) {
  auto& l = links_.at(id);
  send(to_dialing_end ? l.b.out : l.a.out, 0, [this, id, to_dialing_end] { reset_end(id, to_dialing_end); });
}

void network::reset_end(std::uint64_t id, bool dialing_end) {
  auto at = links_.find(id);
  if (at == links_.end()) return;
  auto& e = dialing_end ? at->second.a : at->second.b;
  if (e.closed) return;
  e.closed = true;
  ++resets_;
  const auto node = e.node;
  if (is_up(node, e.life)) {
    std::erase(stations_[node].ends, std::pair{id, dialing_end});
    if (auto& scribe = stations_[node].wire->impl_ptr(connection::from_int(e.handle))) {
      auto keep = scribe;
      stations_[node].stirred = true;
      keep->io_failure(stations_[node].wire, caf::io::network::operation::read);
      touched(node);
    }
  }
  if (at->second.a.closed && at->second.b.closed) links_.erase(at);
}

void network::collect(node_index node, bool ran) {
  auto& s = stations_[node];
  if (!std::exchange(s.stirred, false) && !ran) return;
  if (!s.up) return;
  for (std::size_t i = 0; i < s.ends.size(); ++i) {
    const auto [id, dialing] = s.ends[i];
    auto at = links_.find(id);
    if (at == links_.end()) continue;
    if (auto& own = dialing ? at->second.a : at->second.b; !own.early.empty()) feed(own, std::exchange(own.early, {}));
    take(id, at->second, dialing);
  }
}

void network::take(std::uint64_t id, link& l, bool dialing_end) {
  auto& from = dialing_end ? l.a : l.b;
  auto& to = dialing_end ? l.b : l.a;
  if (from.closed) return;
  if (from.written == nullptr) from.written = &stations_[from.node].wire->output_buffer(connection::from_int(from.handle));
  auto& out = *from.written;
  if (out.empty()) return;
  std::vector<char> bytes;
  bytes.swap(out);
  ++packets_;
  trace_.note(bytes.size() << 16 | from.node << 8 | to.node);
  if (trace_.keeps()) trace_.say(time_.now(), trace::what::message, from.node, to.node, describe_packet(bytes));
  const auto size = bytes.size();
  send(from.out, size, [this, id, dialing_end, node = to.node, life = to.life, bytes = std::move(bytes)]() mutable {
    auto& receiver = stations_[node];
    auto found = links_.find(id);
    if (found == links_.end()) return;
    auto& end_there = dialing_end ? found->second.b : found->second.a;
    if (!is_up(node, life) || end_there.closed) {
      // Nobody has that stream any more: a kernel that runs says so.
      if (receiver.up) say_closed(id, dialing_end);
      return;
    }
    receiver.stirred = true;
    feed(end_there, std::move(bytes));
  });
}

/// Kept until the broker has taken the stream over: CAF's multiplexer for tests looks at a stream only when something is put
/// there, so what lay there before would wait for the next packet, and a handshake has none.
void network::feed(end& to, std::vector<char> bytes) {
  auto& wire = *stations_[to.node].wire;
  const auto hdl = connection::from_int(to.handle);
  if (const auto& scribe = wire.impl_ptr(hdl); !to.early.empty() || !scribe || scribe->detached()) {
    LATHAM_REACHED("sim_bytes_before_the_stream_was_attached");
    to.early.insert(to.early.end(), bytes.begin(), bytes.end());
    return;
  }
  auto& waiting = wire.virtual_network_buffer(hdl);
  waiting.insert(waiting.end(), bytes.begin(), bytes.end());
  while (wire.impl_ptr(hdl) && !wire.stopped_reading(hdl) && wire.try_read_data(hdl)) {
  }
}

std::string describe_packet(const std::vector<char>& bytes) {
  // Every dynamic message names its types in the clear: "@<>+atom+type...". All of them, in order, shortened.
  const std::string_view all{bytes.data(), bytes.size()};
  std::string out;
  for (auto at = all.find("@<>"); at != std::string_view::npos && out.size() < 120; at = all.find("@<>", at + 3)) {
    auto end = at + 3;
    while (end < all.size() && static_cast<unsigned char>(all[end]) > 0x20 && static_cast<unsigned char>(all[end]) < 0x7f) ++end;
    std::string one{all.substr(at + 3, end - at - 3)};
    for (const auto* drop : {"latham::", "@atom", "@"})
      for (auto p = one.find(drop); p != std::string::npos; p = one.find(drop)) one.erase(p, std::string_view{drop}.size());
    while (one.starts_with("+")) one.erase(0, 1);
    if (!out.empty()) out += ", ";
    out += one.empty() ? "()" : one;
  }
  return out.empty() ? fmt::format("{} bytes", bytes.size()) : out;
}

}  // namespace latham::sim
