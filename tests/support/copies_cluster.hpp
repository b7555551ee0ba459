// Storage nodes as far as copies are concerned: a memory twin per node, a replicated store on it, and calls between them
// that a test delays, cuts off and loses. One thread, one queue, no clock but the test's.
#pragma once

#include "store/memory_blobs.hpp"
#include "store/replicated_blobs.hpp"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace latham::testing {

class copies_cluster {
public:
  /// Runs what is due, in the order that `pick` says: it answers an index below its argument.
  using chooser = std::function<std::size_t(std::size_t)>;

  explicit copies_cluster(std::vector<node_name> names, std::uint32_t copies, std::uint32_t acks, chooser pick = [](std::size_t) { return std::size_t{0}; })
    : pick_{std::move(pick)} {
    for (const auto& name : names) {
      auto& n = nodes_[name];
      n = std::make_unique<node>();
      n->name = name;
      n->rules = make_copy_rules(name, names, {}, copies, acks);
      n->disk = std::make_unique<store::memory_blobs>([this](std::function<void()> work) { queue_.push_back(std::move(work)); });
    }
    for (auto& [name, n] : nodes_) start(*n);
  }

  [[nodiscard]] ports::blob_store& at(const node_name& name) { return *nodes_.at(name)->replicated; }
  [[nodiscard]] store::replicated_blobs& replicated(const node_name& name) { return *nodes_.at(name)->replicated; }
  [[nodiscard]] store::memory_blobs& disk(const node_name& name) { return *nodes_.at(name)->disk; }
  /// From now on a call of another node fails with errc::limited while `calls` are under way at `name`.
  void limit(const node_name& name, std::size_t calls) { nodes_.at(name)->calls_max = calls; }
  [[nodiscard]] std::size_t most_calls(const node_name& name) const { return nodes_.at(name)->calls_most; }
  [[nodiscard]] bool up(const node_name& name) const { return nodes_.at(name)->up; }

  /// The power fails at `name`: of each blob's waiting writes the first `survivors` had reached the disk.
  void kill(const node_name& name, std::size_t survivors = 0) {
    auto& n = *nodes_.at(name);
    n.up = false;
    ++n.life;
    n.disk->power_cut(survivors);
    n.replicated.reset();
    auto lost = std::move(n.calls);
    n.calls.clear();
    for (auto& [id, give_up] : lost) give_up();
  }
  void restart(const node_name& name) {
    auto& n = *nodes_.at(name);
    if (n.up) return;
    n.up = true;
    start(n);
  }

  void pass(milliseconds time) { clock_.time = clock_.time + time; }
  bool step() {
    if (queue_.empty()) return false;
    const auto at = pick_(queue_.size());
    auto work = std::move(queue_[at]);
    queue_.erase(queue_.begin() + static_cast<std::ptrdiff_t>(at));
    work();
    return true;
  }
  void run() {
    while (step()) {
    }
  }
  /// A call, and what it answers once all is quiet. None: the node died with it.
  template <class T, class Start>
  std::optional<expected<T>> ask(Start call) {
    auto result = std::make_shared<std::optional<expected<T>>>();
    call(ports::completion<T>{[result](expected<T> r) { *result = std::move(r); }});
    run();
    return *result;
  }

private:
  struct manual_clock final : ports::clock {
    instant time{1'000'000'000'000};
    [[nodiscard]] instant now() const noexcept override { return time; }
    [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000}; }
  };
  struct node {
    node_name name;
    copy_rules rules;
    std::unique_ptr<store::memory_blobs> disk;
    std::unique_ptr<store::replicated_blobs> replicated;
    bool up = true;
    std::uint64_t life = 0;
    std::uint64_t next_call = 0;
    std::map<std::uint64_t, std::function<void()>> calls;  // of others, under way here
    std::size_t calls_max = SIZE_MAX;
    std::size_t calls_most = 0;
  };

  /// Another node's own blobs. Calls of one caller arrive in order; answers are lost with either side.
  class remote final : public ports::blob_store {
  public:
    remote(copies_cluster& c, node& from, node& to) : cluster_{c}, from_{from}, to_{to} {}
    void reserve(ports::write_token t, ports::completion<void> done) override { call<void>(std::move(done), [t](auto& b, auto d) { b.reserve(t, d); }); }
    void open_write(ports::write_token t, ports::completion<std::uint64_t> done) override { call<std::uint64_t>(std::move(done), [t](auto& b, auto d) { b.open_write(t, d); }); }
    void append(ports::write_token t, std::uint64_t offset, buffer bytes, std::uint32_t crc, ports::completion<std::uint64_t> done) override {
      call<std::uint64_t>(std::move(done), [t, offset, bytes, crc](auto& b, auto d) { b.append(t, offset, bytes, crc, d); });
    }
    void truncate(ports::write_token t, std::uint64_t bytes, ports::completion<void> done) override { call<void>(std::move(done), [t, bytes](auto& b, auto d) { b.truncate(t, bytes, d); }); }
    void seal(ports::write_token t, std::uint64_t bytes, ports::completion<ports::blob_stat> done) override { call<ports::blob_stat>(std::move(done), [t, bytes](auto& b, auto d) { b.seal(t, bytes, d); }); }
    void read(blob_id id, std::uint64_t offset, std::uint32_t bytes, ports::completion<buffer> done) override { call<buffer>(std::move(done), [id, offset, bytes](auto& b, auto d) { b.read(id, offset, bytes, d); }); }
    void stat(blob_id id, ports::completion<ports::blob_stat> done) override { call<ports::blob_stat>(std::move(done), [id](auto& b, auto d) { b.stat(id, d); }); }
    void remove(blob_id id, ports::completion<void> done) override { call<void>(std::move(done), [id](auto& b, auto d) { b.remove(id, d); }); }
    void list(blob_id after, std::uint32_t limit, ports::completion<std::vector<ports::blob_stat>> done) override {
      call<std::vector<ports::blob_stat>>(std::move(done), [after, limit](auto& b, auto d) { b.list(after, limit, d); });
    }

  private:
    template <class T>
    void call(ports::completion<T> done, std::function<void(store::memory_blobs&, ports::completion<T>)> f) {
      auto tell = [this, life = from_.life, done = std::move(done)](expected<T> result) {
        cluster_.queue_.push_back([this, life, done, result = std::move(result)] {
          if (from_.up && from_.life == life) done(result);
        });
      };
      if (!to_.up) return tell(error{errc::unavailable, to_.name + " is away"});
      if (to_.calls.size() >= to_.calls_max) return tell(error{errc::limited, to_.name + " has too much to do"});
      const auto id = to_.next_call++;
      to_.calls[id] = [tell, name = to_.name] { tell(error{errc::unavailable, name + " went away"}); };
      to_.calls_most = std::max(to_.calls_most, to_.calls.size());
      f(*to_.disk, [this, id, tell](expected<T> result) {
        if (to_.calls.erase(id) != 0) tell(std::move(result));
      });
    }
    copies_cluster& cluster_;
    node& from_;
    node& to_;
  };

  void start(node& n) {
    n.replicated = std::make_unique<store::replicated_blobs>(
      *n.disk, [this, &n](const node_name& to) -> std::shared_ptr<ports::blob_store> {
        auto& one = remotes_[{n.name, to}];
        if (!one) one = std::make_shared<remote>(*this, n, *nodes_.at(to));
        return one;
      }, n.rules, clock_);
  }

  chooser pick_;
  manual_clock clock_;
  std::vector<std::function<void()>> queue_;
  std::map<node_name, std::unique_ptr<node>> nodes_;
  std::map<std::pair<node_name, node_name>, std::shared_ptr<remote>> remotes_;
};

}  // namespace latham::testing
