// The tests of child processes run this very program again; then it is the child that a test asked for.
#include "tests/integration/net/test_child.hpp"

#include <gtest/gtest.h>

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view{argv[1]} == "test-child") return latham::testing::test_child(argv[2]);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
