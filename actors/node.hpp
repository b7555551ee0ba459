// A node: THE supervision tree, made from its roles. app and sim both call start_node; nothing else starts actors.
//
//   node supervisor (one_for_one, escalates: the process ends and is restarted from what it persisted)
//    +- connector per peer that we dial
//    +- storage_actor      (storage)
//    +- repair_actor       (storage, where there are several)
//    +- scheduler_actor    (scheduler)
//    +- transcoder_actor   (worker)       +- slot_actor per lease
//    +- gateway actor      (gateway)      +- upload_actor per upload
//
// The directory and the published root stand outside the tree: they never fail, and remote handles to them must not
// change while the process lives.
#pragma once

#include "actors/env.hpp"
#include "core/cluster/leave.hpp"
#include "core/ports/service.hpp"

#include <caf/all.hpp>

#include <functional>
#include <memory>

namespace latham {

/// CAF's configuration of every system of ours: message types, no files, no listening, bounded threads.
class caf_config : public caf::actor_system_config {
public:
  /// `threads`: CAF's scheduler threads; it would take all cores of the host otherwise, whatever the cgroup allows.
  explicit caf_config(std::size_t threads);
};

class node {
public:
  /// Starts the tree. `e` and `system` outlive the node. `on_failure` is called once, from an actor's thread, when the
  /// tree escalated: the process must end.
  node(caf::actor_system& system, const env& e, std::function<void(std::string)> on_failure);
  /// Stops the tree in reverse order of its start, with a deadline of 5 s.
  ~node();
  node(const node&) = delete;
  node& operator=(const node&) = delete;

  /// Asks the tree to end, as the destructor does, without waiting: `stopped` is called once, from an actor's thread, when
  /// it has ended. For whoever owns time itself; everybody else destroys the node.
  void stop(std::function<void()> stopped);

  /// The worker takes no new leases and finishes what runs. At `deadline` what still runs is handed back, and the schedulers have
  /// a request's time to say that they know. Call before the end of the tree, which cuts the links. There is no way back to work
  /// but a restart. `drained` is called once, from an actor's thread or from here: true when all was finished in time, or there
  /// is no worker; false when not, when a scheduler has not answered, or when the tree has ended.
  void drain(milliseconds deadline, std::function<void(bool)> drained);

  /// Whether the node may be switched off for good, and what holds it back. `answer` is called once, from an actor's thread, and
  /// not at all when the node ends before. Fails with unsupported where nothing is kept, unavailable while it starts.
  void leave(ports::completion<leave_report> answer);

  /// The inbound port; a node without the gateway role answers unavailable.
  [[nodiscard]] ports::service& service();

private:
  struct parts;
  std::unique_ptr<parts> parts_;
};

}  // namespace latham
