#include "actors/cluster/connector.hpp"

#include "actors/role_actor.hpp"
#include "core/backoff.hpp"
#include "core/cluster/identities.hpp"
#include "core/reach.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <utility>

namespace latham {

namespace {

constexpr backoff_policy redial{milliseconds{100}, milliseconds{3'000}};
constexpr std::array<const char*, 3> dialed_services = {service_storage, service_scheduler, service_claimant};

std::string outlived_words(const node_name& name) {
  return "a later process named " + name + " is alive; give one of the two another name, or leave this one stopped";
}

using connector_interface = caf::typed_actor<caf::reacts_to<abort_atom>>;

class connector : public role_actor<connector_interface> {
public:
  connector(caf::actor_config& config, const env* e, directory_actor directory, peer_config peer) : role_actor(config, *e), directory_{std::move(directory)}, peer_{std::move(peer)} {}

  behavior_type make_behavior() override {
    set_down_handler([this](caf::down_msg& down) {
      if (root_ && down.source == root_.address()) go_down("its link ended");
    });
    dial();
    return {
      [this](abort_atom) { quit(); },
      [](local_call& call) { call.run(); },
    };
  }

  void on_exit() override {
    withdraw();
    if (stream_ != 0) env_.links->close(stream_);
    end_probe();
  }

private:
  // Every callback of an earlier try carries that try's number and is ignored.
  void dial() {
    const auto my_try = ++try_;
    env_.resolver->resolve(peer_.name, here<std::vector<ports::endpoint>>([this, my_try](expected<std::vector<ports::endpoint>> found) {
      if (my_try != try_) return;
      if (!found || found->empty()) return go_down("its name does not resolve");
      const auto where = (*found)[dials_++ % found->size()];
      env_.links->dial(where, peer_.name, here<ports::control_stream>([this, my_try, where](expected<ports::control_stream> stream) {
        if (!stream) {
          if (my_try == try_) go_down(stream.error().message);
          return;
        }
        if (my_try != try_) {
          LATHAM_REACHED("dial_answered_too_late");
          env_.links->close(stream->id);
          return;
        }
        stream_ = stream->id;
        addresses_ = {where};
        env_.attach_dialed(system(), *stream, here<caf::strong_actor_ptr>([this, my_try](expected<caf::strong_actor_ptr> root) {
          if (my_try != try_) return;
          if (!root) return go_down(root.error().message);
          root_ = caf::actor_cast<node_root_actor>(*root);
          monitor(root_);
          last_heard_ = now();
          ping(my_try);
          look_elsewhere(my_try);
        }));
      }));
    }));
  }

  [[nodiscard]] hello greeting() const {
    return {env_.config.name, env_.config.incarnation, env_.config.speaks.newest, env_.engine != nullptr ? env_.engine->id() : std::string{}, 0};
  }

  void ping(std::uint64_t my_try) {
    if (my_try != try_ || !root_) return;
    if (LATHAM_REACHED_IF("peer_silent", now() - last_heard_ > env_.config.ping_timeout)) return go_down("it does not answer");
    request(root_, env_.config.ping_timeout, greeting())
      .then(
        [this, my_try](const hello& reply) {
          if (my_try != try_) return;
          last_heard_ = now();
          on_hello(reply);
        },
        [this, my_try](caf::error& e) {
          if (my_try != try_) return;
          const auto why = from_caf(e);
          if (why.code == errc::fenced) return stop_as_twin();
          go_down(why.code == errc::unsupported ? why.message : "it does not answer");
        });
    later(env_.config.ping_period, [this, my_try] { ping(my_try); });
  }

  // A link to the earlier of two processes does not end by itself, and one that only listens hears of the other from nobody.
  void look_elsewhere(std::uint64_t my_try) {
    later(env_.config.name_look_period, [this, my_try] {
      if (my_try != try_) return;
      look_elsewhere(my_try);
      if (!up_ || probing_) return;
      env_.resolver->resolve(peer_.name, here<std::vector<ports::endpoint>>([this, my_try](expected<std::vector<ports::endpoint>> found) {
        if (my_try != try_ || !up_ || probing_ || !found) return;
        if (const auto other = other_address(*found, addresses_)) probe(my_try, *other);
      }));
    });
  }

  /// Asks who is there, on a stream of its own: the link that stands is kept until a later process has answered.
  void probe(std::uint64_t my_try, const ports::endpoint& where) {
    probing_ = true;
    env_.links->dial(where, peer_.name, here<ports::control_stream>([this, my_try, where](expected<ports::control_stream> stream) {
      if (!stream) return end_probe();  // nobody yet, or no more
      probe_stream_ = stream->id;
      env_.attach_dialed(system(), *stream, here<caf::strong_actor_ptr>([this, my_try, where](expected<caf::strong_actor_ptr> root) {
        if (!root) return end_probe();
        auto other = caf::actor_cast<node_root_actor>(*root);
        request(other, env_.config.ping_timeout, greeting())
          .then([this, my_try, where, other](const hello& reply) { on_probe_answered(my_try, where, other, reply); },
                [this](caf::error& e) {
                  end_probe();
                  if (from_caf(e).code == errc::fenced) stop_as_twin();
                });
      }));
    }));
  }

  void on_probe_answered(std::uint64_t my_try, const ports::endpoint& where, const node_root_actor& other, const hello& reply) {
    if (my_try != try_ || !up_ || reply.node != peer_.name) return end_probe();
    if (reply.incarnation == incarnation_) {
      addresses_.push_back(where);
      return end_probe();
    }
    const bool moved = reply.incarnation > incarnation_;
    log(ports::log_level::warn, "peer has a twin peer={} earlier={:x} later={:x}", peer_.name, std::min(incarnation_, reply.incarnation), std::max(incarnation_, reply.incarnation));
    // Whether or not it hears us: the later one is the peer.
    const auto told = [this, my_try, moved] {
      end_probe();
      if (moved && my_try == try_) go_down("a later process has its name");
    };
    LATHAM_REACHED("twin_told_by_who_dials_it");
    request(moved ? root_ : other, env_.config.ping_timeout, hello{peer_.name, std::max(incarnation_, reply.incarnation), env_.config.speaks.newest, {}, 0})
      .then([told](const hello&) { told(); }, [told](caf::error&) { told(); });
  }

  void end_probe() {
    probing_ = false;
    if (probe_stream_ != 0) env_.links->close(std::exchange(probe_stream_, 0));
  }

  /// The peer hears a later process of our name. Ends the whole node: see core/cluster/identities.hpp.
  void stop_as_twin() {
    LATHAM_REACHED("twin_told_by_whom_it_dials");
    log(ports::log_level::error, "node stops: a later process of its name is alive name={} incarnation={:x} heard_by={}", env_.config.name, env_.config.incarnation, peer_.name);
    quit(to_caf({errc::fenced, outlived_words(env_.config.name)}));
  }

  void on_hello(const hello& reply) {
    if (reply.node != peer_.name) return go_down("it calls itself " + reply.node);
    const auto version = agreed_version(env_.config.speaks, peer_.name, reply.protocol);
    if (!version) return go_down(version.error().message);
    if (*version != env_.config.speaks.newest) LATHAM_REACHED("peer_of_the_release_before");
    const bool news = !up_ || reply.incarnation != incarnation_ || reply.services_revision != services_revision_;
    if (!up_) log(ports::log_level::info, "peer up peer={} incarnation={:x} protocol={}", peer_.name, reply.incarnation, *version);
    up_ = true;
    failures_ = 0;
    incarnation_ = reply.incarnation;
    services_revision_ = reply.services_revision;
    if (!news) return;
    for (const auto* service : dialed_services)
      request(root_, env_.config.request_timeout, resolve_atom::value, std::string{service}, *version)
        .then(
          [this, my_try = try_, service](const caf::strong_actor_ptr& handle) {
            if (my_try == try_) caf::anon_send(directory_, service_change{service, peer_.name, handle});
          },
          [this, my_try = try_](caf::error&) {
            if (my_try == try_) services_revision_ = 0;  // no revision: the next hello asks again
          });
  }

  void withdraw() {
    if (!up_) return;
    up_ = false;
    for (const auto* service : dialed_services) caf::anon_send(directory_, service_change{service, peer_.name, nullptr});
  }

  void go_down(const std::string& why) {
    ++try_;
    if (up_ || failures_ == 0) log(ports::log_level::warn, "peer down peer={} reason=\"{}\"", peer_.name, why);
    withdraw();
    if (root_) demonitor(root_.address());
    destroy(root_);
    if (stream_ != 0) env_.links->close(std::exchange(stream_, 0));
    ++failures_;
    later(backoff(redial, failures_, env_.random->next()), [this, my_try = try_] {
      if (my_try == try_) dial();
    });
  }

  directory_actor directory_;
  const peer_config peer_;
  node_root_actor root_;
  std::uint64_t try_ = 0;
  std::uint64_t dials_ = 0;
  std::uint64_t stream_ = 0;
  std::vector<ports::endpoint> addresses_;  // at which the process of this link listens
  bool probing_ = false;
  std::uint64_t probe_stream_ = 0;
  std::uint64_t incarnation_ = 0;
  std::uint64_t services_revision_ = 0;
  std::uint32_t failures_ = 0;
  bool up_ = false;
  instant last_heard_;
};

/// How long a silent name stays its last process's: a few pings, so that a restart with a clock set back is soon let in.
constexpr milliseconds identity_memory{5'000};
constexpr std::size_t refused_max = 1'000;

/// What is published, and what the directory tells of this node's own services.
using local_root_actor = node_root_actor::extend<caf::reacts_to<service_change>>;

struct root_state {
  std::uint64_t revision = 1;  // grows with each change of what peers may ask for
  identities heard{identity_memory};
  std::map<node_name, std::uint64_t> refused;  // too old: its incarnation, so that each is named once
};

local_root_actor::behavior_type node_root(local_root_actor::stateful_pointer<root_state> self, const env* e, directory_actor directory, std::function<void(std::string)> outlived) {
  // Each link asks twice a second: the answer is at hand. The directory knows before we do, so who asks it for what our new
  // revision stands for is not too early.
  for (const auto* service : dialed_services) caf::anon_send(directory, listen_atom::value, std::string{service}, caf::actor_cast<caf::actor>(self));
  return {
    [self, e](const service_change& change) {
      if (change.node == e->config.name) ++self->state.revision;
    },
    [self, e, outlived = std::move(outlived)](const hello& who) -> caf::result<hello> {
      auto answer = self->make_response_promise<hello>();
      if (is_outlived(e->config.name, e->config.incarnation, who.node, who.incarnation)) {
        if (e->log != nullptr) e->log->write(ports::log_level::error, fmt::format("node stops: a peer knows a later process of its name name={} incarnation={:x} later={:x}", e->config.name, e->config.incarnation, who.incarnation));
        if (outlived) outlived(outlived_words(e->config.name));
        answer.deliver(to_caf({errc::fenced, outlived_words(e->config.name)}));
        return answer;
      }
      if (const auto version = agreed_version(e->config.speaks, who.node, who.protocol); !version) {
        auto& refused = self->state.refused;
        if (refused.size() > refused_max) refused.clear();
        if (std::exchange(refused[who.node], who.incarnation) != who.incarnation && e->log != nullptr)
          e->log->write(ports::log_level::error, fmt::format("peer refused peer={} reason=\"{}\"", who.node, version.error().message));
        answer.deliver(to_caf(version.error()));
        return answer;
      }
      const instant now{std::chrono::duration_cast<nanoseconds>(self->clock().now().time_since_epoch()).count()};
      if (!self->state.heard.on_heard(who.node, who.incarnation, now)) {
        answer.deliver(to_caf({errc::fenced, "a later process named " + who.node + " is alive"}));
        return answer;
      }
      answer.deliver(hello{e->config.name, e->config.incarnation, e->config.speaks.newest, e->engine != nullptr ? e->engine->id() : std::string{}, self->state.revision});
      return answer;
    },
    [self, e, directory](resolve_atom, const std::string& service, std::uint16_t version) -> caf::result<caf::strong_actor_ptr> {
      auto answer = self->make_response_promise<caf::strong_actor_ptr>();
      if (version > e->config.speaks.newest || version < e->config.speaks.oldest) {
        answer.deliver(caf::strong_actor_ptr{});
        return answer;
      }
      self->request(directory, e->config.request_timeout, resolve_atom::value, service)
        .then([answer](const caf::strong_actor_ptr& handle) mutable { answer.deliver(handle); }, [answer](caf::error& why) mutable { answer.deliver(why); });
      return answer;
    },
  };
}

}  // namespace

caf::actor spawn_connector(caf::event_based_actor* parent, const env& e, directory_actor directory, peer_config peer) {
  return caf::actor_cast<caf::actor>(parent->spawn<connector>(&e, std::move(directory), std::move(peer)));
}

node_root_actor spawn_node_root(caf::actor_system& system, const env& e, directory_actor directory, std::function<void(std::string)> outlived) {
  return system.spawn(node_root, &e, std::move(directory), std::move(outlived));
}

}  // namespace latham
