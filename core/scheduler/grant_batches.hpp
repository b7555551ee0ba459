// Grants of one decision to the same worker leave as one message: a report that ends several leases, or a plan that many
// slots waited for, would otherwise cost a message for each.
#pragma once

#include "core/scheduler/scheduler.hpp"

#include <vector>

namespace latham {

struct grant_batch {
  node_name worker;
  std::vector<work_grant> grants;   // at least one; at most batch_max
};

/// The grants among `effects`, in their order for each worker; the workers in the order of their first grant. A batch keeps
/// within what a control message may have, but for a single grant that alone has more.
[[nodiscard]] std::vector<grant_batch> grants_by_worker(const std::vector<scheduler_effect>& effects);

}  // namespace latham
