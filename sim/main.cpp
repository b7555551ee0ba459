// latham-sim: runs seeds of a scenario, says which fail and how to repeat one.
#include "sim/world.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <sys/wait.h>
#include <unistd.h>
#include <vector>

namespace caf::detail {
std::string get_root_uuid() { return latham::sim::next_uuid(); }
}  // namespace caf::detail

namespace {

using namespace latham;

constexpr const char* help =
  "latham-sim: a whole cluster in one thread and virtual time, with faults from a seed.\n"
  "\n"
  "  latham-sim [--seed N] [--seeds M] [--scenario FILE] [--json] [--trace]\n"
  "\n"
  "  --seed N         the first seed (default 1); a seed is a run: same seed, same trace hash\n"
  "  --seeds M        how many seeds, N to N+M-1 (default 1), each in a process of its own\n"
  "  --scenario FILE  cluster, workload and faults as JSON (default: a worker is killed while it encodes)\n"
  "  --json           one JSON object a line: seed, passed, checker, what, hash, steps, virtual_s, counts\n"
  "  --trace          print the last lines of the trace also when the run passes\n"
  "\n"
  "Exit code: 0 all passed, 1 an invariant was violated, 2 wrong words. It covers a model of the codecs and none of\n"
  "the network code; those have tests of their own.\n";

struct options {
  std::uint64_t seed = 1;
  std::uint64_t seeds = 1;
  std::string scenario_file;
  bool json = false;
  bool trace = false;
};

bool parse_number(const char* text, std::uint64_t& into) {
  const std::string_view view{text};
  const auto parsed = std::from_chars(view.data(), view.data() + view.size(), into);
  return parsed.ec == std::errc{} && parsed.ptr == view.data() + view.size();
}

void report(const options& o, const sim::scenario& s, const sim::verdict& v) {
  if (o.json) {
    nlohmann::json j{{"seed", v.seed},   {"scenario", s.name}, {"passed", v.passed},       {"checker", v.checker}, {"what", v.what},
                     {"hash", fmt::format("{:016x}", v.hash)}, {"steps", v.steps}, {"virtual_s", v.virtual_s}, {"counts", v.counts}};
    std::printf("%s\n", j.dump().c_str());
  } else if (!v.passed || o.seeds == 1) {
    std::string counts;
    for (const auto& [name, n] : v.counts) counts += fmt::format(" {}={}", name, n);
    std::printf("seed %llu %s hash=%016llx steps=%llu virtual_s=%.1f%s\n", static_cast<unsigned long long>(v.seed), v.passed ? "passed" : "FAILED",
                static_cast<unsigned long long>(v.hash), static_cast<unsigned long long>(v.steps), v.virtual_s, counts.c_str());
  }
  if (!v.passed && !o.json) {
    std::printf("  %s: %s\n  repeat with: latham-sim --seed %llu%s\n", v.checker.c_str(), v.what.c_str(), static_cast<unsigned long long>(v.seed),
                o.scenario_file.empty() ? "" : (" --scenario " + o.scenario_file).c_str());
    for (const auto& line : v.last_lines) std::printf("  %12.6f %s\n", static_cast<double>(line.when.count() - 3600'000'000'000) / 1e9, line.text.c_str());
  }
  std::fflush(stdout);
}

/// One seed in a forked child: a world is not freed. The child reports; its exit code is the verdict.
bool run_forked(const options& o, const sim::scenario& s, std::uint64_t seed) {
  std::fflush(stdout);
  const auto child = ::fork();
  if (child == 0) {
    const auto v = sim::run(s, seed);
    report(o, s, v);
    ::_exit(v.passed ? 0 : 1);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) return false;
  if (WIFSIGNALED(status)) std::printf("seed %llu FAILED: the process ended by signal %d\n", static_cast<unsigned long long>(seed), WTERMSIG(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    const bool has_value = i + 1 < argc;
    if (word == "--help" || word == "-h") {
      std::fputs(help, stdout);
      return 0;
    }
    if (word == "--json") o.json = true;
    else if (word == "--trace") o.trace = true;
    else if (word == "--seed" && has_value && parse_number(argv[i + 1], o.seed)) ++i;
    else if (word == "--seeds" && has_value && parse_number(argv[i + 1], o.seeds) && o.seeds > 0) ++i;
    else if (word == "--scenario" && has_value) o.scenario_file = argv[++i];
    else {
      std::fprintf(stderr, "latham-sim: \"%s\" is not understood; see latham-sim --help\n", word.c_str());
      return 2;
    }
  }
  std::string text = sim::default_scenario();
  if (!o.scenario_file.empty()) {
    std::ifstream in{o.scenario_file};
    std::stringstream all;
    all << in.rdbuf();
    if (!in) {
      std::fprintf(stderr, "latham-sim: %s cannot be read\n", o.scenario_file.c_str());
      return 2;
    }
    text = all.str();
  }
  auto s = sim::parse_scenario(text);
  if (!s) {
    std::fprintf(stderr, "latham-sim: %s\n", s.error().message.c_str());
    return 2;
  }
  std::uint64_t failed = 0;
  const bool bar = !o.json && o.seeds > 1 && ::isatty(2) != 0;
  for (std::uint64_t i = 0; i < o.seeds; ++i) {
    if (!run_forked(o, *s, o.seed + i)) ++failed;
    if (bar) std::fprintf(stderr, "\r%llu of %llu seeds, %llu failed ", static_cast<unsigned long long>(i + 1), static_cast<unsigned long long>(o.seeds), static_cast<unsigned long long>(failed));
  }
  if (bar) std::fputc('\n', stderr);
  if (o.seeds > 1 && !o.json) std::printf("%llu seeds, %llu failed\n", static_cast<unsigned long long>(o.seeds), static_cast<unsigned long long>(failed));
  return failed == 0 ? 0 : 1;
}
