// Work that is "too long for an actor", done at once in the thread that asks for it.
#pragma once

#include "core/ports/executor.hpp"

namespace latham::testing {

class inline_executor final : public ports::executor {
public:
  [[nodiscard]] bool post(std::function<void()> work) override {
    work();
    return true;
  }
};

}  // namespace latham::testing
