// Whether a node may be switched off for good, and if not, what holds it back: the same for every role that keeps something,
// for the operator's command, the admin port and the messages between.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace latham {

struct leave_reason {
  std::string what;         // a word for programs: "blobs"
  std::uint64_t count = 0;  // at least so many; 0: it is not about a number
  std::string detail;       // a sentence for people, with what to do when waiting is not enough
  friend bool operator==(const leave_reason&, const leave_reason&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leave_reason& x) {
  return f(x.what, x.count, x.detail);
}

struct leave_report {
  bool may_leave = false;
  std::vector<leave_reason> reasons;  // why not; empty when it may
  friend bool operator==(const leave_report&, const leave_report&) = default;
};
template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leave_report& x) {
  return f(x.may_leave, x.reasons);
}

}  // namespace latham
