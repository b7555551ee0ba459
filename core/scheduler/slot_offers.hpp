// How a worker shares its slots out among several schedulers. Each is told how many leases this worker will hold of it,
// and refills up to that number by itself, so a slot need not wait for a question between two chunks.
//
// The schedulers that have work waiting get equal parts of the slots; what does not divide goes around, one at a time.
// While nobody is known to have work, every free slot is offered to all: the first that has some takes it. Two may then
// take the same one; the worker gives the lease that found no slot back.
//
// Nothing is taken away: a scheduler that holds more than its part keeps it until its leases end.
#pragma once

#include "core/ids.hpp"

#include <cstdint>
#include <map>

namespace latham {

class slot_offers {
public:
  explicit slot_offers(std::uint32_t slots) : slots_{slots} {}

  void add(const node_name& scheduler);
  void remove(const node_name& scheduler);

  /// A lease of it began or ended.
  void on_granted(const node_name& scheduler);
  void on_ended(const node_name& scheduler);

  /// What it said last: tasks that this worker could run, beyond those that it has.
  void on_answer(const node_name& scheduler, std::uint32_t waiting);

  /// How many leases of it this worker is willing to hold at once, those that it holds included.
  [[nodiscard]] std::uint32_t allowance(const node_name& scheduler) const;

  /// Slots without a lease.
  [[nodiscard]] std::uint32_t free() const noexcept { return slots_ > held_ ? slots_ - held_ : 0; }

private:
  struct entry {
    std::uint32_t held = 0;
    std::uint32_t waiting = 0;
    std::uint64_t last_turn = 0;  // when it got a slot last: the remainder goes to who waited longest
  };
  const std::uint32_t slots_;
  std::uint32_t held_ = 0;
  std::uint64_t turns_ = 0;
  std::map<node_name, entry> schedulers_;
};

}  // namespace latham
