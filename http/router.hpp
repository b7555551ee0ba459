// Which handler a request goes to, as a pure table: methods and paths with {parameters}. A path that exists under another
// method is told apart from one that does not exist, and the table can be listed, so a test holds it against openapi.yaml.
#pragma once

#include "http/exchange.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace latham::http {

/// What a request will mostly wait for decides whose threads it may use.
enum class lane : std::uint8_t { api = 0, media = 1, upload = 2 };

struct route {
  std::string method;   // GET answers HEAD too
  std::string pattern;  // "/api/v1/videos/{id}"; a last {name...} takes the rest with its slashes
  std::string name;     // for metrics
  lane where = lane::api;
  bool stream = false;  // answered by the loop: the handler is not called
  std::function<void(exchange&)> handler;
};

struct route_match {
  const route* found = nullptr;
  std::vector<std::string> parameters;
  std::string allow;    // when nothing was found but the path exists: its methods
};

class router {
public:
  void add(route r) { routes_.push_back(std::move(r)); }
  /// `path` is matched as it is: decoded for handlers, raw where only the lane matters.
  [[nodiscard]] route_match match(std::string_view method, std::string_view path) const;
  [[nodiscard]] const std::vector<route>& routes() const noexcept { return routes_; }

private:
  std::vector<route> routes_;
};

}  // namespace latham::http
