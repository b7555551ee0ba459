#include "chaos/experiment.hpp"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <random>
#include <set>

namespace latham::chaos {

namespace {

const std::set<std::string> known_spec_fields = {"action", "mode", "value", "gracePeriod", "selector", "duration"};

error bad(std::string what) { return {errc::invalid_argument, std::move(what)}; }

expected<std::map<std::string, std::string>> read_labels(const YAML::Node& node) {
  std::map<std::string, std::string> out;
  for (const auto& entry : node) out[entry.first.as<std::string>()] = entry.second.as<std::string>();
  return out;
}

expected<experiment> read(const YAML::Node& root) {
  if (root["apiVersion"].as<std::string>("") != "chaos-mesh.org/v1alpha1") return bad("apiVersion is not chaos-mesh.org/v1alpha1");
  const auto kind = root["kind"].as<std::string>("");
  if (kind != "PodChaos") return {errc::unsupported, "kind " + kind + " needs a cluster; the local runner does PodChaos"};
  experiment e;
  e.name = root["metadata"]["name"].as<std::string>("");
  if (e.name.empty()) return bad("metadata.name is missing");
  const auto spec = root["spec"];
  if (!spec.IsMap()) return bad("spec is missing");
  for (const auto& field : spec)
    if (!known_spec_fields.contains(field.first.as<std::string>())) return bad("spec." + field.first.as<std::string>() + " is not a field of PodChaos (v1 fields like scheduler are gone; use kind Schedule)");
  const auto action = spec["action"].as<std::string>("");
  if (action != "pod-kill") return {errc::unsupported, "action " + action + " needs a cluster; the local runner does pod-kill"};
  const auto mode = spec["mode"].as<std::string>("");
  if (mode == "one") e.mode = victim_mode::one;
  else if (mode == "all") e.mode = victim_mode::all;
  else if (mode == "fixed") e.mode = victim_mode::fixed;
  else if (mode == "fixed-percent") e.mode = victim_mode::fixed_percent;
  else if (mode == "random-max-percent") e.mode = victim_mode::random_max_percent;
  else return bad("spec.mode is one, all, fixed, fixed-percent or random-max-percent");
  if (e.mode != victim_mode::one && e.mode != victim_mode::all) {
    const auto value = spec["value"].as<std::string>("");
    if (value.empty() || value.size() > 6 || !std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; })) return bad("spec.value is a number in quotes for mode " + mode);
    e.value = static_cast<std::uint32_t>(std::stoul(value));
    if (e.mode == victim_mode::fixed ? e.value == 0 : e.value > 100) return bad("spec.value is out of range for mode " + mode);
  }
  e.grace_s = spec["gracePeriod"].as<std::int64_t>(0);
  if (e.grace_s < 0) return bad("spec.gracePeriod is negative");
  const auto selector = spec["selector"];
  for (const auto& name : selector["namespaces"]) e.namespaces.push_back(name.as<std::string>());
  if (e.namespaces != std::vector<std::string>{own_namespace}) return bad("spec.selector.namespaces must be [latham] and nothing else: experiments stay in our own namespace");
  auto labels = read_labels(selector["labelSelectors"]);
  if (!labels) return std::move(labels).error();
  e.labels = *labels;
  if (e.labels.empty()) return bad("spec.selector.labelSelectors is empty: it would match every pod");
  return e;
}

}  // namespace

expected<experiment> parse_experiment(const std::string& yaml) {
  // yaml-cpp reports by exception; this is where that ends.
  try {
    return read(YAML::Load(yaml));
  } catch (const YAML::Exception& e) {
    return bad(std::string{"not a YAML document of the expected shape: "} + e.what());
  }
}

expected<std::vector<local_pod>> parse_pods(const std::string& yaml) {
  try {
    std::vector<local_pod> pods;
    for (const auto& node : YAML::Load(yaml)) {
      local_pod pod;
      pod.name = node["name"].as<std::string>();
      pod.name_space = node["namespace"].as<std::string>(own_namespace);
      auto labels = read_labels(node["labels"]);
      if (!labels) return std::move(labels).error();
      pod.labels = *labels;
      pod.pid = node["pid"].as<int>();
      if (pod.pid <= 1) return bad("pod " + pod.name + " has no process id of its own");
      pods.push_back(std::move(pod));
    }
    return pods;
  } catch (const YAML::Exception& e) {
    return bad(std::string{"the list of pods cannot be read: "} + e.what());
  }
}

expected<std::vector<local_pod>> choose(const experiment& e, std::vector<local_pod> pods, std::uint64_t random) {
  std::erase_if(pods, [&](const local_pod& pod) {
    if (std::find(e.namespaces.begin(), e.namespaces.end(), pod.name_space) == e.namespaces.end()) return true;
    return !std::all_of(e.labels.begin(), e.labels.end(), [&](const auto& want) {
      auto at = pod.labels.find(want.first);
      return at != pod.labels.end() && at->second == want.second;
    });
  });
  if (pods.empty()) return {errc::not_found, "the selector of " + e.name + " matches no pod"};
  std::sort(pods.begin(), pods.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  std::mt19937_64 generator{random};
  std::shuffle(pods.begin(), pods.end(), generator);
  const auto percent = [&](std::uint32_t p) { return (pods.size() * p + 99) / 100; };
  std::size_t count = pods.size();
  switch (e.mode) {
    case victim_mode::one: count = 1; break;
    case victim_mode::all: break;
    case victim_mode::fixed: count = std::min<std::size_t>(count, e.value); break;
    case victim_mode::fixed_percent: count = std::min(count, percent(e.value)); break;
    case victim_mode::random_max_percent: count = std::min(count, percent(static_cast<std::uint32_t>(generator() % (e.value + 1)))); break;
  }
  pods.resize(count);
  return pods;
}

}  // namespace latham::chaos
