#include "sim/report.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace latham::sim {

std::string_view commit() noexcept { return LATHAM_COMMIT; }

std::string to_json(const verdict& v, const plan& p) {
  nlohmann::ordered_json j;
  j["seed"] = v.seed;
  j["commit"] = commit();
  j["scenario"] = p.name;
  j["nodes"] = {{"gateway", p.nodes.gateways}, {"storage", p.nodes.storages}, {"scheduler", p.nodes.schedulers}, {"worker", p.nodes.workers}};
  for (const auto& k : all_knobs()) j["knobs"][k.name] = p.knobs.*k.where;
  j["passed"] = v.passed;
  j["checker"] = v.checker;
  j["what"] = v.what;
  j["hash"] = fmt::format("{:016x}", v.hash);
  j["steps"] = v.steps;
  j["virtual_s"] = v.virtual_s;
  j["faults"] = nlohmann::ordered_json::object();
  for (const auto& [kind, n] : v.faults) j["faults"][kind] = {{"injected", n.injected}, {"bit", n.bit}};
  j["counts"] = v.counts;
  j["reached"] = v.reached;
  return j.dump();
}

verdict parse_verdict(const std::string& line) {
  verdict v;
  // nlohmann reports by exception; this function is where that ends.
  try {
    const auto j = nlohmann::json::parse(line);
    v.seed = j.at("seed").get<std::uint64_t>();
    v.checker = j.at("checker").get<std::string>();
    v.what = j.at("what").get<std::string>();
    v.hash = std::stoull(j.at("hash").get<std::string>(), nullptr, 16);
    v.steps = j.at("steps").get<std::uint64_t>();
    v.virtual_s = j.at("virtual_s").get<double>();
    for (const auto& [kind, n] : j.at("faults").items()) v.faults[kind] = {n.at("injected").get<std::uint64_t>(), n.at("bit").get<std::uint64_t>()};
    v.counts = j.at("counts").get<std::map<std::string, std::uint64_t>>();
    v.reached = j.at("reached").get<std::vector<std::string>>();
    v.passed = j.at("passed").get<bool>();
  } catch (const std::exception&) {
    v.checker = "the_process_lives";
    v.what = "the simulation's process ended without a verdict";
  }
  return v;
}

}  // namespace latham::sim
