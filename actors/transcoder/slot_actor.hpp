// One slot at work on one lease: runs the engine on the run of tasks, feeds it ranges of the source, writes each chunk's
// output blob, and reports to its transcoder. It knows nothing of leases: whoever owns the lease ends the slot when the
// lease is lost, and with it the codec child's task.
#pragma once

#include "actors/env.hpp"
#include "actors/protocol.hpp"

#include <map>

namespace latham {

/// What a transcoder understands beside worker_actor, from its own slots. Local.
using slot_parent = caf::typed_actor<
  /// Answered when the scheduler has decided: none, or fenced.
  caf::replies_to<plan_page>::with<errc>,
  caf::replies_to<task_commit>::with<errc>,
  /// The slot is done with its lease: errc::none, or why not.
  caf::reacts_to<task_failure>,
  /// Progress of the running task.
  caf::reacts_to<lease_renewal>>;

/// `storages` are those that are up, and grant the output tokens: `first`, which is one of them, until it is away or refuses.
/// Later changes come by storage_up_atom, null for one that went. The slot ends by itself after it sent its parent a task_failure (also for
/// success, with errc::none).
[[nodiscard]] caf::actor spawn_slot(caf::local_actor* parent_actor, const env& e, std::uint32_t slot, work_grant grant, std::map<node_name, storage_actor> storages, node_name first,
                                    slot_parent parent);

}  // namespace latham
