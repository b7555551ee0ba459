// The command line and the environment, as typed and validated values. Raw words are turned into these in one place;
// nothing behind it checks again. Every option of `serve` can also come from the environment (LATHAM_...), which is what
// containers use.
#pragma once

#include "core/expected.hpp"
#include "core/ports/peer_links.hpp"
#include "core/units.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace latham::app {

struct serve_options {
  std::string name = "latham";
  std::set<std::string> roles = {"gateway", "storage", "scheduler", "worker"};
  std::string data = "data";
  ports::endpoint http{"127.0.0.1", 8000};
  ports::endpoint admin{"127.0.0.1", 8010};
  std::optional<ports::endpoint> cluster;                                 // where peers reach us
  std::map<std::string, ports::endpoint> storages;                        // other nodes, by name
  std::map<std::string, ports::endpoint> schedulers;
  std::uint32_t copies = 0;                                               // 0: two where there are two storage nodes
  std::uint32_t ack_copies = 0;                                           // 0: all of them
  std::set<std::string> draining;                                         // storage nodes that are to be emptied
  std::optional<std::uint32_t> shard;                                     // of a scheduler; see shard_of
  std::uint32_t slots = 0;                                                // 0: one per processor we may use
  std::uint64_t capacity_bytes = 0;                                       // 0: what the disk has
  std::uint64_t free_reserve_bytes = 1 * gib;
  std::uint64_t upload_bytes_max = 64 * gib;
  std::string token;
  bool insecure = false;
  bool unsafe_codecs = false;
  std::string log_level = "info";
  bool log_json = false;
  seconds drain{20};
};

/// "127.0.0.1:8000", "[::1]:8000" or ":8000" (all addresses). Fails with invalid_argument.
[[nodiscard]] expected<ports::endpoint> parse_endpoint(const std::string& text);
/// "storage-0=10.0.0.1:8020".
[[nodiscard]] expected<std::pair<std::string, ports::endpoint>> parse_peer(const std::string& text);
[[nodiscard]] bool is_loopback(const ports::endpoint& e);

/// What the combination forbids: listening beyond loopback without a token, a cluster beyond loopback, roles without the
/// peers they need. The sentence says what to do.
[[nodiscard]] expected<void> validate(const serve_options& o);

/// A scheduler's home shard: as given, or the number at the end of its name ("scheduler-2"), or 0.
[[nodiscard]] std::uint16_t shard_of(const serve_options& o);

/// Processors that this process may use: affinity and the cgroup's quota (v1 and v2), at least 1.
[[nodiscard]] std::uint32_t usable_processors();

}  // namespace latham::app
