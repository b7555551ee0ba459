// What the child of a test does: one behaviour per word.
#pragma once

#include <string_view>

namespace latham::testing {
[[nodiscard]] int test_child(std::string_view behaviour);
}
