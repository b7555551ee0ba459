// What one engine task may cost at the very most, so that a file that makes a decoder spin, or a child that was taken over
// and only pretends to work, holds a slot for a time that somebody chose.
//
// The figures are many times what work of that size costs on a slow machine: a task that reaches them is not slow but stuck.
// They follow from the task alone. Whoever gives a task out enforces them: processor seconds by a limit on the child, the
// whole time by the clock of the slot.
#pragma once

#include "core/ports/media_engine.hpp"
#include "core/units.hpp"

#include <cstdint>

namespace latham {

struct task_budget {
  std::uint32_t cpu_s = 0;  // processor seconds of the child: 60 to 86,400
  seconds whole{0};         // from start to end by the clock, waiting for bytes included
  friend bool operator==(const task_budget&, const task_budget&) = default;
};

/// Total for any task, also one that would not pass the engine's validate().
[[nodiscard]] task_budget budget_of(const ports::engine_task& task);

}  // namespace latham
