// latham-sim: runs seeds of a scenario, says which fail, how to repeat one, and what happened in it.
#include "sim/batch.hpp"
#include "sim/chart.hpp"
#include "sim/machine.hpp"
#include "sim/report.hpp"
#include "sim/scale.hpp"
#include "sim/shrink.hpp"
#include "core/reach.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <unistd.h>

namespace caf::detail {
std::string get_root_uuid() { return latham::sim::next_uuid(); }
}  // namespace caf::detail

namespace {

using namespace latham;

constexpr std::uint64_t quiet_worlds_max = 3;  // worlds for each that counts, with --eventful

constexpr const char* help =
  "latham-sim: a whole cluster in one thread and virtual time, with faults from a seed.\n"
  "\n"
  "  latham-sim [--seed N] [--seeds M] [--scenario FILE] [options]\n"
  "\n"
  "  --seed N         the first seed (default: the scenario's, or 1); a seed is a run: same seed, same trace hash. \"time\": from the clock\n"
  "  --seeds M        how many seeds, N to N+M-1 (default 1), each in a process of its own\n"
  "  --jobs J         so many at once (default: all cores)\n"
  "  --for SECONDS    begins no further seed after so much real time\n"
  "  --scenario FILE  cluster, workload, knobs and faults as JSON (default: the seed draws them all)\n"
  "  --must-bite      fail also when some kind of fault of the scenario bit in none of the seeds\n"
  "  --eventful       count only seeds with at least 60 virtual seconds, five faults that bit and three accepted videos; goes on\n"
  "                   until there are --seeds of them, or one failed\n"
  "  --marks FILE     keep the marks that were reached in FILE, and count those that are there already: many batches, one list\n"
  "  --json           one JSON object a line for each seed, and nothing else: without --shrink, --chart and --trace\n"
  "  --plan           print what a seed draws, as a scenario that repeats it, and run nothing\n"
  "  --shrink         when it fails, leave out of the plan what does not matter, and print the rest as a scenario\n"
  "  --chart FILE.svg write the sequence chart of the end of the run there (a failure prints it as text in any case)\n"
  "  --chart-seconds S  how much of the end it shows (default 3)\n"
  "  --trace          print what happened, also when the run passes\n"
  "  --bench          how fast the simulation runs: steps and virtual seconds a second\n"
  "  --kinds          of --bench: also what the steps are, each kind's number a virtual second\n"
  "  --scale          many workers and shards on paper: the scheduler's rules and a model of events, no cluster. A table;\n"
  "                   --json: one object a line; --chart FILE.svg: plots\n"
  "  --cell WxS       of --scale, W workers and S shards only\n"
  "  --chunks N       of --scale (default 100000)\n"
  "\n"
  "Exit code: 0 all passed, 1 an invariant was violated, 2 wrong words. It covers a model of the codecs and none of\n"
  "the network code; those have tests of their own.\n";

struct options {
  std::optional<std::uint64_t> seed;
  std::uint64_t seeds = 1;
  std::uint64_t jobs = std::max(1u, std::thread::hardware_concurrency());
  std::uint64_t for_s = 0;
  std::uint64_t chart_s = 3;
  std::string scenario_file;
  std::string chart_file;
  std::string marks_file;
  bool json = false;
  bool plan = false;
  bool shrink = false;
  bool trace = false;
  bool must_bite = false;
  bool eventful = false;
  bool bench = false;
  bool kinds = false;
  bool scale = false;
  std::uint64_t chunks = 100'000;
  std::string cell;
};

bool parse_number(const char* text, std::uint64_t& into) {
  const std::string_view view{text};
  const auto parsed = std::from_chars(view.data(), view.data() + view.size(), into);
  return parsed.ec == std::errc{} && parsed.ptr == view.data() + view.size();
}

/// Empty when all is understood, else the word that is not.
std::string parse(int argc, char** argv, options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    const auto number = [&](const char* name, std::uint64_t& into) { return word == name && value != nullptr && parse_number(value, into) && ++i > 0; };
    const auto text = [&](const char* name, std::string& into) {
      if (word != name || value == nullptr) return false;
      into = value;
      return ++i > 0;
    };
    const auto flag = [&](const char* name, bool& into) { return word == name && (into = true); };
    if (word == "--seed" && value != nullptr && std::string_view{value} == "time") {
      o.seed = static_cast<std::uint64_t>(std::chrono::system_clock::now().time_since_epoch() / std::chrono::milliseconds{1}) % 1'000'000'000;
      ++i;
      continue;
    }
    std::uint64_t seed = 0;
    const bool known = number("--seed", seed) || number("--seeds", o.seeds) || number("--jobs", o.jobs) || number("--for", o.for_s) || number("--chart-seconds", o.chart_s) ||
                       text("--scenario", o.scenario_file) || text("--chart", o.chart_file) || text("--marks", o.marks_file) || flag("--json", o.json) || flag("--plan", o.plan) || flag("--shrink", o.shrink) ||
                       flag("--trace", o.trace) || flag("--must-bite", o.must_bite) || flag("--eventful", o.eventful) || flag("--bench", o.bench) || flag("--kinds", o.kinds) || flag("--scale", o.scale) || text("--cell", o.cell) || number("--chunks", o.chunks);
    if (word == "--seed") o.seed = seed;
    if (!known || o.seeds == 0 || o.jobs == 0 || o.chunks < 1'000 || o.chunks > 10'000'000) return word;
  }
  if (o.json && !o.scale && (o.shrink || o.trace || !o.chart_file.empty())) return "--json with --shrink, --chart or --trace";
  return {};
}

/// Much happened: a soak of quiet worlds would prove little.
bool is_eventful(const sim::verdict& v) {
  std::uint64_t bites = 0;
  for (const auto& [kind, n] : v.faults) bites += n.bit;
  const auto accepted = v.counts.find("uploads_acknowledged");
  return v.virtual_s >= 60 && bites >= 5 && accepted != v.counts.end() && accepted->second >= 3;
}

/// One name a line.
std::set<std::string> read_marks(const std::string& file) {
  std::set<std::string> out;
  if (file.empty()) return out;
  std::ifstream in{file};
  for (std::string name; std::getline(in, name);) out.insert(name);
  return out;
}

bool keep_marks(const std::string& file, const std::set<std::string>& reached) {
  if (file.empty()) return true;
  std::ofstream out{file};
  for (const auto& name : reached) out << name << '\n';
  out.close();
  return !out.fail();
}

std::string repeat_line(const options& o, std::uint64_t seed) {
  return fmt::format("latham-sim --seed {}{}", seed, o.scenario_file.empty() ? "" : " --scenario " + o.scenario_file);
}

void print_summary(const sim::plan& p, const sim::verdict& v) {
  fmt::print("seed {} {} hash={:016x} steps={} virtual_s={:.1f} nodes={} commit={}\n", v.seed, v.passed ? "passed" : "FAILED", v.hash, v.steps, v.virtual_s, sim::node_names(p.nodes).size(), sim::commit());
  fmt::print("  knobs ");
  for (const auto& k : sim::all_knobs()) fmt::print(" {}={}", k.name, p.knobs.*k.where);
  fmt::print("\n  counts");
  for (const auto& [name, n] : v.counts) fmt::print(" {}={}", name, n);
  fmt::print("\n  faults (bit of injected)");
  for (const auto& [kind, n] : v.faults) fmt::print(" {}={}/{}", kind, n.bit, n.injected);
  fmt::print("\n");
}

/// The run once more, with its trace: in a child, for there is one world to a process.
void tell(const options& o, const sim::plan& p, bool in_words) {
  sim::in_child([&] {
    const auto v = sim::run(p, {true, false, 0});
    sim::chart_options how;
    how.last_s = static_cast<double>(o.chart_s);
    if (o.trace) {
      how.pings = true;
      how.rows_max = 400'000;
    }
    if (in_words) fmt::print("{}  kept trace hash={:016x}\n", sim::text_chart(v, how), v.hash);
    if (o.chart_file.empty()) return;
    std::ofstream out{o.chart_file};
    out << sim::svg_chart(v, how);
    fmt::print("  chart: {}{}\n", o.chart_file, out.good() ? "" : " (cannot be written)");
  });
}

void tell_failure(const options& o, const sim::plan& p, const sim::verdict& v) {
  fmt::print("seed {} FAILED {}: {}\n  repeat with: {} (commit {})\n", v.seed, v.checker, v.what, repeat_line(o, v.seed), sim::commit());
  tell(o, p, true);
  if (!o.shrink) return;
  const auto small = sim::shrink(p, v.checker, [](const std::string& progress) { fmt::print("  shrinking: {}\n", progress); });
  fmt::print("  a smaller plan that fails likewise:\n{}\n", sim::to_json(small));
}

/// A cluster with work all the time and no fault.
int bench(bool as_json, bool kinds) {
  sim::plan p;
  p.name = "bench";
  p.nodes = {1, 3, 2, 8};
  p.knobs.slots = 4;
  p.knobs.chunk_ms = 1'000;
  p.knobs.repair_period_ms = 60'000;  // as configured; the simulation's own is shorter, so that runs are
  // Some 20 tasks a second: a video of ten chunks and one track of sound each 600 ms.
  for (std::int64_t i = 0; i < 600; ++i) p.items.push_back({100 + 600 * i, "tenant-" + std::to_string(i % 3), "normal", 10, 2, 1, 0, 30'000, "plain", 0});
  p.trouble_ms = 400'000;
  constexpr double virtual_s = 300;
  // Processor time, not time: a simulation waits for nothing, and the machine may have others to serve.
  const auto began = std::clock();
  const auto v = sim::run(p, {false, kinds, virtual_s});
  const auto spent = static_cast<double>(std::clock() - began) / CLOCKS_PER_SEC;
  const auto at = [&](const char* name) { return static_cast<double>(v.counts.at(name)); };
  const auto steps_per_s = static_cast<double>(v.steps) / spent;
  const auto steps_per_virtual_s = static_cast<double>(v.steps) / v.virtual_s;
  if (as_json) {
    fmt::print("{{\"gateways\":{},\"storages\":{},\"schedulers\":{},\"workers\":{},\"tasks_per_virtual_s\":{:.2f},\"packets_per_virtual_s\":{:.1f},\"cpu_s\":{:.3f},\"steps_per_s\":{:.0f},"
               "\"virtual_s_per_s\":{:.1f},\"steps_per_virtual_s\":{:.1f}}}\n",
               p.nodes.gateways, p.nodes.storages, p.nodes.schedulers, p.nodes.workers, at("commits") / v.virtual_s, at("packets") / v.virtual_s, spent, steps_per_s, v.virtual_s / spent, steps_per_virtual_s);
  } else {
    fmt::print("{} storage, {} scheduler, {} worker nodes, {:.0f} virtual s, {:.1f} tasks and {:.0f} packets a virtual second: {:.2f} processor seconds\n", p.nodes.storages, p.nodes.schedulers, p.nodes.workers,
               v.virtual_s, at("commits") / v.virtual_s, at("packets") / v.virtual_s, spent);
    fmt::print("{:.3f} M steps/s, {:.0f} virtual s/s, {:.0f} steps per virtual second\n", steps_per_s / 1e6, v.virtual_s / spent, steps_per_virtual_s);
  }
  if (kinds && !as_json) {
    std::vector<std::pair<std::uint64_t, std::string>> most;
    for (const auto& [kind, n] : v.kinds) most.emplace_back(n, kind);
    std::sort(most.rbegin(), most.rend());
    for (const auto& [n, kind] : most) fmt::print("{:9.2f} {}\n", static_cast<double>(n) / v.virtual_s, kind);
  }
  return v.passed ? 0 : 1;
}

/// All cells one after the other: memory and processor time are measured.
int scale(const options& o) {
  std::vector<sim::scale_options> cells;
  for (const std::uint32_t shards : {1, 4, 16})
    for (const std::uint32_t workers : {10, 100, 1'000}) {
      if (!o.cell.empty() && o.cell != fmt::format("{}x{}", workers, shards)) continue;
      cells.push_back({workers, shards, static_cast<std::uint32_t>(o.chunks), 4, o.seed.value_or(1)});
    }
  if (cells.empty()) {
    std::fprintf(stderr, "latham-sim: there is no cell %s; 10, 100 and 1000 workers, 1, 4 and 16 shards\n", o.cell.c_str());
    return 2;
  }
  if (!o.json) fmt::print("{}", sim::scale_table_head());
  std::vector<sim::scale_result> all;
  for (const auto& cell : cells) {
    all.push_back(sim::run_scale(cell));
    fmt::print("{}", o.json ? sim::to_json(all.back()) + "\n" : sim::to_table_row(all.back()));
    std::fflush(stdout);
  }
  if (o.chart_file.empty()) return 0;
  std::ofstream out{o.chart_file};
  out << sim::scale_plots(all);
  out.close();
  if (!out) std::fprintf(stderr, "latham-sim: %s cannot be written\n", o.chart_file.c_str());
  return out ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i)
    if (std::string_view{argv[i]} == "--help" || std::string_view{argv[i]} == "-h") {
      std::fputs(help, stdout);
      return 0;
    }
  if (const auto word = parse(argc, argv, o); !word.empty()) {
    std::fprintf(stderr, "latham-sim: \"%s\" is not understood; see latham-sim --help\n", word.c_str());
    return 2;
  }
  if (o.bench) return bench(o.json, o.kinds);
  if (o.scale) return scale(o);
  auto s = sim::random_scenario();
  if (!o.scenario_file.empty()) {
    std::ifstream in{o.scenario_file};
    std::stringstream all;
    all << in.rdbuf();
    if (!in) {
      std::fprintf(stderr, "latham-sim: %s cannot be read\n", o.scenario_file.c_str());
      return 2;
    }
    auto parsed = sim::parse_scenario(all.str());
    if (!parsed) {
      std::fprintf(stderr, "latham-sim: %s: %s\n", o.scenario_file.c_str(), parsed.error().message.c_str());
      return 2;
    }
    s = std::move(*parsed);
  }
  const auto first = o.seed ? *o.seed : s.seed.value_or(1);
  if (o.plan) {
    fmt::print("{}\n", sim::to_json(sim::draw_plan(s, first)));
    return 0;
  }
  if (!o.json && o.seeds > 1) fmt::print("latham-sim: scenario {}, {} seeds from {}, {} at once\n", s.name, o.seeds, first, o.jobs);

  std::uint64_t failed = 0;
  std::uint64_t done = 0;
  std::uint64_t eventful = 0;
  std::uint64_t steps = 0;
  double virtual_s = 0;
  std::map<std::string, sim::ledger::count> faults;
  auto reached = read_marks(o.marks_file);
  sim::batch b;
  b.first = first;
  b.count = o.eventful ? quiet_worlds_max * o.seeds : o.seeds;
  b.jobs = static_cast<unsigned>(o.jobs);
  b.progress = !o.json && o.seeds > 1 && ::isatty(2) != 0;
  b.lasts_s = static_cast<double>(o.for_s);
  b.draw = [&](std::uint64_t seed) { return sim::draw_plan(s, seed); };
  const auto began = std::chrono::steady_clock::now();
  b.ended = [&](const sim::plan& p, const sim::verdict& v, const std::string& json) {
    ++done;
    eventful += is_eventful(v) ? 1 : 0;
    failed += v.passed ? 0 : 1;
    steps += v.steps;
    virtual_s += v.virtual_s;
    for (const auto& [kind, n] : v.faults) {
      faults[kind].injected += n.injected;
      faults[kind].bit += n.bit;
    }
    reached.insert(v.reached.begin(), v.reached.end());
    if (o.json)
      fmt::print("{}", json.empty() ? sim::to_json(v, p) + "\n" : json);
    else if (!v.passed)
      tell_failure(o, p, v);
    if (o.seeds == 1 && !o.json) {
      print_summary(p, v);
      if (v.passed && (o.trace || !o.chart_file.empty())) tell(o, p, o.trace);
    }
    std::fflush(stdout);
    // A few failures are enough to look at.
    if (failed >= (o.eventful ? 1u : 10u) || (o.eventful && eventful >= o.seeds)) return false;
    return o.for_s == 0 || std::chrono::steady_clock::now() - began < std::chrono::seconds{o.for_s};
  };
  sim::run_batch(b);

  bool fine = failed == 0;
  if (o.eventful && fine && eventful < o.seeds && o.for_s == 0) {
    fmt::print("only {} of {} worlds were eventful\n", eventful, done);
    fine = false;
  }
  if (o.seeds > 1 && !o.json) {
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - began;
    fmt::print("{} seeds, {} failed; {:.1f} s, {:.1f} seeds a second, {:.1f} M steps, {:.0f} virtual seconds\n", done, failed, spent.count(), static_cast<double>(done) / spent.count(),
               static_cast<double>(steps) / 1e6, virtual_s);
    fmt::print("{} of them with at least 60 virtual seconds, five faults that bit and three accepted videos\n", eventful);
    fmt::print("faults (bit of injected):");
    for (const auto& [kind, n] : faults) fmt::print(" {}={}/{}", kind, n.bit, n.injected);
    std::vector<std::string> missed;
    reach_mark::for_each([&](const reach_mark& m) {
      if (!reached.contains(std::string{m.name()})) missed.emplace_back(m.name());
    });
    std::sort(missed.begin(), missed.end());
    fmt::print("\nmarks reached: {}; not reached:{}\n", reached.size(), missed.empty() ? " none" : "");
    for (const auto& name : missed) fmt::print("  {}\n", name);
  }
  if (!keep_marks(o.marks_file, reached)) {
    std::fprintf(stderr, "latham-sim: %s cannot be written\n", o.marks_file.c_str());
    fine = false;
  }
  if (o.must_bite)
    for (const auto& [kind, n] : faults)
      if (n.bit == 0) {
        fmt::print("the fault {} never bit\n", kind);
        fine = false;
      }
  return fine ? 0 : 1;
}
