// A machine: a name, roles, a disk and a clock that outlive the process on it, and the process itself: a whole node,
// started by the very `node` of production, on simulated ports.
//
// A process that ends is leaked on purpose: CAF's systems are entangled at tear-down. Nothing of it runs any more.
#pragma once

#include "actors/node.hpp"
#include "core/cluster/leave.hpp"
#include "sim/disk.hpp"
#include "sim/model_engine.hpp"
#include "sim/network.hpp"
#include "sim/scenario.hpp"
#include "store/guarded_blobs.hpp"
#include "store/replicated_blobs.hpp"

#include <caf/scheduler/test_coordinator.hpp>

#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <typeinfo>
#include <vector>

namespace latham::sim {

class machine;

/// What all machines share.
struct surroundings {
  events& time;
  network& net;
  trace& log;
  ledger& faults;
  const plan& what;
  /// A process is told to stop, and has not heard of it yet.
  std::function<void(machine&)> stopping;
  /// A process ended by itself after it was told to stop, and said what it had to say to those with whom it had links.
  std::function<void(machine&, const std::set<node_index>& linked)> stopped;
};

/// What a process is told of the cluster when it starts. While that changes, processes differ.
struct cluster_config {
  std::vector<std::string> storages;
  std::vector<std::string> schedulers;
  std::set<std::string> draining;
  friend bool operator==(const cluster_config&, const cluster_config&) = default;
};

class machine {
public:
  /// Calls that wait for the records of a node before it refuses more: four times what waits where no disk is full, and little
  /// enough that a full one brings it about.
  static constexpr std::size_t records_waiting_max = 64;

  /// `second`: another machine for a name that there is already, for a twin of its process.
  machine(surroundings& around, const std::string& name, node_role role, bool second, disk::watcher watch, std::function<void()> disk_lost);
  machine(const machine&) = delete;
  machine& operator=(const machine&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] node_role role() const noexcept { return role_; }
  [[nodiscard]] node_index index() const noexcept { return index_; }
  [[nodiscard]] disk& storage() noexcept { return disk_; }
  [[nodiscard]] const disk& storage() const noexcept { return disk_; }
  [[nodiscard]] engine_trouble& codec() noexcept { return codec_; }
  [[nodiscard]] std::uint64_t life() const noexcept { return life_; }
  [[nodiscard]] bool runs() const noexcept { return running_ != nullptr; }
  [[nodiscard]] bool stopping() const noexcept { return runs() && running_->stopping; }
  [[nodiscard]] bool paused() const noexcept { return paused_; }
  /// Of the process that runs.
  [[nodiscard]] std::uint64_t incarnation() const noexcept { return running_->e.config.incarnation; }
  [[nodiscard]] bool is_second() const noexcept { return second_; }
  /// Its name points elsewhere: a process on it is the earlier of two.
  [[nodiscard]] bool superseded() const { return around_.net.index_of(name_) != index_; }
  /// It has joined and has not left.
  [[nodiscard]] bool in_cluster() const noexcept { return in_cluster_; }
  /// A storage node that is a worker, too, from its next start on.
  void work_too() noexcept { works_ = true; }
  [[nodiscard]] bool works() const noexcept { return works_ || role_ == node_role::worker; }
  void join() noexcept { in_cluster_ = true; }
  void part() noexcept { in_cluster_ = false; }
  /// Of its worker, when it is one.
  [[nodiscard]] engine_id engine() const { return running_->engine->id(); }
  /// Somebody starts it when it is down.
  [[nodiscard]] bool wanted() const { return in_cluster_ && !superseded(); }
  /// From its next start on.
  void tell(cluster_config told) { told_ = std::move(told); }
  [[nodiscard]] const cluster_config& told() const noexcept { return told_; }
  /// What the process that runs was told; when none does, what the next one will be.
  [[nodiscard]] const cluster_config& configured() const noexcept { return runs() ? running_->told : told_; }
  /// When its present process did.
  [[nodiscard]] nanoseconds started() const noexcept { return started_; }
  /// When it could do something at last after it stood still.
  [[nodiscard]] nanoseconds awake_since() const noexcept { return awake_since_; }
  /// Of a running node. Empty while it is well.
  [[nodiscard]] const std::string& gave_up() const noexcept { return running_->failure; }
  [[nodiscard]] ports::service& service() { return running_->tree->service(); }
  /// A number that the node shows; 0 when it never did.
  [[nodiscard]] double gauge(std::string_view name) const;
  [[nodiscard]] std::size_t runnable() const noexcept { return runs() ? running_->actors->jobs.size() : 0; }
  /// Of an actor that can run; the others' are empty.
  [[nodiscard]] std::size_t longest_mailbox() const;

  // ---- Life

  void start();
  /// SIGKILL; `silent`: the power went, nobody is told.
  void kill(bool silent);
  /// SIGTERM, and what production does then (app/serve.cpp): requests of clients are finished, then what its worker has, each
  /// within the limit of the knobs, then the tree is stopped. `ended` follows when the process has ended; it is killed when that
  /// takes too long.
  void stop(std::function<void()> ended);
  /// A client waits for an answer of this process, or does no more. A gateway that is told to stop waits for it.
  void call_began() { ++running_->calls; }
  void call_ended(std::uint64_t life) {
    if (runs() && life_ == life) --running_->calls;
  }
  /// Asks the node that runs, as an operator does. Not answered when it ends meanwhile.
  void ask_to_leave(std::function<void(const expected<leave_report>&)> answer);
  void pause(std::size_t fault);
  void resume();
  /// Each step costs so much from now on; 0: nothing.
  void slow_down(std::size_t fault, nanoseconds per_step) {
    stress_fault_ = fault;
    per_step_ = per_step;
  }
  /// From its next start on it is of the other release of two that follow one another.
  void change_release() noexcept { release_before_ = !release_before_; }
  void jump_wall_clock(std::int64_t ms) noexcept { wall_offset_ms_ += ms; }

  // ---- Time

  /// An actor of it can run now.
  [[nodiscard]] bool ready() const noexcept { return running_ != nullptr && !running_->actors->jobs.empty() && !paused_ && busy_until_ <= around_.time.now(); }
  /// Runs one message of one actor, chosen by the seed; returns which. `kinds`: counts what it was.
  std::uint64_t step(std::map<std::string, std::uint64_t>* kinds = nullptr);
  /// Lets its connections work off what they were given, and sends what it wrote.
  void drain();
  /// When it can next do something by itself; the end of time when never.
  [[nodiscard]] nanoseconds next_due();
  /// Brings its clock to now, if a timer of it is due.
  void wake();

private:
  class clock_port;
  class random_port;
  class resolver_port;
  class executor_port;
  class log_port;
  class metrics_port;
  struct config;

  struct process {
    cluster_config told;
    env e;
    std::unique_ptr<caf::actor_system_config> config;
    std::unique_ptr<caf::actor_system> system;
    std::unique_ptr<node> tree;
    std::unique_ptr<ports::peer_links> links;
    std::unique_ptr<ports::blob_transport> transport;
    std::unique_ptr<store::guarded_blobs> disk;
    std::unique_ptr<store::replicated_blobs> copies;  // of a storage node among several
    std::unique_ptr<ports::media_engine> engine;
    std::unique_ptr<ports::metrics> metrics;
    std::map<std::string, double, std::less<>> gauges;
    caf::scheduler::test_coordinator* actors = nullptr;
    network::multiplexer* wire = nullptr;
    std::string failure;
    bool stopping = false;
    std::size_t calls = 0;  // of clients that wait
  };

  [[nodiscard]] nanoseconds local(nanoseconds world) const noexcept;
  [[nodiscard]] nanoseconds world(nanoseconds local) const noexcept;
  void set_clock();
  void finish_calls(nanoseconds until, std::function<void()> then);
  void end_when_all_is_said(std::set<node_index> linked, std::function<void()> ended);

  surroundings& around_;
  const std::string name_;
  const node_role role_;
  const node_index index_;
  disk disk_;
  engine_trouble codec_;
  std::int64_t skew_ppm_ = 0;
  nanoseconds clock_offset_{0};
  std::int64_t wall_offset_ms_ = 0;
  std::uint64_t life_ = 0;
  bool release_before_ = false;
  bool works_ = false;
  bool in_cluster_ = true;
  cluster_config told_;
  bool paused_ = false;
  nanoseconds started_{0};
  nanoseconds awake_since_{0};
  nanoseconds busy_until_{0};
  nanoseconds clock_set_{0};  // when its process's clock was set last
  nanoseconds timer_{0};      // its process's next one, by its own clock, and by the world's
  nanoseconds timer_due_{0};
  nanoseconds per_step_{0};
  std::size_t stress_fault_ = ledger::no_fault;
  process* running_ = nullptr;  // owned by nobody on purpose: see above
  std::unique_ptr<ports::clock> clock_;
  std::unique_ptr<ports::random> random_;
  std::unique_ptr<ports::resolver> resolver_;
  std::unique_ptr<ports::executor> executor_;
  std::unique_ptr<ports::log_sink> log_;
  const bool second_;

public:
  /// Names do not resolve: 0 answers with an error, 1 not before the fault ends.
  struct dns_trouble {
    std::size_t fault = ledger::no_fault;
    std::int64_t how = 0;
    nanoseconds until{0};
  };
  dns_trouble dns;
};

/// A type's name as its author wrote it, nearly.
[[nodiscard]] std::string demangled(const std::type_info& type);

/// Seeds CAF's "random" identities of this process, so that runs repeat.
void seed_uuids(std::uint64_t seed);
[[nodiscard]] std::string next_uuid();

}  // namespace latham::sim
