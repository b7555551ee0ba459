// Which job is next. Jobs that have something to grant stand in lanes, one for each engine and priority class; in a lane
// they are sorted by tenant, and the tenants by how many leases they have running. Whatever changes moves its own job or
// tenant only, so the next job is found in O(log n), however many wait.
//
// Ageing: a job that waits is taken one class higher for each `ageing` since it came or was last granted something, up to
// the highest. The next grant puts it back. So the least of all jobs is given a lease in bounded time while the highest
// class never ends, and costs that class one lease each time, not its place. Waits are not kept over a restart.
#pragma once

#include "core/model.hpp"

#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>

namespace latham {

class ready_queue {
public:
  explicit ready_queue(milliseconds ageing) : ageing_{ageing} {}

  /// The job has something to grant. An engine of none: any worker may have it. Again: it keeps its wait.
  void put(video_id job, const engine_id& engine, const std::string& tenant, priority_class priority, instant now);
  /// It has nothing to grant.
  void erase(video_id job);
  /// It was granted something: its wait begins anew.
  void granted(video_id job, instant now);

  /// A lease of the tenant began or ended.
  void began(const std::string& tenant);
  void ended(const std::string& tenant);

  /// Takes those who waited long enough a class higher.
  void age(instant now);

  /// Class as aged, then the tenant with the fewest leases, then the oldest job. Nothing: no job for this engine.
  [[nodiscard]] std::optional<video_id> best(const engine_id& engine) const;

private:
  static constexpr std::size_t classes = static_cast<std::size_t>(priority_class::high) + 1;

  struct entry {
    engine_id engine;
    std::string tenant;
    std::size_t base = 0;   // class as asked for
    std::size_t lane = 0;   // class as aged
    instant since;          // it waits
    instant rises;          // to the next class; only while `lane` is not the highest
  };
  struct lane {
    std::map<std::string, std::set<video_id>> tenants;
    std::set<std::tuple<std::uint32_t, video_id, std::string>> order;  // leases running, oldest job, tenant
  };

  void enter(video_id job, const entry& e);
  void leave(video_id job, const entry& e);
  void place(entry& e, video_id job, instant now);
  void set_running(const std::string& tenant, std::uint32_t count);
  [[nodiscard]] std::uint32_t running(const std::string& tenant) const;

  milliseconds ageing_;
  std::map<video_id, entry> jobs_;
  std::map<engine_id, std::array<lane, classes>> lanes_;
  std::set<std::pair<instant, video_id>> rises_;
  std::map<std::string, std::uint32_t> running_;  // tenants that have leases
};

}  // namespace latham
