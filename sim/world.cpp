#include "sim/world.hpp"

#include "actors/node.hpp"
#include "actors/protocol.hpp"
#include "core/cluster/identities.hpp"
#include "core/codec.hpp"
#include "sim/checkers.hpp"
#include "sim/events.hpp"
#include "sim/model_engine.hpp"
#include "sim/network.hpp"
#include "store/replicated_blobs.hpp"
#include "store/schema.hpp"

#include <caf/io/all.hpp>
#include <caf/io/basp_broker.hpp>
#include <caf/scheduler/test_coordinator.hpp>

#include <fmt/format.h>

#include <set>

namespace latham::sim {

namespace {

std::uint64_t uuid_state = 1;

struct sim_config : caf_config {
  sim_config() : caf_config(1) {
    set("scheduler.policy", caf::atom("testing"));
    set("logger.inline-output", true);
    set("middleman.network-backend", caf::atom("testing"));
    set("middleman.manual-multiplexing", true);
    set("middleman.attach-utility-actors", true);
    set("middleman.workers", std::size_t{0});
  }
};

class sim_clock : public ports::clock {
public:
  explicit sim_clock(events& time) : time_{time} {}
  [[nodiscard]] instant now() const noexcept override { return {time_.now().count()}; }
  [[nodiscard]] utc_ms wall() const noexcept override { return {1'700'000'000'000 + time_.now().count() / 1'000'000}; }

private:
  events& time_;
};

class sim_random : public ports::random {
public:
  explicit sim_random(events& time) : time_{time} {}
  [[nodiscard]] std::uint64_t next() override { return time_.draw(); }

private:
  events& time_;
};

/// A node's disk survives its process.
struct disk {
  std::unique_ptr<store::memory_kv> records;
  std::unique_ptr<watched_kv> watched;
  std::unique_ptr<store::memory_blobs> blobs;
};

struct machine {
  std::string name;
  std::set<node_role> roles;
  disk own;
  std::uint64_t life = 0;
  // -- of the running process; leaked when it is killed
  struct process {
    env e;
    sim_config config;
    std::unique_ptr<caf::actor_system> system;
    std::unique_ptr<node> tree;
    std::unique_ptr<ports::peer_links> links;
    std::unique_ptr<ports::blob_transport> transport;
    std::unique_ptr<store::replicated_blobs> copies;  // of a storage node of several
    std::unique_ptr<ports::media_engine> engine;
    std::unique_ptr<ports::log_sink> log;
    caf::scheduler::test_coordinator* actors = nullptr;
    network::multiplexer* wire = nullptr;
    std::string failure;
  };
  process* running = nullptr;  // owned by nobody on purpose: see world.hpp
};

class world {
public:
  world(const scenario& s, std::uint64_t seed) : scenario_{s}, time_{seed}, net_{time_}, clock_{time_}, random_{time_}, outputs_{accepted_} {
    uuid_state = seed * 2 + 1;
    verdict_.seed = seed;
    checkers_ = {&edges_, &commits_, &epochs_, &attempts_, &outputs_};
    chunk_time_ = nanoseconds{draw(s.chunk_ms) * 1'000'000};
    net_.latency_max = nanoseconds{200'000 + static_cast<std::int64_t>(time_.draw(20'000'000))};
    add("gateway", {node_role::gateway});
    add("storage", {node_role::storage});
    add("scheduler", {node_role::scheduler});
    for (std::uint32_t i = 0; i < s.workers; ++i) add("worker-" + std::to_string(i), {node_role::worker});
    for (auto& [name, m] : machines_) start(m);
    for (std::uint32_t i = 0; i < s.videos; ++i) time_.after(milliseconds{draw({500, 6'000})}, [this, i] { upload(i); });
    plan_faults();
  }

  verdict run() {
    const auto end = time_.now() + milliseconds{scenario_.bound_ms};
    try {
      while (!finished()) {
        step();
        if (time_.now() > end) throw violation{"every_job_ends", describe_unfinished()};
      }
      // A while of calm, in which leftovers must go.
      const auto calm = time_.now() + seconds{60};
      while (time_.now() < calm) step();
      check_end();
      verdict_.passed = true;
    } catch (const violation& v) {
      verdict_.checker = v.checker;
      verdict_.what = v.what();
      verdict_.last_lines = trace_.lines();
    }
    verdict_.hash = trace_.hash();
    verdict_.virtual_s = static_cast<double>((time_.now() - seconds{3600}).count()) / 1e9;
    verdict_.counts["packets"] = net_.packets();
    verdict_.counts["streams_reset"] = net_.resets();
    return verdict_;
  }

private:
  std::int64_t draw(range_ms r) { return r.from + static_cast<std::int64_t>(time_.draw(static_cast<std::uint64_t>(r.to - r.from + 1))); }

  void say(std::string line) { trace_.say(time_.now(), std::move(line)); }

  // ---- Machines ------------------------------------------------------------------------------------------------------

  void add(const std::string& name, std::set<node_role> roles) {
    auto& m = machines_[name];
    m.name = name;
    m.roles = std::move(roles);
    const auto later = [this](std::function<void()> f) { time_.after(time_.draw(nanoseconds{50'000}, nanoseconds{5'000'000}), std::move(f)); };
    m.own.records = std::make_unique<store::memory_kv>(later);
    m.own.watched = std::make_unique<watched_kv>(*m.own.records, m.roles.contains(node_role::scheduler) ? checkers_ : std::vector<record_checker*>{});
    m.own.blobs = std::make_unique<store::memory_blobs>(later);
  }

  class node_log : public ports::log_sink {
  public:
    node_log(world& w, std::string name) : world_{w}, name_{std::move(name)} {}
    [[nodiscard]] bool enabled(ports::log_level) const noexcept override { return true; }
    void write(ports::log_level, std::string line) override { world_.say(name_ + ": " + line); }

  private:
    world& world_;
    const std::string name_;
  };

  class resolver : public ports::resolver {
  public:
    explicit resolver(world& w) : world_{w} {}
    void resolve(node_name name, ports::completion<std::vector<ports::endpoint>> done) override {
      world_.time_.after(nanoseconds{100'000}, [name, done = std::move(done)] { done(std::vector{ports::endpoint{name, 8020}}); });
    }

  private:
    world& world_;
  };

  class executor : public ports::executor {
  public:
    explicit executor(world& w) : world_{w} {}
    [[nodiscard]] bool post(std::function<void()> work) override {
      world_.time_.after(world_.time_.draw(nanoseconds{100'000}, nanoseconds{3'000'000}), std::move(work));
      return true;
    }

  private:
    world& world_;
  };

  void start(machine& m) {
    ++m.life;
    auto* p = m.running = new machine::process;
    auto& e = p->e;
    e.config.name = m.name;
    e.config.incarnation = make_incarnation(clock_.wall(), time_.draw());
    e.config.roles = m.roles;
    e.config.slots = scenario_.slots;
    e.config.storages = {"storage"};
    e.config.schedulers = {"scheduler"};
    e.config.output_grace = seconds{20};
    for (const auto* peer : {"storage", "scheduler"}) {
      const bool dials = m.name != "scheduler" && m.name != peer && !(m.name == "storage" && std::string{peer} == "storage");
      if (dials) e.config.peers.push_back({peer, true});
    }
    p->log = std::make_unique<node_log>(*this, m.name);
    p->links = net_.links_of(m.name, m.life);
    p->transport = net_.transport_of(m.name, m.life);
    e.clock = &clock_;
    e.random = &random_;
    e.log = p->log.get();
    e.executor = &executor_;
    e.records = m.own.watched.get();
    e.blobs = e.own_blobs = m.own.blobs.get();
    e.transport = p->transport.get();
    const bool stores = m.roles.contains(node_role::storage);
    if (stores && e.config.storages.size() > 1) {
      p->copies = std::make_unique<store::replicated_blobs>(*m.own.blobs, [t = p->transport.get()](const node_name& node) { return t->own_of(node); }, e.config.rules_of_copies(), clock_);
      e.blobs = p->copies.get();
    }
    e.links = p->links.get();
    e.resolver = &resolver_;
    if (m.roles.contains(node_role::worker)) {
      engine_world w;
      w.time = &time_;
      w.per_chunk = chunk_time_;
      w.later = [this, name = m.name, life = m.life](nanoseconds wait, std::function<void()> f) {
        time_.after(wait, [this, name, life, f = std::move(f)] {
          if (net_.is_up(name, life)) f();
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
    p->system = std::make_unique<caf::actor_system>(p->config);
    p->actors = dynamic_cast<caf::scheduler::test_coordinator*>(&p->system->scheduler());
    p->wire = dynamic_cast<network::multiplexer*>(&p->system->middleman().backend());
    set_clock(*p);
    net_.up({m.name, m.life, p->wire, {}, stores ? e.blobs : nullptr, stores ? m.own.blobs.get() : nullptr});
    p->tree = std::make_unique<node>(*p->system, e, [p](std::string why) { p->failure = std::move(why); });
    say(m.name + ": starts life=" + std::to_string(m.life));
  }

  static caf::actor broker(caf::actor_system& system) { return system.middleman().named_broker<caf::io::basp_broker>(caf::atom("BASP")); }

  void kill(machine& m) {
    if (m.running == nullptr) return;
    say(m.name + ": is killed");
    net_.down(m.name);
    m.own.records->power_cut();
    m.own.blobs->power_cut();
    m.running = nullptr;
  }

  // ---- Time ----------------------------------------------------------------------------------------------------------

  void set_clock(machine::process& p) {
    auto& clock = p.actors->clock();
    const auto target = caf::actor_clock::time_point{std::chrono::duration_cast<caf::actor_clock::duration_type>(time_.now())};
    if (target > clock.now()) clock.advance_time(target - clock.now());
  }

  void step() {
    // Who could run? A node with a runnable actor or broker, or the world with a due event.
    std::vector<machine*> ready;
    for (auto& [name, m] : machines_)
      if (m.running != nullptr && m.running->actors->has_job()) ready.push_back(&m);
    const bool due = !time_.empty() && time_.next_time() <= time_.now();
    const auto choices = ready.size() + (due ? 1 : 0);
    if (choices > 0) {
      const auto choice = time_.draw(choices);
      if (choice < ready.size()) {
        auto& m = *ready[choice];
        auto& jobs = m.running->actors->jobs;
        const auto pick = time_.draw(jobs.size());
        if (pick != 0) std::swap(jobs[0], jobs[pick]);
        m.running->actors->run_once();
        trace_.note(choice << 32 | pick);
      } else {
        time_.run_due();
        trace_.note(0xe0e0);
      }
      ++verdict_.steps;
      drain_wires();
      return;
    }
    if (drain_wires()) return;
    // Nothing can run now: on to the next thing that will.
    auto next = time_.empty() ? time_.now() + seconds{1} : time_.next_time();
    for (auto& [name, m] : machines_) {
      if (m.running == nullptr) continue;
      const auto& schedule = m.running->actors->clock().schedule();
      if (!schedule.empty()) next = std::min(next, std::chrono::duration_cast<nanoseconds>(schedule.begin()->first.time_since_epoch()));
    }
    time_.advance(std::max(next, time_.now() + nanoseconds{1}));
    for (auto& [name, m] : machines_)
      if (m.running != nullptr) set_clock(*m.running);
    for (auto& [name, m] : machines_)
      if (m.running != nullptr && !m.running->failure.empty()) throw violation{"no_node_gives_up", name + ": " + m.running->failure};
  }

  bool drain_wires() {
    bool any = false;
    for (auto& [name, m] : machines_)
      while (m.running != nullptr && m.running->wire->try_exec_runnable()) any = true;
    return net_.collect() || any;
  }

  // ---- Workload ------------------------------------------------------------------------------------------------------

  void upload(std::uint32_t number) {
    struct client {
      accepted_video video;
      video_id id;
      std::uint64_t sent = 0;
    };
    auto c = std::make_shared<client>();
    c->video.model.chunks = static_cast<std::uint32_t>(draw(scenario_.chunks));
    c->video.model.rungs = 1 + static_cast<std::uint32_t>(time_.draw(3));
    c->video.model.audio_tracks = static_cast<std::uint32_t>(time_.draw(3));
    c->video.seed = verdict_.seed * 1000 + number;
    c->video.source = make_source(c->video.model, c->video.seed, 100'000 + time_.draw(2'000'000));
    auto again = [this, number](const error& why) {
      say("client: upload fails number=" + std::to_string(number) + " code=" + std::string{to_string(why.code)});
      if (!is_transient(why.code)) throw violation{"uploads_are_accepted", why.message};
      time_.after(milliseconds{500}, [this, number] { upload(number); });
    };
    auto* service = gateway();
    if (service == nullptr) return again({errc::unavailable, "no gateway"});
    ports::create_video request;
    request.title = "video " + std::to_string(number);
    request.bytes_expected = c->video.source.size();
    service->create(request, [this, c, again](expected<video_view> view) {
      if (!view) return again(view.error());
      c->id = view->id;
      auto more = std::make_shared<std::function<void()>>();
      *more = [this, c, again, weak = std::weak_ptr{more}] {
        auto keep = weak.lock();
        auto* s = gateway();
        if (s == nullptr) return again({errc::unavailable, "no gateway"});
        if (c->sent == c->video.source.size()) {
          // What the client will hold us to, from the moment that it hears yes.
          accepted_[c->id] = c->video;
          s->finish(c->id, c->sent, [this, c, again](expected<video_view> done) {
            if (!done) {
              accepted_.erase(c->id);
              return again(done.error());
            }
            acknowledged_.insert(c->id);
            say("client: acknowledged video=" + to_string(c->id));
          });
          return;
        }
        const auto piece = std::min<std::uint64_t>(ports::append_bytes_max, c->video.source.size() - c->sent);
        s->append(c->id, c->sent, buffer{c->video.source.substr(c->sent, piece)}, [c, again, keep](expected<std::uint64_t> durable) {
          if (!durable) return again(durable.error());
          c->sent = *durable;
          (*keep)();
        });
      };
      (*more)();
    });
  }

  ports::service* gateway() {
    auto& m = machines_.at("gateway");
    return m.running == nullptr ? nullptr : &m.running->tree->service();
  }

  // ---- Faults --------------------------------------------------------------------------------------------------------

  void plan_faults() {
    for (const auto& f : scenario_.faults) {
      const auto times = draw(f.times);
      for (std::int64_t i = 0; i < times; ++i) {
        ++faults_open_;
        time_.after(milliseconds{draw(f.at_ms)}, [this, f] {
          auto& victim = machines_.at("worker-" + std::to_string(time_.draw(scenario_.workers)));
          ++verdict_.counts["kills"];
          if (victim.running == nullptr) {
            --faults_open_;
            return;
          }
          // It bit when it took work down with it.
          if (leases_of(victim.name) > 0) ++verdict_.counts["kills_that_bit"];
          kill(victim);
          time_.after(milliseconds{draw(f.restart_ms)}, [this, &victim] {
            if (victim.running == nullptr) start(victim);
            --faults_open_;
          });
        });
      }
    }
  }

  template <class T>
  std::vector<T> records(const std::string& prefix) {
    std::vector<T> out;
    for (const auto& [key, value] : machines_.at("scheduler").own.records->contents()) {
      if (!key.starts_with(prefix)) continue;
      auto record = from_record<T>(value);
      if (!record) throw violation{"records_decode", key};
      out.push_back(std::move(*record));
    }
    return out;
  }

  std::size_t leases_of(const std::string& worker) {
    std::size_t count = 0;
    for (const auto& lease : records<lease_record>(store::prefix_leases)) count += lease.worker == worker ? 1 : 0;
    return count;
  }

  // ---- The end -------------------------------------------------------------------------------------------------------

  bool finished() {
    if (faults_open_ > 0 || acknowledged_.size() < scenario_.videos) return false;
    if (verdict_.steps % 64 != 0) return false;  // a look at the database costs more than a step
    std::size_t ended = 0;
    for (const auto& video : records<video_record>(store::prefix_videos)) ended += acknowledged_.contains(video.request.video) && video.state == video_state::ready ? 1 : 0;
    return ended == acknowledged_.size();
  }

  std::string describe_unfinished() {
    std::string out = fmt::format("acknowledged {} of {};", acknowledged_.size(), scenario_.videos);
    for (const auto& video : records<video_record>(store::prefix_videos))
      if (video.state != video_state::ready) out += fmt::format(" {} is {} ({})", to_string(video.request.video), to_string(video.state), video.error_message);
    return out;
  }

  void check_end() {
    if (const auto leases = records<lease_record>(store::prefix_leases); !leases.empty())
      throw violation{"no_slot_leaks", fmt::format("{} leases are left when all work is done", leases.size())};
    std::set<blob_id> referred;
    for (const auto& task : records<task_record>(store::prefix_tasks)) {
      if (task.state != task_state::committed) throw violation{"every_job_ends", to_string(task.id) + " is not committed in a ready video"};
      if (task.id.kind != task_kind::plan) referred.insert(task.output.blob);
      verdict_.counts["commits"] += task.id.kind != task_kind::plan ? 1 : 0;
      verdict_.counts["grants"] += task.attempts;
    }
    // Acknowledged bytes are readable and equal; nothing is visible without a seal; no temporary blob is left.
    auto& blobs = *machines_.at("storage").own.blobs;
    std::map<blob_id, video_id> sources;
    for (const auto& video : records<video_record>(store::prefix_videos)) {
      sources[video.request.source.blob] = video.request.video;
      if (!acknowledged_.contains(video.request.video)) continue;
      std::string bytes;
      const auto total = video.request.source.bytes;
      while (bytes.size() < total) {
        bool answered = false;
        blobs.read(video.request.source.blob, bytes.size(), ports::append_bytes_max, [&](expected<buffer> part) {
          answered = true;
          if (!part) throw violation{"acknowledged_is_readable", to_string(video.request.video) + ": " + part.error().message};
          bytes += part->view();
        });
        while (!answered) step();
      }
      if (bytes != accepted_.at(video.request.video).source) throw violation{"acknowledged_is_readable", to_string(video.request.video) + " has other bytes"};
    }
    bool answered = false;
    blobs.list({}, 1000, [&](expected<std::vector<ports::blob_stat>> all) {
      answered = true;
      if (!all) throw violation{"no_blob_leaks", all.error().message};
      for (const auto& stat : *all) {
        if (referred.contains(stat.blob)) {
          if (!stat.sealed) throw violation{"nothing_visible_without_seal", to_string(stat.blob)};
          continue;
        }
        if (!sources.contains(stat.blob)) throw violation{"no_blob_leaks", to_string(stat.blob) + (stat.sealed ? " (sealed)" : " (open)") + " belongs to nothing"};
      }
    });
    while (!answered) step();
  }

  const scenario scenario_;
  events time_;
  network net_;
  sim_clock clock_;
  sim_random random_;
  resolver resolver_{*this};
  executor executor_{*this};
  trace trace_;
  verdict verdict_;
  accepted_videos accepted_;
  std::set<video_id> acknowledged_;
  states_follow_edges edges_;
  one_commit_per_task commits_;
  epochs_only_grow epochs_;
  attempts_are_bounded attempts_;
  outputs_equal_a_calm_run outputs_;
  std::vector<record_checker*> checkers_;
  std::map<std::string, machine> machines_;
  nanoseconds chunk_time_{};
  int faults_open_ = 0;
};

}  // namespace

verdict run(const scenario& s, std::uint64_t seed) {
  auto* w = new world(s, seed);  // leaked on purpose: see the header
  return w->run();
}

std::string next_uuid() {
  uuid_state = uuid_state * 6364136223846793005ull + 1442695040888963407ull;
  return fmt::format("{:016x}-{:016x}", uuid_state, uuid_state ^ 0x9e3779b97f4a7c15ull);
}

}  // namespace latham::sim
