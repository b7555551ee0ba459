// Waits for an asynchronous answer in a test. A port that never answers fails the test instead of hanging it.
#pragma once

#include "core/ports/completion.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <memory>
#include <utility>

namespace latham::testing {

inline constexpr std::chrono::seconds answer_deadline{60};

/// `auto r = await<std::uint64_t>([&](auto done) { store.open_write(token, done); });`
template <class T, class Start>
expected<T> await(Start start) {
  auto promise = std::make_shared<std::promise<expected<T>>>();
  auto answer = promise->get_future();
  start(ports::completion<T>{[promise](expected<T> result) { promise->set_value(std::move(result)); }});
  if (answer.wait_for(answer_deadline) != std::future_status::ready) {
    ADD_FAILURE() << "no answer";
    return error{errc::internal, "no answer within the test's deadline"};
  }
  return answer.get();
}

/// errc::none for success: compares well.
template <class T>
errc code_of(const expected<T>& result) {
  return result ? errc::none : result.error().code;
}

/// gtest prints the name instead of a number.
}  // namespace latham::testing

namespace latham {
inline void PrintTo(errc code, std::ostream* out) {
  *out << to_string(code);
}
}  // namespace latham
