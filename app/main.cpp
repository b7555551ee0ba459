// The table of contents of the program: which words it understands and who does the work.
#include "actors/cluster/attach.hpp"
#include "app/configuration.hpp"
#include "app/encode.hpp"
#include "app/serve.hpp"
#include "http/commands.hpp"
#include "media/av/codec_child_main.hpp"
#include "net/child_setup.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <filesystem>
#include <string_view>
#include <unistd.h>
#include <vector>

namespace caf::detail {
// Found by CAF instead of its own through the dynamic linker; see actors/cluster/attach.hpp.
std::string get_root_uuid() { return latham::fresh_uuid(); }
}  // namespace caf::detail

namespace {

using namespace latham;

int run_codec_child() {
  if (auto ok = net::apply_child_limits(); !ok) {
    std::fprintf(stderr, "latham: %s\n", ok.error().message.c_str());
    return 1;
  }
  return media::run_contained_codec_child(net::child_stream_descriptor);
}

/// The simulation is a program of its own, beside this one: it must not link what it does not cover.
int run_sim(const std::vector<std::string>& words) {
  std::error_code failed;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failed);
  const auto program = (self.parent_path() / "latham-sim").string();
  std::vector<char*> arguments{const_cast<char*>(program.c_str())};
  for (const auto& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  ::execv(program.c_str(), arguments.data());
  std::fprintf(stderr, "latham: %s cannot be run; build it with: make test, or cmake --build build --target latham-sim\n", program.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  // Not an option for people, and the first thing looked at: a codec child starts in milliseconds or not at all.
  if (argc == 2 && std::string_view{argv[1]} == "codec-child") return run_codec_child();

  CLI::App cli{"latham: upload a video, get an adaptive-streaming ladder (CMAF behind one HLS and one DASH manifest).\n"
               "Start with: latham serve   and open http://127.0.0.1:8000"};
  cli.set_version_flag("--version", LATHAM_VERSION);
  cli.require_subcommand(1);

  app::serve_options serve;
  std::string http = "127.0.0.1:8000";
  std::string admin = "127.0.0.1:8010";
  std::string cluster;
  std::vector<std::string> storages;
  std::vector<std::string> schedulers;
  std::vector<std::string> roles;
  std::vector<std::string> draining;
  auto* s = cli.add_subcommand("serve", "Run a node. Without options: everything in one process, data in ./data, http://127.0.0.1:8000");
  s->add_option("--data", serve.data, "Directory for everything that must survive")->envname("LATHAM_DATA")->capture_default_str();
  s->add_option("--listen", http, "Address of page, API and media; \":8000\" is every address")->envname("LATHAM_LISTEN")->capture_default_str();
  s->add_option("--admin", admin, "Address of /live, /ready, /metrics and /leave")->envname("LATHAM_ADMIN")->capture_default_str();
  s->add_option("--roles", roles, "What this node does: gateway, storage, scheduler, worker (default: all)")->delimiter(',')->envname("LATHAM_ROLES");
  s->add_option("--name", serve.name, "This node's name, unique in its cluster")->envname("LATHAM_NAME")->capture_default_str();
  s->add_option("--cluster", cluster, "Address where other nodes reach this one, e.g. 127.0.0.1:8020")->envname("LATHAM_CLUSTER");
  s->add_option("--storage", storages, "A storage node: NAME=HOST:PORT; a scheduler needs to know them all")->delimiter(',')->envname("LATHAM_STORAGE");
  s->add_option("--scheduler", schedulers, "A scheduler: NAME=HOST:PORT")->delimiter(',')->envname("LATHAM_SCHEDULER");
  s->add_option("--shard", serve.shard, "Which shard of the videos a scheduler has (default: the number at the end of its name, or 0)")->envname("LATHAM_SHARD");
  s->add_option("--slots", serve.slots, "Chunks encoded at once (default: one per processor)")->envname("LATHAM_SLOTS");
  s->add_option("--capacity", serve.capacity_bytes, "Bytes that blobs may take, e.g. 500GB (default: what the disk has)")->transform(CLI::AsSizeValue(false))->envname("LATHAM_CAPACITY");
  s->add_option("--free-reserve", serve.free_reserve_bytes, "Bytes of the disk that are never used")->transform(CLI::AsSizeValue(false))->envname("LATHAM_FREE_RESERVE");
  s->add_option("--copies", serve.copies, "Storage nodes that keep each blob (default: 2 where there are two); the same on all nodes")->envname("LATHAM_COPIES");
  s->add_option("--ack-copies", serve.ack_copies, "Copies that are durable before an upload is acknowledged (default: all of them)")->envname("LATHAM_ACK_COPIES");
  s->add_option("--draining", draining, "Storage nodes and schedulers to be emptied, by name; the same on all nodes")->delimiter(',')->envname("LATHAM_DRAINING");
  s->add_option("--upload-max", serve.upload_bytes_max, "Largest upload")->transform(CLI::AsSizeValue(false))->envname("LATHAM_UPLOAD_MAX");
  s->add_option("--token", serve.token, "Clients must send this as a bearer token; better in the environment, where ps does not show it")->envname("LATHAM_TOKEN");
  s->add_flag("--insecure", serve.insecure, "Listen beyond loopback without a token");
  s->add_flag("--unsafe-codecs", serve.unsafe_codecs, "Decode uploads even where codec processes cannot be contained (no seccomp): a hostile file that takes one over can then do all that this user can")->envname("LATHAM_UNSAFE_CODECS");
  s->add_option("--log-level", serve.log_level, "debug, info, warn or error")->check(CLI::IsMember({"debug", "info", "warn", "error"}))->envname("LATHAM_LOG_LEVEL")->capture_default_str();
  s->add_flag("--log-json", serve.log_json, "One JSON object a line");
  long drain_s = serve.drain.count();
  s->add_option("--drain", drain_s, "Seconds to finish running requests and tasks after SIGTERM; then tasks are handed back")->check(CLI::Range(0, 3600))->envname("LATHAM_DRAIN")->capture_default_str();
  s->footer("Examples:\n"
            "  latham serve --data /srv/latham\n"
            "  LATHAM_TOKEN=secret latham serve --listen :8000\n"
            "  latham serve --roles worker --name worker-1 --storage storage-0=127.0.0.1:8022 --scheduler scheduler-0=127.0.0.1:8023");

  http::submit_command submit;
  submit.server = "http://127.0.0.1:8000";
  auto* u = cli.add_subcommand("submit", "Upload a file to a running server");
  u->add_option("FILE", submit.file, "The video")->required()->check(CLI::ExistingFile);
  u->add_option("-s,--size", submit.ladder, "The rungs, e.g. -s 256x144 640x360 (default: all that the source is large enough for)");
  u->add_option("--start", submit.start, "Seconds into the file where the part that you want begins, e.g. 83.5");
  u->add_option("--end", submit.end, "Seconds into the file where it ends");
  u->add_option("--title", submit.title, "Shown instead of the file's name");
  u->add_option("--priority", submit.priority, "low, normal or high")->check(CLI::IsMember({"low", "normal", "high"}));
  u->add_option("--server", submit.server, "The server")->envname("LATHAM_SERVER")->capture_default_str();
  u->add_option("--token", submit.token, "Its bearer token")->envname("LATHAM_TOKEN");
  u->add_flag("--wait", submit.wait, "Stay until the video is ready, with a progress bar");
  u->add_flag("--json", submit.json, "Print the video as JSON");
  u->footer("Examples:\n  latham submit bunny.mp4 --wait\n  latham submit bunny.mp4 -s 256x144 426x240 --json");

  http::status_command status;
  status.server = "http://127.0.0.1:8000";
  auto* t = cli.add_subcommand("status", "Show the newest videos, or one of them in detail");
  t->add_option("ID", status.id, "The video's id");
  t->add_option("--server", status.server, "The server")->envname("LATHAM_SERVER")->capture_default_str();
  t->add_option("--token", status.token, "Its bearer token")->envname("LATHAM_TOKEN");
  t->add_flag("--json", status.json, "Print JSON");

  http::leave_command leave;
  leave.admin = "127.0.0.1:8010";
  auto* o = cli.add_subcommand("leave", "Ask a storage node or scheduler that is being emptied whether it may be switched off for good");
  o->add_option("--admin", leave.admin, "The node's admin port")->envname("LATHAM_ADMIN")->capture_default_str();
  o->add_flag("--wait", leave.wait, "Stay until it may, with a progress bar");
  o->add_flag("--json", leave.json, "Print the answer as JSON");
  o->footer("Says \"may leave\" and ends with 0, or says what holds the node back and ends with 1. Before: restart all nodes with\n"
            "--draining NAME, those with --roles storage last; for a scheduler only that one, with another by --scheduler. After: stop\n"
            "the node, and restart all others without it in --storage, --scheduler and --draining. A node that was told that it may\n"
            "leave takes nothing new; restart it without --draining to keep it.\n"
            "Examples:\n  latham leave --admin 127.0.0.1:8112 --wait && kill $(cat storage-2.pid)\n  latham leave --admin 127.0.0.1:8112 --json");

  app::encode_options local;
  auto* l = cli.add_subcommand("encode", "Make the ladder of a file on this machine, without a server");
  l->add_option("FILE", local.file, "The video")->required()->check(CLI::ExistingFile);
  l->add_option("DIRECTORY", local.directory, "Where master.m3u8, manifest.mpd and the segments go; made by this")->required();
  l->add_option("-s,--size", local.ladder, "The rungs, e.g. -s 256x144 640x360 (default: all that the source is large enough for)");
  l->add_option("--start", local.start, "Seconds into the file where the part that you want begins, e.g. 83.5");
  l->add_option("--end", local.end, "Seconds into the file where it ends");
  l->add_option("--slots", local.slots, "Chunks encoded at once (default: one per processor)")->check(CLI::Range(1, 256));
  l->add_flag("--unsafe-codecs", local.unsafe_codecs, "Decode the file even where codec processes cannot be contained (no seccomp); for files that you trust")->envname("LATHAM_UNSAFE_CODECS");
  l->add_flag("--json", local.json, "Print what was made, and where the time went, as JSON");
  l->footer("Examples:\n  latham encode bunny.mp4 ladder\n  latham encode bunny.mp4 small -s 256x144 426x240 --slots 1\n  latham encode bunny.mp4 part --start 83.5 --end 100\n  python3 -m http.server -d ladder   # then play http://127.0.0.1:8000/master.m3u8");

  auto* x = cli.add_subcommand("sim", "Run the in-process simulation (latham-sim); see latham sim --help")->prefix_command();
  x->set_help_flag();

  CLI11_PARSE(cli, argc, argv);

  const auto fail = [](const error& e) {
    std::fprintf(stderr, "latham: %s\n", e.message.c_str());
    return 1;
  };
  if (l->parsed()) return app::encode(local);
  if (s->parsed()) {
    if (!roles.empty()) serve.roles = {roles.begin(), roles.end()};
    auto where = app::parse_endpoint(http);
    if (!where) return fail(where.error());
    serve.http = *where;
    where = app::parse_endpoint(admin);
    if (!where) return fail(where.error());
    serve.admin = *where;
    if (!cluster.empty()) {
      where = app::parse_endpoint(cluster);
      if (!where) return fail(where.error());
      serve.cluster = *where;
    }
    serve.draining.insert(draining.begin(), draining.end());
    for (const auto& text : storages) {
      auto peer = app::parse_peer(text);
      if (!peer) return fail(peer.error());
      serve.storages.insert(*peer);
    }
    for (const auto& text : schedulers) {
      auto peer = app::parse_peer(text);
      if (!peer) return fail(peer.error());
      serve.schedulers.insert(*peer);
    }
    serve.drain = seconds{drain_s};
    return app::serve(serve);
  }
  if (u->parsed()) return http::run_submit(submit);
  if (t->parsed()) return http::run_status(status);
  if (o->parsed()) {
    if (auto where = app::parse_endpoint(leave.admin); !where) return fail(where.error());
    return http::run_leave(leave);
  }
  if (x->parsed()) return run_sim(x->remaining());
  return 0;
}
