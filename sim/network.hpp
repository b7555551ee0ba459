// The simulated network: control streams and the data plane between nodes, with latency, resets and refused dials. CAF's
// own wire protocol crosses it: each end is a connection of a node's test multiplexer, and what one end wrote is handed to
// the other after a while.
#pragma once

#include "core/ports/blob_transport.hpp"
#include "core/ports/peer_links.hpp"
#include "sim/events.hpp"

#include <caf/all.hpp>
#include <caf/io/network/test_multiplexer.hpp>

#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace latham::sim {

class network {
public:
  using multiplexer = caf::io::network::test_multiplexer;

  explicit network(events& time) : time_{time} {}

  nanoseconds latency_min{200'000};
  nanoseconds latency_max{2'000'000};

  /// A node's life on the network. `alive` is asked before anything is delivered.
  struct station {
    std::string name;
    std::uint64_t life = 0;                      // grows with each start
    multiplexer* wire = nullptr;
    std::function<void(ports::control_stream)> accepted;
    ports::blob_store* blobs = nullptr;          // what its data plane serves
    ports::blob_store* own = nullptr;            // and to other storage nodes
  };

  void up(station s);
  /// The process is gone: its streams are reset at the other end, its dials and requests never answer.
  void down(const std::string& name);
  [[nodiscard]] bool is_up(const std::string& name, std::uint64_t life) const;

  [[nodiscard]] std::unique_ptr<ports::peer_links> links_of(const std::string& name, std::uint64_t life);
  [[nodiscard]] std::unique_ptr<ports::blob_transport> transport_of(const std::string& name, std::uint64_t life);

  /// Takes what nodes wrote since the last call and schedules its delivery. True when there was something.
  bool collect();

  [[nodiscard]] std::uint64_t packets() const noexcept { return packets_; }
  [[nodiscard]] std::uint64_t resets() const noexcept { return resets_; }

private:
  friend class sim_links;
  friend class sim_store;
  friend class sim_transport;

  struct end {
    std::string node;
    std::uint64_t life = 0;
    std::int64_t handle = 0;
    bool closed = false;
  };
  struct link {
    end a;
    end b;
    nanoseconds a_to_b{0};  // when the last packet of a direction arrives: no overtaking
    nanoseconds b_to_a{0};
  };

  [[nodiscard]] nanoseconds latency() { return time_.draw(latency_min, latency_max); }
  station* find(const std::string& name);
  void dial(const std::string& from, std::uint64_t life, const std::string& to, ports::completion<ports::control_stream> done);
  void close(std::uint64_t id, const std::string& who);
  bool take(link& l, end& from, end& to, nanoseconds& last);
  void reset(end& e);

  events& time_;
  std::map<std::string, station> stations_;
  std::map<std::uint64_t, link> links_;
  std::uint64_t next_link_ = 1;
  std::int64_t next_handle_ = 1000;
  std::uint64_t packets_ = 0;
  std::uint64_t resets_ = 0;
};

}  // namespace latham::sim
