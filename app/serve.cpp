#include "app/serve.hpp"

#include "actors/cluster/attach.hpp"
#include "actors/node.hpp"
#include "app/codecs.hpp"
#include "app/logging.hpp"
#include "core/cluster/identities.hpp"
#include "http/admin.hpp"
#include "http/metrics.hpp"
#include "http/server.hpp"
#include "media/av/engine_identity.hpp"
#include "media/engine_client.hpp"
#include "net/address_lookup.hpp"
#include "net/blob_server.hpp"
#include "net/child_process.hpp"
#include "net/loop.hpp"
#include "net/peer_streams.hpp"
#include "net/signals.hpp"
#include "net/static_resolver.hpp"
#include "net/system_clock.hpp"
#include "net/system_random.hpp"
#include "net/transport.hpp"
#include "store/disk/file_blobs.hpp"
#include "store/disk/file_system.hpp"
#include "store/disk/rocks_kv.hpp"
#include "store/disk/thread_pool.hpp"
#include "store/guarded_blobs.hpp"
#include "store/replicated_blobs.hpp"

#include <cstdio>
#include <fmt/format.h>
#include <future>
#include <optional>
#include <unistd.h>

namespace latham::app {

namespace {

class pool_executor final : public ports::executor {
public:
  explicit pool_executor(std::size_t threads) : pool_{"latham-work", threads, 256} {}
  [[nodiscard]] bool post(std::function<void()> work) override { return pool_.post(std::move(work)); }
  void stop() { pool_.stop(); }

private:
  store::thread_pool pool_;
};

node_role role_of(const std::string& word) {
  if (word == "gateway") return node_role::gateway;
  if (word == "storage") return node_role::storage;
  if (word == "scheduler") return node_role::scheduler;
  return node_role::worker;
}

/// What ends the process: a signal (wanted) or the tree giving up (not).
class ending {
public:
  /// False when it was asked before.
  bool ask(int code) {
    if (asked_.exchange(true)) return false;
    promise_.set_value(code);
    return true;
  }
  [[nodiscard]] bool asked() const noexcept { return asked_; }
  [[nodiscard]] int wait() { return promise_.get_future().get(); }

private:
  std::atomic<bool> asked_{false};
  std::promise<int> promise_;
};

int fail(const error& e) {
  std::fprintf(stderr, "latham: %s\n", e.message.c_str());
  return 1;
}

}  // namespace

int serve(const serve_options& o) {
  if (auto ok = validate(o); !ok) return fail(ok.error());
  const auto log = make_log(o.log_level, o.log_json);
  const auto say = [&](ports::log_level level, const std::string& line) {
    if (log->enabled(level)) log->write(level, line);
  };
  const auto has = [&](const char* role) { return o.roles.contains(role); };

  net::system_clock clock;
  net::system_random random;
  http::prometheus_metrics metrics;
  pool_executor executor{2};

  env e;
  e.config.name = o.name;
  e.config.incarnation = make_incarnation(clock.wall(), random.next());
  for (const auto& role : o.roles) e.config.roles.insert(role_of(role));
  e.config.slots = o.slots == 0 ? usable_processors() : o.slots;
  e.config.shard = has("scheduler") ? shard_of(o) : std::uint16_t{0};
  const auto configured = [&](const std::map<std::string, ports::endpoint>& others, const char* role) {
    std::set<node_name> all;
    for (const auto& [name, where] : others) all.insert(name);
    if (has(role)) all.insert(o.name);
    return std::vector<node_name>(all.begin(), all.end());
  };
  e.config.storages = configured(o.storages, "storage");
  e.config.schedulers = configured(o.schedulers, "scheduler");
  e.config.copies = o.copies;
  e.config.ack_copies = o.ack_copies;
  e.config.draining = o.draining;
  e.config.uploading.bytes_max = o.upload_bytes_max;
  e.clock = &clock;
  e.random = &random;
  e.log = log.get();
  e.metrics = &metrics;
  e.executor = &executor;

  // -- Disk
  store::posix_file_system files;
  std::unique_ptr<store::rocks_kv> records;
  std::unique_ptr<store::file_blobs> blobs;
  std::unique_ptr<store::guarded_blobs> own;
  if (has("storage") || has("scheduler")) {
    if (auto made = files.make_directory(o.data); !made)
      return fail({errc::io, "the data directory " + o.data + " cannot be made (" + made.error().message + "); choose another with --data"});
    store::rocks_kv_options options;
    options.directory = o.data + "/records";
    auto opened = store::rocks_kv::open(options);
    if (!opened) return fail({opened.error().code, "the database in " + options.directory + " cannot be opened: " + opened.error().message});
    records = std::move(*opened);
    e.records = records.get();
  }
  if (has("storage")) {
    store::file_blobs_options options;
    options.directory = o.data + "/blobs";
    options.capacity_bytes = o.capacity_bytes;
    options.free_reserve_bytes = o.free_reserve_bytes;
    auto opened = store::file_blobs::open(options, *records, files);
    if (!opened) return fail({opened.error().code, "the blobs in " + options.directory + " cannot be opened: " + opened.error().message});
    blobs = std::move(*opened);
    const auto& found = blobs->recovered();
    say(ports::log_level::info, fmt::format("blobs ready count={} open={} bytes={} bytes_cut={} files_removed={} damaged={}", found.blobs, found.blobs_open, found.bytes,
                                            found.bytes_cut, found.files_removed, found.blobs_damaged));
    store::guarded_blobs_options guarding;
    guarding.metrics = &metrics;
    guarding.log = log.get();
    own = std::make_unique<store::guarded_blobs>(*blobs, clock, guarding);
    e.blobs = e.own_blobs = own.get();
  }

  // -- Network: control, data and child processes on loops of their own, so that bulk delays neither
  net::loop process_loop{"latham-process"};
  net::loop control_loop{"latham-control"};
  net::loop data_loop{"latham-data"};
  process_loop.start();
  control_loop.start();
  data_loop.start();
  net::address_lookup lookup;
  std::map<node_name, std::vector<ports::endpoint>> members;
  for (const auto* peers : {&o.storages, &o.schedulers})
    for (const auto& [name, where] : *peers) members[name] = {where};
  net::static_resolver resolver{members, lookup};
  e.resolver = &resolver;
  net::dialer_options dialing;
  dialing.self = o.name;
  // A storage node of several keeps copies at the others; one alone is its own store and nothing else.
  std::optional<net::transport> transport;
  std::unique_ptr<store::replicated_blobs> copies;
  if (own && e.config.rules_of_copies().members.size() > 1) {
    store::replicated_blobs_options options;
    options.metrics = &metrics;
    options.log = log.get();
    copies = std::make_unique<store::replicated_blobs>(*own, [&transport](const node_name& node) { return transport->own_of(node); }, e.config.rules_of_copies(), clock, options);
    e.blobs = copies.get();
  }
  const auto unowned = [](ports::blob_store* store) { return std::shared_ptr<ports::blob_store>{std::shared_ptr<void>{}, store}; };
  transport.emplace(o.name, unowned(e.blobs), unowned(own.get()), net::blob_client_context{data_loop, resolver, lookup, random, dialing});
  e.transport = &*transport;
  std::unique_ptr<net::blob_server> data_server;
  if (own && o.cluster) data_server = std::make_unique<net::blob_server>(data_loop, *e.blobs, *own);
  std::unique_ptr<net::peer_streams> links;
  if (o.cluster || !members.empty()) {
    net::peer_streams_options options;
    options.self = o.name;
    options.listen = o.cluster;
    options.log = log.get();
    if (data_server) options.on_data = [server = data_server.get()](node_name peer, net::descriptor connection) { server->adopt(std::move(connection), std::move(peer)); };
    links = std::make_unique<net::peer_streams>(control_loop, lookup, std::move(options));
    e.links = links.get();
    e.attach_accepted = attach_accepted;
    e.attach_dialed = attach_dialed;
  }
  // Who dials whom: worker and gateway dial scheduler and storage, storage dials the scheduler; of two storage nodes the one
  // with the smaller name. Each makes itself known to the other (storage_up).
  for (const auto& [name, where] : o.schedulers)
    if (!has("scheduler")) e.config.peers.push_back({name, true});
  for (const auto& [name, where] : o.storages)
    if (has("storage") ? o.name < name : has("gateway") || has("worker")) e.config.peers.push_back({name, true});

  // -- Codecs
  net::child_process_spawner spawner{process_loop};
  std::unique_ptr<media::child_engine> engine;
  if (has("worker")) {
    auto options = codec_options(o.unsafe_codecs);
    options.log = log.get();
    const auto held = check_containment(spawner, options);
    if (!held) return fail(held.error());
    say(held->holds ? ports::log_level::info : ports::log_level::warn, held->words);
    engine = std::make_unique<media::child_engine>(spawner, media::engine_identity(), std::move(options));
    e.engine = engine.get();
  }

  ending end;
  int code = 0;
  {
    // -- Actors
    caf_config config{std::max<std::size_t>(2, usable_processors())};
    caf::actor_system system{config};
    std::unique_ptr<node> tree = std::make_unique<node>(system, e, [&](std::string why) {
      say(ports::log_level::error, "the node gives up: " + why);
      end.ask(70);
    });

    if (links) {
      if (auto port = links->start(); !port) {
        tree.reset();
        return fail({port.error().code, "the cluster address is not free (" + port.error().message + "); choose another with --cluster"});
      }
    }

    // -- HTTP
    http::admin_options admin_options;
    admin_options.addresses = o.admin.host.empty() ? std::vector<std::string>{"0.0.0.0", "::"} : std::vector<std::string>{o.admin.host};
    admin_options.port = o.admin.port;
    admin_options.ready = [&]() -> expected<void> {
      if (end.asked()) return {errc::unavailable, "the node is stopping"};
      return has("gateway") ? tree->service().ready() : expected<void>{};
    };
    admin_options.metrics = [&] { return metrics.text(); };
    if (has("storage") || has("scheduler")) admin_options.leave = [&](ports::completion<leave_report> done) { tree->leave(std::move(done)); };
    http::admin_server admin{admin_options};
    std::unique_ptr<http::http_server> web;
    const auto stop_tree = [&] {
      (void)admin.drain(seconds{1});  // it asks the tree whether it is ready
      tree.reset();
    };
    if (auto port = admin.start(); !port) {
      stop_tree();
      return fail({port.error().code, fmt::format("the admin port {} is not free ({}); choose another with --admin", o.admin.port, port.error().message)});
    }
    if (has("gateway")) {
      http::server_options options;
      options.addresses = o.http.host.empty() ? std::vector<std::string>{"0.0.0.0", "::"} : std::vector<std::string>{o.http.host};
      options.port = o.http.port;
      options.token = o.token;
      options.version = LATHAM_VERSION;
      options.upload.bytes_max = o.upload_bytes_max;
      web = std::make_unique<http::http_server>(options);
      auto port = web->start(tree->service(), metrics);
      if (!port) {
        stop_tree();
        return fail({port.error().code, fmt::format("port {} is not free ({}); choose another with --listen", o.http.port, port.error().message)});
      }
      const auto host = o.http.host.empty() ? std::string{"0.0.0.0"} : o.http.host;
      say(ports::log_level::info, fmt::format("serving url=http://{}:{}", host, *port));
    }

    net::signals signals{process_loop, [&](int) {
                           // Told twice: at once. What was acknowledged is durable, so a hard end is safe.
                           if (!end.ask(0)) ::_exit(130);
                         }};
    code = end.wait();
    // An actor that hangs must not keep a process that was told to stop: what is acknowledged is on disk, so a hard end
    // is safe. SIGALRM's default action is that end.
    (void)::alarm(static_cast<unsigned>(o.drain.count()) + 30);
    say(ports::log_level::info, "stopping");
    // The worker is told first, so that it takes nothing new while requests are finished.
    auto drained = std::make_shared<std::promise<bool>>();  // shared with who answers, who may be at it when we go on
    tree->drain(o.drain, [drained](bool in_time) { drained->set_value(in_time); });
    if (web && !web->drain(o.drain)) say(ports::log_level::warn, "some requests were cut off at the drain deadline");
    if (!drained->get_future().get()) say(ports::log_level::warn, "the worker was not drained in time; what it still had is handed back, or granted anew when its leases end");
    stop_tree();
  }
  links.reset();
  engine.reset();
  executor.stop();
  data_server.reset();
  copies.reset();
  own.reset();
  blobs.reset();
  records.reset();
  say(ports::log_level::info, "stopped");
  return code;
}

}  // namespace latham::app
