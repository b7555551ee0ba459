// A supervisor: starts children, links to them locally, traps their exits, and does what core/supervise says. Never
// links across nodes: a partition would kill the tree. Children are stopped in reverse order of their start. A child that
// ends with errc::io or errc::fenced escalates at once: only a new process opens the store anew, or speaks as another.
#pragma once

#include "actors/env.hpp"
#include "core/supervise/restart_policy.hpp"

#include <caf/all.hpp>

#include <functional>
#include <string>
#include <vector>

namespace latham {

struct child_spec {
  std::string name;
  std::function<caf::actor(caf::event_based_actor* parent)> start;
  restart_type type = restart_type::permanent;
};

/// Spawns a supervisor. It ends with an error when its policy escalates, and normally when it is told to shut down.
[[nodiscard]] caf::actor spawn_supervisor(caf::actor_system& system, const env& e, std::string name, supervision how, std::vector<child_spec> children);
[[nodiscard]] caf::actor spawn_supervisor(caf::event_based_actor* parent, const env& e, std::string name, supervision how, std::vector<child_spec> children);

}  // namespace latham
