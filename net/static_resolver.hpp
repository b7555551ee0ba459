// ports::resolver from configuration: a fixed list of members, each with one or more endpoints whose host names are looked
// up anew at every dial, because a pod that restarts keeps its name and changes its address.
#pragma once

#include "core/ports/resolver.hpp"
#include "net/address_lookup.hpp"

#include <map>
#include <utility>
#include <vector>

namespace latham::net {

class static_resolver final : public ports::resolver {
public:
  /// `lookup` outlives this object.
  static_resolver(std::map<node_name, std::vector<ports::endpoint>> members, address_lookup& lookup)
    : members_{std::move(members)}, lookup_{lookup} {}

  /// Numeric endpoints. Fails with not_found for a name that nobody configured, unavailable, limited.
  void resolve(node_name node, ports::completion<std::vector<ports::endpoint>> done) override {
    const auto at = members_.find(node);
    if (at != members_.end()) return lookup_.resolve(at->second, std::move(done));
    lookup_.resolve({}, [done = std::move(done)](expected<std::vector<ports::endpoint>>) {
      done(error{errc::not_found, "no such node is configured"});
    });
  }
  [[nodiscard]] bool knows(const node_name& node) const { return members_.contains(node); }

private:
  const std::map<node_name, std::vector<ports::endpoint>> members_;
  address_lookup& lookup_;
};

}  // namespace latham::net
