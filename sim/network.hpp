// The simulated network: control streams and the data plane between nodes, under one state of the links, so that a
// partition cuts both. CAF's own wire protocol crosses it: each end is a connection of a node's test multiplexer, and
// what one end wrote is handed to the other after a while.
//
// It behaves as TCP does: what a stream carries arrives in order or not at all; a cut-off peer looks like a slow one, its
// packets are held and come when the link heals; a process that dies closes its streams, a machine that loses power says
// nothing, and whoever still talks to it is reset once it is back.
#pragma once

#include "core/ports/blob_transport.hpp"
#include "core/ports/peer_links.hpp"
#include "sim/events.hpp"
#include "sim/ledger.hpp"
#include "sim/trace.hpp"

#include <caf/all.hpp>
#include <caf/io/network/test_multiplexer.hpp>

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace latham::sim {

using node_index = std::uint32_t;

class network {
public:
  using multiplexer = caf::io::network::test_multiplexer;

  network(events& time, trace& log, ledger& faults) : time_{time}, trace_{log}, ledger_{faults} {}

  // ---- Nodes

  /// `address`: where its first process listens; those of two machines of a name are far apart.
  node_index add(std::string name, std::uint64_t address = 0);
  [[nodiscard]] std::size_t nodes() const noexcept { return stations_.size(); }
  [[nodiscard]] const std::string& name_of(node_index node) const { return stations_[node].name; }
  /// Where the name points to: the first node of the name, until `point` says otherwise.
  [[nodiscard]] node_index index_of(const std::string& name) const;
  void point(node_index node) { names_[stations_[node].name] = node; }
  /// Where it listens now; it changes when a node comes back elsewhere.
  [[nodiscard]] std::string address_of(node_index node) const;
  void move(node_index node) { ++stations_[node].address; }

  /// A process runs: `blobs` is what its data plane serves, null for none; `own` what it serves to other storage nodes.
  void up(node_index node, std::uint64_t life, multiplexer* wire, ports::blob_store* blobs, ports::blob_store* own);
  /// The process is gone. Its streams are closed, or, when the power went, just silent; its dials and requests never answer.
  void down(node_index node, bool silent);
  [[nodiscard]] bool is_up(node_index node, std::uint64_t life) const { return stations_[node].up && stations_[node].life == life; }
  /// Some other process has a control stream to it.
  [[nodiscard]] bool is_linked(node_index node) const { return stations_[node].up && !stations_[node].ends.empty(); }
  /// Those with whom it has a stream that neither end has closed.
  [[nodiscard]] std::set<node_index> linked_to(node_index node) const;
  /// While paused a node receives nothing; what arrives waits for it.
  void pause(node_index node, std::size_t fault);
  void resume(node_index node);

  [[nodiscard]] std::unique_ptr<ports::peer_links> links_of(node_index node);
  [[nodiscard]] std::unique_ptr<ports::blob_transport> transport_of(node_index node);

  /// Takes what `node` wrote since the last call and sends it. Only brokers write: when they `ran`, or were given something.
  void collect(node_index node, bool ran);
  /// Called whenever a node's multiplexer was given something.
  std::function<void(node_index)> touched;

  // ---- The state of the links

  enum class ill : std::uint8_t { blocked, refusing, stalling, slow, lossy, narrow };
  /// From `from` to `to`, until `heal` of the same fault.
  void afflict(std::size_t fault, ill what, std::vector<node_index> from, std::vector<node_index> to, std::int64_t amount);
  void heal(std::size_t fault);
  /// Cuts every stream, and fails every request of the data plane, between the two.
  void reset(std::size_t fault, node_index a, node_index b);

  nanoseconds latency{500'000};  // half to one and a half of it

  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] std::uint64_t resets() const noexcept { return resets_; }
  [[nodiscard]] std::size_t held_most() const noexcept { return held_most_; }

private:
  friend class sim_links;
  friend class sim_store;
  friend class sim_transport;

  struct station {
    std::string name;
    std::uint64_t address = 0;
    bool up = false;
    std::uint64_t life = 0;
    multiplexer* wire = nullptr;
    ports::blob_store* blobs = nullptr;
    ports::blob_store* own = nullptr;
    std::function<void(ports::control_stream)> accepted;
    std::size_t paused_by = ledger::no_fault;
    bool stirred = false;                         // its brokers were called since its last collect
    std::deque<thunk> waiting;                    // arrived while it was paused
    std::vector<std::pair<std::uint64_t, bool>> ends;  // its links, and whether it is the dialing end
  };

  struct affliction {
    std::size_t fault;
    ill what;
    std::vector<bool> from;
    std::vector<bool> to;
    std::int64_t amount;
    nanoseconds free_at{0};  // of a narrow link: when what was sent before is through
  };

  /// One direction of a stream.
  struct flow {
    node_index from = 0;
    node_index to = 0;
    nanoseconds last{0};       // arrival of the packet before: no overtaking
    std::deque<thunk> held;    // behind a cut
  };
  using flow_ptr = std::shared_ptr<flow>;  // shared by its link and the packets on their way

  struct end {
    node_index node = 0;
    std::uint64_t life = 0;
    std::int64_t handle = 0;
    bool closed = false;
    flow_ptr out;
    std::vector<char> early;               // what came before its process had attached the stream, as a kernel keeps it
    std::vector<char>* written = nullptr;  // what its process wrote; a multiplexer keeps it where it is, and lives as long as its process
  };
  struct link {
    end a;  // the dialing one
    end b;
  };

  /// A request of the data plane that was not answered yet.
  struct open_call {
    node_index from = 0;
    node_index to = 0;
    std::function<void(error)> fail;
  };

  [[nodiscard]] nanoseconds draw_latency() { return time_.draw(latency / 2, latency * 3 / 2); }
  affliction* find(ill what, node_index from, node_index to);
  void feed(end& to, std::vector<char> bytes);
  bool bites(std::size_t fault, node_index from, node_index to);
  flow_ptr make_flow(node_index from, node_index to);
  void send(const flow_ptr& f, std::size_t bytes, thunk deliver);
  void arrive(const flow_ptr& f, thunk deliver);
  void release();

  void dial(node_index from, std::uint64_t life, const std::string& host, ports::completion<ports::control_stream> done);
  void close(std::uint64_t id, node_index who);
  void take(std::uint64_t id, link& l, bool dialing_end);
  void say_closed(std::uint64_t id, bool to_dialing_end);
  void reset_end(std::uint64_t id, bool dialing_end);

  events& time_;
  trace& trace_;
  ledger& ledger_;
  std::deque<station> stations_;
  std::map<std::string, node_index> names_;
  std::map<std::uint64_t, link> links_;
  std::vector<affliction> afflictions_;
  std::vector<std::weak_ptr<flow>> flows_;
  std::map<std::uint64_t, open_call> calls_;
  std::uint64_t next_link_ = 1;
  std::uint64_t next_call_ = 1;
  std::int64_t next_handle_ = 1000;
  std::uint64_t packets_ = 0;
  std::uint64_t bytes_ = 0;
  std::uint64_t resets_ = 0;
  std::size_t held_most_ = 0;
};

/// What a control packet says, for people: the types of its message.
[[nodiscard]] std::string describe_packet(const std::vector<char>& bytes);

}  // namespace latham::sim
