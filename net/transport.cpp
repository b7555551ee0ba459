#include "net/transport.hpp"

#include <cstddef>
#include <utility>

namespace latham::net {

namespace {
// Names come from our own records, but a bug must not become a leak: beyond this nothing is remembered.
constexpr std::size_t clients_max = 1024;
}  // namespace

transport::transport(node_name self, std::shared_ptr<ports::blob_store> local, blob_client_context context, blob_client_options options)
  : self_{std::move(self)}, local_{std::move(local)}, context_{std::move(context)}, options_{options} {}

std::shared_ptr<ports::blob_store> transport::at(const node_name& node) {
  if (node == self_ && local_) return local_;
  const std::lock_guard guard{mutex_};
  if (const auto known = clients_.find(node); known != clients_.end()) return known->second;
  // An unknown name gets a client too: the resolver tells it not_found at its first call, asynchronously as the port wants.
  auto made = std::make_shared<blob_client>(context_, node, options_);
  if (clients_.size() < clients_max) clients_.emplace(node, made);
  return made;
}

}  // namespace latham::net
