// Who is where: the configured members of the cluster and their addresses, looked up anew at every dial because a pod
// that restarts comes back elsewhere.
#pragma once

#include "core/ids.hpp"
#include "core/ports/peer_links.hpp"

#include <vector>

namespace latham::ports {

class resolver {
public:
  virtual ~resolver() = default;
  virtual void resolve(node_name node, completion<std::vector<endpoint>> done) = 0;
};

}  // namespace latham::ports
