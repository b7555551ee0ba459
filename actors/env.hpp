// What an actor may touch: the ports of its node, by reference. Built once by the composition root (app or sim) and
// passed down the tree; everything in it outlives the actor system. No globals.
#pragma once

#include "actors/journal.hpp"
#include "core/cluster/placement.hpp"
#include "core/cluster/protocol_versions.hpp"
#include "core/ports/blob_store.hpp"
#include "core/ports/blob_transport.hpp"
#include "core/ports/clock.hpp"
#include "core/ports/executor.hpp"
#include "core/ports/kv_store.hpp"
#include "core/ports/log_sink.hpp"
#include "core/ports/media_engine.hpp"
#include "core/ports/metrics.hpp"
#include "core/ports/own_blobs.hpp"
#include "core/ports/peer_links.hpp"
#include "core/ports/random.hpp"
#include "core/ports/resolver.hpp"
#include "core/scheduler/scheduler.hpp"
#include "core/upload/uploads.hpp"

#include <caf/fwd.hpp>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace latham {

enum class node_role : std::uint8_t { gateway, storage, scheduler, worker };
[[nodiscard]] std::string_view to_string(node_role role) noexcept;

/// Another node and what it runs, as configured.
struct peer_config {
  node_name name;
  bool dial = false;  // who dials whom: worker and gateway -> scheduler and storage; storage -> scheduler
};

struct node_config {
  node_name name = "latham";
  std::uint64_t incarnation = 0;
  protocol_versions speaks;
  std::set<node_role> roles;
  std::uint16_t shard = 0;             // scheduler: its home shard
  std::vector<node_name> storages;     // all of the configuration, this node included; empty: this node alone
  std::vector<node_name> schedulers;   // the same
  std::uint32_t copies = 0;            // of each blob, on different storage nodes; 0: two where there are two
  std::uint32_t ack_copies = 0;        // durable before anybody is told; 0: all of them
  std::set<node_name> draining;        // storage nodes that are to lose what they hold, and get nothing new
  std::uint32_t slots = 1;             // worker: chunks at once
  std::vector<peer_config> peers;
  scheduler_config scheduling;
  upload_limits uploading;
  journal_limits records{1 * mib, 4096, 32 * mib};  // an hour of claims on a full disk, or a second of a thousand workers
  milliseconds request_timeout{5'000};
  milliseconds ping_period{500};
  milliseconds ping_timeout{1'500};
  milliseconds name_look_period{3'000}; // from one look at where a linked peer's name points to, to the next
  milliseconds renew_period{700};
  milliseconds stall_timeout{120'000};  // a task without any sign of life for this long is given back
  milliseconds output_grace{900'000};   // an output that nobody refers to, or writes, is removed after this; longer than a lease
  milliseconds repair_period{60'000};   // from one look at all own blobs to the next
  milliseconds stand_in_after{600'000}; // a home that is away for longer is stood in for
  std::uint64_t repair_bytes_s = 64 * mib;
  std::uint64_t scrub_bytes_s = 4 * mib;  // of own blobs read to find damage; 0: none
  milliseconds scrub_rest{60'000};        // from one pass over all blobs to the next, at least

  [[nodiscard]] copy_rules rules_of_copies() const { return make_copy_rules(name, storages, draining, copies, ack_copies); }
};

/// Ports of one node. Those of roles that it does not run may be null.
struct env {
  node_config config;
  ports::clock* clock = nullptr;
  ports::random* random = nullptr;
  ports::log_sink* log = nullptr;
  ports::metrics* metrics = nullptr;
  ports::executor* executor = nullptr;          // CPU work that is too long for an actor
  ports::kv_store* records = nullptr;           // scheduler, storage
  ports::blob_store* blobs = nullptr;           // storage: what this node answers for, with its copies elsewhere
  ports::own_blobs* own_blobs = nullptr;        // storage of several: what is on its own disk
  ports::blob_transport* transport = nullptr;   // gateway, worker, storage of several
  ports::media_engine* engine = nullptr;        // worker
  ports::peer_links* links = nullptr;           // null: a single process
  ports::resolver* resolver = nullptr;
  /// Gives a control stream to CAF: production wraps its descriptor, the simulation its test connection. Published side.
  std::function<void(caf::actor_system&, const ports::control_stream&, const caf::strong_actor_ptr& root)> attach_accepted;
  /// Dialing side: answers with the peer's node_root.
  std::function<void(caf::actor_system&, const ports::control_stream&, ports::completion<caf::strong_actor_ptr>)> attach_dialed;
};

}  // namespace latham
