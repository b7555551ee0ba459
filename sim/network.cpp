#include "sim/network.hpp"

#include <caf/io/network/operation.hpp>

namespace latham::sim {

using connection = caf::io::connection_handle;

class sim_links : public ports::peer_links {
public:
  sim_links(network& net, std::string name, std::uint64_t life) : net_{net}, name_{std::move(name)}, life_{life} {}
  void on_accept(std::function<void(ports::control_stream)> accepted) override {
    if (auto* s = net_.find(name_); s != nullptr && s->life == life_) s->accepted = std::move(accepted);
  }
  void dial(ports::endpoint where, node_name, ports::completion<ports::control_stream> done) override { net_.dial(name_, life_, where.host, std::move(done)); }
  void close(std::uint64_t id) override { net_.close(id, name_); }

private:
  network& net_;
  const std::string name_;
  const std::uint64_t life_;
};

/// The blobs of another node, one latency away in each direction.
class sim_store : public ports::blob_store {
public:
  sim_store(network& net, std::string from, std::uint64_t life, std::string to, bool own) : net_{net}, from_{std::move(from)}, life_{life}, to_{std::move(to)}, own_{own} {}

  void reserve(ports::write_token token, ports::completion<void> done) override {
    call<void>(std::move(done), [token](ports::blob_store& s, ports::completion<void> d) { s.reserve(token, std::move(d)); });
  }
  void open_write(ports::write_token token, ports::completion<std::uint64_t> done) override {
    call<std::uint64_t>(std::move(done), [token](ports::blob_store& s, ports::completion<std::uint64_t> d) { s.open_write(token, std::move(d)); });
  }
  void append(ports::write_token token, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
    call<std::uint64_t>(std::move(done), [token, offset, bytes, crc](ports::blob_store& s, ports::completion<std::uint64_t> d) { s.append(token, offset, bytes, crc, std::move(d)); }, true);
  }
  void truncate(ports::write_token token, std::uint64_t bytes, ports::completion<void> done) override {
    call<void>(std::move(done), [token, bytes](ports::blob_store& s, ports::completion<void> d) { s.truncate(token, bytes, std::move(d)); });
  }
  void seal(ports::write_token token, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override {
    call<ports::blob_stat>(std::move(done), [token, bytes](ports::blob_store& s, ports::completion<ports::blob_stat> d) { s.seal(token, bytes, std::move(d)); });
  }
  void read(blob_id blob, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override {
    call<buffer>(std::move(done), [blob, offset, bytes](ports::blob_store& s, ports::completion<buffer> d) { s.read(blob, offset, bytes, std::move(d)); });
  }
  void stat(blob_id blob, ports::completion<ports::blob_stat> done) override {
    call<ports::blob_stat>(std::move(done), [blob](ports::blob_store& s, ports::completion<ports::blob_stat> d) { s.stat(blob, std::move(d)); });
  }
  void remove(blob_id blob, ports::completion<void> done) override {
    call<void>(std::move(done), [blob](ports::blob_store& s, ports::completion<void> d) { s.remove(blob, std::move(d)); });
  }
  void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override {
    call<std::vector<ports::blob_stat>>(std::move(done), [after, limit](ports::blob_store& s, ports::completion<std::vector<ports::blob_stat>> d) { s.list(after, limit, std::move(d)); });
  }

private:
  template <class T>
  void call(ports::completion<T> done, std::function<void(ports::blob_store&, ports::completion<T>)> f, bool ordered = false) {
    // Appends of one caller share a stream, so they do not overtake each other.
    auto arrives = net_.time_.now() + net_.latency();
    if (ordered) arrives = last_ = std::max(last_, arrives);
    net_.time_.at(arrives, [this, done = std::move(done), f = std::move(f)] {
      auto* station = net_.find(to_);
      auto* store = station == nullptr ? nullptr : own_ ? station->own : station->blobs;
      if (store == nullptr) return answer<T>(done, error{errc::unavailable, "the storage node is away"});
      // If the node dies meanwhile, the twin drops the completion: the stream's end answers instead.
      const auto life = station->life;
      auto answered = std::make_shared<bool>(false);
      f(*store, [this, done, answered](expected<T> result) {
        *answered = true;
        answer<T>(done, std::move(result));
      });
      watch<T>(life, done, answered);
    });
  }

  template <class T>
  void watch(std::uint64_t life, ports::completion<T> done, std::shared_ptr<bool> answered) {
    net_.time_.after(seconds{1}, [this, life, done = std::move(done), answered = std::move(answered)] {
      if (*answered) return;
      if (!net_.is_up(to_, life)) {
        *answered = true;
        return answer<T>(done, error{errc::unavailable, "the storage node went away"});
      }
      watch<T>(life, done, answered);
    });
  }

  template <class T>
  void answer(const ports::completion<T>& done, expected<T> result) {
    net_.time_.after(net_.latency(), [this, done, result = std::move(result)] {
      if (net_.is_up(from_, life_)) done(result);
    });
  }

  network& net_;
  const std::string from_;
  const std::uint64_t life_;
  const std::string to_;
  const bool own_;  // of the node's own copies alone
  nanoseconds last_{0};
};

class sim_transport : public ports::blob_transport {
public:
  sim_transport(network& net, std::string name, std::uint64_t life) : net_{net}, name_{std::move(name)}, life_{life} {}
  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name& node) override { return store(node, false); }
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name& node) override { return store(node, true); }

private:
  std::shared_ptr<ports::blob_store> store(const node_name& node, bool own) {
    auto& known = stores_[{node, own}];
    if (!known) known = std::make_shared<sim_store>(net_, name_, life_, node, own);
    return known;
  }

  network& net_;
  const std::string name_;
  const std::uint64_t life_;
  std::map<std::pair<node_name, bool>, std::shared_ptr<ports::blob_store>> stores_;
};

void network::up(station s) { stations_[s.name] = std::move(s); }

void network::down(const std::string& name) {
  auto at = stations_.find(name);
  if (at == stations_.end()) return;
  const auto life = at->second.life;
  stations_.erase(at);
  for (auto& [id, l] : links_) {
    for (auto* pair : {&l.a, &l.b}) {
      if (pair->node != name || pair->life != life || pair->closed) continue;
      pair->closed = true;
      auto& other = pair == &l.a ? l.b : l.a;
      time_.after(latency(), [this, id = id, first = &other == &l.a] {
        auto found = links_.find(id);
        if (found != links_.end()) reset(first ? found->second.a : found->second.b);
      });
    }
  }
}

bool network::is_up(const std::string& name, std::uint64_t life) const {
  auto at = stations_.find(name);
  return at != stations_.end() && at->second.life == life;
}

network::station* network::find(const std::string& name) {
  auto at = stations_.find(name);
  return at == stations_.end() ? nullptr : &at->second;
}

void network::dial(const std::string& from, std::uint64_t life, const std::string& to, ports::completion<ports::control_stream> done) {
  time_.after(latency(), [this, from, life, to, done = std::move(done)] {
    auto* server = find(to);
    if (server == nullptr || !server->accepted) {
      time_.after(latency(), [this, from, life, done] {
        if (is_up(from, life)) done({errc::unavailable, "refused"});
      });
      return;
    }
    const auto id = next_link_++;
    auto& l = links_[id];
    l.a = {from, life, next_handle_++, false};
    l.b = {to, server->life, next_handle_++, false};
    server->accepted({id, from, l.b.handle});
    time_.after(latency(), [this, id, from, life, to, done] {
      if (!is_up(from, life)) return;
      // The other end may have died, and the link with it, before its greeting arrived.
      const auto at = links_.find(id);
      if (at == links_.end()) return done({errc::unavailable, "the link was lost"});
      done(ports::control_stream{id, to, at->second.a.handle});
    });
  });
}

void network::close(std::uint64_t id, const std::string& who) {
  auto at = links_.find(id);
  if (at == links_.end()) return;
  const bool first = at->second.a.node == who;
  // Not inside the caller's turn: the multiplexer must not be entered twice.
  time_.after(nanoseconds{1000}, [this, id, first] {
    auto found = links_.find(id);
    if (found != links_.end()) reset(first ? found->second.a : found->second.b);
  });
  time_.after(latency(), [this, id, first] {
    auto found = links_.find(id);
    if (found != links_.end()) reset(first ? found->second.b : found->second.a);
  });
}

void network::reset(end& e) {
  if (e.closed) return;
  e.closed = true;
  ++resets_;
  auto* s = find(e.node);
  if (s == nullptr || s->life != e.life) return;
  const auto handle = connection::from_int(e.handle);
  if (auto& scribe = s->wire->impl_ptr(handle)) {
    auto keep = scribe;
    keep->io_failure(s->wire, caf::io::network::operation::read);
  }
}

bool network::collect() {
  bool any = false;
  for (auto at = links_.begin(); at != links_.end();) {
    auto& l = at->second;
    if (l.a.closed && l.b.closed) {
      at = links_.erase(at);
      continue;
    }
    any |= take(l, l.a, l.b, l.a_to_b);
    any |= take(l, l.b, l.a, l.b_to_a);
    ++at;
  }
  return any;
}

bool network::take(link& l, end& from, end& to, nanoseconds& last) {
  if (from.closed) return false;
  auto* s = find(from.node);
  if (s == nullptr || s->life != from.life) return false;
  const auto handle = connection::from_int(from.handle);
  auto& out = s->wire->output_buffer(handle);
  if (out.empty()) return false;
  std::vector<char> bytes;
  bytes.swap(out);
  ++packets_;
  last = std::max(last, time_.now() + latency());
  (void)l;
  time_.at(last, [this, to_node = to.node, to_life = to.life, to_handle = to.handle, bytes = std::move(bytes)] {
    auto* receiver = find(to_node);
    if (receiver == nullptr || receiver->life != to_life) return;
    const auto hdl = connection::from_int(to_handle);
    auto& waiting = receiver->wire->virtual_network_buffer(hdl);
    waiting.insert(waiting.end(), bytes.begin(), bytes.end());
    while (receiver->wire->impl_ptr(hdl) && !receiver->wire->stopped_reading(hdl) && receiver->wire->try_read_data(hdl)) {
    }
  });
  return true;
}

std::unique_ptr<ports::peer_links> network::links_of(const std::string& name, std::uint64_t life) { return std::make_unique<sim_links>(*this, name, life); }

std::unique_ptr<ports::blob_transport> network::transport_of(const std::string& name, std::uint64_t life) { return std::make_unique<sim_transport>(*this, name, life); }

}  // namespace latham::sim
