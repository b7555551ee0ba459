// Marks at rare branches, so that a test campaign can say which of them it never took: `LATHAM_REACHED("lease_expired")`.
// A branch that no simulated fault ever reached is not tested, whatever the line coverage says.
//
// Compiled in always: reaching a mark costs one relaxed store. Each name is one object that enters the list before main,
// so that marks never reached are listed too. What it must not do: decide anything. Nothing reads a mark but tests.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <string_view>

namespace latham {

class reach_mark {
public:
  explicit reach_mark(std::string_view name) noexcept : name_{name}, next_{first()} { first() = this; }
  reach_mark(const reach_mark&) = delete;
  reach_mark& operator=(const reach_mark&) = delete;

  void reached() noexcept { reached_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool was_reached() const noexcept { return reached_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::string_view name() const noexcept { return name_; }

  /// Every mark of the program, in no particular order.
  template <class F>
  static void for_each(F f) {
    for (auto* at = first(); at != nullptr; at = at->next_) f(*at);
  }

private:
  /// Constant-initialised, so it is there before the first mark enters, whatever the order of the units.
  static reach_mark*& first() noexcept {
    static reach_mark* head = nullptr;
    return head;
  }

  std::string_view name_;
  std::atomic<bool> reached_{false};
  reach_mark* next_;
};

namespace detail {

template <std::size_t N>
struct mark_name {
  char text[N];
  consteval mark_name(const char (&from)[N]) { std::copy_n(from, N, text); }
};

/// One object a name, however many places use it.
template <mark_name Name>
struct mark_of {
  static inline reach_mark mark{std::string_view{Name.text, sizeof Name.text - 1}};
};

}  // namespace detail
}  // namespace latham

#define LATHAM_REACHED(name) ::latham::detail::mark_of<name>::mark.reached()
/// The condition, marked when it holds: `if (LATHAM_REACHED_IF("peer_silent", waited > most)) return go_down();`
#define LATHAM_REACHED_IF(name, ...) ((__VA_ARGS__) ? (LATHAM_REACHED(name), true) : false)
