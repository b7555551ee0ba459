#include "net/transport.hpp"

#include <cstddef>
#include <utility>

namespace latham::net {

namespace {
// Names come from our own records, but a bug must not become a leak: beyond this nothing is remembered.
constexpr std::size_t clients_max = 1024;
}  // namespace

transport::transport(node_name self, std::shared_ptr<ports::blob_store> local, std::shared_ptr<ports::blob_store> own, blob_client_context context, blob_client_options options)
  : self_{std::move(self)}, local_{std::move(local)}, own_{std::move(own)}, context_{std::move(context)}, options_{options} {}

std::shared_ptr<ports::blob_store> transport::at(const node_name& node) {
  if (node == self_ && local_) return local_;
  return client(node, false);
}

std::shared_ptr<ports::blob_store> transport::own_of(const node_name& node) {
  if (node == self_ && own_) return own_;
  return client(node, true);
}

std::shared_ptr<ports::blob_store> transport::client(const node_name& node, bool own) {
  const std::lock_guard guard{mutex_};
  const auto key = std::pair{node, own};
  if (const auto known = clients_.find(key); known != clients_.end()) return known->second;
  auto options = options_;
  options.own_copies = own;
  if (own) options.request_deadline = options.request_deadline / 2;
  // An unknown name gets a client too: the resolver tells it not_found at its first call, asynchronously as the port wants.
  auto made = std::make_shared<blob_client>(context_, node, options);
  if (clients_.size() < clients_max) clients_.emplace(key, made);
  return made;
}

}  // namespace latham::net
