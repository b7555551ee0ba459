// ports::blob_transport: the blob stores of all nodes by name. One's own is the local store, without a socket; another's is
// a blob_client, made when first asked for and kept, because the members of a cluster are few and configured.
#pragma once

#include "core/ports/blob_transport.hpp"
#include "net/blob_client.hpp"

#include <map>
#include <memory>
#include <mutex>

namespace latham::net {

class transport final : public ports::blob_transport {
public:
  /// `local` and `own` may be empty on a node without storage: its own name is then not_found. What `context` names outlives
  /// this object and every store that it handed out.
  transport(node_name self, std::shared_ptr<ports::blob_store> local, std::shared_ptr<ports::blob_store> own, blob_client_context context, blob_client_options options = {});

  [[nodiscard]] std::shared_ptr<ports::blob_store> at(const node_name& node) override;
  [[nodiscard]] std::shared_ptr<ports::blob_store> own_of(const node_name& node) override;

private:
  const node_name self_;
  [[nodiscard]] std::shared_ptr<ports::blob_store> client(const node_name& node, bool own);

  const std::shared_ptr<ports::blob_store> local_;  // shared: the port hands it to whoever asks
  const std::shared_ptr<ports::blob_store> own_;
  const blob_client_context context_;
  const blob_client_options options_;
  std::mutex mutex_;
  std::map<std::pair<node_name, bool>, std::shared_ptr<ports::blob_store>> clients_;  // shared likewise; of its own copies?
};

}  // namespace latham::net
