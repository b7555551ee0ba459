// Put into a copy of core/ by core_mutants.py: each changed place asks here whether its mutant is the chosen one.
//
// All mutants are compiled at once and one is chosen by LATHAM_MUTANT=N when a test starts, so a mutant costs a run of the
// tests and no compilation (mutant schemata; Untch, Offutt and Harrold, 1993). Operands are evaluated as often, and in the
// same order, as without the switch; what && and || would skip is a closure.
#pragma once

// One step beyond the end of a vector or an array ends the test, as it does under the sanitizers.
#define _GLIBCXX_ASSERTIONS 1

#include <cstdlib>

namespace latham::mutant {

inline long chosen() {
  static const long number = [] {
    const char* words = std::getenv("LATHAM_MUTANT");
    return words == nullptr ? -1 : std::atol(words);
  }();
  return number;
}
inline bool on(long id) { return id == chosen(); }

template <class A, class B> bool less(long id, const A& a, const B& b) { return on(id) ? static_cast<bool>(a <= b) : static_cast<bool>(a < b); }
template <class A, class B> bool less_equal(long id, const A& a, const B& b) { return on(id) ? static_cast<bool>(a < b) : static_cast<bool>(a <= b); }
template <class A, class B> bool greater(long id, const A& a, const B& b) { return on(id) ? static_cast<bool>(a >= b) : static_cast<bool>(a > b); }
template <class A, class B> bool greater_equal(long id, const A& a, const B& b) { return on(id) ? static_cast<bool>(a > b) : static_cast<bool>(a >= b); }
template <class A, class B> bool equal(long id, const A& a, const B& b) { return on(id) != static_cast<bool>(a == b); }
template <class A, class B> bool unequal(long id, const A& a, const B& b) { return on(id) != static_cast<bool>(a != b); }

template <class A, class F> bool both(long id, const A& a, F b) { return on(id) ? static_cast<bool>(a) || b() : static_cast<bool>(a) && b(); }
template <class A, class F> bool either(long id, const A& a, F b) { return on(id) ? static_cast<bool>(a) && b() : static_cast<bool>(a) || b(); }
template <class A> bool no(long id, const A& a) { return on(id) == static_cast<bool>(a); }
template <class A> bool flip(long id, const A& a) { return on(id) != static_cast<bool>(a); }

template <class A, class B> auto plus(long id, const A& a, const B& b) { return on(id) ? a - b : a + b; }
template <class A, class B> auto minus(long id, const A& a, const B& b) { return on(id) ? a + b : a - b; }
template <class A, class B> auto times(long id, const A& a, const B& b) { return on(id) ? a / b : a * b; }
template <class A, class B> auto over(long id, const A& a, const B& b) { return on(id) ? a * b : a / b; }
template <class A, class B> A& add(long id, A& a, const B& b) { return on(id) ? a -= b : a += b; }
template <class A, class B> A& take(long id, A& a, const B& b) { return on(id) ? a += b : a -= b; }

template <class T> T next(long id, T value) { return on(id) ? static_cast<T>(value + 1) : value; }

}  // namespace latham::mutant
