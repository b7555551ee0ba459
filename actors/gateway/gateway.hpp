// ports::service on actors: the place where asynchronous calls of the HTTP edge meet the actor system.
//
// Control goes through the gateway actor: begin, finish, queries, events. Bytes do not: `append` and `read` go from the
// caller's thread straight to the blob transport. The one thing both sides need is the write token of an upload; it is
// handed over in an immutable table that the actor replaces and the callers load, so neither side ever waits.
#pragma once

#include "actors/cluster/directory.hpp"
#include "actors/env.hpp"
#include "core/ports/service.hpp"

#include <caf/all.hpp>

#include <atomic>
#include <map>
#include <memory>

namespace latham {

/// An upload that this gateway carries.
struct open_upload {
  ports::write_token token;
  std::shared_ptr<ports::blob_store> store;
  /// Durable bytes; written by completions of any thread, read for the progress shown.
  std::shared_ptr<std::atomic<std::uint64_t>> durable;
};
using upload_table = std::map<video_id, open_upload>;

using event_subscribers = std::vector<std::weak_ptr<std::function<void(const ports::service_event&)>>>;
inline constexpr std::size_t subscribers_max = 16;  // the HTTP edge is one

/// What the gateway actor and the service share. Outlives both; made by the node.
struct gateway_door {
  std::atomic<std::shared_ptr<const caf::actor>> actor;         // null while the gateway (re)starts
  std::atomic<bool> joined{false};                              // it sees a scheduler and a storage node
  std::atomic<std::shared_ptr<const upload_table>> uploads;
  std::atomic<std::shared_ptr<const event_subscribers>> subscribers;  // outlive a gateway that restarts
};

[[nodiscard]] caf::actor spawn_gateway(caf::event_based_actor* parent, const env& e, directory_actor directory, std::shared_ptr<gateway_door> door);

/// `e` outlives the service.
[[nodiscard]] std::unique_ptr<ports::service> make_service(const env& e, std::shared_ptr<gateway_door> door);

}  // namespace latham
