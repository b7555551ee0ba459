// Errors as people and programs read them: problem details (RFC 9457) with our stable code in it. `detail` says what to do.
// Nothing of the inside (paths, exception texts, names of nodes) gets here but by an `error`, whose message is written for
// the user.
#pragma once

#include "core/expected.hpp"

#include <string>
#include <string_view>

namespace latham::http {

inline constexpr std::string_view problem_content_type = "application/problem+json";

struct problem {
  int status = 500;
  std::string code;    // stable lower-case name: to_string(errc), or one of HTTP's own such as "method_not_allowed"
  std::string detail;  // one sentence: what, and what to do
  int retry_after_s = 0;  // 0: no Retry-After
};

/// The status of core/expected.hpp for this code.
[[nodiscard]] int status_of(errc code) noexcept;
/// A message of the inside begins small and ends bare, so that it can be joined to others; people read sentences.
[[nodiscard]] std::string to_sentence(std::string message);
[[nodiscard]] problem to_problem(const error& e);
/// A problem of HTTP itself; the code follows from the status.
[[nodiscard]] problem to_problem(int status, std::string detail);
[[nodiscard]] std::string to_json(const problem& p);
[[nodiscard]] std::string_view reason_phrase(int status) noexcept;
/// A whole response that ends the connection, for clients that are turned away before their request is looked at.
[[nodiscard]] std::string to_closing_response(const problem& p);

}  // namespace latham::http
