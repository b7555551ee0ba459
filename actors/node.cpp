#include "actors/node.hpp"

#include "actors/cluster/connector.hpp"
#include "actors/cluster/directory.hpp"
#include "actors/gateway/gateway.hpp"
#include "actors/protocol.hpp"
#include "actors/scheduler/scheduler_actor.hpp"
#include "actors/storage/repair_actor.hpp"
#include "actors/storage/storage_actor.hpp"
#include "actors/supervisor.hpp"
#include "actors/transcoder/transcoder_actor.hpp"

#include <caf/io/middleman.hpp>

#include <iterator>
#include <memory>
#include <vector>

namespace latham {

std::string_view to_string(node_role role) noexcept {
  switch (role) {
    case node_role::gateway: return "gateway";
    case node_role::storage: return "storage";
    case node_role::scheduler: return "scheduler";
    case node_role::worker: return "worker";
  }
  return "unknown";
}

caf_config::caf_config(std::size_t threads) {
  load<caf::io::middleman>();
  add_message_types<caf::id_block::latham>();
  add_error_category(caf::atom("latham"), [](std::uint8_t code, caf::atom_value, const caf::message& context) {
    std::string out{to_string(static_cast<errc>(code))};
    if (context.match_elements<std::string>()) out += ": " + context.get_as<std::string>(0);
    return out;
  });
  set("scheduler.max-threads", threads);
  // CAF's default, work stealing, polls: two threads with nothing to do took a tenth of a core, most of it in the kernel.
  // Sharing one queue costs contention where messages are many; ours are few.
  set("scheduler.policy", caf::atom("sharing"));
  set("middleman.enable-automatic-connections", false);
  // Late and coarse on purpose: our own pings are faster, and CAF's first tick kills an unfinished handshake.
  set("middleman.heartbeat-interval", caf::timespan{seconds{2}});
  set("middleman.connection-timeout", caf::timespan{seconds{10}});
}

struct node::parts {
  caf::actor_system& system;
  const env& e;
  std::shared_ptr<gateway_door> door = std::make_shared<gateway_door>();  // shared with the gateway actor and the service
  directory_actor directory;
  node_root_actor root;
  caf::actor tree;
  caf::actor guard;  // tells of the tree's end
  caf::actor watch;  // the same, when it was asked for: whoever only monitors lives no longer than somebody has its handle
  std::unique_ptr<ports::service> service;
};

node::node(caf::actor_system& system, const env& e, std::function<void(std::string)> on_failure) : parts_{new parts{system, e, {}, {}, {}, {}, {}, {}, {}}} {
  auto& p = *parts_;
  p.door = std::make_shared<gateway_door>();
  p.directory = spawn_directory(system, e);

  std::vector<child_spec> children;
  const auto add = [&](std::string name, std::function<caf::actor(caf::event_based_actor*)> start) {
    children.push_back({std::move(name), std::move(start), restart_type::permanent});
  };
  const auto has = [&](node_role role) { return e.config.roles.contains(role); };
  for (const auto& peer : e.config.peers)
    if (peer.dial) add("connector " + peer.name, [&e, directory = p.directory, peer](caf::event_based_actor* s) { return spawn_connector(s, e, directory, peer); });
  if (has(node_role::storage)) add("storage", [&e, directory = p.directory](caf::event_based_actor* s) { return spawn_storage(s, e, directory); });
  if (has(node_role::storage) && e.own_blobs != nullptr && e.config.rules_of_copies().members.size() > 1)
    add("repair", [&e, directory = p.directory](caf::event_based_actor* s) { return spawn_repair(s, e, directory); });
  if (has(node_role::scheduler)) add("scheduler", [&e, directory = p.directory](caf::event_based_actor* s) { return spawn_scheduler(s, e, directory); });
  if (has(node_role::worker)) add("worker", [&e, directory = p.directory](caf::event_based_actor* s) { return spawn_transcoder(s, e, directory); });
  if (has(node_role::gateway)) add("gateway", [&e, directory = p.directory, door = p.door](caf::event_based_actor* s) { return spawn_gateway(s, e, directory, door); });
  p.tree = spawn_supervisor(system, e, "node", {}, std::move(children));

  p.guard = system.spawn([tree = p.tree, on_failure = std::move(on_failure)](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([self, on_failure](caf::down_msg& down) {
      const bool meant = !down.reason || down.reason == caf::exit_reason::user_shutdown || down.reason == caf::exit_reason::normal;
      if (!meant && on_failure) on_failure(self->system().render(down.reason));
      self->quit();
    });
    self->monitor(tree);
    return {[self, tree](const std::string& outlived) { self->send_exit(tree, to_caf({errc::fenced, outlived})); }};
  });
  // The root outlasts the tree, and must be able to end it.
  p.root = spawn_node_root(system, e, p.directory, [guard = p.guard](std::string why) { caf::anon_send(guard, std::move(why)); });

  if (e.links != nullptr) {
    e.links->on_accept([&system, &e, root = caf::actor_cast<caf::strong_actor_ptr>(p.root)](ports::control_stream stream) { e.attach_accepted(system, stream, root); });
  }
  p.service = make_service(e, p.door);
}

node::~node() {
  auto& p = *parts_;
  if (p.e.links != nullptr) p.e.links->on_accept([&e = p.e](ports::control_stream stream) { e.links->close(stream.id); });
  {
    caf::scoped_actor self{p.system};
    self->monitor(p.tree);
    caf::anon_send_exit(p.tree, caf::exit_reason::user_shutdown);
    self->receive([](caf::down_msg&) {}, caf::after(seconds{5}) >> [] {});
  }
  caf::anon_send_exit(p.guard, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(p.root, caf::exit_reason::user_shutdown);
  caf::anon_send_exit(p.directory, caf::exit_reason::user_shutdown);
}

void node::stop(std::function<void()> stopped) {
  auto& p = *parts_;
  if (p.e.links != nullptr) p.e.links->on_accept([&e = p.e](ports::control_stream stream) { e.links->close(stream.id); });
  p.watch = p.system.spawn([tree = p.tree, stopped = std::move(stopped)](caf::event_based_actor* self) -> caf::behavior {
    self->set_down_handler([self, stopped](caf::down_msg&) {
      stopped();
      self->quit();
    });
    self->monitor(tree);
    caf::anon_send_exit(tree, caf::exit_reason::user_shutdown);
    return {[](caf::unit_t) {}};
  });
}

void node::drain(milliseconds deadline, std::function<void(bool)> drained) {
  auto& p = *parts_;
  if (!p.e.config.roles.contains(node_role::worker)) return drained(true);
  p.system.spawn([tree = p.tree, directory = p.directory, name = p.e.config.name, deadline, patience = p.e.config.request_timeout, drained = std::move(drained)](caf::event_based_actor* self) -> caf::behavior {
    const auto end = [self, drained](bool in_time) {
      self->quit();
      drained(in_time);
    };
    // A tree that has given up, or does so meanwhile, has no worker any more.
    self->set_down_handler([end](caf::down_msg&) { end(false); });
    self->monitor(tree);
    // By the directory, because the supervisor may start the worker anew meanwhile: the new one is told, too. Said again, it
    // means that nobody waits any longer.
    const auto say = [self, directory, name] { caf::anon_send(directory, service_change{service_drain, name, caf::actor_cast<caf::strong_actor_ptr>(self)}); };
    say();
    return {[end](caf::unit_t) { end(true); }, caf::after(deadline) >> [self, say, patience, end] {
              say();
              self->become(caf::behavior{[end](caf::unit_t) { end(false); }, caf::after(patience) >> [end] { end(false); }});
            }};
  });
}

void node::leave(ports::completion<leave_report> answer) {
  auto& p = *parts_;
  std::vector<std::string> asked;
  if (p.e.config.roles.contains(node_role::storage)) asked.emplace_back(service_storage);
  if (p.e.config.roles.contains(node_role::scheduler)) asked.emplace_back(service_scheduler);
  if (asked.empty()) return answer(error{errc::unsupported, "this node keeps nothing that others would miss; stop it when you like"});
  struct asking {
    std::size_t left;
    leave_report all;
    error last;
  };
  auto state = std::make_shared<asking>(asking{asked.size(), {}, {}});  // shared by the answers
  const auto step = [state, answer = std::move(answer)] {
    if (--state->left > 0) return;
    if (state->last.code != errc::none) return answer(state->last);
    state->all.may_leave = state->all.reasons.empty();
    answer(std::move(state->all));
  };
  const auto told = [state, step](leave_report& report) {
    std::move(report.reasons.begin(), report.reasons.end(), std::back_inserter(state->all.reasons));
    step();
  };
  const auto failed = [state, step](caf::error& e) {
    state->last = from_caf(e);
    step();
  };
  for (const auto& service : asked)
    p.system.spawn([directory = p.directory, service, patience = p.e.config.request_timeout, state, step, told, failed](caf::event_based_actor* self) {
      self->request(directory, patience, resolve_atom::value, service)
        .then(
          [self, service, patience, state, step, told, failed](const caf::strong_actor_ptr& handle) {
            if (!handle) {
              state->last = {errc::unavailable, "the " + service + " of this node is starting; try again in a second"};
              return step();
            }
            // Storage asks its peers in turn for three things, each with that patience.
            if (service == service_storage) self->request(caf::actor_cast<storage_actor>(handle), 4 * patience, leave_atom::value).then(told, failed);
            else self->request(caf::actor_cast<scheduler_actor>(handle), patience, leave_atom::value).then(told, failed);
          },
          failed);
    });
}

ports::service& node::service() { return *parts_->service; }

}  // namespace latham
