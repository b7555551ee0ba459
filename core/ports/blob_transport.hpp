// The way to the blobs of another node. Production: data streams over libuv with credit, checksums and resume; the local
// node's own store where the name is its own. Control messages never travel here, media bytes never elsewhere.
#pragma once

#include "core/ids.hpp"
#include "core/ports/blob_store.hpp"

#include <memory>

namespace latham::ports {

class blob_transport {
public:
  virtual ~blob_transport() = default;
  /// The store of `node`. Connects lazily and reconnects; calls on it fail with errc::unavailable while the node is away
  /// and with errc::not_found for a name that nobody configured. Any thread; the result may be kept.
  [[nodiscard]] virtual std::shared_ptr<blob_store> at(const node_name& node) = 0;

  /// The copies that `node` itself holds: what is written there is not copied on, what is missing there is not fetched from
  /// elsewhere. For storage nodes among one another. Answers within half the time that `at` is given, so that whoever waits
  /// for several hears of it.
  [[nodiscard]] virtual std::shared_ptr<blob_store> own_of(const node_name& node) = 0;
};

}  // namespace latham::ports
