#include "sim/machine.hpp"

#include "actors/protocol.hpp"
#include "core/cluster/identities.hpp"
#include "core/reach.hpp"

#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <cxxabi.h>
#include <limits>

namespace latham::sim {

namespace {

std::uint64_t uuid_state = 1;

constexpr nanoseconds never = nanoseconds::max();
constexpr nanoseconds stop_deadline{seconds{5}};   // as node's
constexpr nanoseconds stop_reserve{seconds{30}};   // beyond the limit of draining, until SIGALRM; as app/serve.cpp
constexpr nanoseconds looks_for_calls_every{milliseconds{20}};
constexpr nanoseconds looks_for_words_every{100'000};
constexpr std::uint64_t second_addresses = 1'000;
constexpr std::int64_t wall_start_ms = 1'700'000'000'000;

caf::actor broker(caf::actor_system& system) { return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP")); }

/// Who dials whom follows the roles, so that each pair has one dialer; equals dial the greater name.
bool dials(node_role from, const std::string& from_name, node_role to, const std::string& to_name) {
  switch (from) {
    case node_role::worker:
    case node_role::gateway: return to == node_role::scheduler || to == node_role::storage;
    case node_role::storage: return to == node_role::scheduler || (to == node_role::storage && from_name < to_name);
    case node_role::scheduler: return false;
  }
  return false;
}

node_role role_of(const std::string& name) {
  for (const auto role : {node_role::gateway, node_role::storage, node_role::scheduler})
    if (name.starts_with(to_string(role))) return role;
  return node_role::worker;
}

/// Who runs next, and what: the types of its message, or of the closure that it is to call.
std::string kind_of(caf::actor_system& system, caf::resumable& job) {
  auto* actor = dynamic_cast<caf::scheduled_actor*>(&job);
  if (actor == nullptr) return demangled(typeid(job));
  auto out = demangled(typeid(*actor));
  auto* next = actor->mailbox().peek();
  if (next == nullptr) return out + " (nothing)";
  const auto& content = next->content();
  out += next->mid.is_request() ? " request" : next->mid.is_response() ? " response" : "";
  if (content.match_elements<local_call>()) {
    const auto& run = content.get_as<local_call>(0).run;
    return out + " call " + demangled(run.target_type());
  }
  for (std::size_t i = 0; i < content.size(); ++i) out += " " + system.types().portable_name(content.type(i));
  return out;
}

}  // namespace

std::string demangled(const std::type_info& type) {
  const std::unique_ptr<char, void (*)(void*)> name{abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr), std::free};
  std::string out = name ? name.get() : type.name();
  for (const std::string_view drop : {"latham::", "(anonymous namespace)::", "sim::"})
    for (auto at = out.find(drop); at != std::string::npos; at = out.find(drop, at)) out.erase(at, drop.size());
  return out;
}

void seed_uuids(std::uint64_t seed) { uuid_state = seed * 2 + 1; }

std::string next_uuid() {
  uuid_state = uuid_state * 6364136223846793005ull + 1442695040888963407ull;
  return fmt::format("{:016x}-{:016x}", uuid_state, uuid_state ^ 0x9e3779b97f4a7c15ull);
}

// ---- Ports -----------------------------------------------------------------------------------------------------------

struct machine::config : caf_config {
  config() : caf_config(1) {
    set("scheduler.policy", caf::atom("testing"));
    set("logger.inline-output", true);
    set("middleman.network-backend", caf::atom("testing"));
    set("middleman.manual-multiplexing", true);
    set("middleman.attach-utility-actors", true);
    set("middleman.workers", std::size_t{0});
  }
};

class machine::clock_port : public ports::clock {
public:
  explicit clock_port(machine& m) : machine_{m} {}
  [[nodiscard]] instant now() const noexcept override { return {machine_.local(machine_.around_.time.now()).count()}; }
  [[nodiscard]] utc_ms wall() const noexcept override { return {wall_start_ms + machine_.wall_offset_ms_ + machine_.around_.time.age().count() / 1'000'000}; }

private:
  machine& machine_;
};

class machine::random_port : public ports::random {
public:
  explicit random_port(machine& m) : machine_{m} {}
  [[nodiscard]] std::uint64_t next() override { return machine_.around_.time.draw(); }

private:
  machine& machine_;
};

class machine::resolver_port : public ports::resolver {
public:
  explicit resolver_port(machine& m) : machine_{m} {}
  void resolve(node_name name, ports::completion<std::vector<ports::endpoint>> done) override {
    auto& around = machine_.around_;
    const auto to = around.net.index_of(name);
    auto wait = around.net.latency;
    expected<std::vector<ports::endpoint>> found{errc::not_found, "no such name"};
    if (to != trace::nobody) found = std::vector{ports::endpoint{around.net.address_of(to), 8020}};
    if (const auto& trouble = machine_.dns; trouble.fault != ledger::no_fault) {
      around.faults.bites(trouble.fault);
      found = error{errc::unavailable, "the name server failed"};
      if (trouble.how == 1) wait = std::max(nanoseconds{0}, trouble.until - around.time.now());
    }
    around.time.after(wait, [done = std::move(done), found = std::move(found)] { done(found); });
  }

private:
  machine& machine_;
};

class machine::executor_port : public ports::executor {
public:
  explicit executor_port(machine& m) : machine_{m} {}
  [[nodiscard]] bool post(std::function<void()> work) override {
    auto& time = machine_.around_.time;
    time.after(time.draw(nanoseconds{100'000}, nanoseconds{3'000'000}), [work = std::move(work)] { work(); });
    return true;
  }

private:
  machine& machine_;
};

class machine::log_port : public ports::log_sink {
public:
  explicit log_port(machine& m) : machine_{m} {}
  [[nodiscard]] bool enabled(ports::log_level) const noexcept override { return machine_.around_.log.keeps(); }
  void write(ports::log_level, std::string line) override {
    machine_.around_.log.say(machine_.around_.time.now(), trace::what::log, machine_.index_, machine_.index_, std::move(line));
  }

private:
  machine& machine_;
};

/// Keeps gauges, for the checkers of leaks; counters are nobody's business here.
class machine::metrics_port : public ports::metrics {
public:
  explicit metrics_port(process& p) : process_{p} {}
  void add(std::string_view, double, const ports::labels&) override {}
  void set(std::string_view gauge, double value, const ports::labels&) override {
    auto at = process_.gauges.find(gauge);
    if (at == process_.gauges.end()) at = process_.gauges.emplace(std::string{gauge}, 0).first;
    at->second = value;
  }
  void observe(std::string_view, double, const ports::labels&) override {}

private:
  process& process_;
};

double machine::gauge(std::string_view name) const {
  if (!runs()) return 0;
  const auto at = running_->gauges.find(name);
  return at == running_->gauges.end() ? 0 : at->second;
}

std::size_t machine::longest_mailbox() const {
  std::size_t most = 0;
  if (!runs()) return most;
  for (auto* job : running_->actors->jobs)
    if (auto* actor = dynamic_cast<caf::scheduled_actor*>(job)) most = std::max(most, actor->mailbox().size());
  return most;
}

// ---- Life ------------------------------------------------------------------------------------------------------------

namespace {

std::uint64_t capacity_of(const plan& p) {
  if (p.knobs.space_percent == 0) return disk::endless;
  return static_cast<std::uint64_t>(space_bytes(p) * p.knobs.space_percent / 100);
}

}  // namespace

machine::machine(surroundings& around, const std::string& name, node_role role, bool second, disk::watcher watch, std::function<void()> disk_lost)
  : around_{around},
    name_{name},
    role_{role},
    index_{around.net.add(name, second ? second_addresses : 0)},
    disk_{around.time, around.log, around.faults, index_, nanoseconds{around.what.knobs.disk_us * 1'000}, capacity_of(around.what), std::move(watch), std::move(disk_lost)},
    clock_{std::make_unique<clock_port>(*this)},
    random_{std::make_unique<random_port>(*this)},
    resolver_{std::make_unique<resolver_port>(*this)},
    executor_{std::make_unique<executor_port>(*this)},
    log_{std::make_unique<log_port>(*this)},
    second_{second} {
  const auto most = around.what.knobs.skew_ppm;
  skew_ppm_ = static_cast<std::int64_t>(around.time.draw(static_cast<std::uint64_t>(2 * most + 1))) - most;
  // Machines were not switched on together, and their people set the time by hand.
  clock_offset_ = around.time.draw(nanoseconds{0}, seconds{100'000});
  wall_offset_ms_ = static_cast<std::int64_t>(around.time.draw(60'000)) - 30'000;
  release_before_ = std::any_of(around.what.faults.begin(), around.what.faults.end(), [](const fault& f) { return f.kind == "upgrade"; });
}

void machine::start() {
  ++life_;
  started_ = around_.time.now();
  disk_.new_life();
  busy_until_ = {};
  // One that has ended stays, see the header, where a checker of leaks finds it.
  static auto& processes = *new std::vector<process*>;
  auto* p = running_ = processes.emplace_back(new process);
  auto& e = p->e;
  const auto& k = around_.what.knobs;
  e.config.name = name_;
  e.config.incarnation = make_incarnation({std::chrono::duration_cast<milliseconds>(around_.time.now()).count()}, around_.time.draw());
  // The release before differs in what it says of itself, and in what it is asked for.
  const auto newest = static_cast<std::uint16_t>(protocol_version - (release_before_ ? 1 : 0));
  e.config.speaks = {newest, static_cast<std::uint16_t>(newest - 1)};
  e.config.roles = {role_};
  if (works()) e.config.roles.insert(node_role::worker);
  e.config.slots = static_cast<std::uint32_t>(k.slots);
  e.config.scheduling.lease_ttl = milliseconds{k.lease_ttl_ms};
  e.config.scheduling.attempts = static_cast<std::uint32_t>(k.attempts);
  e.config.uploading.idle = milliseconds{k.upload_idle_ms};
  e.config.records = {disk::commit_bytes_waiting_max / 16, records_waiting_max, disk::commit_bytes_waiting_max / 2};
  e.config.request_timeout = milliseconds{k.request_timeout_ms};
  e.config.ping_period = milliseconds{k.ping_period_ms};
  e.config.ping_timeout = milliseconds{k.ping_timeout_ms};
  e.config.renew_period = milliseconds{k.renew_ms};
  e.config.stall_timeout = milliseconds{k.stall_timeout_ms};
  e.config.output_grace = milliseconds{k.output_grace_ms};
  e.config.repair_period = milliseconds{k.repair_period_ms};
  e.config.scrub_rest = milliseconds{k.scrub_rest_ms};
  e.config.copies = static_cast<std::uint32_t>(k.copies);
  e.config.ack_copies = static_cast<std::uint32_t>(k.ack_copies);
  e.config.stand_in_after = milliseconds{k.stand_in_after_ms};
  e.config.scheduling.ageing = milliseconds{k.ageing_ms};
  p->told = told_;
  e.config.storages = told_.storages;
  e.config.schedulers = told_.schedulers;
  e.config.draining = told_.draining;
  if (role_ == node_role::scheduler) e.config.shard = static_cast<std::uint16_t>(std::stoul(name_.substr(name_.rfind('-') + 1)));
  for (const auto* peers : {&told_.storages, &told_.schedulers})
    for (const auto& peer : *peers)
      if (peer != name_ && dials(role_, name_, role_of(peer), peer)) e.config.peers.push_back({peer, true});
  e.clock = clock_.get();
  e.random = random_.get();
  e.log = log_.get();
  e.executor = executor_.get();
  e.records = &disk_.records();
  e.resolver = resolver_.get();
  p->metrics = std::make_unique<metrics_port>(*p);
  e.metrics = p->metrics.get();
  p->config = std::make_unique<config>();
  p->system = std::make_unique<caf::actor_system>(*p->config);
  p->actors = dynamic_cast<caf::scheduler::test_coordinator*>(&p->system->scheduler());
  p->wire = dynamic_cast<network::multiplexer*>(&p->system->middleman().backend());
  clock_set_ = {};
  set_clock();
  const auto stores = role_ == node_role::storage;
  if (stores) {
    p->disk = std::make_unique<store::guarded_blobs>(disk_.blobs(), *clock_, store::guarded_blobs_options{e.metrics, e.log});
    e.blobs = e.own_blobs = p->disk.get();
  }
  if (stores && e.config.rules_of_copies().members.size() > 1) {
    p->copies = std::make_unique<store::replicated_blobs>(*p->disk, [p](const node_name& node) { return p->transport->own_of(node); }, e.config.rules_of_copies(), *clock_);
    e.blobs = p->copies.get();
  }
  around_.net.up(index_, life_, p->wire, stores ? e.blobs : nullptr, stores ? p->disk.get() : nullptr);
  p->links = around_.net.links_of(index_);
  p->transport = around_.net.transport_of(index_);
  e.links = p->links.get();
  e.transport = p->transport.get();
  if (works()) {
    engine_world w;
    w.time = &around_.time;
    w.trouble = &codec_;
    w.bites = [this](std::size_t fault) { around_.faults.bites(fault); };
    w.per_chunk = milliseconds{k.chunk_ms};
    if (k.new_engine != 0 && !release_before_) w.engine = model_engine_after;
    w.later = [this, life = life_](nanoseconds wait, std::function<void()> f) {
      around_.time.after(wait, [this, life, f = std::move(f)] {
        if (around_.net.is_up(index_, life)) f();
      });
    };
    p->engine = make_model_engine(std::move(w));
    e.engine = p->engine.get();
  }
  e.attach_accepted = [p](caf::actor_system& system, const ports::control_stream& stream, const caf::strong_actor_ptr& root) {
    auto scribe = p->wire->new_scribe(caf::io::connection_handle::from_int(stream.handle));
    caf::anon_send(broker(system), caf::publish_atom::value, std::move(scribe), std::uint16_t{1}, root, system.message_types<node_root_actor>());
  };
  e.attach_dialed = [p](caf::actor_system& system, const ports::control_stream& stream, ports::completion<caf::strong_actor_ptr> done) {
    auto scribe = p->wire->new_scribe(caf::io::connection_handle::from_int(stream.handle));
    system.spawn([scribe, done](caf::event_based_actor* self) {
      self->request(broker(self->system()), seconds{2}, caf::connect_atom::value, scribe, std::uint16_t{1})
        .then(
          [done](caf::node_id&, caf::strong_actor_ptr& root, std::set<std::string>&) {
            if (!root) return done(error{errc::invalid_argument, "no root"});
            done(std::move(root));
          },
          [done](caf::error&) { done(error{errc::unavailable, "the peer did not answer"}); });
    });
  };
  p->tree = std::make_unique<node>(*p->system, e, [p](std::string why) { p->failure = std::move(why); });
  if (around_.log.keeps()) around_.log.say(around_.time.now(), trace::what::process, index_, index_, fmt::format("starts, life {}", life_));
  around_.net.touched(index_);
}

void machine::kill(bool silent) {
  if (!runs()) return;
  if (around_.log.keeps()) around_.log.say(around_.time.now(), trace::what::process, index_, index_, silent ? "loses power" : running_->stopping ? "ends" : "is killed");
  around_.net.down(index_, silent);
  disk_.cut();
  paused_ = false;
  running_ = nullptr;
}

void machine::stop(std::function<void()> ended) {
  if (!runs() || running_->stopping) return;
  around_.stopping(*this);
  running_->stopping = true;
  if (around_.log.keeps()) around_.log.say(around_.time.now(), trace::what::process, index_, index_, "is told to stop");
  const milliseconds limit{around_.what.knobs.drain_ms};
  const auto once = [this, life = life_, ended = std::move(ended)] {
    if (!runs() || life_ != life) return;
    kill(false);
    ended();
  };
  around_.time.after(limit + stop_reserve, once);
  // What is asked of its actors is asked from outside, what they answer is acted upon outside: not inside an actor's turn.
  const auto stop_tree = [this, life = life_, once] {
    if (!runs() || life_ != life) return;
    running_->tree->stop([this, once, linked = around_.net.linked_to(index_)] { around_.time.after(nanoseconds{0}, [this, once, linked] { end_when_all_is_said(linked, once); }); });
    around_.time.after(stop_deadline, once);
  };
  const auto step = [left = std::make_shared<int>(2), stop_tree] {  // shared by the two that are waited for
    if (--*left == 0) stop_tree();
  };
  running_->tree->drain(limit, [this, step](bool in_time) {
    if (!in_time) LATHAM_REACHED("sim_handed_back_at_the_drain_limit");
    around_.time.after(nanoseconds{0}, step);
  });
  finish_calls(around_.time.now() + limit, step);
}

void machine::finish_calls(nanoseconds until, std::function<void()> then) {
  if (!paused_ && (running_->calls == 0 || around_.time.now() >= until)) return then();
  around_.time.after(looks_for_calls_every, [this, life = life_, until, then = std::move(then)]() mutable {
    if (runs() && life_ == life) finish_calls(until, std::move(then));
  });
}

/// A system of actors ends when its last words have been handed to their connections.
void machine::end_when_all_is_said(std::set<node_index> linked, std::function<void()> ended) {
  if (!runs()) return;
  if (running_->actors->jobs.empty()) {
    around_.stopped(*this, linked);
    return ended();
  }
  around_.time.after(looks_for_words_every, [this, life = life_, linked = std::move(linked), ended = std::move(ended)]() mutable {
    if (runs() && life_ == life) end_when_all_is_said(std::move(linked), std::move(ended));
  });
}

void machine::ask_to_leave(std::function<void(const expected<leave_report>&)> answer) {
  // Not inside an actor's turn.
  running_->tree->leave([this, answer = std::move(answer)](const expected<leave_report>& report) { around_.time.after(nanoseconds{0}, [answer, report] { answer(report); }); });
}

void machine::pause(std::size_t fault) {
  if (!runs() || paused_) return;
  paused_ = true;
  around_.net.pause(index_, fault);
}

void machine::resume() {
  if (!paused_) return;
  paused_ = false;
  awake_since_ = around_.time.now();
  around_.net.resume(index_);
  around_.net.touched(index_);
}

// ---- Time ------------------------------------------------------------------------------------------------------------

nanoseconds machine::local(nanoseconds world) const noexcept {
  const auto age = (world - events::beginning).count();
  return clock_offset_ + nanoseconds{age + age / 1'000'000 * skew_ppm_ + age % 1'000'000 * skew_ppm_ / 1'000'000};
}

nanoseconds machine::world(nanoseconds local) const noexcept {
  // A little late rather than early: a timer that is not due yet would make the world stop again and again.
  const auto since = (local - clock_offset_).count();
  const auto rate = 1'000'000 + skew_ppm_;
  return events::beginning + nanoseconds{since / rate * 1'000'000 + since % rate * 1'000'000 / rate + 2'000};
}

void machine::set_clock() {
  if (std::exchange(clock_set_, around_.time.now()) == around_.time.now()) return;
  auto& clock = running_->actors->clock();
  const auto target = caf::actor_clock::time_point{std::chrono::duration_cast<caf::actor_clock::duration_type>(local(around_.time.now()))};
  if (target > clock.now()) clock.advance_time(target - clock.now());
}

std::uint64_t machine::step(std::map<std::string, std::uint64_t>* kinds) {
  set_clock();
  auto& jobs = running_->actors->jobs;
  const auto pick = jobs.size() == 1 ? 0 : around_.time.draw(jobs.size());
  if (pick != 0) std::swap(jobs[0], jobs[pick]);
  if (kinds != nullptr) ++(*kinds)[kind_of(*running_->system, *jobs[0])];
  running_->actors->run_once();
  if (per_step_.count() > 0) {
    busy_until_ = around_.time.now() + per_step_;
    if (!jobs.empty()) around_.faults.bites(stress_fault_);
  }
  return pick;
}

void machine::drain() {
  if (!runs() || paused_) return;
  set_clock();
  bool ran = false;
  while (running_->wire->try_exec_runnable()) ran = true;
  around_.net.collect(index_, ran);
}

nanoseconds machine::next_due() {
  if (!runs() || paused_) return never;
  if (!running_->actors->jobs.empty()) return std::max(busy_until_, around_.time.now());
  const auto& schedule = running_->actors->clock().schedule();
  if (schedule.empty()) return never;
  // Asked of every machine whenever time moves on, and mostly the same timer.
  if (const auto timer = std::chrono::duration_cast<nanoseconds>(schedule.begin()->first.time_since_epoch()); timer != timer_) {
    timer_ = timer;
    timer_due_ = world(timer);
  }
  return std::max(busy_until_, timer_due_);
}

void machine::wake() {
  if (!runs() || paused_) return;
  const auto& schedule = running_->actors->clock().schedule();
  if (schedule.empty() || std::chrono::duration_cast<nanoseconds>(schedule.begin()->first.time_since_epoch()) > local(around_.time.now())) return;
  set_clock();
  around_.net.touched(index_);
}

}  // namespace latham::sim
