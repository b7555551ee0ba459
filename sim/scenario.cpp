#include "sim/scenario.hpp"

#include <nlohmann/json.hpp>

namespace latham::sim {

namespace {

range_ms range_of(const nlohmann::json& j, range_ms fallback) {
  if (j.is_null()) return fallback;
  if (j.is_number_integer()) return {j.get<std::int64_t>(), j.get<std::int64_t>()};
  range_ms out{j.at(0).get<std::int64_t>(), j.at(1).get<std::int64_t>()};
  if (out.from < 0 || out.to < out.from || out.to > 3'600'000) throw std::runtime_error{"a range is [from, to] with 0 <= from <= to"};
  return out;
}

const nlohmann::json& member(const nlohmann::json& j, const char* name) {
  static const nlohmann::json nothing;
  auto at = j.find(name);
  return at == j.end() ? nothing : *at;
}

}  // namespace

expected<scenario> parse_scenario(const std::string& text) {
  // nlohmann reports by exception; this function is where that ends.
  try {
    const auto j = nlohmann::json::parse(text);
    scenario s;
    s.name = j.at("name").get<std::string>();
    s.workers = j.value("workers", s.workers);
    s.slots = j.value("slots", s.slots);
    s.videos = j.value("videos", s.videos);
    s.chunks = range_of(member(j, "chunks"), s.chunks);
    s.chunk_ms = range_of(member(j, "chunk_ms"), s.chunk_ms);
    s.bound_ms = j.value("bound_ms", s.bound_ms);
    if (s.workers == 0 || s.workers > 32 || s.slots == 0 || s.slots > 16 || s.videos == 0 || s.videos > 100 || s.chunks.from == 0)
      return {errc::invalid_argument, "a scenario has 1 to 32 workers, 1 to 16 slots, 1 to 100 videos and at least one chunk"};
    for (const auto& f : member(j, "faults")) {
      fault_plan plan;
      plan.kind = f.at("kind").get<std::string>();
      plan.role = f.at("role").get<std::string>();
      if (plan.kind != "kill" || plan.role != "worker") return {errc::invalid_argument, "this build knows the fault kill of role worker only"};
      plan.times = range_of(member(f, "times"), plan.times);
      plan.at_ms = range_of(member(f, "at_ms"), {0, 10'000});
      plan.restart_ms = range_of(member(f, "restart_ms"), {500, 5'000});
      s.faults.push_back(std::move(plan));
    }
    return s;
  } catch (const std::exception& e) {
    return {errc::invalid_argument, std::string{"the scenario cannot be read: "} + e.what()};
  }
}

const char* default_scenario() {
  return R"({"name": "worker-kill", "workers": 2, "slots": 2, "videos": 3, "chunks": [2, 8], "chunk_ms": [500, 4000],
             "faults": [{"kind": "kill", "role": "worker", "times": [1, 4], "at_ms": [200, 15000], "restart_ms": [500, 8000]}], "bound_ms": 300000})";
}

}  // namespace latham::sim
