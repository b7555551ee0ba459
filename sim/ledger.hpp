// Which faults were injected, and which of them bit. A fault that nothing noticed tests nothing: it counts only once a
// packet was held, a dial refused, a write lost, a lease ran out under it. Whoever makes something of a fault says so here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace latham::sim {

class ledger {
public:
  static constexpr std::size_t no_fault = static_cast<std::size_t>(-1);

  struct count {
    std::uint64_t injected = 0;
    std::uint64_t bit = 0;
  };

  void plan(std::string kind) { faults_.push_back({std::move(kind), false, false}); }
  void injected(std::size_t which) { faults_.at(which).injected = true; }
  /// True the first time.
  bool bites(std::size_t which) {
    if (which >= faults_.size() || faults_[which].bit) return false;
    return faults_[which].bit = true;
  }
  [[nodiscard]] bool bit(std::size_t which) const { return which < faults_.size() && faults_[which].bit; }
  [[nodiscard]] const std::string& kind(std::size_t which) const { return faults_.at(which).kind; }

  [[nodiscard]] std::map<std::string, count> sums() const {
    std::map<std::string, count> out;
    for (const auto& f : faults_) {
      auto& sum = out[f.kind];
      sum.injected += f.injected ? 1 : 0;
      sum.bit += f.bit ? 1 : 0;
    }
    return out;
  }

private:
  struct entry {
    std::string kind;
    bool injected = false;
    bool bit = false;
  };
  std::vector<entry> faults_;
};

}  // namespace latham::sim
