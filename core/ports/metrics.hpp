// Numbers for operators. Names follow Prometheus (snake_case, unit and _total last). Any thread; never blocks on anything
// but its own short lock; never fails: a negative count, a name that is none or that stands for another kind already, and
// every series beyond the implementation's bound are ignored, because a number must not end a node.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace latham::ports {

using labels = std::vector<std::pair<std::string, std::string>>;  // few values each: never an id

class metrics {
public:
  virtual ~metrics() = default;
  virtual void add(std::string_view counter, double amount = 1, const labels& by = {}) = 0;
  virtual void set(std::string_view gauge, double value, const labels& by = {}) = 0;
  virtual void observe(std::string_view histogram_seconds, double seconds, const labels& by = {}) = 0;
};

}  // namespace latham::ports
