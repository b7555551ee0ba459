#include "actors/cluster/directory.hpp"

#include <map>
#include <set>

namespace latham {

namespace {

struct directory_state {
  std::map<std::pair<std::string, node_name>, caf::strong_actor_ptr> services;
  std::multimap<std::string, caf::actor> subscribers;
};

directory_actor::behavior_type directory(directory_actor::stateful_pointer<directory_state> self, const env* e) {
  self->set_down_handler([self](caf::down_msg& down) {
    auto& all = self->state.subscribers;
    for (auto at = all.begin(); at != all.end();) at = at->second.address() == down.source ? all.erase(at) : std::next(at);
  });
  return {
    [self](const service_change& change) {
      auto& st = self->state;
      const auto key = std::pair{change.service, change.node};
      if (change.handle)
        st.services[key] = change.handle;
      else if (st.services.erase(key) == 0)
        return;  // a peer that does not run the service: no news to anybody
      const auto [first, last] = st.subscribers.equal_range(change.service);
      for (auto at = first; at != last; ++at) caf::anon_send(at->second, change);
    },
    [self](listen_atom, const std::string& service, const caf::actor& subscriber) {
      self->monitor(subscriber);
      self->state.subscribers.emplace(service, subscriber);
      for (const auto& [key, handle] : self->state.services)
        if (key.first == service) caf::anon_send(subscriber, service_change{key.first, key.second, handle});
    },
    [self, e](resolve_atom, const std::string& service) -> caf::strong_actor_ptr {
      auto at = self->state.services.find({service, e->config.name});
      return at == self->state.services.end() ? nullptr : at->second;
    },
  };
}

}  // namespace

directory_actor spawn_directory(caf::actor_system& system, const env& e) { return system.spawn(directory, &e); }

}  // namespace latham
