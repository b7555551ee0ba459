// A Chaos Mesh experiment, as read from its file, and the choice of its victims among local processes that stand for pods.
// Pure but for parsing: nothing here sends a signal.
//
// Source: Chaos Mesh's v1alpha1 API and the rules of its admission webhook (duration parses, mode fixed needs a value > 0,
// container-kill names its containers). Ours on top: the selector names our own namespace only.
#pragma once

#include "core/expected.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace latham::chaos {

enum class pod_action : std::uint8_t { pod_kill };
enum class victim_mode : std::uint8_t { one, all, fixed, fixed_percent, random_max_percent };

struct experiment {
  std::string name;
  pod_action action = pod_action::pod_kill;
  victim_mode mode = victim_mode::one;
  std::uint32_t value = 0;                       // of fixed and the percentages
  std::int64_t grace_s = 0;
  std::vector<std::string> namespaces;
  std::map<std::string, std::string> labels;     // all of them must match
};

/// A process that stands for a pod.
struct local_pod {
  std::string name;
  std::string name_space;
  std::map<std::string, std::string> labels;
  int pid = 0;
};

inline constexpr const char* own_namespace = "latham";

/// Fails with invalid_argument and the field to mend, or unsupported for kinds that only a cluster can do.
[[nodiscard]] expected<experiment> parse_experiment(const std::string& yaml);

/// A list of {name, namespace, labels, pid}.
[[nodiscard]] expected<std::vector<local_pod>> parse_pods(const std::string& yaml);

/// Who is hit; `random` decides among equals. Fails with not_found when the selector matches nothing.
[[nodiscard]] expected<std::vector<local_pod>> choose(const experiment& e, std::vector<local_pod> pods, std::uint64_t random);

}  // namespace latham::chaos
