// What a person types: `latham submit`, `latham status` and `latham leave`, on the API client. Progress bars on standard error when it is
// a terminal, one JSON document on standard output for scripts, errors with the next step. Answers are exit codes:
// 0 done, 1 the request failed or the node may not leave, 3 the video failed.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace latham::http {

struct submit_command {
  std::string file;
  std::vector<std::string> ladder;
  std::string title;
  std::string priority;
  std::string start;   // seconds
  std::string end;
  std::string server;
  std::string token;
  bool wait = false;   // until ready or failed
  bool json = false;
};
[[nodiscard]] int run_submit(const submit_command& command);

struct status_command {
  std::string id;      // empty: the newest videos
  std::string server;
  std::string token;
  bool json = false;
};
[[nodiscard]] int run_status(const status_command& command);

struct leave_command {
  std::string admin;   // HOST:PORT
  bool wait = false;   // until it may
  bool json = false;
};
[[nodiscard]] int run_leave(const leave_command& command);

/// "[=====>    ]  52 %", `width` characters in all; pure.
[[nodiscard]] std::string draw_bar(double done, std::size_t width);
/// "12.3 MB"; pure.
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

}  // namespace latham::http
