#include "app/configuration.hpp"

#include "core/ids.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sched.h>

namespace latham::app {

expected<ports::endpoint> parse_endpoint(const std::string& text) {
  const auto bad = error{errc::invalid_argument, "\"" + text + "\" is not an address; write HOST:PORT, for example 127.0.0.1:8000 or [::1]:8000"};
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) return bad;
  ports::endpoint out;
  out.host = text.substr(0, colon);
  if (out.host.size() >= 2 && out.host.front() == '[' && out.host.back() == ']') out.host = out.host.substr(1, out.host.size() - 2);
  else if (out.host.find(':') != std::string::npos) return bad;
  const auto digits = text.substr(colon + 1);
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), out.port);
  if (parsed.ec != std::errc{} || parsed.ptr != digits.data() + digits.size()) return bad;
  return out;
}

expected<std::pair<std::string, ports::endpoint>> parse_peer(const std::string& text) {
  const auto equals = text.find('=');
  if (equals == std::string::npos || !is_valid_node_name(text.substr(0, equals)))
    return {errc::invalid_argument, "\"" + text + "\" is not a peer; write NAME=HOST:PORT, for example storage-0=127.0.0.1:8022"};
  auto where = parse_endpoint(text.substr(equals + 1));
  if (!where) return std::move(where).error();
  return std::pair{text.substr(0, equals), *where};
}

bool is_loopback(const ports::endpoint& e) { return e.host == "localhost" || e.host == "::1" || e.host.starts_with("127."); }

expected<void> validate(const serve_options& o) {
  if (!is_valid_node_name(o.name)) return {errc::invalid_argument, "--name is 1 to 63 characters of a-z, 0-9 and -"};
  for (const auto& role : o.roles)
    if (role != "gateway" && role != "storage" && role != "scheduler" && role != "worker")
      return {errc::invalid_argument, "\"" + role + "\" is no role; --roles takes gateway, storage, scheduler, worker, separated by commas"};
  if (o.roles.empty()) return {errc::invalid_argument, "--roles is empty; leave it out to run all of them"};
  const auto has = [&](const char* role) { return o.roles.contains(role); };
  if (has("gateway") && !is_loopback(o.http) && o.token.empty() && !o.insecure)
    return {errc::invalid_argument, "listening on " + (o.http.host.empty() ? "all addresses" : o.http.host) +
                                      " would let everybody upload; set LATHAM_TOKEN (clients send it as a bearer token), or say --insecure"};
  if (o.cluster && !is_loopback(*o.cluster))
    return {errc::invalid_argument, "cluster traffic is not encrypted yet and stays on loopback; use --cluster 127.0.0.1:PORT"};
  const bool needs_storage = has("gateway") || has("worker") || has("scheduler");
  const bool needs_scheduler = has("gateway") || has("worker") || has("storage");
  if (needs_storage && !has("storage") && o.storages.empty())
    return {errc::invalid_argument, "this node needs a storage node: add the role storage, or --storage NAME=HOST:PORT"};
  if (needs_scheduler && !has("scheduler") && o.schedulers.empty())
    return {errc::invalid_argument, "this node needs a scheduler: add the role scheduler, or --scheduler NAME=HOST:PORT"};
  if (o.storages.contains(o.name) || o.schedulers.contains(o.name)) return {errc::invalid_argument, "a node is not its own peer; give it another --name"};
  if (o.copies > 8) return {errc::invalid_argument, "--copies is at most 8"};
  if (o.ack_copies > 8) return {errc::invalid_argument, "--ack-copies is at most 8"};
  for (const auto& name : o.draining)
    if (!o.storages.contains(name) && !o.schedulers.contains(name) && !((has("storage") || has("scheduler")) && name == o.name))
      return {errc::invalid_argument, "--draining names " + name + ", which is no storage node or scheduler of this configuration"};
  if (o.shard && *o.shard > 999) return {errc::invalid_argument, "--shard is at most 999"};
  if (o.slots > 64) return {errc::invalid_argument, "--slots is at most 64"};
  return {};
}

std::uint16_t shard_of(const serve_options& o) {
  if (o.shard) return static_cast<std::uint16_t>(*o.shard);
  const auto last = o.name.find_last_not_of("0123456789");
  const auto digits = last == std::string::npos ? o.name : o.name.substr(last + 1);
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  return parsed.ec == std::errc{} && number <= 999 ? static_cast<std::uint16_t>(number) : std::uint16_t{0};
}

namespace {

std::optional<double> read_number(const char* path) {
  std::ifstream in{path};
  double value = 0;
  if (in >> value) return value;
  return std::nullopt;
}

std::optional<double> cgroup_quota() {
  // v2: "max 100000" or "50000 100000".
  if (std::ifstream in{"/sys/fs/cgroup/cpu.max"}) {
    std::string quota;
    double period = 0;
    if (in >> quota >> period && quota != "max" && period > 0) return std::stod(quota) / period;
  }
  const auto quota = read_number("/sys/fs/cgroup/cpu/cpu.cfs_quota_us");
  const auto period = read_number("/sys/fs/cgroup/cpu/cpu.cfs_period_us");
  if (quota && period && *quota > 0 && *period > 0) return *quota / *period;
  return std::nullopt;
}

}  // namespace

std::uint32_t usable_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::uint32_t count = 1;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) count = static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
  if (const auto quota = cgroup_quota()) count = std::min(count, static_cast<std::uint32_t>(std::max(1.0, std::floor(*quota))));
  return count;
}

}  // namespace latham::app
