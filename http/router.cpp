#include "http/router.hpp"

#include <algorithm>

namespace latham::http {

namespace {

bool matches(std::string_view pattern, std::string_view path, std::vector<std::string>& parameters) {
  parameters.clear();
  for (;;) {
    if (pattern.empty() || path.empty()) return pattern.empty() && path.empty();
    if (pattern.front() == '{') {
      const auto close = pattern.find('}');
      if (pattern.substr(0, close).find("...") != std::string_view::npos) {
        parameters.emplace_back(path);
        return true;
      }
      const auto end = std::min(path.find('/'), path.size());
      if (end == 0) return false;
      parameters.emplace_back(path.substr(0, end));
      path.remove_prefix(end);
      pattern.remove_prefix(close + 1);
      continue;
    }
    if (pattern.front() != path.front()) return false;
    pattern.remove_prefix(1);
    path.remove_prefix(1);
  }
}

}  // namespace

route_match router::match(std::string_view method, std::string_view path) const {
  route_match result;
  std::vector<std::string> parameters;
  for (const auto& r : routes_) {
    if (!matches(r.pattern, path, parameters)) continue;
    if (r.method == method || (r.method == "GET" && method == "HEAD")) {
      result.found = &r;
      result.parameters = std::move(parameters);
      result.allow.clear();
      return result;
    }
    const auto add = [&](std::string_view m) {
      if (result.allow.find(m) != std::string::npos) return;
      if (!result.allow.empty()) result.allow += ", ";
      result.allow += m;
    };
    add(r.method);
    if (r.method == "GET" && !r.stream) add("HEAD");
  }
  return result;
}

}  // namespace latham::http
