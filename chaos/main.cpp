// latham-chaos: the experiments of a cluster, applied to local processes, so that one file serves both.
#include "chaos/experiment.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <thread>

namespace {

using namespace latham;

constexpr const char* help =
  "latham-chaos: applies a Chaos Mesh experiment to local processes that stand for pods.\n"
  "\n"
  "  latham-chaos EXPERIMENT.yaml --pods PODS.yaml [--seed N] [--dry-run]\n"
  "\n"
  "  PODS.yaml lists the processes: [{name, namespace, labels: {...}, pid}, ...]\n"
  "  --seed N    which of several matching pods is hit (default: random, printed)\n"
  "  --dry-run   say who would be hit, do nothing\n"
  "\n"
  "The local runner does PodChaos pod-kill; the other kinds need a cluster: kubectl apply -k chaos\n"
  "Exit code: 0 done, 1 nothing done (the reason is printed), 2 wrong words.\n";

bool read_file(const std::string& path, std::string& into) {
  std::ifstream in{path};
  std::stringstream all;
  all << in.rdbuf();
  into = all.str();
  return static_cast<bool>(in);
}

int fail(const std::string& why) {
  std::fprintf(stderr, "latham-chaos: %s\n", why.c_str());
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::string file;
  std::string pods_file;
  bool dry = false;
  std::uint64_t seed = std::random_device{}();
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--help" || word == "-h") {
      std::fputs(help, stdout);
      return 0;
    }
    if (word == "--dry-run") dry = true;
    else if (word == "--pods" && i + 1 < argc) pods_file = argv[++i];
    else if (word == "--seed" && i + 1 < argc) seed = std::strtoull(argv[++i], nullptr, 10);
    else if (file.empty() && word.front() != '-') file = word;
    else {
      std::fprintf(stderr, "latham-chaos: \"%s\" is not understood; see latham-chaos --help\n", word.c_str());
      return 2;
    }
  }
  if (file.empty() || pods_file.empty()) {
    std::fputs(help, stderr);
    return 2;
  }
  std::string text;
  if (!read_file(file, text)) return fail(file + " cannot be read");
  auto experiment = chaos::parse_experiment(text);
  if (!experiment) return fail(file + ": " + experiment.error().message);
  if (!read_file(pods_file, text)) return fail(pods_file + " cannot be read");
  auto pods = chaos::parse_pods(text);
  if (!pods) return fail(pods_file + ": " + pods.error().message);
  auto victims = chaos::choose(*experiment, *pods, seed);
  if (!victims) return fail(victims.error().message);
  for (const auto& pod : *victims) {
    std::printf("%s experiment=%s pod=%s pid=%d seed=%llu\n", dry ? "would kill" : "killed", experiment->name.c_str(), pod.name.c_str(), pod.pid, static_cast<unsigned long long>(seed));
    if (dry) continue;
    if (experiment->grace_s > 0) {
      (void)::kill(pod.pid, SIGTERM);
      for (std::int64_t s = 0; s < experiment->grace_s && ::kill(pod.pid, 0) == 0; ++s) std::this_thread::sleep_for(std::chrono::seconds{1});
    }
    if (::kill(pod.pid, SIGKILL) != 0 && errno != ESRCH) return fail("pod " + pod.name + " cannot be killed: " + std::strerror(errno));
  }
  return 0;
}
