// Who is in the cluster, which changes while a world runs: nodes join ("grow") and leave for good ("shrink"), as an operator
// would do it. One change at a time; each is told to the nodes by restarting them in turn, so for a while they differ.
//
// Those who only ask and write are restarted before those who keep: schedulers, workers, gateways, then storage nodes. A node
// that joins takes nothing before all storage nodes know of it, and then everybody does who may look for what it took.
//
// A change that is under way when the world heals goes on.
#pragma once

#include "sim/machine.hpp"

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace latham::sim {

class membership {
public:
  using machines = std::vector<std::unique_ptr<machine>>;

  membership(surroundings& around, machines& all, std::function<void(machine&)> start);

  /// Tells everybody who is there at first: all but those that the plan lets join later.
  void begin();
  /// The fault `which`, now or when those before it are done.
  void change(std::size_t which);

  [[nodiscard]] bool busy() const noexcept { return !waiting_.empty(); }
  /// What is under way, in words.
  [[nodiscard]] std::string under_way() const;
  /// What every node has been told, or is being told.
  [[nodiscard]] const cluster_config& told() const noexcept { return told_; }

private:
  void next();
  void grow();
  void shrink();
  void ask_to_leave();
  void take_away();
  void done();
  /// Tells `told_` to all nodes in turn, and goes on when all of them run with it.
  void tell_all(std::string why, std::function<void()> then);
  void tell(std::vector<machine*> left, std::function<void()> then);
  void wait_for_all(std::function<void()> then);
  [[nodiscard]] const fault& what() const { return around_.what.faults[waiting_.front()]; }
  void bites_if_held();

  surroundings& around_;
  machines& machines_;
  std::function<void(machine&)> start_;
  cluster_config told_;
  std::deque<std::size_t> waiting_;  // faults; the first is under way
  std::vector<machine*> changing_;   // nodes that join or leave
  std::string phase_;
  std::string held_back_;            // by what, as the nodes say
};

}  // namespace latham::sim
