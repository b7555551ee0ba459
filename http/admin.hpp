// The admin server, for operators and orchestrators: /live (this process answers), /ready (it can do its work; says what is
// missing), /metrics, and /leave (whether it may be switched off for good, or what holds it back; a node that may takes nothing
// new from then on). On a port of its own and with threads of its own. It shows no user's data.
#pragma once

#include "core/cluster/leave.hpp"
#include "core/expected.hpp"
#include "core/ports/completion.hpp"
#include "core/units.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace latham::http {

class site;

struct admin_options {
  std::vector<std::string> addresses = {"0.0.0.0", "::"};
  std::uint16_t port = 8010;
  std::function<expected<void>()> live;     // empty: always alive
  std::function<expected<void>()> ready;    // empty: always ready
  std::function<std::string()> metrics;     // text exposition format
  std::function<void(ports::completion<leave_report>)> leave;  // empty: this node keeps nothing
};

class admin_server {
public:
  explicit admin_server(admin_options options);
  ~admin_server();
  admin_server(const admin_server&) = delete;
  admin_server& operator=(const admin_server&) = delete;

  [[nodiscard]] expected<std::uint16_t> start();
  bool drain(milliseconds deadline);

private:
  admin_options options_;
  std::unique_ptr<site> site_;
};

}  // namespace latham::http
