#include "actors/supervisor.hpp"

#include "actors/protocol.hpp"
#include "core/reach.hpp"

#include <fmt/format.h>

namespace latham {

namespace {

class supervisor : public caf::event_based_actor {
public:
  supervisor(caf::actor_config& config, const env* e, std::string name, supervision how, std::vector<child_spec> children)
    : caf::event_based_actor(config), env_{*e}, name_{std::move(name)}, specs_{std::move(children)}, handles_(specs_.size()), policy_{how, types(specs_)} {}

  caf::behavior make_behavior() override {
    set_exit_handler([this](caf::exit_msg& message) { on_exit(message); });
    for (std::size_t i = 0; i < specs_.size(); ++i) start(i);
    return {[](local_call& call) { call.run(); }};
  }

private:
  static std::vector<restart_type> types(const std::vector<child_spec>& specs) {
    std::vector<restart_type> out;
    for (const auto& spec : specs) out.push_back(spec.type);
    return out;
  }

  void log(ports::log_level level, std::string line) {
    if (env_.log != nullptr && env_.log->enabled(level)) env_.log->write(level, std::move(line));
  }

  void start(std::size_t i) {
    handles_[i] = specs_[i].start(this);
    link_to(handles_[i]);
  }

  void on_exit(caf::exit_msg& message) {
    std::size_t index = 0;
    while (index < handles_.size() && !(handles_[index] && handles_[index].address() == message.source)) ++index;
    if (index == handles_.size()) {
      // A child that we stopped ourselves, or our own parent.
      for (const auto& gone : stopped_)
        if (gone == message.source) return;
      stop_all();
      quit(message.reason);
      return;
    }
    handles_[index] = nullptr;
    const bool normal = !message.reason || message.reason == caf::exit_reason::normal || message.reason == caf::exit_reason::user_shutdown;
    const instant now{std::chrono::duration_cast<nanoseconds>(clock().now().time_since_epoch()).count()};
    auto decided = policy_.on_exit(index, normal, now, env_.random->next());
    // After a failed write nobody knows what is durable, and the store takes no more until it is opened anew: a restart of
    // the actor alone would serve what a power cut may still undo.
    // Nor does a restart help a node whose name or shard is another's now.
    const auto code = message.reason ? from_caf(message.reason).code : errc::none;
    if (!normal && (code == errc::io || code == errc::fenced)) decided.escalate = true;
    const auto reason = message.reason ? system().render(message.reason) : std::string{"none"};
    if (decided.escalate) {
      LATHAM_REACHED("supervisor_escalated");
      log(ports::log_level::error, fmt::format("supervisor escalates supervisor={} child={} reason=\"{}\"", name_, specs_[index].name, reason));
      stop_all();
      quit(caf::make_error(caf::sec::runtime_error, "the supervisor gave up", specs_[index].name, reason));
      return;
    }
    if (decided.start.empty()) return;
    LATHAM_REACHED("child_restarted");
    if (env_.metrics != nullptr) env_.metrics->add("latham_actor_restarts_total", 1, {{"child", specs_[index].name}});
    // One that meant to end, and to begin anew with what it has on its disk, is no trouble.
    if (normal) log(ports::log_level::info, fmt::format("child begins anew supervisor={} child={} delay_ms={}", name_, specs_[index].name, decided.delay.count()));
    else log(ports::log_level::warn, fmt::format("child restarts supervisor={} child={} reason=\"{}\" delay_ms={}", name_, specs_[index].name, reason, decided.delay.count()));
    for (auto i : decided.stop) stop(i);
    delayed_send(caf::actor_cast<caf::actor>(this), decided.delay, local_call{[this, start_list = decided.start] {
      for (auto i : start_list)
        if (!handles_[i]) start(i);
    }});
  }

  void stop(std::size_t i) {
    if (!handles_[i]) return;
    stopped_.push_back(handles_[i].address());
    if (stopped_.size() > 64) stopped_.erase(stopped_.begin());
    send_exit(handles_[i], caf::exit_reason::user_shutdown);
    handles_[i] = nullptr;
  }

  void stop_all() {
    for (auto i = handles_.size(); i-- > 0;) stop(i);
  }

  const env& env_;
  std::string name_;
  std::vector<child_spec> specs_;
  std::vector<caf::actor> handles_;
  std::vector<caf::actor_addr> stopped_;  // the last few that we ended ourselves: their exits are no news
  restart_policy policy_;
};

}  // namespace

caf::actor spawn_supervisor(caf::actor_system& system, const env& e, std::string name, supervision how, std::vector<child_spec> children) {
  return system.spawn<supervisor>(&e, std::move(name), how, std::move(children));
}

caf::actor spawn_supervisor(caf::event_based_actor* parent, const env& e, std::string name, supervision how, std::vector<child_spec> children) {
  return parent->spawn<supervisor>(&e, std::move(name), how, std::move(children));
}

}  // namespace latham
