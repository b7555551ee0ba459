// Does to the world what a plan says: injects each fault at its time, and heals it when it is over. What a fault means is
// here, one function a family; whether it bit is for whoever feels it to say (sim/ledger.hpp).
#pragma once

#include "sim/machine.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace latham::sim {

class faults {
public:
  faults(surroundings& around, std::vector<std::unique_ptr<machine>>& machines, std::function<void(machine&)> start, std::function<bool(const machine&)> has_work,
         std::function<bool(const machine&)> may_lose_disk, std::function<void(std::size_t)> change_cluster);

  /// Puts all faults of the plan into the queue.
  void begin();
  /// Everything is well again: links, disks, clocks' rates stay as they are, and every machine runs.
  void heal_all();
  [[nodiscard]] bool healed() const noexcept { return healed_; }
  /// The earlier of two processes of a name ended by itself.
  void twin_ended(const machine& first);
  [[nodiscard]] nanoseconds healed_at() const noexcept { return healed_at_; }
  /// For so long nothing has been wrong, but that nodes were told to stop.
  [[nodiscard]] bool quiet_for(nanoseconds lasts) const { return around_.time.now() >= disturbed_until_ + lasts; }
  /// The process gave up or must be brought back: starts again after a while, as a service manager would do it.
  void restart_later(machine& m, nanoseconds wait);

private:
  void inject(std::size_t which);
  void heal(std::size_t which);
  void disturb(nanoseconds lasts) { disturbed_until_ = std::max(disturbed_until_, around_.time.now() + lasts); }
  void say(std::size_t which, const std::string& text);
  [[nodiscard]] std::vector<machine*> targets(const std::vector<std::string>& names);
  void start_twin(machine& first);
  void lock_out_twin(std::size_t which, machine& first);
  void take_down(std::size_t which, machine& m, bool silent);
  void lose_disk(std::size_t which, machine& m);
  void replace_volume(std::size_t which, machine& m, bool back);
  void tear_append(std::size_t which, machine& m);
  void rot(std::size_t which, machine& m);
  [[nodiscard]] bool has_another_whole(const machine& m, blob_id blob) const;
  void on_links(std::size_t which, const fault& f, const std::vector<machine*>& nodes);

  surroundings& around_;
  std::vector<std::unique_ptr<machine>>& machines_;
  std::function<void(machine&)> start_;
  std::function<bool(const machine&)> has_work_;
  std::function<bool(const machine&)> may_lose_disk_;
  std::function<void(std::size_t)> change_cluster_;
  std::vector<bool> active_;
  std::map<std::pair<std::size_t, node_index>, std::uint64_t> locked_by_;  // the life that has the disk which a twin waits for
  bool healed_ = false;
  nanoseconds healed_at_{0};
  nanoseconds disturbed_until_{0};
};

}  // namespace latham::sim
