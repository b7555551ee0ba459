#include "sim/scenario.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <random>
#include <stdexcept>

namespace latham::sim {

const std::vector<knob>& all_knobs() {
  static const std::vector<knob> all = {
    {"slots", &knobs::slots, {1, 4}},
    {"lease_ttl_ms", &knobs::lease_ttl_ms, {3'000, 12'000}},
    {"renew_ms", &knobs::renew_ms, {300, 1'000}},
    {"ping_period_ms", &knobs::ping_period_ms, {250, 1'000}},
    {"ping_timeout_ms", &knobs::ping_timeout_ms, {1'200, 4'000}},
    {"request_timeout_ms", &knobs::request_timeout_ms, {1'000, 6'000}},
    {"stall_timeout_ms", &knobs::stall_timeout_ms, {8'000, 30'000}},
    {"output_grace_ms", &knobs::output_grace_ms, {5'000, 40'000}},
    {"upload_idle_ms", &knobs::upload_idle_ms, {15'000, 60'000}},
    {"attempts", &knobs::attempts, {3, 5}},
    {"latency_us", &knobs::latency_us, {100, 30'000}},
    {"disk_us", &knobs::disk_us, {50, 8'000}},
    {"chunk_ms", &knobs::chunk_ms, {100, 3'000}},
    {"piece_bytes", &knobs::piece_bytes, {20'000, 1'048'576}},
    {"skew_ppm", &knobs::skew_ppm, {0, 10'000}},
    {"media_read_every_ms", &knobs::media_read_every_ms, {500, 5'000}},
    {"repair_period_ms", &knobs::repair_period_ms, {2'000, 30'000}},
    {"scrub_rest_ms", &knobs::scrub_rest_ms, {1'000, 60'000}},
    {"space_percent", &knobs::space_percent, {60, 250}, 3},
    {"drain_ms", &knobs::drain_ms, {300, 20'000}},
    {"copies", &knobs::copies, {1, 3}, 4},
    {"ack_copies", &knobs::ack_copies, {1, 3}, 4},
    {"stand_in_after_ms", &knobs::stand_in_after_ms, {5'000, 30'000}, 3},
    {"ageing_ms", &knobs::ageing_ms, {2'000, 30'000}, 3},
    {"new_engine", &knobs::new_engine, {1, 1}, 2},
  };
  return all;
}

const std::vector<fault_kind>& fault_kinds() {
  // Weights favour what production sees; the rare ones come up in every few dozen seeds all the same.
  static const std::vector<fault_kind> all = {
    // -- process
    {"kill", "", {0, 0}, {300, 12'000}, "gscw", 10},
    {"stop", "", {0, 0}, {300, 8'000}, "gscw", 5},
    {"move", "", {0, 0}, {300, 8'000}, "gscw", 3},
    {"pause", "", {0, 0}, {500, 20'000}, "gscw", 6},
    {"cpu_stress", "microseconds that each step costs", {200, 8'000}, {2'000, 15'000}, "gscw", 3},
    {"dark", "", {0, 0}, {1'000, 10'000}, "gscw", 2},
    {"rolling_restart", "milliseconds between two nodes", {500, 4'000}, {300, 3'000}, "gscw", 2},
    // -- network
    {"partition", "", {0, 0}, {500, 20'000}, "gscw", 8},
    {"partition_one_way", "", {0, 0}, {500, 20'000}, "gscw", 5},
    {"refuse", "", {0, 0}, {1'000, 10'000}, "sc", 2},
    {"stall_handshake", "", {0, 0}, {1'000, 10'000}, "sc", 2},
    {"delay", "milliseconds more, at most", {5, 800}, {2'000, 20'000}, "gscw", 4},
    {"loss", "of a thousand packets", {5, 200}, {2'000, 20'000}, "gscw", 4},
    {"reset", "", {0, 0}, {100, 100}, "gscw", 6},
    {"bandwidth", "bytes a second", {20'000, 2'000'000}, {2'000, 20'000}, "gscw", 3},
    {"dns_failure", "0: an error, 1: no answer for the whole time", {0, 1}, {1'000, 15'000}, "gsw", 2},
    // -- disk
    {"disk_slow", "milliseconds more, at most", {5, 500}, {2'000, 20'000}, "sc", 4},
    {"disk_read_error", "of a thousand reads", {20, 600}, {1'000, 10'000}, "sc", 3},
    {"disk_write_error", "of a thousand writes", {20, 500}, {500, 5'000}, "sc", 3},
    {"blob_write_error", "of a thousand writes of blobs; records are well", {20, 1'000}, {5'000, 90'000}, "s", 0},
    {"disk_full", "", {0, 0}, {1'000, 15'000}, "sc", 4},
    {"corrupt_read", "of a thousand reads", {20, 500}, {1'000, 10'000}, "s", 3},
    {"disk_lost", "", {0, 0}, {500, 5'000}, "sc", 2},
    {"old_volume", "milliseconds on an empty one, before the old one is put back", {1'000, 60'000}, {300, 3'000}, "s", 0},
    // -- clock
    {"clock_jump", "milliseconds, back or forth", {-86'400'000, 86'400'000}, {100, 100}, "gscw", 3},
    // -- codec
    {"engine_crash", "of a thousand chunks", {50, 600}, {2'000, 15'000}, "w", 4},
    {"engine_hang", "of a thousand chunks", {20, 300}, {2'000, 10'000}, "w", 3},
    {"engine_slow", "times slower", {2, 10}, {2'000, 15'000}, "w", 3},
    // -- two releases
    {"upgrade", "milliseconds between two nodes", {500, 8'000}, {300, 3'000}, "gscw", 0},
    // -- another cluster
    {"grow", "milliseconds between two nodes", {300, 4'000}, {300, 3'000}, "sc", 0},
    {"shrink", "the same", {300, 4'000}, {300, 3'000}, "sc", 0},
    // -- two processes of one name
    {"twin", "1: the first is cut off from the others, 0: it is not", {0, 1}, {2'000, 20'000}, "gscw", 0},
    {"twin_shared", "the same", {0, 1}, {2'000, 20'000}, "sc", 0},
    // -- disk, and for good
    {"rot", "of a thousand blobs", {50, 1'000}, {3'000, 20'000}, "s", 2},
    {"torn_append", "milliseconds until it starts again", {300, 8'000}, {3'000, 30'000}, "s", 3},
  };
  return all;
}

const fault_kind* find_fault_kind(std::string_view name) noexcept {
  for (const auto& kind : fault_kinds())
    if (kind.name == name) return &kind;
  return nullptr;
}

namespace {

constexpr std::array stories = {"plain", "stall", "abandon", "abort", "delete", "poison", "garbage"};

}  // namespace

bool is_story(std::string_view word) noexcept { return std::find(stories.begin(), stories.end(), word) != stories.end(); }

// ---- Reading ---------------------------------------------------------------------------------------------------------

namespace {

using nlohmann::json;

[[noreturn]] void refuse(const std::string& why) { throw std::runtime_error{why}; }

range range_of(const json& j, const std::string& name, std::int64_t least, std::int64_t most) {
  range out;
  if (j.is_number_integer())
    out = {j.get<std::int64_t>(), j.get<std::int64_t>()};
  else
    out = {j.at(0).get<std::int64_t>(), j.at(1).get<std::int64_t>()};
  if (out.from < least || out.to > most || out.to < out.from)
    refuse(name + " is a number or [from, to], " + std::to_string(least) + " to " + std::to_string(most));
  return out;
}

/// Reads members by name and refuses those that nobody asked for: a misspelt fault must not pass for a calm run.
class members {
public:
  members(const json& j, std::string place) : json_{j}, place_{std::move(place)} {
    if (!j.is_object()) refuse(place_ + " is an object");
  }
  const json* find(const char* name) {
    known_.emplace_back(name);
    auto at = json_.find(name);
    return at == json_.end() ? nullptr : &*at;
  }
  void read(const char* name, range& into, std::int64_t least, std::int64_t most) {
    if (const auto* j = find(name)) into = range_of(*j, place_ + "." + name, least, most);
  }
  void read(const char* name, std::optional<range>& into, std::int64_t least, std::int64_t most) {
    if (const auto* j = find(name)) into = range_of(*j, place_ + "." + name, least, most);
  }
  void read(const char* name, std::int64_t& into, std::int64_t least, std::int64_t most) {
    if (const auto* j = find(name)) {
      into = j->get<std::int64_t>();
      if (into < least || into > most) refuse(place_ + "." + name + " is " + std::to_string(least) + " to " + std::to_string(most));
    }
  }
  void read(const char* name, std::string& into) {
    if (const auto* j = find(name)) into = j->get<std::string>();
  }
  void read(const char* name, std::vector<std::string>& into) {
    if (const auto* j = find(name)) into = j->get<std::vector<std::string>>();
  }
  void done() const {
    for (auto at = json_.begin(); at != json_.end(); ++at)
      if (std::find(known_.begin(), known_.end(), at.key()) == known_.end()) refuse(place_ + " has no member \"" + at.key() + "\"");
  }

private:
  const json& json_;
  std::string place_;
  std::vector<std::string> known_;
};

constexpr std::int64_t hour_ms = 3'600'000;

work_item item_of(const json& j) {
  members m{j, "an item"};
  work_item out;
  m.read("at_ms", out.at_ms, 0, hour_ms);
  m.read("tenant", out.tenant);
  m.read("priority", out.priority);
  m.read("chunks", out.chunks, 1, 1000);
  m.read("rungs", out.rungs, 1, 5);
  m.read("audio", out.audio, 0, 4);
  m.read("text", out.text, 0, 4);
  m.read("bytes", out.bytes, 1, 100'000'000);
  m.read("story", out.story);
  m.read("wait_ms", out.wait_ms, 0, hour_ms);
  m.done();
  if (!is_story(out.story)) refuse("there is no story \"" + out.story + "\"");
  if (out.priority != "low" && out.priority != "normal" && out.priority != "high") refuse("a priority is low, normal or high");
  return out;
}

fault_template fault_of(const json& j) {
  members m{j, "a fault"};
  fault_template out;
  m.read("kind", out.kind);
  m.read("role", out.role);
  m.read("nodes", out.nodes);
  m.read("others", out.others);
  m.read("times", out.times, 0, 1000);
  m.read("at_ms", out.at_ms, 0, hour_ms);
  m.read("for_ms", out.for_ms, 1, hour_ms);
  m.read("amount", out.amount, -hour_ms * 24 * 365, hour_ms * 24 * 365);
  m.done();
  if ((out.kind == "grow" || out.kind == "shrink") && out.nodes.empty()) refuse(out.kind + " names its nodes");
  const auto keeps_something = [](const std::string& name) { return name.starts_with("storage") || name.starts_with("scheduler"); };
  if (out.kind == "shrink" && !std::all_of(out.nodes.begin(), out.nodes.end(), keeps_something)) refuse("only storage nodes and schedulers can leave");
  if (out.kind != "random" && find_fault_kind(out.kind) == nullptr) refuse("there is no fault \"" + out.kind + "\"");
  if (!out.role.empty() && out.role != "gateway" && out.role != "storage" && out.role != "scheduler" && out.role != "worker") refuse("there is no role \"" + out.role + "\"");
  return out;
}

}  // namespace

expected<scenario> parse_scenario(const std::string& text) {
  // nlohmann reports by exception; this function is where that ends.
  try {
    const auto j = json::parse(text);
    members m{j, "the scenario"};
    scenario s;
    s.name = j.at("name").get<std::string>();
    (void)m.find("name");
    (void)m.find("about");
    if (const auto* seed = m.find("seed")) s.seed = seed->get<std::uint64_t>();
    if (const auto* nodes = m.find("nodes")) {
      members n{*nodes, "nodes"};
      n.read("gateway", s.gateways, 1, 8);
      n.read("storage", s.storages, 1, 8);
      n.read("scheduler", s.schedulers, 1, 8);
      n.read("worker", s.workers, 1, 64);
      n.read("storage_and_worker", s.near, 0, 8);
      n.done();
    }
    if (const auto* given = m.find("knobs")) {
      members k{*given, "knobs"};
      for (const auto& one : all_knobs()) {
        std::optional<range> value;
        k.read(one.name, value, 0, 100'000'000);
        if (value) s.given_knobs.emplace_back(&one, *value);
      }
      k.done();
    }
    if (const auto* draw = m.find("draw_knobs")) s.draw_knobs = draw->get<bool>();
    m.read("videos", s.videos, 1, 10'000);
    m.read("chunks", s.chunks, 1, 1000);
    m.read("stories", s.stories);
    for (const auto& story : s.stories)
      if (!is_story(story)) refuse("there is no story \"" + story + "\"");
    if (const auto* items = m.find("items")) {
      s.items.emplace();
      for (const auto& one : *items) s.items->push_back(item_of(one));
    }
    if (const auto* faults = m.find("faults"))
      for (const auto& one : *faults) s.faults.push_back(fault_of(one));
    m.read("trouble_ms", s.trouble_ms, 60'000, hour_ms);
    m.read("bound_ms", s.bound_ms, 1'000, hour_ms);
    m.done();
    // Named nodes must be there whatever is drawn.
    for (const auto& f : s.faults)
      for (const auto* list : {&f.nodes, &f.others})
        for (const auto& name : *list) {
          const auto all = node_names({s.gateways.from, s.storages.from, s.schedulers.from, s.workers.from, 0});
          if (std::find(all.begin(), all.end(), name) == all.end()) refuse("there is no node \"" + name + "\"");
        }
    return s;
  } catch (const std::exception& e) {
    return {errc::invalid_argument, std::string{"the scenario cannot be read: "} + e.what()};
  }
}

std::string to_json(const plan& p) {
  nlohmann::ordered_json j;
  j["name"] = p.name;
  j["seed"] = p.seed;
  j["nodes"] = {{"gateway", p.nodes.gateways}, {"storage", p.nodes.storages}, {"scheduler", p.nodes.schedulers}, {"worker", p.nodes.workers}};
  if (p.nodes.near > 0) j["nodes"]["storage_and_worker"] = p.nodes.near;
  for (const auto& one : all_knobs()) j["knobs"][one.name] = p.knobs.*one.where;
  j["items"] = nlohmann::ordered_json::array();
  for (const auto& i : p.items)
    j["items"].push_back({{"at_ms", i.at_ms}, {"tenant", i.tenant}, {"priority", i.priority}, {"chunks", i.chunks}, {"rungs", i.rungs}, {"audio", i.audio}, {"text", i.text}, {"bytes", i.bytes}, {"story", i.story}, {"wait_ms", i.wait_ms}});
  j["faults"] = nlohmann::ordered_json::array();
  for (const auto& f : p.faults) {
    nlohmann::ordered_json one{{"kind", f.kind}, {"nodes", f.nodes}};
    if (!f.others.empty()) one["others"] = f.others;
    one["at_ms"] = f.at_ms;
    one["for_ms"] = f.for_ms;
    one["amount"] = f.amount;
    j["faults"].push_back(std::move(one));
  }
  j["trouble_ms"] = p.trouble_ms;
  j["bound_ms"] = p.bound_ms;
  return j.dump();
}

// ---- Drawing ---------------------------------------------------------------------------------------------------------

std::vector<std::string> node_names(const topology& t) {
  std::vector<std::string> out;
  const auto add = [&](const char* role, std::int64_t count) {
    for (std::int64_t i = 0; i < count; ++i) out.push_back(std::string{role} + "-" + std::to_string(i));
  };
  add("storage", t.storages);
  add("scheduler", t.schedulers);
  add("gateway", t.gateways);
  add("worker", t.workers);
  return out;
}

namespace {

/// Draws of the plan come from a stream of their own: the run draws the same numbers whether its plan was drawn or given.
class dice {
public:
  explicit dice(std::uint64_t seed) : random_{seed ^ 0x706c616eull} {}
  std::int64_t roll(range r) { return r.from + static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(r.to - r.from + 1)); }
  std::size_t pick(std::size_t count) { return static_cast<std::size_t>(random_() % count); }
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[pick(all.size())];
  }

private:
  std::mt19937_64 random_;
};

work_item draw_item(const scenario& s, const topology&, const knobs& k, dice& d, std::int64_t window_ms) {
  static const std::vector<std::string> any = {"plain", "plain", "plain", "plain", "plain", "stall", "stall", "abandon", "abort", "delete", "delete", "delete", "poison", "garbage"};
  work_item out;
  out.at_ms = d.roll({200, window_ms});
  out.tenant = "tenant-" + std::to_string(d.pick(3));
  out.priority = d.one_of(std::vector<std::string>{"low", "normal", "normal", "high"});
  out.chunks = d.roll(s.chunks);
  out.rungs = d.roll({1, 4});
  out.audio = d.roll({0, 2});
  out.text = std::max<std::int64_t>(0, d.roll({-2, 2}));
  // Mostly small; now and then many pieces.
  out.bytes = d.pick(4) == 0 ? d.roll({1'000, 3'000'000}) : d.roll({200, 400'000});
  out.bytes = std::min(out.bytes, k.piece_bytes * 200);
  out.story = d.one_of(s.stories.empty() ? any : s.stories);
  out.wait_ms = out.story == "delete" ? d.roll({0, 20'000}) : d.roll({500, 10'000});
  return out;
}

std::vector<std::string> nodes_of(const std::vector<std::string>& all, std::string_view roles) {
  std::vector<std::string> out;
  for (const auto& name : all) {
    const char initial = name.starts_with("scheduler") ? 'c' : name[0];
    if (roles.find(initial) != std::string_view::npos) out.push_back(name);
  }
  return out;
}

const fault_kind& draw_kind(dice& d) {
  std::int64_t total = 0;
  for (const auto& kind : fault_kinds()) total += kind.weight;
  auto left = d.roll({0, total - 1});
  for (const auto& kind : fault_kinds())
    if ((left -= kind.weight) < 0) return kind;
  return fault_kinds().front();
}

fault draw_fault(const fault_template& t, const std::vector<std::string>& all, dice& d) {
  const auto& kind = t.kind == "random" ? draw_kind(d) : *find_fault_kind(t.kind);
  fault out;
  out.kind = kind.name;
  out.at_ms = d.roll(t.at_ms);
  out.for_ms = d.roll(t.for_ms.value_or(kind.lasts_ms));
  out.amount = d.roll(t.amount.value_or(kind.amounts));
  out.nodes = t.nodes;
  out.others = t.others;
  if (out.nodes.empty()) {
    const auto from = t.role.empty() ? nodes_of(all, kind.roles) : nodes_of(all, t.role == "scheduler" ? "c" : t.role.substr(0, 1));
    if (out.kind == "dark" || out.kind == "rolling_restart" || out.kind == "upgrade") {
      out.nodes = from;
    } else {
      out.nodes = {d.one_of(from)};
      // Now and then a pair goes down together, and a link is cut between two rather than around one.
      if (t.role.empty() && d.pick(5) == 0) {
        const auto& second = d.one_of(from);
        if (second != out.nodes[0]) out.nodes.push_back(second);
      }
    }
    if (out.others.empty() && t.role.empty() && d.pick(2) == 0) {
      const auto& other = d.one_of(all);
      if (std::find(out.nodes.begin(), out.nodes.end(), other) == out.nodes.end()) out.others = {other};
    }
  }
  return out;
}

}  // namespace

std::int64_t work_ms(const plan& p) {
  std::int64_t units = 0;  // of a chunk on one rung, in quarters: as the model of the engine counts
  for (const auto& i : p.items) {
    std::int64_t cost = 0;
    for (std::int64_t r = 1; r <= i.rungs; ++r) cost += r * r;
    units += i.chunks * cost + 4 * i.audio + (i.text > 0 ? 4 : 0);
  }
  return units * p.knobs.chunk_ms / 4 * 9 / 8 / std::max<std::int64_t>(1, (p.nodes.workers + p.nodes.near) * p.knobs.slots);
}

std::int64_t space_bytes(const plan& p) {
  std::int64_t bytes = 0;
  for (const auto& i : p.items) {
    // Pieces of the model's engine have 200 bytes and more, with more for each rung; a chunk's output has an index, too.
    const auto segments = i.chunks * 3;
    bytes += i.bytes + segments * i.rungs * (300 + 50 * i.rungs) + i.chunks * 500 + i.audio * (segments * 300 + 500) + (i.text > 0 ? i.text * 400 + 500 : 0);
  }
  return bytes;
}

plan draw_plan(const scenario& s, std::uint64_t seed) {
  dice d{seed};
  plan out;
  out.name = s.name;
  out.seed = seed;
  out.nodes = {d.roll(s.gateways), d.roll(s.storages), d.roll(s.schedulers), d.roll(s.workers), 0};
  if (s.near.to > 0) out.nodes.near = std::min(d.roll(s.near), out.nodes.storages);
  if (s.draw_knobs)
    for (const auto& one : all_knobs()) {
      // Half of the knobs, and more of some, keep their usual value, so that no seed is absurd everywhere at once.
      const auto drawn = d.roll(one.drawn);
      if (d.pick(one.one_in) == 0) out.knobs.*one.where = drawn;
    }
  for (const auto& [which, value] : s.given_knobs) out.knobs.*which->where = d.roll(value);
  // A lease must be renewable, and an answer to a ping possible, at the latencies drawn.
  if (s.draw_knobs) {
    out.knobs.renew_ms = std::min(out.knobs.renew_ms, out.knobs.lease_ttl_ms / 3);
    out.knobs.output_grace_ms = std::max(out.knobs.output_grace_ms, out.knobs.lease_ttl_ms + 5'000);  // a holder may commit so late
    out.knobs.ping_timeout_ms = std::max(out.knobs.ping_timeout_ms, out.knobs.ping_period_ms * 2);
    out.knobs.piece_bytes = std::min<std::int64_t>(out.knobs.piece_bytes, 1'048'576);
  }
  out.trouble_ms = s.trouble_ms;
  out.bound_ms = s.bound_ms;
  if (s.items) {
    out.items = *s.items;
  } else {
    const auto videos = d.roll(s.videos);
    for (std::int64_t i = 0; i < videos; ++i) out.items.push_back(draw_item(s, out.nodes, out.knobs, d, s.trouble_ms / 2));
  }
  // A cluster that is too small for its work shows nothing but that.
  if (s.draw_knobs)
    while (out.knobs.chunk_ms > 50 && work_ms(out) > s.trouble_ms) out.knobs.chunk_ms /= 2;
  const auto all = node_names(out.nodes);
  for (const auto& t : s.faults) {
    const auto times = d.roll(t.times);
    for (std::int64_t i = 0; i < times; ++i) out.faults.push_back(draw_fault(t, all, d));
  }
  std::stable_sort(out.faults.begin(), out.faults.end(), [](const fault& a, const fault& b) { return a.at_ms < b.at_ms; });
  for (const auto& f : out.faults) out.trouble_ms = std::max(out.trouble_ms, f.at_ms + f.for_ms);
  return out;
}

scenario random_scenario() {
  scenario s;
  s.name = "random";
  s.gateways = {1, 2};
  s.storages = {1, 3};
  s.schedulers = {1, 3};
  s.workers = {1, 4};
  s.draw_knobs = true;
  s.videos = {2, 8};
  // Most of them while there is most to do; a few at any time.
  s.faults.push_back({"random", "", {}, {}, {0, 12}, {500, 30'000}, {}, {}});
  s.faults.push_back({"random", "", {}, {}, {1, 8}, {500, 55'000}, {}, {}});
  return s;
}

}  // namespace latham::sim
