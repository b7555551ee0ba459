#include "sim/shrink.hpp"

#include "sim/batch.hpp"

#include <fmt/format.h>

namespace latham::sim {

namespace {

/// Leaves out as much of `list` as it can: halves first, then pieces half as long, down to single entries.
template <class T>
bool leave_out(plan& p, std::vector<T> plan::*list, const std::function<bool(const plan&)>& still_fails) {
  bool any = false;
  for (auto length = (p.*list).size(); length > 0; length /= 2)
    for (std::size_t at = 0; at < (p.*list).size();) {
      auto smaller = p;
      auto& cut = smaller.*list;
      cut.erase(cut.begin() + static_cast<std::ptrdiff_t>(at), cut.begin() + static_cast<std::ptrdiff_t>(std::min(cut.size(), at + length)));
      if (still_fails(smaller)) {
        p = std::move(smaller);
        any = true;
      } else {
        at += length;
      }
    }
  return any;
}

}  // namespace

plan shrink(plan p, const std::string& checker, const std::function<void(const std::string&)>& said) {
  std::size_t runs = 0;
  const auto still_fails = [&](const plan& smaller) {
    ++runs;
    const auto v = run_in_child(smaller);
    return !v.passed && v.checker == checker;
  };
  for (bool again = true; again;) {
    again = leave_out(p, &plan::faults, still_fails);
    again |= leave_out(p, &plan::items, still_fails);
    said(fmt::format("{} faults and {} items are left after {} runs", p.faults.size(), p.items.size(), runs));
  }
  for (std::size_t i = 0; i < p.faults.size(); ++i)
    while (p.faults[i].for_ms > 200) {
      auto shorter = p;
      shorter.faults[i].for_ms /= 2;
      if (!still_fails(shorter)) break;
      p = std::move(shorter);
    }
  return p;
}

}  // namespace latham::sim
